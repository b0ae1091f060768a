"""Leaves go by the word of two people and a leaf; whatever else goes is found."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import pytest
from django.db import IntegrityError, connection, transaction
from pytest_django import Settings

from audit import services
from audit.actor import Actor, ActorKind, Ref
from audit.errors import PruneError
from audit.events import EventCode
from audit.models import (
    AuditEvent,
    Connection,
    Cosignature,
    FlowEvent,
    FlowKind,
    Log,
    Prune,
    SealedCheckpoint,
    SealedLeaf,
    SealerState,
)
from audit.retention import pruning
from audit.retention.blanking import Names
from audit.retention.forgetting import (
    Forgotten,
    blank_log,
    forget_salt,
    record_forgotten,
)
from audit.retention.holds import lift_hold, place_hold
from audit.sealed_files import SealedFiles
from audit.sealing.exporting import export
from audit.sealing.keeping import verifier_key
from audit.sealing.sealer import Sealer
from audit.search.filters import Filter
from audit.streams.models import Stream, StreamCursor
from audit.tlog.policy import Policy, trusting
from audit.tlog.proving import prove
from audit.tlog.report import Fault, MissingError, Report
from audit.verification import verify_log
from audit.verify.__main__ import main
from tests.audit.conftest import ALICE, GATEWAY, NOON, MakeFlow
from tests.audit.past_django import undone
from tests.audit.sealing.conftest import sealer_files as keys_and_state
from tests.audit.sealing.test_roles import ROLES, acting_as
from tests.audit.test_append_only import run

pytestmark = pytest.mark.django_db
sealer_files = keys_and_state

OLD: Final = NOON - timedelta(days=500)
ROOT: Final = Actor(kind=ActorKind.COMMAND, id="prune_log", label="prune_log")
OLDER: Final = 600
BELOW: Final = 512
Edit = Callable[[], object]


def seal(now: Any = NOON) -> None:  # noqa: ANN401 -- a moment
    """Seal both logs as after a restart: from the tables alone."""
    for log in Log:
        Sealer(log).seal(now)


def policy() -> Policy:
    return trusting(*map(verifier_key, Log))


def report() -> Report:
    return verify_log(policy())


def faults() -> list[Fault]:
    return report().faults


def logins(count: int, now: Any, actor: Actor) -> None:  # noqa: ANN401 -- a moment
    services.record_all(
        services.event(EventCode.USER_LOGIN, actor=actor, now=now, person=ALICE)
        for _ in range(count)
    )


def copy(log: Log, size: int) -> None:
    """Say that a copy of so many leaves was taken."""
    begun = services.record_query(
        log=log, filters=Filter(), actor=ROOT, now=NOON, export_format="tiles"
    )
    services.record_export_end(
        export=begun, rows=size, sha256="ab", actor=ROOT, now=NOON
    )


@pytest.fixture
def logs(db: None, sealer_files: Path, actor: Actor, make_flow: MakeFlow) -> None:
    """Fill both logs with 600 old leaves and some young ones; a copy was taken.

    A connection begins with the last leaf below the prune and ends behind it.
    """
    logins(OLDER, OLD, actor)
    flows = [
        make_flow(
            FlowKind.OPEN if number % 2 else FlowKind.CLOSE,
            number + 1,
            flow=f"f{(number + 1) // 2}",
            at=OLD,
            started_at=OLD,
            ended_at=OLD,
        )
        for number in range(OLDER)
    ]
    services.record_flows(gateway=GATEWAY, flows=flows, now=OLD)
    seal(OLD)
    for log in Log:
        copy(log, OLDER)
    logins(40, NOON, actor)
    young = [
        make_flow(FlowKind.DENY, OLDER + number, flow=f"y{number}", at=NOON)
        for number in range(1, 41)
    ]
    services.record_flows(gateway=GATEWAY, flows=young, now=NOON)
    seal()
    assert faults() == []


def propose(log: Log = Log.CONTROL, below: int = BELOW) -> Prune:
    return pruning.propose_prune(
        log=log, below=below, proposer="us_3", reason="old", actor=ROOT, now=NOON
    )


def approve(prune: Prune, who: str = "us_4") -> Prune:
    return pruning.approve_prune(prune=prune, approver=who, actor=ROOT, now=NOON)


def carry_out(prune: Prune) -> list[pruning.Pruned]:
    return [*pruning.carry_out(prune=prune, actor=ROOT, now=NOON)]


def prune_log(log: Log) -> Prune:
    prune = approve(propose(log))
    seal()
    carry_out(prune)
    prune.refresh_from_db()
    return prune


@pytest.mark.usefixtures("logs")
@pytest.mark.parametrize("log", Log)
def test_what_is_pruned_is_gone_and_all_else_is_proved(log: Log) -> None:
    held = SealedLeaf.objects.filter(log=log, index__gte=BELOW).count()
    prune = prune_log(log)
    assert prune.done_at == NOON
    assert not SealedLeaf.objects.filter(log=log, index__lt=BELOW).exists()
    assert SealedLeaf.objects.filter(log=log).count() >= held
    seal()
    found = report()
    assert found.faults == []
    assert found.facts[origin(log)]["pruned"].startswith(
        f"below {BELOW}, proved by leaf "
    )
    files = SealedFiles(log)
    assert prove(files, policy(), BELOW).index == BELOW
    with pytest.raises(MissingError):
        prove(files, policy(), BELOW - 1)


def origin(log: Log) -> str:
    return verifier_key(log).name


@pytest.mark.usefixtures("logs")
def test_the_leaf_says_all_that_stands_for_what_went() -> None:
    prune = approve(propose(Log.CONNECTIONS))
    event = AuditEvent.objects.get(uid=str(prune.leaf_uid))
    told = json.loads(bytes(event.leaf or b""))["details"]
    assert (told["log"], told["from"], told["to"]) == ("connections", 0, BELOW)
    assert (told["proposed_by"], told["approved_by"]) == ("us_3", "us_4")
    # 512 leaves are one complete subtree: the frontier is the root.
    assert told["frontier"] == [told["root"]] == [bytes(prune.root).hex()]
    assert told["tree_size"] == OLDER + 40
    assert event.outcome == "I"


@pytest.mark.usefixtures("logs")
def test_connections_of_flows_that_went_go_and_others_stay() -> None:
    """One began below the prune and ended behind it: it is told by its end."""
    before = Connection.objects.count()
    prune_log(Log.CONNECTIONS)
    flows = set(FlowEvent.objects.values_list("flow", flat=True))
    assert set(Connection.objects.values_list("flow", flat=True)) == flows
    assert before - Connection.objects.count() == BELOW // 2
    straddling = FlowEvent.objects.order_by("sequence")[0].flow
    assert Connection.objects.get(flow=straddling).ended_at == OLD


@pytest.mark.usefixtures("logs")
@pytest.mark.parametrize("log", Log)
def test_a_pruned_log_goes_on_and_is_pruned_again(log: Log, actor: Actor) -> None:
    prune_log(log)
    logins(300, NOON, actor)
    seal(NOON + timedelta(seconds=30))
    assert faults() == []
    with pytest.raises(PruneError, match="younger than 400 days"):
        propose(log, BELOW + 256)


@pytest.mark.usefixtures("logs")
def test_a_copy_of_a_pruned_log_is_sound_and_continues_every_old_checkpoint(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kept = {
        log: SealedCheckpoint.objects.filter(log=log).order_by("size") for log in Log
    }
    notes = {log: [row.note for row in rows] for log, rows in kept.items()}
    for log in Log:
        prune_log(log)
    seal()
    for log in Log:
        export(log, tmp_path, verifier_key=str(verifier_key(log)), with_rows=True)
    keys = [f"--key={verifier_key(log)}" for log in Log]
    assert main(["fsck", str(tmp_path), "--json", "--jobs", "1", *keys]) == 0
    told = json.loads(capsys.readouterr().out)
    assert all("proved by leaf" in told[origin(log)]["pruned"] for log in Log)
    for log in Log:
        for number, note in enumerate(notes[log]):
            old = tmp_path / f"{log.value}-{number}"
            old.write_text(note, encoding="utf-8")
            place = str(tmp_path / log.value)
            assert main(["consistency", place, str(old), *keys]) == 0
    assert main(["gaps", str(tmp_path / "connections"), *keys]) in {0, 2}
    capsys.readouterr()
    # One log alone has nobody's word for it.
    assert main(["fsck", str(tmp_path / "connections"), *keys]) == 2


@pytest.mark.usefixtures("logs")
def test_nothing_goes_before_its_leaf_is_signed() -> None:
    prune = approve(propose())
    with pytest.raises(PruneError, match="not signed yet"):
        carry_out(prune)
    assert SealedLeaf.objects.filter(log=Log.CONTROL, index=0).exists()


@pytest.mark.usefixtures("logs")
def test_nothing_goes_that_the_leaf_does_not_say() -> None:
    """One person alone may write into the table of prunes."""
    prune = approve(propose(below=256))
    seal()
    Prune.objects.update(below=BELOW)
    with pytest.raises(PruneError, match="says something else"):
        carry_out(prune)
    assert SealedLeaf.objects.filter(log=Log.CONTROL, index=0).exists()


@pytest.mark.usefixtures("logs")
def test_nothing_goes_for_which_the_frontier_does_not_stand() -> None:
    prune = propose()
    Prune.objects.update(hashes=b"x" * 32)
    approve(prune)
    seal()
    with pytest.raises(PruneError, match="not that of the tree"):
        carry_out(prune)
    assert SealedLeaf.objects.filter(log=Log.CONTROL, index=0).exists()


@pytest.mark.usefixtures("logs")
def test_who_proposed_does_not_approve() -> None:
    prune = propose()
    with pytest.raises(PruneError, match="another administrator"):
        approve(prune, "us_3")
    with pytest.raises(IntegrityError), transaction.atomic():
        Prune.objects.update(approver_id="us_3")
    assert not AuditEvent.objects.filter(code="AU005").exists()


@pytest.mark.usefixtures("logs")
def test_what_was_withdrawn_is_not_approved() -> None:
    prune = pruning.withdraw_prune(
        prune=propose(), reason="a mistake", actor=ROOT, now=NOON
    )
    with pytest.raises(PruneError, match="does not wait"):
        approve(prune)
    with pytest.raises(PruneError, match="does not wait"):
        pruning.withdraw_prune(prune=prune, reason="", actor=ROOT, now=NOON)
    with pytest.raises(PruneError, match="not approved"):
        carry_out(prune)
    assert propose().begin == 0


@pytest.mark.usefixtures("logs")
def test_one_prune_of_a_log_waits_at_a_time() -> None:
    propose()
    with pytest.raises(PruneError, match="another prune"):
        propose()
    propose(Log.CONNECTIONS)


@pytest.mark.usefixtures("logs")
@pytest.mark.parametrize("below", [0, 100, -256, 513])
def test_whole_bundles_go(below: int) -> None:
    with pytest.raises(PruneError, match="whole bundles"):
        propose(below=below)


@pytest.mark.usefixtures("logs")
def test_what_is_young_stays(settings: Settings) -> None:
    settings.PEERAGE_LOG_RETENTION_DAYS = 501
    with pytest.raises(PruneError, match="younger than 501 days"):
        propose()
    assert pruning.oldest_kept(Log.CONTROL, now=NOON, days=499) == BELOW
    assert pruning.oldest_kept(Log.CONTROL, now=NOON, days=0) == BELOW
    assert pruning.oldest_kept(Log.CONTROL, now=OLD, days=1) == 0


@pytest.mark.usefixtures("logs")
def test_what_nobody_else_holds_stays() -> None:
    with undone():
        run("DELETE FROM audit_auditevent WHERE code = 'AU013'")
        copy(Log.CONTROL, BELOW - 1)
        copy(Log.CONNECTIONS, BELOW)
        with pytest.raises(PruneError, match="export_log first"):
            propose()
        Cosignature.objects.create(
            log=Log.CONTROL, size=BELOW, witness="w", at=NOON, line=""
        )
        propose()


@pytest.mark.usefixtures("logs")
def test_what_a_stream_has_not_delivered_stays() -> None:
    stream = Stream.objects.create(
        name="siem", kind="lines", created_at=NOON, next_attempt_at=NOON
    )
    StreamCursor.objects.create(stream=stream, log=Log.CONTROL, position=1)
    with pytest.raises(PruneError, match="a stream"):
        propose()
    Stream.objects.update(enabled=False)
    propose()


@pytest.mark.usefixtures("logs")
@pytest.mark.parametrize("log", Log)
@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"person": ALICE.id},
        {"since": OLD, "until": OLD + timedelta(days=1)},
        {"person": ALICE.id, "until": NOON},
    ],
    ids=str,
)
def test_a_legal_hold_keeps_what_it_covers(fields: dict[str, Any], log: Log) -> None:
    values = {"person": "", "since": None, "until": None, "reason": "a case"} | fields
    prune = approve(propose(log))
    seal()
    hold = place_hold(**values, actor=ROOT, now=NOON)
    with pytest.raises(PruneError, match=hold.ref.id):
        carry_out(prune)
    assert SealedLeaf.objects.filter(log=log, index=0).exists()
    lift_hold(hold=hold, reason="over", actor=ROOT, now=NOON)
    carry_out(prune)


@pytest.mark.usefixtures("logs")
@pytest.mark.parametrize(
    "fields",
    [{"person": "us_99"}, {"since": NOON}, {"until": OLD}],
    ids=str,
)
def test_a_legal_hold_on_others_and_other_times_keeps_nothing(
    fields: dict[str, Any],
) -> None:
    values = {"person": "", "since": None, "until": None, "reason": "a case"} | fields
    place_hold(**values, actor=ROOT, now=NOON)
    for log in Log:
        prune_log(log)


@pytest.mark.usefixtures("logs")
def test_a_legal_hold_keeps_what_a_gateway_delivered_late(
    make_flow: MakeFlow, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The case is about the day of the connection, not about that of its delivery."""
    then = OLD - timedelta(days=30)
    late = [
        make_flow(FlowKind.DENY, 2000 + number, flow=f"l{number}", at=then)
        for number in range(256)
    ]
    services.record_flows(gateway=GATEWAY, flows=late, now=NOON)
    seal()
    hold = place_hold(
        person=ALICE.id,
        since=then,
        until=then + timedelta(days=1),
        reason="a case",
        actor=ROOT,
        now=NOON,
    )
    monkeypatch.setattr(pruning, "oldest_kept", lambda *_, **__: 10**6)
    monkeypatch.setattr(pruning, "_kept_elsewhere", lambda _: 10**6)
    with pytest.raises(PruneError, match=hold.ref.id):
        propose(Log.CONNECTIONS, below=768)
    propose(Log.CONNECTIONS)


@pytest.mark.usefixtures("logs")
@pytest.mark.parametrize("log", Log)
def test_a_run_that_was_killed_goes_on(
    log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pruning, "PART", 256)
    prune = approve(propose(log))
    seal()
    next(pruning.carry_out(prune=prune, actor=ROOT, now=NOON))
    places = SealedLeaf.objects.filter(log=log, index__lt=BELOW)
    assert places.count() == BELOW - 256
    assert faults() == []
    assert [far.events for far in carry_out(prune)] == [0, 256]
    assert not places.exists()
    with pytest.raises(PruneError, match="or done"):
        carry_out(prune)
    seal()
    assert faults() == []


@pytest.mark.usefixtures("logs")
def test_what_the_log_still_needs_is_said_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Who was forgotten, and how the other log was pruned, survives its leaf."""
    prune_log(Log.CONNECTIONS)
    forget_salt("us_77", now=NOON)
    done = Forgotten(events=0, flows=0, connections=0, mentions=0)
    record_forgotten(
        done, person="us_77", other_rows=0, reason="asked", actor=ROOT, now=NOON
    )
    seal()
    size = SealerState.objects.get(log=Log.CONTROL).size
    logins(-size % 256, NOON, ROOT)
    seal()
    monkeypatch.setattr(pruning, "oldest_kept", lambda *_, **__: 10**6)
    monkeypatch.setattr(pruning, "_kept_elsewhere", lambda _: 10**6)
    prune = approve(propose(below=size + (-size % 256)))
    seal()
    carry_out(prune)
    assert list(
        AuditEvent.objects.filter(code__in=("AU005", "ID016"))
        .order_by("pk")
        .values_list("code", "details__log")
    ) == [("AU005", "connections"), ("ID016", None), ("AU005", "control")]
    assert faults() == []


@pytest.mark.usefixtures("logs")
@pytest.mark.parametrize("log", Log)
def test_rows_of_somebody_forgotten_may_be_pruned_and_not_given_away(log: Log) -> None:
    forget_salt(ALICE.id, now=NOON)
    done = blank_log(Names(person=ALICE.id))
    record_forgotten(
        done, person=ALICE.id, other_rows=0, reason="asked", actor=ROOT, now=NOON
    )
    seal()
    assert faults() == []
    prune = approve(propose(log))
    assert faults() == []
    seal()
    assert faults() == []
    carry_out(prune)
    assert faults() == []
    told = AuditEvent.objects.filter(code="ID016").order_by("pk")
    assert [event.details.get("again", False) for event in told] == [False, True]


DELETED = {
    "control": "DELETE FROM audit_auditevent WHERE id IN (SELECT event_id FROM"
    " audit_sealedleaf WHERE log = 'control' AND \"index\" < {0})",
    "connections": "DELETE FROM audit_flowevent WHERE id IN (SELECT event_id FROM"
    " audit_sealedleaf WHERE log = 'connections' AND \"index\" < {0})",
}


PLACES = {
    "control": "DELETE FROM audit_sealedleaf WHERE log = 'control'",
    "connections": "DELETE FROM audit_sealedleaf WHERE log = 'connections'",
}


def delete(log: Log, below: int, *, places: bool = True) -> None:
    """Delete rows as the database's owner can."""
    run(DELETED[log.value].format(below))
    if places:
        run(f'{PLACES[log.value]} AND "index" < {below}')
    flows = FlowEvent.objects.values("flow")
    Connection.objects.exclude(flow__in=flows).delete()


def forged(log: Log, **fields: Any) -> None:  # noqa: ANN401 -- of a prune
    """Write a prune that nobody proposed."""
    values = {"begin": 0, "below": BELOW, "root": bytes(32), "hashes": bytes(32)}
    Prune.objects.create(
        log=log,
        **(values | fields),
        reason="",
        proposer_id="us_3",
        proposed_at=NOON,
        approver_id="us_4",
        approved_at=NOON,
        leaf_uid=AuditEvent.objects.order_by("-pk")[0].uid,
        done_at=NOON,
    )


@pytest.mark.usefixtures("logs")
@pytest.mark.parametrize("places", [True, False])
@pytest.mark.parametrize("log", Log)
def test_a_dba_who_deletes_and_fakes_a_prune_is_found(
    log: Log, *, places: bool
) -> None:
    with undone():
        forged(log)
        delete(log, BELOW, places=places)
        found = faults()
    assert any(
        fault.what == "tampered" and fault.log == log.value and fault.index == 0
        for fault in found
    )


@pytest.mark.usefixtures("logs")
def test_a_leaf_that_was_only_written_into_the_table_excuses_nothing() -> None:
    with undone():
        forged(Log.CONTROL)
        delete(Log.CONTROL, BELOW)
        details = {"log": "control", "to": BELOW, "root": "", "frontier": []}
        event = AuditEvent.objects.order_by("-pk")[0]
        run("DELETE FROM audit_outbox")
        with connection.cursor() as cursor:
            cursor.execute(
                "UPDATE audit_auditevent SET code = 'AU005', details = %s"
                " WHERE id = %s",
                [json.dumps(details), event.pk],
            )
        found = faults()
    assert any(fault.what == "tampered" for fault in found)


@pytest.mark.usefixtures("logs")
@pytest.mark.parametrize("log", Log)
def test_who_deletes_more_than_was_agreed_is_found(log: Log) -> None:
    prune_log(log)
    seal()
    with undone():
        delete(log, BELOW + 3)
        found = faults()
    assert any(
        fault.what == "tampered" and fault.log == log.value and fault.index == BELOW
        for fault in found
    )


@pytest.mark.usefixtures("logs")
@pytest.mark.parametrize("log", Log)
def test_a_sealed_leaf_with_a_frontier_of_another_tree_excuses_nothing(
    log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody edited a leaf first, and lets a prune of what they made be sealed."""
    monkeypatch.setattr(pruning, "_check", lambda *_, **__: None)
    prune = propose(log)
    Prune.objects.filter(pk=prune.pk).update(root=b"x" * 32, hashes=b"x" * 32)
    approve(prune)
    seal()
    with undone():
        delete(log, BELOW)
        found = faults()
    told = [str(fault) for fault in found]
    assert any(
        "tells of a prune, but its frontier does not lead" in line for line in told
    )


@pytest.mark.usefixtures("logs")
@pytest.mark.parametrize("approver", ["us_3", ""])
@pytest.mark.parametrize("log", Log)
def test_a_leaf_without_two_people_excuses_nothing(
    log: Log, approver: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever may write events can let one be sealed that says what they like."""

    def alone(code: EventCode, **about: Any) -> AuditEvent:  # noqa: ANN401 -- passed on
        if code == EventCode.AUDIT_PRUNE:
            about["details"] |= {"approved_by": approver}
        return services.record(code, **about)

    monkeypatch.setattr("audit.retention.pruning.record", alone)
    approve(propose(log))
    seal()
    with undone():
        delete(log, BELOW)
        found = faults()
    assert any(fault.log == log.value and fault.index == 0 for fault in found)


if connection.vendor == "postgresql":

    @pytest.mark.usefixtures("logs")
    @pytest.mark.parametrize("log", Log)
    def test_the_trigger_lets_only_what_was_approved_go(log: Log) -> None:
        prune = propose(log)
        for _ in "before", "after":
            for sql in (
                DELETED[log.value].format(BELOW + 1),
                PLACES[log.value],
                "DELETE FROM audit_auditevent",
                "DELETE FROM audit_flowevent",
                "UPDATE audit_sealedleaf SET event_id = event_id + 1",
            ):
                with pytest.raises(IntegrityError, match="append-only"):
                    run(sql)
            if prune.approved_at is None:
                with pytest.raises(IntegrityError, match="append-only"):
                    run(DELETED[log.value].format(BELOW))
                prune = approve(prune)
        run(DELETED[log.value].format(BELOW))

    @pytest.mark.usefixtures("logs")
    @pytest.mark.parametrize("log", Log)
    def test_the_role_for_it_may_prune(log: Log) -> None:
        with connection.cursor() as cursor:
            cursor.execute(ROLES.read_text(encoding="utf-8"))
        with acting_as("peerage_eraser"):
            prune = approve(propose(log))
        seal()
        with acting_as("peerage_eraser"):
            carry_out(prune)
        assert not SealedLeaf.objects.filter(log=log, index__lt=BELOW).exists()


def test_ref_of_a_prune_says_what_goes() -> None:
    prune = Prune(pk=1, log="control", begin=0, below=BELOW)
    assert prune.ref == Ref(id="pr_1", label="leaves 0 to below 512 of control")
