"""Rules proven with real packets through everything at once."""
