"""docs/alarms.md shows the rules as they are."""

from __future__ import annotations

from audit.alarms.rules import RULES
from tests.docs import alarms


def test_document_of_alarms_agrees_with_the_rules() -> None:
    document = alarms.PATH.read_text(encoding="utf-8")
    assert document == alarms.text(document)
    for rule in RULES.values():
        assert f"`{rule.id.value}`" in document
