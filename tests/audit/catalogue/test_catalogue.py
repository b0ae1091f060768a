"""The catalogue is closed: complete, unique, speakable, and nothing in it unused."""

from __future__ import annotations

import ast
import re
import string
from pathlib import Path

import pytest

from audit.catalogue.codes import EventCode, Outcome
from audit.catalogue.kinds import SECRET_NEVER, Severity
from audit.events import (
    AREAS,
    CATALOGUE,
    RESERVED,
    SUBJECTS,
    open_details,
    personal_details,
    personal_fields,
    sentence,
    severity,
)

ROOT = Path(__file__).resolve().parents[3]
EMITTERS = ("portal", "peers", "policies", "audit")


def referenced_codes() -> set[str]:
    """Return the members named as `EventCode.X` outside of the catalogue itself."""
    names: set[str] = set()
    for app in EMITTERS:
        for path in (ROOT / app).rglob("*.py"):
            if path.is_relative_to(ROOT / "audit" / "catalogue"):
                continue
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if (
                    isinstance(node, ast.Attribute)
                    and isinstance(node.value, ast.Name)
                    and node.value.id == "EventCode"
                ):
                    names.add(node.attr)
    return names


def test_every_code_is_written_somewhere() -> None:
    assert sorted({code.name for code in EventCode} - referenced_codes()) == []


def test_every_code_has_a_name_and_a_sentence() -> None:
    assert set(CATALOGUE) == set(EventCode)


def test_every_code_stands_in_one_area() -> None:
    kinds = [kind for area in AREAS.values() for kind in area]
    assert len(kinds) == len(CATALOGUE)


def test_codes_and_names_are_unique() -> None:
    assert len({code.value for code in EventCode}) == len(EventCode.__members__)
    names = [kind.name for kind in CATALOGUE.values()]
    names += [name for name, _ in RESERVED.values()]
    assert len(set(names)) == len(names)


def test_no_reserved_number_means_something() -> None:
    assert {code.value for code in EventCode} & set(RESERVED) == set()


@pytest.mark.parametrize("code", EventCode)
def test_every_code_can_end_and_says_what_it_means(code: EventCode) -> None:
    kind = CATALOGUE[code]
    assert kind.outcomes
    for text in (kind.means, kind.remedy):
        assert text.endswith((".", "?"))
        assert "\n" not in text


@pytest.mark.parametrize("code", EventCode)
def test_no_field_has_the_name_of_a_secret(code: EventCode) -> None:
    assert set(CATALOGUE[code].fields) & set(SECRET_NEVER) == set()


@pytest.mark.parametrize("code", EventCode)
def test_what_calls_for_somebody_is_as_loud_as_it_says(code: EventCode) -> None:
    kind = CATALOGUE[code]
    if Outcome.ALERT in kind.outcomes:
        assert kind.severities[Outcome.ALERT].rank >= Severity.WARNING.rank
        assert kind.remedy != "Nothing."


def test_severities_have_an_order() -> None:
    assert sorted(Severity, key=lambda level: level.rank) == [
        Severity.INFO,
        Severity.NOTICE,
        Severity.WARNING,
        Severity.ALERT,
    ]


def test_an_outcome_that_cannot_be_is_an_alert() -> None:
    assert severity(EventCode.USER_LOGIN, Outcome.DONE) is Severity.INFO
    assert severity(EventCode.USER_LOGIN, Outcome.FAILED) is Severity.ALERT


def test_personal_fields_are_those_declared() -> None:
    assert personal_fields(EventCode.USER_LOGIN) == {"sub", "sid"}


def test_open_fields_are_the_others() -> None:
    assert open_details("ID001") == {"iss", "auth_time", "amr", "acr"}


def test_a_field_that_nobody_declared_counts_as_personal() -> None:
    details = {"iss": "https://idp", "sub": "alice", "shoe_size": 40}
    assert personal_details(EventCode.USER_LOGIN, details) == {"sub", "shoe_size"}


@pytest.mark.parametrize("code", EventCode)
def test_codes_and_names_keep_their_grammar(code: EventCode) -> None:
    assert re.fullmatch(r"[A-Z]{2}[0-9]{3}", code.value)
    assert re.fullmatch(r"[a-z]+(\.[a-z]+(_[a-z]+)*)+", CATALOGUE[code].name)


@pytest.mark.parametrize("outcome", Outcome)
@pytest.mark.parametrize("code", EventCode)
def test_every_sentence_can_be_said(code: EventCode, outcome: Outcome) -> None:
    template = CATALOGUE[code].sentence
    fields = {name for _, name, _, _ in string.Formatter().parse(template) if name}
    assert fields <= set(SUBJECTS)
    labels = {name: f"<{name}>" for name in fields}
    said = sentence(code, outcome, labels)
    assert all(label in said for label in labels.values())
    assert sentence(code, outcome, {})[0].isupper()


def test_a_label_is_never_interpreted() -> None:
    labels = {"person_label": "{device_label.__class__} {0} {"}
    said = sentence(EventCode.USER_LOGIN, Outcome.DONE, labels)
    assert said == "{device_label.__class__} {0} { signed in"


def test_a_refusal_does_not_read_like_a_deed() -> None:
    said = sentence(EventCode.USER_LOGIN, Outcome.REFUSED, {"person_label": "Alice"})
    assert said == "Refused: Alice signed in"


def test_a_missing_label_becomes_a_pronoun() -> None:
    said = sentence(EventCode.DEVICE_CONFIG_ISSUED, Outcome.DONE, {})
    assert said == "The configuration of a device was issued"
