"""JSON that says one thing only (attack G09): no name twice, no NaN, no great depth."""

from __future__ import annotations

import json
from typing import Any


def strict_json(text: str | bytes) -> Any:  # noqa: ANN401 -- any JSON value
    """Read JSON that says one thing only: no name twice, no NaN.

    Raises:
        ValueError: it does not.
    """
    try:
        return json.loads(text, object_pairs_hook=_unique, parse_constant=_refuse)
    except RecursionError as exc:
        raise ValueError("too deep") from exc


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name occurs twice")
    return found


def _refuse(name: str) -> Any:  # noqa: ANN401 -- json's signature
    raise ValueError(f"{name} is not JSON")
