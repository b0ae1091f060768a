"""What is under a legal hold, since when, and by whose word."""

from __future__ import annotations

import io
from datetime import timedelta

import pytest
from django.core.management import CommandError, call_command

from audit.actor import Actor
from audit.errors import HoldError
from audit.models import AuditEvent, LegalHold
from audit.retention.holds import holds_in_force, holds_on, lift_hold, place_hold
from tests.audit.conftest import NOON

pytestmark = pytest.mark.django_db


def place(actor: Actor, **fields: object) -> LegalHold:
    values: dict[str, object] = {"person": "us_7", "since": None, "until": None}
    return place_hold(reason="a case", actor=actor, now=NOON, **(values | fields))  # type: ignore[arg-type]


def test_hold_is_told_and_stays_when_it_is_lifted(actor: Actor) -> None:
    hold = place(actor, since=NOON, until=NOON + timedelta(days=3))
    assert str(hold) == "us_7, 2026-11-23 to 2026-11-26"
    lift_hold(hold=hold, reason="settled", actor=actor, now=NOON)
    assert LegalHold.objects.get().lifted_at == NOON
    assert [str(event) for event in AuditEvent.objects.order_by("id")] == [
        "AU016I",
        "AU017I",
    ]
    placed = AuditEvent.objects.get(code="AU016")
    assert (placed.person_id, placed.reason) == ("us_7", "a case")
    assert placed.details["since"] == NOON.isoformat()


def test_hold_on_everybody_is_one_on_each(actor: Actor) -> None:
    everybody = place(actor, person="")
    theirs = place(actor)
    assert set(holds_on("us_7")) == {everybody, theirs}
    assert set(holds_on("us_8")) == {everybody}
    lift_hold(hold=everybody, reason="over", actor=actor, now=NOON)
    assert set(holds_in_force()) == {theirs}


@pytest.mark.parametrize(
    "fields",
    [{"since": NOON, "until": NOON}, {"since": NOON, "until": NOON - timedelta(1)}],
)
def test_hold_that_ends_before_it_begins_is_refused(
    actor: Actor, fields: dict[str, object]
) -> None:
    with pytest.raises(HoldError, match="ends after it begins"):
        place(actor, **fields)
    assert not LegalHold.objects.exists()


def test_hold_is_lifted_once_and_for_a_reason(actor: Actor) -> None:
    hold = place(actor)
    with pytest.raises(HoldError, match="a reason"):
        lift_hold(hold=hold, reason=" ", actor=actor, now=NOON)
    lift_hold(hold=hold, reason="over", actor=actor, now=NOON)
    with pytest.raises(HoldError, match="lifted already"):
        lift_hold(hold=hold, reason="over", actor=actor, now=NOON)
    assert AuditEvent.objects.filter(code="AU017").count() == 1


def run(*words: str) -> str:
    said = io.StringIO()
    call_command("legal_hold", *words, stdout=said)
    return said.getvalue()


def test_command_places_lists_and_lifts() -> None:
    words = ("--since", "2026-11-01", "--until", "2026-12-01", "--reason", "a case")
    placed = run("place", "us_7", *words)
    assert "us_7, 2026-11-01 to 2026-12-01: in force: a case" in placed
    assert run("list") == placed
    name = placed.partition(":")[0]
    assert "lifted" in run("lift", name, "--reason", "over")
    assert run("list") == ""


@pytest.mark.parametrize(
    "words",
    [
        ("place", "alice", "--reason", "x"),
        ("place", "us_7", "--reason", " "),
        ("lift", "lh_999", "--reason", "x"),
        ("lift", "nothing", "--reason", "x"),
    ],
    ids=" ".join,
)
def test_command_refuses_what_is_no_hold(words: tuple[str, ...]) -> None:
    with pytest.raises(CommandError):
        run(*words)
    assert not AuditEvent.objects.exists()


@pytest.mark.parametrize("text", ["us_07", "us_\uff17"])
def test_a_hold_is_on_whom_the_log_means(text: str) -> None:
    call_command("legal_hold", "place", text, "--reason", "a case")
    assert list(holds_on("us_7")) == list(LegalHold.objects.all())
