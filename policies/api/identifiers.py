"""Row numbers as they come in a query."""

from __future__ import annotations

from typing import Final

from rest_framework.exceptions import ValidationError

LARGEST_ID: Final = 2**63 - 1


def identifier(text: str, field: str) -> int:
    """Return a row number; one beyond what a database holds is the largest."""
    if not text.isascii() or not text.isdigit() or len(text) > len(str(LARGEST_ID)):
        raise ValidationError({field: ["is no id"]})
    return min(int(text), LARGEST_ID)
