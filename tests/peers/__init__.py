"""Rules about who may hold a key."""
