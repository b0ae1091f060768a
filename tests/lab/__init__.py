"""The network lab: everything Peerage is, on one machine, in private namespaces.

`script/demo` tells its story with it and `tests/e2e` proves rules with it. Real
programs only: kernel routing, nftables and conntrack, WireGuard, HTTP servers.
"""
