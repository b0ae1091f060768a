"""Searching by words, the same on both databases.

A word is what stands between separators, in small letters; what is searched for must
begin one. No language is guessed: names are not prose, and a stemmer that takes
"Meyers" for "Meyer" would show an investigator the wrong person.

PostgreSQL finds words by a GIN index over `audit_words(text)` (migration
`search_functions`); SQLite, the small default, reads the rows and asks
`begins_words`. Pure; `audit.search.lookups` says it in SQL.
"""

from __future__ import annotations

from typing import Final

SEPARATORS: Final = "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~→“”‘’„–—…·\t\n"  # noqa: RUF001 -- what stands between words
_BLANKS: Final = str.maketrans(dict.fromkeys(SEPARATORS, " "))

CONNECTION_TEXT: Final = (
    *("person_label", "device_label", "application_label", "grant_label"),
    *("gateway_label", "end_reason"),
)
EVENT_TEXT: Final = (
    *("actor_label", "person_label", "device_label", "gateway_label"),
    *("application_label", "target_label", "reason", "code"),
)


def words_of(text: str) -> list[str]:
    """Return the words of a text, in small letters."""
    return text.lower().translate(_BLANKS).split()


def begins_words(sought: str, text: str) -> bool:
    """Return whether every word that is sought begins one of the text's."""
    found = " " + " ".join(words_of(text))
    return all(f" {word}" in found for word in sought.split())
