"""Names and reasons of policies: the rules of `peers.names`, the errors of this app."""

from __future__ import annotations

from typing import Final

from peers import names
from peers.errors import InvalidNameError as PeerNameError
from policies.errors import InvalidNameError

DESCRIPTION_LENGTH: Final = 255


def clean_name(text: str) -> str:
    """Return a name in its one form.

    Raises:
        InvalidNameError: empty, longer than 64, or with a character nobody can see.
    """
    try:
        return names.valid_name(text)
    except PeerNameError as exc:
        raise InvalidNameError(str(exc)) from exc


def clean_description(text: str) -> str:
    """Return a description in its one form; it may be empty.

    Raises:
        InvalidNameError: longer than 255, or with a character nobody can see.
    """
    if not text:
        return ""
    try:
        return names.valid_name(text, limit=DESCRIPTION_LENGTH)
    except PeerNameError as exc:
        raise InvalidNameError(str(exc)) from exc
