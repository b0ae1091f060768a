"""How findings are told: to eyes, to programs, by the exit status."""

from __future__ import annotations

import json

import pytest

from gateway.doctor.finding import Finding, failure, ok, warning
from gateway.doctor.telling import document, exit_status, lines

WELL = ok("disk", "room")
ODD = warning("ntp", "nobody keeps the clock", "timedatectl set-ntp true")
ILL = failure("port", "taken\x1b[2J", "stop it")


@pytest.mark.parametrize(
    ("found", "status"),
    [((), 0), ((WELL,), 0), ((WELL, ODD), 1), ((ILL, ODD, WELL), 2)],
    ids=["none", "ok", "warnings", "failures"],
)
def test_the_exit_status_is_the_worst(found: tuple[Finding, ...], status: int) -> None:
    assert exit_status(found) == status
    assert json.loads(document(found))["status"] == status


def test_a_finding_is_marked_by_a_word_and_its_fix_stands_below() -> None:
    told = list(lines((WELL, ODD, ILL)))
    assert told == [
        "✔ ok       disk          room",
        "! warning  ntp           nobody keeps the clock",
        "                         → timedatectl set-ntp true",
        "✘ failure  port          taken?[2J",
        "                         → stop it",
        "1 ok, 1 warnings, 1 failures",
    ]


def test_programs_get_one_object() -> None:
    [entry] = json.loads(document((ODD,)))["findings"]
    assert entry == {
        "check": "ntp",
        "level": "warning",
        "says": "nobody keeps the clock",
        "fix": "timedatectl set-ntp true",
    }
