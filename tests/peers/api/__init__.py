"""Rules of what clients and gateways speak to."""
