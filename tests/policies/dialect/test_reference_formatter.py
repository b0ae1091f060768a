"""Our formatter against what the reference formatter wrote (hujson/README.md)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

import pytest

from policies.dialect.errors import SyntaxRefusedError
from policies.dialect.formatting import fmt
from policies.dialect.standard import standardized

CORPUS: Final = Path(__file__).parent / "hujson" / "corpus.jsonl"


def corpus() -> list[dict[str, Any]]:
    """Return every document with what became of it."""
    return [json.loads(line) for line in CORPUS.read_text("utf-8").split("\n") if line]


TAKEN: Final = [pair for pair in corpus() if "error" not in pair]
REFUSED: Final = [pair for pair in corpus() if "error" in pair]


def test_the_corpus_is_there() -> None:
    assert (len(TAKEN) >= 150, len(REFUSED) >= 20) == (True, True)
    assert sum(pair["in"] != pair["format"] for pair in TAKEN) >= 130


@pytest.mark.parametrize("pair", TAKEN, ids=range(len(TAKEN)))
def test_what_is_formatted_is_what_the_reference_writes(pair: dict[str, str]) -> None:
    assert fmt(pair["in"]) == pair["format"]
    assert fmt(pair["format"]) == pair["format"]


@pytest.mark.parametrize("pair", TAKEN, ids=range(len(TAKEN)))
def test_plain_json_is_what_the_reference_writes(pair: dict[str, str]) -> None:
    assert standardized(pair["in"]) == pair["standardize"]
    json.loads(standardized(pair["in"]))


@pytest.mark.parametrize("pair", REFUSED, ids=range(len(REFUSED)))
def test_what_the_reference_refuses_is_refused(pair: dict[str, str]) -> None:
    with pytest.raises(SyntaxRefusedError):
        fmt(pair["in"])
