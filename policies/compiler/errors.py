"""Errors of the policy compiler. One root; a subclass where a caller acts otherwise."""

from __future__ import annotations


class CompilerError(Exception):
    """Root of every error the compiler raises."""


class InvalidValueError(CompilerError):
    """A value breaks a rule of its type (a port, a name, a key, a time)."""


class HostBitsError(InvalidValueError):
    """A prefix has bits set beyond its mask; the message names the network meant."""


class OverlapError(CompilerError):
    """Two things that must be disjoint overlap (AllowedIPs, destinations)."""


class UnknownReferenceError(CompilerError):
    """A grant, subject or peer names something that is not part of the input."""


class SnapshotFormatError(CompilerError):
    """Snapshot bytes are not the canonical form of a well-formed snapshot."""
