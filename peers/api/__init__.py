"""What clients and gateways speak to."""
