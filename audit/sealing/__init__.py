"""What seals the logs: numbers events, grows the trees, signs them (ADR-0028)."""
