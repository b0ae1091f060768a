"""Who may hold a key: devices, the key ledger, addresses, gateways."""
