"""Measurements: `script/bench NAME`. Each module is one, and prints its own table."""
