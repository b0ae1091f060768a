"""An evidence pack: what is in it is what happened, and its hashes tell a change."""

from __future__ import annotations

import csv
import hashlib
import io
import json
from datetime import timedelta
from pathlib import Path

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError

from audit.actor import SYSTEM, Actor, Ref
from audit.events import EventCode, Outcome
from audit.models import AuditEvent, Connection, FlowKind
from audit.services import record, record_flows
from peers.models import Device, Gateway
from policies.models import (
    Application,
    Decision,
    Grant,
    Revocation,
    RevocationTarget,
)
from portal.accounts.models import Group, User
from portal.evidence import MANIFEST, make_pack, wrong_files
from tests.audit.conftest import GATEWAY, MakeFlow, make_flow
from tests.peers.makers import Machine
from tests.policies.campaigns import DUE, decide, finish, review
from tests.policies.makers import NOW, make_grant, publish
from tests.policies.test_explanations import acknowledge

__all__ = ["make_flow"]
pytestmark = pytest.mark.django_db
DAY = timedelta(days=1)


def rows(data: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(data.decode(), newline="")))


def pack_of(actor: Actor, **options: bool) -> dict[str, bytes]:
    made = make_pack(
        since=NOW - DAY, until=NOW + DAY, actor=actor, now=NOW + DAY, **options
    )
    return dict(made.files)


@pytest.fixture
def laptop(alice: User, pools: None) -> Device:
    """Alice's laptop."""
    return Machine().enroll(alice)


def test_who_could_reach_what_at_the_end(
    alices_grant: Grant, wiki: Application, laptop: Device, gw1: Gateway, actor: Actor
) -> None:
    (snapshot,) = publish(now=NOW)
    acknowledge(snapshot, seconds=1)
    (row,) = rows(pack_of(actor)["access.csv"])
    assert (row["person"], row["application"]) == ("Alice", "wiki")
    assert row["devices"] == "laptop"
    assert row["grants"] == "Alice → wiki"
    manifest = json.loads(pack_of(actor)[MANIFEST])
    assert manifest["access_sources"][0].startswith("gw1 ")


def test_leavers_come_with_what_every_gateway_took(
    alice: User, bob: User, gw1: Gateway, actor: Actor
) -> None:
    revoked = Revocation.objects.create(
        user=alice, requested_at=NOW, reason="=left", actor_label="Dave"
    )
    RevocationTarget.objects.create(
        revocation=revoked,
        gateway=gw1,
        received_at=NOW,
        enforced_at=NOW + timedelta(milliseconds=70),
        flows_cut=2,
    )
    Revocation.objects.create(
        user=bob, requested_at=NOW - 2 * DAY, reason="earlier", actor_label="Dave"
    )
    record(EventCode.USER_DEACTIVATE, actor=SYSTEM, now=NOW, person=bob.ref)
    files = pack_of(actor)
    first, second = rows(files["leavers.csv"])
    assert (first["person"], first["gateway"], first["milliseconds"]) == (
        "Alice",
        "gw1",
        "70",
    )
    assert (first["reason"], first["connections_cut"]) == ("'=left", "2")
    assert (second["person"], second["what"]) == ("Bob", "disabled")
    assert sum(int(r["revocations"]) for r in rows(files["revocations.csv"])) == 1


def test_a_person_without_keys_is_a_leaver_whom_no_gateway_knew(
    alice: User, actor: Actor
) -> None:
    Revocation.objects.create(
        user=alice, requested_at=NOW, reason="left", actor_label="Dave"
    )
    (row,) = rows(pack_of(actor)["leavers.csv"])
    assert (row["person"], row["gateway"]) == ("Alice", "")


def test_a_revocation_nobody_confirmed_is_shown_as_open(
    alice: User, gw1: Gateway, actor: Actor
) -> None:
    revoked = Revocation.objects.create(
        user=alice, requested_at=NOW, reason="left", actor_label="Dave"
    )
    RevocationTarget.objects.create(revocation=revoked, gateway=gw1)
    (row,) = rows(pack_of(actor)["leavers.csv"])
    assert (row["enforced_at"], row["milliseconds"]) == ("", "")


def test_reviews_of_the_period_are_in_it_in_full(
    alices_grant: Grant,
    wiki: Application,
    engineering: Group,
    alice: User,
    bob: User,
    dave: User,
    actor: Actor,
) -> None:
    make_grant(wiki, group=engineering)
    before = review(wiki, by=(dave,), title="before", now=NOW - 9 * DAY, due=NOW)
    decide(before, Decision.KEEP, by=dave, note="", now=NOW - 8 * DAY)
    finish(before, now=NOW - 7 * DAY)
    found = review(wiki, by=(dave,))
    decide(found, Decision.REMOVE, alice, by=dave, note="=left")
    finish(found, now=DUE)
    review(wiki, by=(dave,), title="after", now=NOW + 2 * DAY)
    files = pack_of(actor)
    (campaign,) = rows(files["review_campaigns.csv"])
    assert (campaign["title"], campaign["reviewed"]) == ("autumn", "wiki")
    assert (campaign["reviewers"], campaign["state"]) == ("Dave", "finished")
    assert (campaign["items"], campaign["is_as_logged"]) == ("3", "True")
    told = {
        (row["person"], row["group"]): row for row in rows(files["review_items.csv"])
    }
    ended, left = told["Alice", ""], told["Alice", "engineering"]
    assert (ended["decision"], ended["decided_by"]) == ("remove", "Dave")
    assert (ended["note"], ended["outcome"]) == ("'=left", "ended")
    assert (ended["is_applied"], ended["is_still_held"]) == ("True", "False")
    # The group gives it still.
    assert ended["is_still_reached"] == "True"
    assert (left["outcome"], left["how"]) == ("follow_up", "provider")
    assert (left["is_applied"], left["is_still_held"]) == ("False", "True")
    assert told["Bob", "engineering"]["outcome"] == "undecided"
    codes = {row["code"] for row in rows(files["reviews.csv"])}
    assert codes == {"RQ005", "RQ007"}


def test_a_review_that_goes_on_has_applied_nothing(
    alices_grant: Grant, wiki: Application, dave: User, actor: Actor
) -> None:
    review(wiki, by=(dave,))
    files = pack_of(actor)
    (campaign,) = rows(files["review_campaigns.csv"])
    assert (campaign["state"], campaign["is_as_logged"]) == ("open", "")
    (row,) = rows(files["review_items.csv"])
    assert (row["decision"], row["is_applied"], row["is_still_held"]) == (
        "",
        "",
        "True",
    )


def test_what_has_expired_is_not_held_any_more(
    wiki: Application, alice: User, dave: User, actor: Actor
) -> None:
    make_grant(wiki, user=alice, expires_at=NOW + DAY / 2)
    review(wiki, by=(dave,))
    (row,) = rows(pack_of(actor)["review_items.csv"])
    assert row["is_still_held"] == "False"


def test_gaps_of_the_period_are_in_it_and_no_others(actor: Actor) -> None:
    for number, at in enumerate((NOW, NOW - 2 * DAY, NOW + DAY)):
        record(
            EventCode.AGENT_LOG_GAP,
            actor=SYSTEM,
            now=at,
            outcome=Outcome.ALERT,
            gateway=GATEWAY,
            details={"lost": number},
        )
    (row,) = rows(pack_of(actor)["gaps.csv"])
    assert (row["code"], row["gateway_label"]) == ("GW008", "berlin")
    assert json.loads(row["details"]) == {"lost": 0}


def test_a_connection_that_was_changed_is_named(
    make_flow: MakeFlow, actor: Actor
) -> None:
    flows = [make_flow(FlowKind.OPEN, 1)]
    record_flows(gateway=GATEWAY, flows=flows, now=NOW)
    assert json.loads(pack_of(actor)["connections.json"])["differences"] == 0
    Connection.objects.update(person_label="Somebody else")
    found = json.loads(pack_of(actor)["connections.json"])
    assert found["differences"] == 1
    assert "person_label" in found["named"][0]["message"]
    assert "connections.json" not in pack_of(actor, compares=False)


def test_the_manifests_hash_is_an_event(actor: Actor) -> None:
    made = make_pack(since=NOW - DAY, until=NOW, actor=actor, now=NOW)
    event = AuditEvent.objects.get(code="AU035")
    digest = hashlib.sha256(made.files[MANIFEST]).hexdigest()
    assert event.details["manifest_sha256"] == digest == made.digest
    assert wrong_files(made.files) == []


@pytest.mark.parametrize("what", ["changed", "removed", "added"])
def test_a_file_that_is_not_as_it_was_is_named(what: str, actor: Actor) -> None:
    files = pack_of(actor)
    match what:
        case "changed":
            files["gaps.csv"] += b" "
            wrong = "gaps.csv"
        case "removed":
            del files["leavers.csv"]
            wrong = "leavers.csv"
        case _:
            files["more.csv"] = b""
            wrong = "more.csv"
    assert wrong_files(files) == [wrong]


def test_names_are_cells_and_no_formulas(actor: Actor) -> None:
    hostile = Ref(id="us_1", label="=cmd|'/c calc'!A1\x1b[2J")
    record(EventCode.USER_DEACTIVATE, actor=SYSTEM, now=NOW, person=hostile)
    (row,) = rows(pack_of(actor)["leavers.csv"])
    assert row["person"] == "'=cmd|'/c calc'!A1\\x1b[2J"


def test_the_command_writes_a_pack_that_checks(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "pack"
    call_command(
        "evidence_pack", str(target), "--since", "2026-11-01", "--until", "2026-11-23"
    )
    digest = AuditEvent.objects.get(code="AU035").details["manifest_sha256"]
    assert digest in capsys.readouterr().out
    call_command("evidence_pack", str(target), "--check")
    assert "every file is as the manifest says" in capsys.readouterr().out
    (target / "gaps.csv").write_bytes(b"nothing to see")
    with pytest.raises(CommandError, match=r"not as the manifest says: gaps\.csv"):
        call_command("evidence_pack", str(target), "--check")


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--since", "2026-11-02", "--until", "2026-11-01"), "before it begins"),
        (("--since", "2026-13-01", "--until", "2026-11-01"), "--since"),
        (("--since", "yesterday", "--until", "2026-11-01"), "is a day such as"),
        (("--since", "2026-11-01"), "--until is a day"),
        (("--check",), "is no pack"),
    ],
)
def test_the_command_refuses_what_is_no_period_or_no_pack(
    words: tuple[str, ...], says: str, tmp_path: Path
) -> None:
    with pytest.raises(CommandError, match=says):
        call_command("evidence_pack", str(tmp_path / "pack"), *words)
    assert not AuditEvent.objects.exists()


def test_the_command_overwrites_nothing(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="File exists"):
        call_command(
            "evidence_pack",
            str(tmp_path),
            "--since",
            "2026-11-01",
            "--until",
            "2026-11-02",
        )
