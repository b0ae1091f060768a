"""The catalogue is closed: complete, unique, speakable, and nothing in it unused."""

from __future__ import annotations

import ast
import re
import string
from pathlib import Path

import pytest

from audit.events import CATALOGUE, SUBJECTS, EventCode, Outcome, sentence

ROOT = Path(__file__).resolve().parents[2]
EMITTERS = ("portal", "peers", "policies", "audit")


def referenced_codes() -> set[str]:
    """Return the members named as `EventCode.X` outside of the catalogue itself."""
    names: set[str] = set()
    for app in EMITTERS:
        for path in (ROOT / app).rglob("*.py"):
            if path == ROOT / "audit" / "events.py":
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


def test_codes_and_names_are_unique() -> None:
    assert len({code.value for code in EventCode}) == len(EventCode.__members__)
    assert len({kind.name for kind in CATALOGUE.values()}) == len(CATALOGUE)


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
