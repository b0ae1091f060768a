"""Whether a delta is worth sending. Pure."""

from __future__ import annotations

import json

import pytest

from gateway.deltas import whole_envelope
from gateway.errors import DeltaError
from policies.compiler.snapshot import SNAPSHOT_TYPE
from policies.deltas import LEAST_GAIN, changed_envelope
from tests.gateway.world import signer
from tests.policies.compiler.test_snapshot_delta import company


def signed(payload: bytes) -> str:
    """Return an envelope as the portal stores it."""
    return signer().sign(SNAPSHOT_TYPE, payload).decode()


def test_one_change_among_many_is_worth_it_and_comes_out_as_it_was_signed() -> None:
    before, after = signed(company(600)), signed(company(600, gone=frozenset({40})))
    changed = changed_envelope(before, after)
    assert changed is not None
    assert len(changed) * LEAST_GAIN <= len(after)
    rebuilt = whole_envelope(before.encode(), changed)
    assert json.loads(rebuilt) == json.loads(after)


def test_what_is_short_is_sent_whole() -> None:
    assert changed_envelope(signed(company(3)), signed(company(4))) is None


def test_what_changed_altogether_is_sent_whole() -> None:
    assert changed_envelope(signed(b"{}"), signed(company(600))) is None


@pytest.mark.parametrize("held", [None, b"{}", signed(company(601)).encode()])
def test_a_delta_needs_what_it_begins_at(held: bytes | None) -> None:
    before, after = signed(company(600)), signed(company(600, gone=frozenset({40})))
    changed = changed_envelope(before, after)
    assert changed is not None
    with pytest.raises(DeltaError):
        whole_envelope(held, changed)


@pytest.mark.parametrize("changed", [b"", b"[]", b"{}", b'{"delta":{}}'])
def test_what_is_no_delta_is_refused(changed: bytes) -> None:
    with pytest.raises(DeltaError):
        whole_envelope(signed(company(3)).encode(), changed)
