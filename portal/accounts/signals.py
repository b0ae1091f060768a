"""News from this app for those above it: one signal, sent inside the transaction."""

from __future__ import annotations

from typing import Final

from django.dispatch import Signal

people_changed: Final = Signal()
"""Memberships or the active flag of people changed: `user_ids: frozenset[int]`.

`is_proof` is true when nothing changed but how they last proved who they are: that
concerns only what demands a proof.

`is_told` is true when the sender's caller tells the gateways itself, as a revocation
does.

A receiver that raises undoes the change; that is meant (STYLE 4).
"""
