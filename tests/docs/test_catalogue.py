"""docs/events.md is made from the catalogue."""

from __future__ import annotations

from tests.docs import catalogue


def test_document_of_events_agrees_with_the_catalogue() -> None:
    assert catalogue.PATH.read_text(encoding="utf-8") == catalogue.text()
