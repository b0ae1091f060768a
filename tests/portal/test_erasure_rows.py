"""Nobody lays what the living did at the door of somebody who was forgotten."""

from __future__ import annotations

from pathlib import Path

from audit.models import AuditEvent, Connection, FlowEvent, Log
from audit.retention.forgetting import FLOW_LABELS
from audit.sealing.exporting import export
from audit.tlog.report import Report
from audit.verify.data import logs
from audit.verify.tree import fsck
from portal.accounts.models import User
from tests.audit.past_django import set_value, undone
from tests.audit.small_sealer import policy, seal
from tests.portal.test_erasure import company, erase, faults, gone
from tests.walks.company import Company, moment

__all__ = ["company", "gone"]
MOVED = "other rows say the id of"


def copied(place: Path) -> list[str]:
    """Return what a copy with rows, which nobody edited, is told to be wrong."""
    report = Report()
    for log in Log:
        export(log, place, verifier_key="", with_rows=True)
    for files in logs(str(place)):
        fsck(files, policy(), report)
    return [str(fault) for fault in report.faults if "an hour" not in fault.message]


def give_flows(whose: str, to: str) -> None:
    """Let every connection of somebody be somebody else's, as a DBA can."""
    for flow in FlowEvent.objects.filter(attribution__person_id=whose):
        facts = {k: v for k, v in flow.attribution.items() if k not in FLOW_LABELS}
        set_value(flow, "attribution", facts | {"person_id": to})
    labels = dict.fromkeys(FLOW_LABELS, "")
    Connection.objects.filter(person_id=whose).update(person_id=to, **labels)


def give_event(event: AuditEvent, to: str) -> None:
    for column in ("person_label", "device_label", "reason"):
        set_value(event, column, "")
    set_value(event, "person_id", to)


def test_what_was_theirs_is_said_and_all_is_well(gone: User, tmp_path: Path) -> None:
    erase(gone)
    assert faults() == []
    seal(Log.CONTROL, moment())
    told = AuditEvent.objects.get(code="ID016").details
    assert len({told["events_sha256"], told["flows_sha256"]}) == 2
    assert faults() == []
    assert copied(tmp_path) == []


def test_connections_of_the_living_are_not_those_of_the_forgotten(
    gone: User, company: Company, tmp_path: Path
) -> None:
    erase(gone)
    seal(Log.CONTROL, moment())
    with undone():
        give_flows(company.world.people["bob"].ref.id, gone.ref.id)
        found = [str(fault) for fault in faults()]
        copy = copied(tmp_path)
    for each in found, copy:
        assert each == [
            f"tampered: connections: {MOVED} {gone.ref.id} than were theirs"
        ]


def test_events_of_the_living_are_not_those_of_the_forgotten(
    gone: User, company: Company
) -> None:
    erase(gone)
    seal(Log.CONTROL, moment())
    bob = company.world.people["bob"].ref.id
    event = AuditEvent.objects.filter(person_id=bob, target_id="", details={})[0]
    with undone():
        give_event(event, gone.ref.id)
        found = [str(fault) for fault in faults()]
    assert any(MOVED in told for told in found)
