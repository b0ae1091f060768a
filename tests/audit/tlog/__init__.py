"""Tests of the transparency log's pure parts; no database."""
