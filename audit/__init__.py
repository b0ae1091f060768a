"""The log: event catalogue, the two writers, search, proofs, exports."""
