"""Every event gets one index, and every checkpoint continues the one before."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

import pytest
from django.db import DatabaseError, IntegrityError, connection, transaction

from audit import services
from audit.errors import SealError
from audit.models import (
    AuditEvent,
    FlowEvent,
    FlowKind,
    Log,
    Outbox,
    SealedCheckpoint,
    SealedLeaf,
    SealedTile,
    SealerState,
)
from audit.sealing import keeping, sealer, tables
from audit.sealing.sealer import Sealer, adopt
from audit.tlog.merkle import leaf_hash, root
from audit.tlog.note import parse_checkpoint, verify_note
from tests.audit.conftest import GATEWAY, NOON, MakeFlow
from tests.audit.sealing.conftest import Write
from tests.audit.test_append_only import run

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("sealer_files")]

EMPTYING = {
    "postgresql": "TRUNCATE audit_sealedtile",
    "sqlite": "DELETE FROM audit_sealedtile",
}
EDIT = "UPDATE {} SET log = 'other'"


@pytest.fixture
def control(sealer_files: Path) -> Sealer:
    return Sealer(Log.CONTROL)


def killed(*_args: object, **_options: object) -> None:
    raise KeyboardInterrupt


def sealed_root() -> bytes:
    note = verify_note(
        SealerState.objects.get(log="control").note.encode(),
        [keeping.verifier_key(Log.CONTROL)],
    )
    return parse_checkpoint(note.text).root


def test_every_event_gets_one_index_in_the_order_of_the_outbox(
    control: Sealer, write: Write
) -> None:
    write(3)
    assert control.seal(NOON) == 3
    write(2)
    assert control.seal(NOON) == 2
    places = SealedLeaf.objects.order_by("index").values_list("index", "event_id")
    ids = AuditEvent.objects.order_by("id").values_list("id", flat=True)
    assert list(places) == list(enumerate(ids))
    assert not Outbox.objects.exists()


def test_the_checkpoint_is_of_the_leaves(control: Sealer, write: Write) -> None:
    write(300)
    control.seal(NOON)
    leaves = AuditEvent.objects.order_by("id").values_list("leaf", flat=True)
    assert sealed_root() == root([leaf_hash(bytes(leaf or b"")) for leaf in leaves])
    assert SealedTile.objects.count() == 1


def test_a_sealer_that_starts_anew_goes_on(control: Sealer, write: Write) -> None:
    write(300)
    control.seal(NOON)
    write(300)
    Sealer(Log.CONTROL).seal(NOON)
    leaves = AuditEvent.objects.order_by("id").values_list("leaf", flat=True)
    assert sealed_root() == root([leaf_hash(bytes(leaf or b"")) for leaf in leaves])


def test_two_sealers_in_turn_make_one_tree(control: Sealer, write: Write) -> None:
    other = Sealer(Log.CONTROL)
    for turn in (control, other, control):
        write(2)
        assert turn.seal(NOON) == 2
    assert SealedLeaf.objects.count() == 6


def test_an_idle_log_is_signed_again_after_ten_seconds(control: Sealer) -> None:
    control.seal(NOON)
    control.seal(NOON + timedelta(seconds=9))
    assert SealerState.objects.get().signed_at == NOON
    control.seal(NOON + timedelta(seconds=10))
    assert SealerState.objects.get().signed_at == NOON + timedelta(seconds=10)
    assert SealedCheckpoint.objects.count() == 1


def test_flow_events_have_a_log_of_their_own(
    control: Sealer, make_flow: MakeFlow
) -> None:
    flows = [make_flow(FlowKind.OPEN, number, flow=f"f{number}") for number in (1, 2)]
    services.record_flows(gateway=GATEWAY, flows=flows, now=NOON)
    assert control.seal(NOON) == 0
    assert Sealer(Log.CONNECTIONS).seal(NOON) == 2


def test_a_batch_is_limited(
    control: Sealer, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sealer, "BATCH", 3)
    write(5)
    assert [control.seal(NOON) for _ in range(3)] == [3, 2, 0]


def test_the_file_knows_before_the_checkpoint_is_stored(
    control: Sealer, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(2)
    publish = tables.publish
    monkeypatch.setattr(tables, "publish", killed)
    with pytest.raises(KeyboardInterrupt):
        control.seal(NOON)
    monkeypatch.setattr(tables, "publish", publish)
    assert keeping.last_signed(Log.CONTROL) is not None
    assert not SealedCheckpoint.objects.exists()
    assert control.seal(NOON) == 0
    assert SealedCheckpoint.objects.get().size == 2


def test_a_database_that_was_restored_is_refused(write: Write) -> None:
    write(2)
    Sealer(Log.CONTROL).seal(NOON)
    path = keeping.state_file(Log.CONTROL)
    told = json.loads(path.read_text())
    path.write_text(json.dumps({**told, "size": 3}))
    write(1)
    with pytest.raises(SealError, match="2 leaves, but 3 were signed"):
        Sealer(Log.CONTROL).seal(NOON)
    assert Outbox.objects.count() == 1


def test_another_tree_of_the_same_size_is_refused(write: Write) -> None:
    write(2)
    Sealer(Log.CONTROL).seal(NOON)
    path = keeping.state_file(Log.CONTROL)
    path.write_text(json.dumps({"size": 2, "root": "00" * 32}))
    with pytest.raises(SealError, match="not the ones that were signed"):
        Sealer(Log.CONTROL).seal(NOON + timedelta(seconds=10))


def test_a_lost_state_file_is_refused_until_the_log_is_adopted(write: Write) -> None:
    write(2)
    Sealer(Log.CONTROL).seal(NOON)
    keeping.state_file(Log.CONTROL).unlink()
    with pytest.raises(SealError, match="--adopt"):
        Sealer(Log.CONTROL).seal(NOON)
    assert adopt(Log.CONTROL).root == sealed_root()
    assert Sealer(Log.CONTROL).seal(NOON) == 0


def test_an_event_that_was_removed_before_it_was_sealed_stops_the_sealer(
    control: Sealer, write: Write
) -> None:
    write(1)
    Outbox.objects.create(log=Log.CONTROL, event_id=10**9)
    with pytest.raises(SealError, match="event 1000000000 of the control log was"):
        control.seal(NOON)
    assert Outbox.objects.count() == 2


def test_a_tile_that_is_gone_stops_the_sealer(control: Sealer, write: Write) -> None:
    write(300)
    control.seal(NOON)
    run(EMPTYING[connection.vendor])
    with pytest.raises(SealError, match="1 hashes of the control log should be here"):
        Sealer(Log.CONTROL).seal(NOON)


def test_what_the_disk_did_not_take_is_not_signed(
    control: Sealer, write: Write, sealer_files: Path
) -> None:
    (sealer_files / "state").write_text("in the way of the directory")
    write(1)
    with pytest.raises(SealError, match="state"):
        control.seal(NOON)
    assert not SealedCheckpoint.objects.exists()


def test_a_key_that_others_may_read_signs_nothing(
    control: Sealer, write: Write
) -> None:
    keeping.key_file(Log.CONTROL).chmod(0o644)
    write(1)
    with pytest.raises(SealError, match="others may read"):
        control.seal(NOON)


def test_an_unreadable_memory_is_refused(control: Sealer) -> None:
    path = keeping.state_file(Log.CONTROL)
    path.parent.mkdir()
    path.write_text("{}")
    with pytest.raises(SealError, match="unreadable"):
        control.seal(NOON)


@pytest.mark.parametrize(
    "table", ["audit_sealedleaf", "audit_sealedtile", "audit_sealedcheckpoint"]
)
def test_the_database_refuses_to_change_what_was_sealed(
    control: Sealer, write: Write, table: str
) -> None:
    write(256)
    control.seal(NOON)
    with pytest.raises(IntegrityError, match="append-only"), transaction.atomic():
        run(EDIT.format(table))


@pytest.mark.parametrize("table", ["audit_auditevent", "audit_flowevent"])
def test_the_database_refuses_an_event_without_its_leaf(table: str) -> None:
    model = AuditEvent if table == "audit_auditevent" else FlowEvent
    values: dict[str, object] = {"at": NOON}
    if model is FlowEvent:
        values |= {"sequence": 1, "received_at": NOON, "body": {}}
    with pytest.raises(DatabaseError, match="without its leaf"), transaction.atomic():
        model.objects.bulk_create([model(**values)])
