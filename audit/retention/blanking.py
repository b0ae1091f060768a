"""What of an event goes when somebody is forgotten (ADR 0029). Pure.

Everything that its leaf only commits to and that is theirs by the rule of the leaf;
their id stays, which is nobody without the portal's tables. A part goes as a whole:
of what is left nobody could show any more that it is as it was.
"""

from __future__ import annotations

import json
import re
import unicodedata
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote, quote_plus

from audit.leaves import event_shape
from audit.text import visible

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping

    from audit.leaves import Opening, Row

PRIVATE: Final = "private"
WORD_LENGTH: Final = 4
NUMBER_LENGTH: Final = 8
PART_LENGTH: Final = 3
COLUMNS: Final = (
    "actor_id",
    "actor_label",
    "actor_address",
    "person_label",
    "device_label",
    "target_id",
    "target_label",
    "reason",
    "details",
)
"""The columns of an event that forgetting may touch; the triggers know the same."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Names:
    """What somebody is called.

    `certain` is theirs alone and is looked for everywhere; `own` (a device called
    "laptop", somebody called "Al") means them only where their id stands beside it.
    """

    person: str
    certain: tuple[str, ...] = ()
    own: tuple[str, ...] = ()

    def are_in(self, text: str) -> bool:
        """Return whether a text names them, as whole words, in any case."""
        pattern = self._pattern(self.certain)
        return bool(pattern and pattern.search(text))

    def without(self, text: str, *, is_own: bool = False) -> str:
        """Return a text with their id in the place of every name."""
        pattern = self._pattern(self.certain + (self.own if is_own else ()))
        return pattern.sub(self.person, text) if pattern else text

    def without_in(self, value: Any, *, is_own: bool = False) -> Any:  # noqa: ANN401 -- any JSON value
        """Return a JSON value with their id in the place of every name."""
        match value:
            case str():
                return self.without(value, is_own=is_own)
            case dict():
                return {
                    self.without(key, is_own=is_own): self.without_in(
                        item, is_own=is_own
                    )
                    for key, item in value.items()
                }
            case list():
                return [self.without_in(item, is_own=is_own) for item in value]
        return value

    def sought(self) -> frozenset[str]:
        """Return what to look for where only capitals of ASCII are known.

        Quotes and other letters are found in JSON as well.
        """
        found = set()
        for name in self.certain:
            for form in _forms(name):
                made = (form, form.lower(), form.upper(), form.title())
                found |= {form} if form.isascii() else set(made)
        return frozenset(found | {json.dumps(form)[1:-1] for form in found})

    def _pattern(self, names: tuple[str, ...]) -> re.Pattern[str] | None:
        forms = {form for name in names for form in _forms(name) if form}
        if not forms:
            return None
        # The longest first: an address before the name that it begins with.
        told = "|".join(map(re.escape, sorted(forms, key=lambda form: -len(form))))
        return re.compile(rf"(?<!\w)(?:{told})(?!\w)", re.IGNORECASE)


def is_telling(name: str) -> bool:
    """Return whether a name can mean nobody else in what others wrote.

    People choose what they are called. A short word ("Al", "the") or number (the
    subject 7, in every address) would take texts out of the log that are about others.
    """
    least = NUMBER_LENGTH if name.isdecimal() else WORD_LENGTH
    return len(name.split()) > 1 or len(name) >= least


def words_of(name: str) -> set[str]:
    """Return the words of a name, of an address those before the @, in small letters.

    Letters alone ("J.") are none.
    """
    words = re.findall(r"\w+", name.partition("@")[0].casefold())
    return {word for word in words if len(word) >= PART_LENGTH}


def _forms(name: str) -> set[str]:
    """Return how a name is written in texts, in the log, and in a query string."""
    composed = {name, *(unicodedata.normalize(form, name) for form in ("NFC", "NFD"))}
    return {
        form
        for text in composed
        for form in (text, visible(text), quote(text, safe=""), quote_plus(text))
    }


def blanked(row: Row, leaf: bytes, names: Names) -> dict[str, Any]:
    """Return the columns of an event that change when somebody is forgotten.

    Raises:
        LeafError: the row is none.
    """
    return _emptied(row, leaf, lambda opening: opening.person == names.person)


def blanked_mentions(row: Row, leaf: bytes, names: Names) -> dict[str, Any]:
    """Return the columns of an event about others that change, because it names them.

    A part in which the id of a person stands says their own name, and stays.

    Raises:
        LeafError: the row is none.
    """
    return _emptied(
        row,
        leaf,
        lambda opening: (
            opening.person != names.person
            and (
                opening.part == PRIVATE
                or opening.person not in opening.identity.values()
            )
            and any(names.are_in(text) for text in _texts(dict(opening.identity)))
        ),
    )


def _emptied(row: Row, leaf: bytes, goes: Callable[[Opening], bool]) -> dict[str, Any]:
    shown = json.loads(leaf).get("details", {}).keys()
    found: dict[str, Any] = {}
    for opening in event_shape(row, open_details=shown).hidden:
        if goes(opening):
            found |= _columns(opening, row["details"], shown)
    return {name: value for name, value in found.items() if row[name] != value}


def _columns(
    opening: Opening, details: Mapping[str, Any], shown: Collection[str]
) -> dict[str, Any]:
    if opening.part == PRIVATE:
        return {"details": {k: v for k, v in details.items() if k in shown}}
    return {
        name: "" for name, value in opening.identity.items() if value != opening.person
    }


def _texts(value: Any) -> Iterator[str]:  # noqa: ANN401 -- any JSON value
    match value:
        case str():
            yield value
        case dict():
            for key, item in value.items():
                yield key
                yield from _texts(item)
        case list():
            for item in value:
                yield from _texts(item)
