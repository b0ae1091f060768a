"""The composition root is tested with the small company of the policies' tests."""

from __future__ import annotations

from tests.policies.conftest import (
    alices_grant,
    commit,
    engineering,
    pools,
    signing_key,
    wiki,
)

__all__ = ["alices_grant", "commit", "engineering", "pools", "signing_key", "wiki"]
