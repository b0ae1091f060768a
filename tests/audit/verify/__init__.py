"""Tests of the stand-alone verifier; no database."""
