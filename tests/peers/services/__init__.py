"""Rules of every change to who may hold a key."""
