"""Why somebody holds or prunes, in their own words. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from audit.text import visible

if TYPE_CHECKING:
    from audit.errors import AuditError

LONGEST: Final = 255


def told_reason(text: str, error: type[AuditError]) -> str:
    """Return a reason as it is stored: 1 to 255 characters, all visible.

    Raises:
        AuditError: it is empty or too long; of the class that is given.
    """
    told = visible(text.strip())
    if not 0 < len(told) <= LONGEST:
        raise error(f"a reason has 1 to {LONGEST} characters")
    return told
