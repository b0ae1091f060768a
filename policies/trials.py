"""A change of policy that is made, read, and taken back.

It runs through its real service, so what is read afterwards is what would be there.
Nothing of it stays: no row, no event, no notice to a gateway. A refusal stays a
refusal: it is raised, and its event is kept when the change was asked for.

`versions` say whether anybody else changed a policy since, which costs three small
queries. So what was tried is compiled while no row is locked (and, with SQLite,
everybody else can write), and tried again if somebody did.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeAlias, TypeVar

from django.db import transaction
from django.db.models import Model

from peers.errors import PeerError
from peers.selectors import enrolled_gateways
from policies.errors import PolicyError
from policies.facts import Rows, load_rows
from policies.models import Application, Publication
from policies.notices import latest_number

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from peers.models import Gateway

REFUSALS: Final = (PolicyError, PeerError)

Result = TypeVar("Result")
Versions: TypeAlias = "tuple[Mapping[int, int], frozenset[int], int]"
"""How often each gateway's policy changed, who is enrolled, and the last notice."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Read:
    """The policy as it is stored at one moment."""

    gateways: Sequence[Gateway]
    rows: Rows
    applications: Mapping[int, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tried:
    """The policy before and after a change, and the versions around it."""

    before: Read
    after: Read
    versions: tuple[Versions, Versions]


def tried(change: Callable[[], object], *, is_asked: bool = True) -> Tried:
    """Make a change, take it back, and return what was there before and after.

    Unless it `is_asked` for, a refusal leaves no event: somebody only looked.

    Raises:
        PolicyError, PeerError: the service refuses the change.
    """
    refusal: Exception | None = None
    with transaction.atomic():
        # Before what it is to say has not changed since.
        began = versions()
        before = read()
        try:
            rehearsal(change)()
        except REFUSALS as exc:
            # A service undoes what it refuses, except for the event that says so.
            refusal = exc
            transaction.set_rollback(not is_asked)
        else:
            after, ended = read(), versions()
            transaction.set_rollback(True)
    if refusal is not None:
        raise refusal
    return Tried(before=before, after=after, versions=(began, ended))


def rehearsal(change: Callable[[], Result]) -> Callable[[], Result]:
    """Return the same change, made to copies of the rows it is given.

    A service writes into the row it is given, and what was taken back must not be
    found in there when the change is made in earnest.
    """
    if not isinstance(change, partial):
        return change
    args = map(_copied, change.args)
    named = {name: _copied(value) for name, value in change.keywords.items()}
    return partial(change.func, *args, **named)


def read() -> Read:
    """Return the policy as it is stored now."""
    gateways = [*enrolled_gateways()]
    return Read(
        gateways=gateways,
        rows=load_rows(gateways),
        applications=dict(Application.objects.values_list("pk", "name")),
    )


def versions() -> Versions:
    """Return what is another as soon as anybody else has changed a policy."""
    return (
        dict(Publication.objects.values_list("pk", "changes")),
        frozenset(enrolled_gateways().values_list("pk", flat=True)),
        latest_number(),
    )


def _copied(value: Any) -> Any:  # noqa: ANN401 -- whatever a service takes
    match value:
        case Model():
            return copy.copy(value)
        case list() | tuple():
            return type(value)(map(_copied, value))
        case dict():
            return {name: _copied(item) for name, item in value.items()}
        case _:
            return value
