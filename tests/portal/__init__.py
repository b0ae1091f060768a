"""Tests of what lies under the same path."""
