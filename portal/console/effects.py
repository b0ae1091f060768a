"""What a change would do is shown before it is done, and then confirmed as shown.

One page for every change of policy: the change is tried (`policies.whatif`), what
comes of it is shown, and the form that confirms it carries the digest of what was
shown. If by then something else would come of it, that is shown instead. Above the
brake a second, explicit confirmation is asked for.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

from django.conf import settings
from django.db import transaction

from audit.events import EventCode, Outcome
from audit.services import record
from peers.models import Device
from policies.effects import EffectKind
from policies.whatif import Outlook, outlook
from portal.accounts.models import User
from portal.console.pages import page

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from django.http import HttpResponse

    from audit.http import PortalRequest
    from audit.models import Connection
    from portal.console.forms import ConsoleForm

Result = TypeVar("Result")

NAMED: Final = 10
"""So many people of a row are named; the others are counted."""

SHOWN: Final = 50
"""So many rows and connections are shown; the others are counted."""

OURS: Final = frozenset({"csrfmiddlewaretoken", "effect", "confirmed", "again"})
"""What the confirmation itself sends; the rest is the form's."""


@dataclass(frozen=True, slots=True)
class Done(Generic[Result]):
    """A change that was confirmed and made."""

    result: Result


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A row of the effect as a page shows it."""

    gains: bool
    application: str
    destinations: Sequence[str]
    names: Sequence[str]
    others: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """An outlook as a page shows it."""

    digest: str
    lines: Sequence[Line]
    more_lines: int
    cut: Sequence[Connection]
    more_cut: int
    losers: int
    holders: int
    devices: Sequence[Device]
    more_devices: int
    brakes: bool
    broken: Sequence[tuple[str, str]]
    is_stale: bool
    is_unconfirmed: bool
    fields: Sequence[tuple[str, str]]


def is_asked_again(request: PortalRequest) -> bool:
    """Return whether somebody went back from the effect to the form."""
    return "again" in request.POST


def confirmed(
    request: PortalRequest,
    change: Callable[[], Result],
    *,
    title: str,
    action: str,
    back: str,
    template: str = "effect_confirm.html",
    form: ConsoleForm | None = None,
    **context: Any,  # noqa: ANN401 -- finished values for the template
) -> HttpResponse | Done[Result]:
    """Return what a change made, once it is confirmed; till then the page that asks.

    A `form` that stands on that page is what confirms; unless it is well formed,
    nothing is done. Without one, what was sent goes on in hidden fields.

    Raises:
        PolicyError: the service refuses the change.
    """
    found = outlook(change, now=request.received_at)
    sent = request.POST.get("effect", "")
    is_same = sent == found.digest and (form is None or form.is_valid())
    brakes = found.effect.exceeds(settings.PEERAGE_POLICY_BRAKE_PERCENT)
    if is_same and (not brakes or "confirmed" in request.POST):
        return Done(_made(request, change, found, brakes=brakes))
    if is_same:
        _record(request, found, Outcome.REFUSED)
    return page(
        request,
        template,
        title=title,
        action=action,
        back=back,
        effect=_shown(
            request,
            found,
            is_stale=bool(sent) and sent != found.digest,
            carries=form is None,
        ),
        form=form,
        **context,
    )


@transaction.atomic
def _made(
    request: PortalRequest,
    change: Callable[[], Result],
    found: Outlook,
    *,
    brakes: bool,
) -> Result:
    made = change()
    if brakes:
        _record(request, found, Outcome.DONE)
    return made


def _record(request: PortalRequest, found: Outlook, outcome: Outcome) -> None:
    losing, holding = len(found.effect.losers), len(found.effect.holders)
    record(
        EventCode.BRAKE_CONFIRM,
        actor=request.actor,
        now=request.received_at,
        outcome=outcome,
        reason="" if outcome is Outcome.DONE else "it was not confirmed",
        details={
            "people_losing": losing,
            "people_with_access": holding,
            "percent": settings.PEERAGE_POLICY_BRAKE_PERCENT,
            "effect": found.digest,
        },
    )


def _shown(
    request: PortalRequest, found: Outlook, *, is_stale: bool, carries: bool
) -> Shown:
    rows = found.effect.rows[:SHOWN]
    names = _names({person for row in rows for person in row.people[:NAMED]})
    brakes = found.effect.exceeds(settings.PEERAGE_POLICY_BRAKE_PERCENT)
    return Shown(
        digest=found.digest,
        lines=[
            Line(
                gains=row.kind is EffectKind.GAINS,
                application=found.applications[row.application_id],
                destinations=row.destinations,
                names=[names[person] for person in row.people[:NAMED]],
                others=max(len(row.people) - NAMED, 0),
            )
            for row in rows
        ],
        more_lines=len(found.effect.rows) - len(rows),
        cut=found.cut[:SHOWN],
        more_cut=max(len(found.cut) - SHOWN, 0),
        losers=len(found.effect.losers),
        holders=len(found.effect.holders),
        devices=_devices(found.devices),
        more_devices=max(len(found.devices) - NAMED, 0),
        brakes=brakes,
        broken=found.broken,
        is_stale=is_stale,
        is_unconfirmed=(
            brakes
            and request.POST.get("effect") == found.digest
            and "confirmed" not in request.POST
        ),
        fields=[
            (name, value)
            for name, values in request.POST.lists()
            if carries and name not in OURS
            for value in values
        ],
    )


def _devices(numbers: frozenset[int]) -> Sequence[Device]:
    first = sorted(numbers)[:NAMED]
    return [*Device.objects.filter(pk__in=first).select_related("owner").order_by("pk")]


def _names(people: set[int]) -> Mapping[int, str]:
    # At most NAMED × SHOWN of them, which any database takes as parameters.
    return {user.pk: str(user) for user in User.objects.filter(pk__in=people)}
