"""Every template compiles."""
