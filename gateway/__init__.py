"""The gateway agent: a Linux program that enforces signed snapshots.

It imports the standard library, `cryptography`, `pyroute2` and the pure packages
(`policies.compiler`, `audit.tlog`). It dials out only, and a gateway whose agent
is gone closes by itself: the kernel ends the lease after 60 seconds.
"""
