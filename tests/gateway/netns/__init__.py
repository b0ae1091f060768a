"""Real tunnels, real nftables, real conntrack, each scenario in its own namespaces."""
