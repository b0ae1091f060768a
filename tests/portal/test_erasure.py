"""Somebody is forgotten: no trace of their names anywhere, and the log still proves."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from django.core.management import CommandError, call_command
from django.db import ProgrammingError, connection, transaction

from audit.actor import SYSTEM, Ref
from audit.alarms.findings import Subjects
from audit.alarms.models import Alarm
from audit.alarms.services import raise_findings
from audit.connection_receipts import chain, connection_receipt
from audit.errors import ForgettingError
from audit.events import EventCode
from audit.leaves import PERSONAL_FACTS, commitment
from audit.models import (
    AuditEvent,
    Connection,
    ErasedMention,
    FlowEvent,
    IdentitySalt,
    Log,
    SavedSearch,
)
from audit.receipts import check_receipt
from audit.retention.blanking import COLUMNS
from audit.retention.forgetting import FLOW_LABELS
from audit.retention.holds import lift_hold, place_hold
from audit.retention.mentions import text_columns
from audit.sealing.exporting import export
from audit.search.filters import Filter
from audit.search.saved import save_search
from audit.services import record
from audit.tlog.report import Fault, Report
from audit.verification import verify_log
from audit.verify.data import LogFiles
from audit.verify.tree import fsck
from peers.models import Device, DeviceKey
from policies import access_reviews, services
from policies.models import Decision, Grant, PolicyVersion, ReviewCampaign, ReviewItem
from policies.policy_files.versions import keep_version
from portal import erasure, revocation
from portal.accounts.models import User
from tests.audit.alarms.makers import finding
from tests.audit.sealing.test_roles import ROLES, acting_as
from tests.audit.small_sealer import policy, seal
from tests.browser.world import actor_named
from tests.walks.company import Company, moment
from tests.walks.conftest import company as made_company

company = made_company
WHY: Final = "asked for it in writing, case 17"
TRACES: Final = (
    *("Alice Archer", "alice@example.test", "alice", "Work laptop", "Alice's phone"),
    *("on call in December", "Left in a taxi", "alice-before@example.test"),
)


@pytest.fixture
def gone(company: Company) -> User:
    """Alice left; others wrote about her all over the place, and all is sealed."""
    world, now = company.world, moment()
    alice, dave = world.people["alice"], world.people["dave"]
    about = "because Alice Archer asked (ALICE@example.test)"
    services.create_grant(
        application=world.applications["wiki"],
        user=world.people["bob"],
        reason=about,
        actor=actor_named(dave),
        now=now,
    )
    for owner in (alice, dave):
        for is_shared in (True, False):
            save_search(
                log=Log.CONTROL,
                name=f"shared {is_shared}",
                filters=Filter(words="alice@example.test"),
                is_shared=is_shared,
                owner=owner.ref,
                actor=actor_named(owner),
                now=now,
            )
    subjects = Subjects(person=alice.ref, device=world.devices["laptop"].ref)
    raise_findings(
        [finding(at=now, key=alice.ref.id, subjects=subjects, sentence=about)], now=now
    )
    asked = ReviewCampaign.objects.get(pk=company.numbers["campaign_id"])
    access_reviews.decide_items(
        campaign=asked,
        seen=dict(asked.items.values_list("pk", "revision")),
        decision=Decision.KEEP,
        note=about,
        reviewer=dave,
        actor=actor_named(dave),
        now=now,
    )
    keep_version(
        '{"groups": {"group:x": ["alice@example.test"]}}',
        actor=actor_named(alice),
        now=now,
    )
    for grant in Grant.objects.filter(user=alice, ended_at=None):
        services.end_grant(grant=grant, actor=SYSTEM, now=now)
    revocation.revoke_user(
        user=alice, reason="Alice left", actor=SYSTEM, requested_at=now, now=now
    )
    for log in Log:
        seal(log, now)
    alice.refresh_from_db()
    return alice


def erase(user: User) -> erasure.Erasure:
    return erasure.erase_person(user=user, reason=WHY, actor=SYSTEM, now=moment())


def texts() -> Iterator[tuple[str, str]]:
    """Yield every value of every table, as text, with its place."""
    for table in connection.introspection.table_names():
        with connection.cursor() as cursor:
            cursor.execute(f'SELECT * FROM "{table}"')  # noqa: S608 -- the database's own
            names = [column[0] for column in cursor.description]
            for row in cursor.fetchall():
                for name, value in zip(names, row, strict=True):
                    yield f"{table}.{name}", _text(value)


def _text(value: Any) -> str:  # noqa: ANN401 -- of any column
    match value:
        case bytes() | memoryview():
            return bytes(value).decode("utf-8", "replace")
        case dict() | list():
            return json.dumps(value, ensure_ascii=False)
    return str(value)


def traces() -> set[tuple[str, str]]:
    return {
        (place, trace)
        for place, text in texts()
        for trace in TRACES
        if trace.lower() in text.lower()
    }


def faults() -> list[Fault]:
    """Return what a check of the log finds.

    The company's morning was written in any order, which is told and not meant here.
    """
    found = verify_log(policy()).faults
    return [fault for fault in found if "dated more than an hour" not in fault.message]


def test_no_trace_is_left_anywhere_in_the_database(gone: User) -> None:
    """Every column of every table is searched; before, all of them are there."""
    found = {place for place, _ in traces()}
    assert found >= {
        "accounts_user.name",
        "alarms_alarm.sentence",
        "audit_auditevent.details",
        "audit_auditevent.person_label",
        "audit_auditevent.reason",
        "audit_connection.device_label",
        "audit_flowevent.attribution",
        "audit_savedsearch.query",
        "peers_device.name",
        "policies_policyversion.text",
    }
    done = erase(gone)
    assert traces() == set()
    assert done.stays == ()
    assert min(done.log.events, done.log.flows, done.log.mentions) > 0


def test_the_log_proves_afterwards_what_it_proved_before(gone: User) -> None:
    assert faults() == []
    erase(gone)
    assert faults() == []
    seal(Log.CONTROL, moment())
    assert faults() == []


if connection.vendor == "postgresql":

    def test_the_role_for_it_may_do_it_and_the_portal_may_not(gone: User) -> None:
        with connection.cursor() as cursor:
            cursor.execute(ROLES.read_text(encoding="utf-8"))
        with (
            acting_as("peerage_app"),
            pytest.raises(ProgrammingError, match="permission denied"),
            transaction.atomic(),
        ):
            erase(gone)
        with acting_as("peerage_eraser"):
            erase(gone)
        assert traces() == set()


def test_a_copy_for_auditors_is_sound_and_says_who_was_forgotten(
    gone: User, tmp_path: Path
) -> None:
    erase(gone)
    seal(Log.CONTROL, moment())
    keys = [str(key) for key in policy().logs]
    for log, key in zip(Log, keys, strict=True):
        export(log, tmp_path, verifier_key=key, with_rows=True)
    files = [file for file in tmp_path.rglob("*") if file.is_file()]
    assert not [file for file in files if b"Alice Archer" in file.read_bytes()]
    report = Report()
    for log in Log:
        fsck(LogFiles(str(tmp_path), log.value), policy(), report)
    told = [fault for fault in report.faults if "dated more than" not in fault.message]
    assert told == []
    assert report.forgotten.keys() == {gone.ref.id}


def test_all_else_of_the_events_is_checked_still(gone: User) -> None:
    erase(gone)
    seal(Log.CONTROL, moment())
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute("SET LOCAL session_replication_role = replica")
        else:
            cursor.execute("DROP TRIGGER audit_auditevent_append_only")
        cursor.execute(
            "UPDATE audit_auditevent SET code = 'XX001'"
            " WHERE person_id = %s AND code <> 'ID016'",
            [gone.ref.id],
        )
    assert len(faults()) == AuditEvent.objects.filter(code="XX001").count()


def test_what_stays_is_a_number(gone: User) -> None:
    keys = list(DeviceKey.objects.order_by("pk").values_list("public_key", "device"))
    flows = FlowEvent.objects.count()
    erase(gone)
    gone.refresh_from_db()
    assert (str(gone), gone.email) == (f"forgotten-{gone.pk}", "")
    assert (
        list(DeviceKey.objects.order_by("pk").values_list("public_key", "device"))
        == keys
    )
    assert {device.name for device in Device.objects.filter(owner=gone)} == {
        device.ref.id for device in Device.objects.filter(owner=gone)
    }
    assert FlowEvent.objects.count() == flows
    assert Connection.objects.filter(person_id=gone.ref.id).exists()
    assert Alarm.objects.filter(person_id=gone.ref.id).exists()


def test_who_kept_what_stays_and_the_notes_about_them_go(gone: User) -> None:
    erase(gone)
    notes = {
        (item.person_id == gone.pk, item.note)
        for item in ReviewItem.objects.filter(decision=Decision.KEEP)
    }
    assert (True, "(forgotten)") in notes
    assert all(is_theirs or gone.ref.id in note for is_theirs, note in notes)


def test_others_keep_their_names(gone: User) -> None:
    held = dict(
        AuditEvent.objects.exclude(person_id=gone.ref.id).values_list(
            "pk", "person_label"
        )
    )
    erase(gone)
    again = AuditEvent.objects.filter(pk__in=held)
    assert dict(again.values_list("pk", "person_label")) == held
    assert SavedSearch.objects.filter(owner_label="Dave Dyer").count() == 3
    shared = SavedSearch.objects.get(owner_id=gone.ref.id)
    assert (shared.owner_label, shared.is_shared) == (gone.ref.id, True)


def test_the_event_names_nobody_and_says_which_were_touched(gone: User) -> None:
    erase(gone)
    event = AuditEvent.objects.get(code="ID016")
    leaf = json.loads(bytes(event.leaf or b""))
    assert leaf["details"]["whose"] == gone.ref.id
    assert leaf["details"]["mentions"] == ErasedMention.objects.count() > 0
    assert (event.person_label, event.reason) == ("", WHY)


def test_g17_no_name_of_the_company_is_found_in_the_leaves(gone: User) -> None:
    """Who has the directory, and every row and salt that is left, tries all of it."""
    erase(gone)
    sought = {
        commitment(key, "person", {"person_id": gone.ref.id, "person_label": name})
        for name in TRACES
        for salt in IdentitySalt.objects.exclude(salt=None)
        for key in (bytes(salt.salt or b""), bytes(32), gone.ref.id.encode())
    }
    for event in AuditEvent.objects.filter(person_id=gone.ref.id):
        leaf = json.loads(bytes(event.leaf or b""))
        by_nonce = {
            commitment(
                bytes(event.nonce or b""),
                "person",
                {"person_id": gone.ref.id, "person_label": name},
            )
            for name in TRACES
        }
        assert leaf["person"]["c"] not in sought | by_nonce


def test_policy_files_are_still_read(gone: User) -> None:
    erase(gone)
    version = PolicyVersion.objects.latest("number")
    assert json.loads(version.text) == {"groups": {"group:x": [gone.ref.id]}}
    assert version.actor_label == gone.ref.id


def test_it_may_be_run_again_for_what_was_written_meanwhile(gone: User) -> None:
    late = Ref(id=gone.ref.id, label="Alice Archer")
    erase(gone)
    record(EventCode.USER_LOGOUT, person=late, actor=SYSTEM, now=moment())
    gone.refresh_from_db()
    assert erase(gone).log.events == 1
    assert traces() == set()
    seal(Log.CONTROL, moment())
    assert faults() == []


def test_a_salt_that_somebody_took_is_named(gone: User) -> None:
    """Deniability by hand: no event forgot them."""
    whose = IdentitySalt.objects.filter(person_id=gone.ref.id)
    whose.update(salt=None, forgotten_at=moment())
    found = [str(fault) for fault in faults()]
    assert any(f"{gone.ref.id} has no salt, and no event" in told for told in found)


def test_a_text_that_went_without_being_said_is_named(
    gone: User, company: Company
) -> None:
    erase(gone)
    seal(Log.CONTROL, moment())
    bob = company.world.people["bob"].ref.id
    event = AuditEvent.objects.filter(person_id=bob).exclude(reason="")[0]
    ErasedMention.objects.create(event_uid=event.uid, person_id=gone.ref.id)
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE audit_auditevent SET reason = '' WHERE id = %s", [event.pk]
        )
    found = [str(fault) for fault in faults()]
    assert any("went from other events than was said" in told for told in found)


def test_half_of_somebody_is_never_forgotten(
    gone: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed at the last step, nothing happened; the next run does it all."""

    def killed(*_args: object, **_options: object) -> None:
        raise KeyboardInterrupt

    before = sorted(texts())
    with monkeypatch.context() as patch:
        patch.setattr("audit.retention.forgetting.record", killed)
        with pytest.raises(KeyboardInterrupt):
            erase(gone)
    assert sorted(texts()) == before
    erase(gone)
    assert traces() == set()


def test_receipts_about_them_say_so_and_others_say_names(
    gone: User, company: Company
) -> None:
    erase(gone)
    seal(Log.CONTROL, moment())
    for name, forgotten in (("alice", True), ("bob", False)):
        whose = company.world.people[name].ref.id
        row = Connection.objects.filter(person_id=whose)[0]
        report = Report()
        text = connection_receipt(chain(row), with_names=True)
        check_receipt(text, policy(), report)
        assert not [fault for fault in report.faults if fault.what == "tampered"]
        assert report.facts["steps"]
        assert report.facts.get("forgotten", []) == ([whose] if forgotten else [])
        assert ("Alice Archer" in text, "Bob Baker" in text) == (False, not forgotten)


def test_every_column_of_an_event_is_blanked_or_open_in_its_leaf() -> None:
    """A new column of text has to be decided about: here, and in the trigger."""
    is_open = {"request_id", "gateway_id", "gateway_label", "device_id", "person_id"}
    is_open |= {"application_id", "application_label", "code", "outcome"}
    is_open |= {"actor_kind", "actor_role"}
    assert set(text_columns(AuditEvent)) == is_open | set(COLUMNS)
    flow = {"gateway_id", "flow", "body", "attribution"}
    assert set(text_columns(FlowEvent)) == flow
    assert set(PERSONAL_FACTS) == {"person_id", *FLOW_LABELS}


def test_who_is_not_gone_is_not_forgotten(company: Company) -> None:
    alice = company.world.people["alice"]
    with pytest.raises(ForgettingError, match=r"is active.*live devices.*live grants"):
        erase(alice)
    assert not AuditEvent.objects.filter(code="ID016").exists()
    assert User.objects.get(pk=alice.pk).name == "Alice Archer"


@pytest.mark.parametrize("whose", ["theirs", "everybody's"])
def test_a_legal_hold_keeps_them_until_it_is_lifted(gone: User, whose: str) -> None:
    hold = place_hold(
        person=gone.ref.id if whose == "theirs" else "",
        since=None,
        until=None,
        reason="Archer v. Acme",
        actor=SYSTEM,
        now=moment(),
    )
    with pytest.raises(ForgettingError, match=hold.ref.id):
        erase(gone)
    lift_hold(hold=hold, reason="settled", actor=SYSTEM, now=moment())
    erase(gone)
    codes = AuditEvent.objects.filter(target_id=hold.ref.id).values_list(
        "code", flat=True
    )
    assert sorted(codes) in (["AU016", "AU017"], [])


def test_a_hold_on_others_keeps_nobody_else(gone: User) -> None:
    place_hold(
        person=f"us_{gone.pk + 1000}",
        since=None,
        until=None,
        reason="another case",
        actor=SYSTEM,
        now=moment(),
    )
    erase(gone)


def test_a_reason_that_names_them_is_refused(gone: User) -> None:
    with pytest.raises(ForgettingError, match="without naming them"):
        erasure.erase_person(
            user=gone, reason="Alice Archer asked", actor=SYSTEM, now=moment()
        )


def test_things_that_bear_their_name_are_told(gone: User, company: Company) -> None:
    wiki = company.world.applications["wiki"]
    wiki.name = "Alice Archer's wiki"
    wiki.save()
    assert erase(gone).stays == (f"policies.Application {wiki.pk}",)


def test_the_command_asks_before_it_forgets(gone: User) -> None:
    said = io.StringIO()
    words = ["erase_person", gone.ref.id, "--reason", WHY]
    call_command(*words, stdout=said)
    assert "nothing was done" in said.getvalue()
    with pytest.raises(CommandError, match="not us_0"):
        call_command(*words, "--confirm", "us_0", stdout=said)
    assert not AuditEvent.objects.filter(code="ID016").exists()
    call_command(*words, "--confirm", gone.ref.id, stdout=said)
    assert f"{gone.ref.id} is forgotten" in said.getvalue()
    with pytest.raises(CommandError, match="is nobody"):
        call_command("erase_person", "nobody", "--reason", WHY)


def test_ref_of_somebody_forgotten_says_nothing(gone: User) -> None:
    erase(gone)
    gone.refresh_from_db()
    assert gone.ref == Ref(id=f"us_{gone.pk}", label=f"forgotten-{gone.pk}")
