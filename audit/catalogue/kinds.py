"""What is said of a code: severity by outcome, sentence, typed fields, privacy.

A field of `details` is declared with its type and its privacy class:

* `open` is readable in the leaf;
* `personal` enters the leaf only as a commitment, so that it can be forgotten;
* `never` is a name that no event may carry, at any depth.

What is not declared counts as personal: whoever forgets a declaration hides something
that could have been shown, and never the other way round.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from audit.catalogue.codes import EventCode, Outcome

if TYPE_CHECKING:
    from collections.abc import Mapping


class Severity(StrEnum):
    """How much an event should interrupt whoever reads the log; lowest first."""

    INFO = "info"
    NOTICE = "notice"
    WARNING = "warning"
    ALERT = "alert"

    @property
    def rank(self) -> int:
        """Return a number that grows with the severity."""
        return [*Severity].index(self)


class Privacy(StrEnum):
    """Who may learn a field from the tree alone."""

    OPEN = "open"
    PERSONAL = "personal"
    SECRET_NEVER = "never"  # noqa: S105 -- a class, not a secret


class Shape(StrEnum):
    """The JSON a field holds. There are no floats: canonical JSON would round them."""

    TEXT = "text"
    MOMENT = "moment"
    WHOLE = "whole number"
    FLAG = "flag"
    TEXTS = "list of texts"
    WHOLES = "list of whole numbers"
    TABLE = "object"
    TABLES = "list of objects"


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """One field of `details`."""

    shape: Shape
    privacy: Privacy = Privacy.OPEN
    may_be_null: bool = False


TEXT: Final = Field(shape=Shape.TEXT)
MOMENT: Final = Field(shape=Shape.MOMENT)
WHOLE: Final = Field(shape=Shape.WHOLE)
FLAG: Final = Field(shape=Shape.FLAG)
TEXTS: Final = Field(shape=Shape.TEXTS)
WHOLES: Final = Field(shape=Shape.WHOLES)
TABLE: Final = Field(shape=Shape.TABLE)
TABLES: Final = Field(shape=Shape.TABLES)


def personal(field: Field) -> Field:
    """Return the field as one that says something of a person."""
    return replace(field, privacy=Privacy.PERSONAL)


def maybe(field: Field) -> Field:
    """Return the field as one that may be null."""
    return replace(field, may_be_null=True)


NEVER: Final = Field(shape=Shape.TEXT, privacy=Privacy.SECRET_NEVER)
# Names under which secrets travel elsewhere in the product.
SECRET_NEVER: Final[Mapping[str, Field]] = MappingProxyType(
    dict.fromkeys(
        (
            "access_token",
            "authorization",
            "client_secret",
            "code_verifier",
            "cookie",
            "device_code",
            "id_token",
            "password",
            "preshared_key",
            "private_key",
            "refresh_token",
            "secret",
            "session_key",
            "token",
        ),
        NEVER,
    )
)


@dataclass(frozen=True, slots=True, kw_only=True)
class EventType:
    """One code: its name (`noun.verb`), how it may end, and what it says.

    `sentence` is a `str.format` template over labels. `means` explains the event to
    whoever finds it at night, `remedy` is what to do about it, each in one line.
    """

    code: EventCode
    name: str
    sentence: str
    severities: Mapping[Outcome, Severity]
    fields: Mapping[str, Field]
    means: str
    remedy: str

    @property
    def outcomes(self) -> frozenset[Outcome]:
        """Return how an event of this code may end."""
        return frozenset(self.severities)


NOTHING_TO_DO: Final = "Nothing."
NO_FIELDS: Final[Mapping[str, Field]] = MappingProxyType({})


def kind(
    code: EventCode,
    name: str,
    sentence: str,
    *,
    means: str,
    remedy: str = NOTHING_TO_DO,
    done: Severity | None = None,
    refused: Severity | None = None,
    failed: Severity | None = None,
    alert: Severity | None = None,
    fields: Mapping[str, Field] = NO_FIELDS,
) -> EventType:
    """Return a code's type; an outcome without a severity cannot happen."""
    given = zip(Outcome, (done, refused, failed, alert), strict=True)
    return EventType(
        code=code,
        name=name,
        sentence=sentence,
        severities=MappingProxyType({end: level for end, level in given if level}),
        fields=MappingProxyType(dict(fields)),
        means=means,
        remedy=remedy,
    )
