"""Every rule of trust refuses what breaks it, and nothing else. Pure."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta

import pytest

from gateway.errors import RevokedKeyError, StaleError, UntrustedError
from gateway.trust import Held, Judge, pinned_key
from policies.compiler.snapshot import (
    LEASE_TYPE,
    SNAPSHOT_TYPE,
    canonical_json,
    digest,
    snapshot_bytes,
)
from policies.compiler.types import Snapshot
from tests.gateway.world import (
    ALICE,
    NOW,
    facts,
    public_text,
    signer,
    snapshot,
    without,
)

JUDGE = Judge(anchor=signer().anchor())


def held(value: Snapshot | None = None) -> Held:
    """Return a snapshot as one that was accepted."""
    taken = value or snapshot()
    return Held(snapshot=taken, digest=digest(snapshot_bytes(taken)))


def offer(value: Snapshot, *, over: Held | None = None) -> Held:
    """Offer a properly signed snapshot."""
    return JUDGE.snapshot(signer().snapshot(value), held=over, now=NOW)


def test_a_signed_snapshot_for_this_gateway_is_accepted() -> None:
    accepted = offer(snapshot())
    assert accepted.snapshot == snapshot()
    assert accepted.digest == digest(snapshot_bytes(snapshot()))


def test_a_newer_generation_replaces_the_one_held() -> None:
    assert offer(snapshot(2), over=held()).snapshot.generation == 2


def test_the_same_generation_again_is_no_error() -> None:
    assert offer(snapshot(), over=held()) == held()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"deployment": "elsewhere"}, "deployment"),
        ({"audience": "gw_2"}, "'gw_2'"),
        ({"epoch": 2}, "epoch 2"),
        ({"issued": NOW + timedelta(seconds=61)}, "issued"),
    ],
    ids=["another deployment", "another gateway", "another epoch", "the future"],
)
def test_a_snapshot_that_is_not_for_here_and_now_is_refused(
    change: dict[str, object], message: str
) -> None:
    with pytest.raises(UntrustedError, match=message):
        offer(replace(snapshot(), **change))  # type: ignore[arg-type]


def test_an_older_generation_is_refused() -> None:
    with pytest.raises(StaleError, match="generation 1 is older than 2"):
        offer(snapshot(1), over=held(snapshot(2)))


def test_two_snapshots_of_one_generation_are_refused() -> None:
    other = snapshot(of=without([ALICE], facts()))
    kept = replace(other, revoked_keys=())
    with pytest.raises(UntrustedError, match="two different"):
        offer(kept, over=held())


def test_a_revoked_key_never_comes_back() -> None:
    revoked = snapshot(2, of=without([ALICE], facts()))
    with pytest.raises(RevokedKeyError, match=r"\[7\]"):
        offer(snapshot(3), over=held(revoked))


def test_revoked_keys_are_never_forgotten() -> None:
    revoked = snapshot(2, of=without([ALICE], facts()))
    forgetful = replace(revoked, generation=3, revoked_keys=())
    with pytest.raises(RevokedKeyError, match="forgotten"):
        offer(forgetful, over=held(revoked))


def test_revoked_keys_may_grow() -> None:
    grown = replace(snapshot(2), revoked_keys=(public_text("carol"),))
    assert offer(grown, over=held()).snapshot.revoked_keys == (public_text("carol"),)


def test_a_peer_with_a_key_revoked_in_the_same_snapshot_is_refused() -> None:
    broken = replace(snapshot(), revoked_keys=(public_text("alice"),))
    with pytest.raises(UntrustedError, match="revoked key is a peer"):
        offer(broken)


def test_another_portals_signature_is_refused() -> None:
    with pytest.raises(UntrustedError, match="no pinned key"):
        JUDGE.snapshot(signer(2).snapshot(snapshot()), held=None, now=NOW)


def test_another_key_under_a_pinned_id_is_refused() -> None:
    document = json.loads(signer(2).snapshot(snapshot()))
    document["signatures"][0]["keyid"] = signer().keyid
    with pytest.raises(UntrustedError, match="no pinned key"):
        JUDGE.snapshot(json.dumps(document).encode(), held=None, now=NOW)


def test_a_payload_changed_after_signing_is_refused() -> None:
    document = json.loads(signer().snapshot(snapshot()))
    document["payload"] = json.loads(signer().snapshot(snapshot(2)))["payload"]
    with pytest.raises(UntrustedError, match="no pinned key"):
        JUDGE.snapshot(json.dumps(document).encode(), held=None, now=NOW)


def test_a_lease_does_not_pass_for_a_snapshot() -> None:
    with pytest.raises(UntrustedError, match="not of"):
        JUDGE.snapshot(signer().lease(snapshot()), held=None, now=NOW)


@pytest.mark.parametrize("envelope", [b"", b"{}", b"[]", b'{"payload":1}', b"\xff"])
def test_what_is_no_envelope_is_refused(envelope: bytes) -> None:
    with pytest.raises(UntrustedError, match="not an envelope"):
        JUDGE.snapshot(envelope, held=None, now=NOW)


def test_a_snapshot_without_an_expiry_is_refused() -> None:
    document = json.loads(snapshot_bytes(snapshot()))
    del document["grants"][0]["expires"]
    envelope = signer().sign(SNAPSHOT_TYPE, canonical_json(document))
    with pytest.raises(UntrustedError, match="malformed"):
        JUDGE.snapshot(envelope, held=None, now=NOW)


def test_a_lease_for_the_snapshot_in_hand_is_accepted() -> None:
    lease = JUDGE.lease(signer().lease(snapshot()), of=held(), held=None, now=NOW)
    assert lease.not_after == NOW + timedelta(seconds=900)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"deployment": "elsewhere"}, UntrustedError, "deployment"),
        ({"audience": "gw_2"}, UntrustedError, "gw_2"),
        ({"epoch": 2}, UntrustedError, "epoch"),
        ({"generation": 2}, UntrustedError, "another snapshot"),
        ({"digest": "0" * 64}, UntrustedError, "another snapshot"),
        ({"not_after": NOW}, StaleError, "ran out"),
        ({"not_after": NOW + timedelta(days=2)}, UntrustedError, "more than a day"),
        ({"issued": NOW + timedelta(minutes=2)}, UntrustedError, "issued"),
    ],
    ids=[
        "another deployment",
        "another gateway",
        "another epoch",
        "another generation",
        "another digest",
        "run out",
        "absurdly long",
        "the future",
    ],
)
def test_a_lease_that_breaks_a_rule_is_refused(
    change: dict[str, object], error: type[Exception], message: str
) -> None:
    envelope = signer().lease(snapshot(), **change)  # type: ignore[arg-type]
    with pytest.raises(error, match=message):
        JUDGE.lease(envelope, of=held(), held=None, now=NOW)


def test_an_older_lease_does_not_replace_a_newer_one() -> None:
    newer = JUDGE.lease(signer().lease(snapshot()), of=held(), held=None, now=NOW)
    older = signer().lease(snapshot(), issued=NOW - timedelta(seconds=1))
    with pytest.raises(StaleError, match="older than the one held"):
        JUDGE.lease(older, of=held(), held=newer, now=NOW)


def test_a_malformed_lease_is_refused() -> None:
    envelope = signer().sign(LEASE_TYPE, b"{}")
    with pytest.raises(UntrustedError, match="the lease is malformed"):
        JUDGE.lease(envelope, of=held(), held=None, now=NOW)


def test_a_refused_lease_is_not_parsed_before_its_signature() -> None:
    with pytest.raises(UntrustedError, match="no pinned key"):
        JUDGE.lease(signer(2).lease(snapshot()), of=held(), held=None, now=NOW)


def test_a_receipt_says_how_far() -> None:
    assert JUDGE.receipt(signer().receipt(41)) == 41


@pytest.mark.parametrize(
    ("envelope", "message"),
    [
        (signer().receipt(41, gateway="gw_2"), "gw_2"),
        (signer(2).receipt(41), "no pinned key"),
        (signer().lease(snapshot()), "not of"),
        (signer().receipt(-1), "malformed"),
    ],
    ids=["another gateway", "another portal", "another type", "negative"],
)
def test_a_receipt_that_breaks_a_rule_is_refused(envelope: bytes, message: str) -> None:
    with pytest.raises(UntrustedError, match=message):
        JUDGE.receipt(envelope)


def test_a_key_is_pinned_under_its_own_id_only() -> None:
    key = signer().public_key
    assert pinned_key(signer().keyid, key) == (signer().keyid, key)
    with pytest.raises(UntrustedError, match="not the id"):
        pinned_key(signer(2).keyid, key)
    with pytest.raises(UntrustedError, match="not an Ed25519 key"):
        pinned_key(digest(b"short")[:16], b"short")
