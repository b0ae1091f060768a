"""Every rule of trust refuses what breaks it, and nothing else. Pure."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta

import pytest

from gateway.errors import (
    EquivocationError,
    RevokedKeyError,
    StaleError,
    UntrustedError,
    UpgradeError,
)
from gateway.trust import Held, Judge, pinned_key
from policies.compiler.envelope import EPOCH_TYPE, NOTICE_TYPE
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
    SPOOL,
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
def test_f09_a_snapshot_that_is_not_for_here_and_now_is_refused(
    change: dict[str, object], message: str
) -> None:
    with pytest.raises(UntrustedError, match=message):
        offer(replace(snapshot(), **change))  # type: ignore[arg-type]


def test_f05_an_older_generation_is_refused() -> None:
    with pytest.raises(StaleError, match="generation 1 is older than 2"):
        offer(snapshot(1), over=held(snapshot(2)))


def test_f08_two_snapshots_of_one_generation_are_refused() -> None:
    other = snapshot(of=without([ALICE], facts()))
    kept = replace(other, revoked_keys=())
    with pytest.raises(EquivocationError, match="two different"):
        offer(kept, over=held())


def test_f08_a_lease_for_another_snapshot_of_this_generation_is_a_contradiction() -> (
    None
):
    envelope = signer().lease(snapshot(), digest="0" * 64)
    with pytest.raises(EquivocationError, match="another snapshot"):
        JUDGE.lease(envelope, of=held(), held=None, now=NOW)


def test_a_key_known_here_to_be_revoked_is_refused_whatever_is_held() -> None:
    with pytest.raises(RevokedKeyError, match=r"\[7\]"):
        JUDGE.snapshot(
            signer().snapshot(snapshot()),
            held=None,
            now=NOW,
            revoked={public_text("alice")},
        )


def test_a_snapshot_of_a_later_version_asks_for_an_upgrade() -> None:
    document = json.loads(snapshot_bytes(snapshot()))
    later = canonical_json({**document, "version": 99, "quotas": []})
    with pytest.raises(UpgradeError, match="version 99"):
        JUDGE.snapshot(signer().sign(SNAPSHOT_TYPE, later), held=None, now=NOW)
    with pytest.raises(UntrustedError, match="no pinned key"):
        JUDGE.snapshot(signer(2).sign(SNAPSHOT_TYPE, later), held=None, now=NOW)


@pytest.mark.parametrize("payload", [b"[]", b"{", b'{"version":"99"}', b"{}"])
def test_nonsense_asks_for_no_upgrade(payload: bytes) -> None:
    with pytest.raises(UntrustedError, match="malformed"):
        JUDGE.snapshot(signer().sign(SNAPSHOT_TYPE, payload), held=None, now=NOW)


EXPIRES = b'"expires":"never"'


@pytest.mark.parametrize(
    "written",
    [
        b"",
        b'"expires":null',
        b'"expires":""',
        b'"expires":"soon"',
        b'"expires":0',
        b'"expire":"never"',
        b'"expires":"2026-11-23"',
        b'"expires":"Never"',
    ],
)
@pytest.mark.parametrize("place", [0, 1], ids=["a grant's", "a peer's"])
def test_f11_an_expiry_that_is_missing_or_unreadable_is_refused(
    written: bytes, place: int
) -> None:
    before, *rest = snapshot_bytes(snapshot()).split(EXPIRES)
    parts = [before]
    for number, part in enumerate(rest):
        changed = written if number == place * (len(rest) - 1) else EXPIRES
        parts.append(changed + part)
    payload = b"".join(parts).replace(b",,", b",").replace(b"{,", b"{")
    assert payload != snapshot_bytes(snapshot())
    envelope = signer().sign(SNAPSHOT_TYPE, payload)
    with pytest.raises(UntrustedError, match="malformed"):
        JUDGE.snapshot(envelope, held=None, now=NOW)


def test_a_step_leads_to_a_higher_epoch() -> None:
    step = JUDGE.epoch(signer().step(), held=held(snapshot(9)), now=NOW)
    assert (step.after, step.generation) == (2, 10)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"deployment": "elsewhere"}, "deployment"),
        ({"audience": "gw_2"}, "gw_2"),
        ({"before": 2, "after": 3}, "epoch 2"),
        ({"issued": NOW + timedelta(minutes=2)}, "issued"),
        ({"generation": 9}, "below 10"),
    ],
    ids=[
        "another deployment",
        "another gateway",
        "from elsewhere",
        "the future",
        "not above what is held",
    ],
)
def test_a_step_that_breaks_a_rule_is_refused(
    change: dict[str, object], message: str
) -> None:
    envelope = signer().step(**change)  # type: ignore[arg-type]
    with pytest.raises(UntrustedError, match=message):
        JUDGE.epoch(envelope, held=held(snapshot(9)), now=NOW)


def test_a_step_that_nobody_pinned_signed_is_refused() -> None:
    with pytest.raises(UntrustedError, match="no pinned key"):
        JUDGE.epoch(signer(2).step(), held=None, now=NOW)


def test_a_malformed_step_is_refused() -> None:
    envelope = signer().sign(EPOCH_TYPE, b"{}")
    with pytest.raises(UntrustedError, match="malformed"):
        JUDGE.epoch(envelope, held=None, now=NOW)


def test_a_lower_generation_than_the_epochs_first_is_refused() -> None:
    judge = Judge(anchor=replace(signer().anchor(), epoch=2, floor=10))
    for generation in (1, 9):
        offered = signer().snapshot(snapshot(generation, epoch=2))
        with pytest.raises(StaleError, match="below 10"):
            judge.snapshot(offered, held=None, now=NOW)
    accepted = signer().snapshot(snapshot(10, epoch=2))
    assert judge.snapshot(accepted, held=held(snapshot(9)), now=NOW)


def test_what_was_kept_before_a_step_is_taken_up_after_it() -> None:
    judge = Judge(anchor=replace(signer().anchor(), epoch=2, floor=10))
    envelope = signer().snapshot(snapshot(9))
    assert judge.stored(envelope, now=NOW) == held(snapshot(9))
    with pytest.raises(UntrustedError, match="epoch 1"):
        judge.snapshot(envelope, held=None, now=NOW)
    with pytest.raises(UntrustedError, match="epoch 3"):
        judge.stored(signer().snapshot(snapshot(11, epoch=3)), now=NOW)


def test_what_was_kept_is_not_older_than_what_was_in_force() -> None:
    judge = Judge(anchor=replace(signer().anchor(), epoch=2, floor=10))
    envelope = signer().snapshot(snapshot(9))
    assert judge.stored(envelope, now=NOW, least=(1, 9)) == held(snapshot(9))
    for least in ((1, 10), (2, 10)):
        with pytest.raises(StaleError, match="was in force"):
            judge.stored(envelope, now=NOW, least=least)


@pytest.mark.parametrize("epoch", [1, 2])
def test_what_was_kept_brings_no_revoked_key_back(epoch: int) -> None:
    judge = Judge(anchor=replace(signer().anchor(), epoch=epoch))
    with pytest.raises(RevokedKeyError, match=r"\[7\]"):
        judge.stored(
            signer().snapshot(snapshot()), now=NOW, revoked={public_text("alice")}
        )


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
    assert JUDGE.receipt(signer().receipt(41), spool=SPOOL) == 41


@pytest.mark.parametrize(
    ("envelope", "message"),
    [
        (signer().receipt(41, gateway="gw_2"), "gw_2"),
        (signer().receipt(41, spool="6" * 32), "for the spool"),
        (signer(2).receipt(41), "no pinned key"),
        (signer().lease(snapshot()), "not of"),
        (signer().receipt(-1), "malformed"),
    ],
    ids=["gateway", "spool", "portal", "type", "negative"],
)
def test_a_receipt_that_breaks_a_rule_is_refused(envelope: bytes, message: str) -> None:
    with pytest.raises(UntrustedError, match=message):
        JUDGE.receipt(envelope, spool=SPOOL)


def test_a_key_is_pinned_under_its_own_id_only() -> None:
    key = signer().public_key
    assert pinned_key(signer().keyid, key) == (signer().keyid, key)
    with pytest.raises(UntrustedError, match="not the id"):
        pinned_key(signer(2).keyid, key)
    with pytest.raises(UntrustedError, match="not an Ed25519 key"):
        pinned_key(digest(b"short")[:16], b"short")


def test_a_signed_notice_for_this_gateway_is_accepted() -> None:
    envelope = signer().notice(3, "alice", devices=[ALICE])
    notice = JUDGE.notice(envelope, after=2, now=NOW)
    assert notice.number == 3
    assert notice.keys == {public_text("alice")}
    assert notice.devices == {ALICE}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"deployment": "elsewhere"}, "deployment"),
        ({"audience": "gw_2"}, "'gw_2'"),
        ({"epoch": 2}, "epoch 2"),
        ({"issued": NOW + timedelta(seconds=61)}, "issued"),
        ({"number": 2}, "after notice 2"),
        ({"number": 1}, "after notice 2"),
    ],
    ids=["deployment", "gateway", "epoch", "the future", "again", "an earlier one"],
)
def test_a_notice_that_is_not_for_here_and_now_is_refused(
    change: dict[str, object], message: str
) -> None:
    spoiled = signer().notice(3, "alice", **change)  # type: ignore[arg-type]
    with pytest.raises(UntrustedError, match=message):
        JUDGE.notice(spoiled, after=2, now=NOW)


def test_a_kept_notice_counts_in_every_epoch_and_order() -> None:
    kept = signer().notice(1, "alice", epoch=7)
    assert JUDGE.kept_notice(kept).epoch == 7


@pytest.mark.parametrize(
    "envelope",
    [
        signer(2).notice(3, "alice"),
        signer().sign(NOTICE_TYPE, b"{}"),
        signer().snapshot(snapshot()),
        b"{}",
    ],
    ids=["unknown key", "malformed", "a snapshot", "no envelope"],
)
def test_what_is_no_notice_of_the_portal_is_refused(envelope: bytes) -> None:
    with pytest.raises(UntrustedError):
        JUDGE.notice(envelope, after=0, now=NOW)


def test_a_notice_is_no_snapshot_and_no_lease() -> None:
    notice = signer().notice(3, "alice")
    with pytest.raises(UntrustedError, match="envelope of"):
        JUDGE.snapshot(notice, held=None, now=NOW)
    with pytest.raises(UntrustedError, match="envelope of"):
        JUDGE.lease(notice, of=held(), held=None, now=NOW)
