"""The policy compiler: pure functions from facts to enforcement.

Standard library only; no clock, no I/O, no randomness, no logging. Time is an
argument. Equal input, in whatever order, gives equal bytes.
"""
