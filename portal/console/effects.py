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

from peers.models import Device
from policies.effects import EffectKind
from policies.services.inquiries import record_inquiry
from policies.whatif import Outlook, UnconfirmedError, carry_out, outlook
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

OURS: Final = frozenset(
    {"csrfmiddlewaretoken", "effect", "confirmed", "again", "start", "seen"}
)
"""What a confirmation itself sends; the rest is the form's."""


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
    people: int
    names: Sequence[str]
    others: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """An outlook as a page shows it."""

    digest: str
    lines: Sequence[Line]
    more_lines: int
    cut: Sequence[Connection]
    all_cut: int
    more_cut: int
    losers: int
    gainers: int
    holders: int
    devices: Sequence[Device]
    more_devices: int
    gaining: Sequence[Device]
    more_gaining: int
    brakes: bool
    braked_losers: int
    braked_holders: int
    brakes_later: bool
    percent: int
    broken: Sequence[tuple[str, str]]
    terms: Sequence[tuple[str, str, str]]
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
        PolicyError, PeerError: the service refuses the change.
    """
    digest = request.POST.get("effect", "")
    if not digest or not (form is None or form.is_valid()):
        is_sent = request.method == "POST"
        found = outlook(change, is_asked=is_sent, now=request.received_at)
        is_stale = is_unconfirmed = False
    else:
        try:
            return Done(
                carry_out(
                    change,
                    title=title,
                    digest=digest,
                    is_confirmed="confirmed" in request.POST,
                    actor=request.actor,
                    now=request.received_at,
                )
            )
        except UnconfirmedError as exc:
            found, is_stale = exc.outlook, exc.is_stale
            is_unconfirmed = not is_stale
    _record_look(request, found, title)
    return page(
        request,
        template,
        title=title,
        action=action,
        back=back,
        effect=_shown(
            found,
            is_stale=is_stale,
            is_unconfirmed=is_unconfirmed,
            fields=sent_fields(request) if form is None else (),
        ),
        form=form,
        **context,
    )


def _record_look(request: PortalRequest, found: Outlook, title: str) -> None:
    """Record that somebody is shown connections, as where the log is read."""
    if found.cut:
        record_inquiry(
            question="effect",
            details={"change": title, "effect": found.digest},
            actor=request.actor,
            now=request.received_at,
        )


def sent_fields(request: PortalRequest) -> Sequence[tuple[str, str]]:
    """Return what was sent, to be sent again as it is."""
    return [
        (name, value)
        for name, values in request.POST.lists()
        if name not in OURS
        for value in values
    ]


def _shown(
    found: Outlook,
    *,
    is_stale: bool,
    is_unconfirmed: bool,
    fields: Sequence[tuple[str, str]],
) -> Shown:
    rows = found.effect.rows[:SHOWN]
    names = _names({person for row in rows for person in row.people[:NAMED]})
    large = found.braking or found.effect
    return Shown(
        digest=found.digest,
        lines=[
            Line(
                gains=row.kind is EffectKind.GAINS,
                application=found.applications[row.application_id],
                destinations=row.destinations,
                people=len(row.people),
                names=[names[person] for person in row.people[:NAMED]],
                others=max(len(row.people) - NAMED, 0),
            )
            for row in rows
        ],
        more_lines=len(found.effect.rows) - len(rows),
        cut=found.cut[:SHOWN],
        all_cut=len(found.cut),
        more_cut=max(len(found.cut) - SHOWN, 0),
        losers=len(found.effect.losers),
        gainers=len(found.effect.gainers),
        holders=len(found.effect.holders),
        devices=_devices(found.devices),
        more_devices=max(len(found.devices) - NAMED, 0),
        gaining=_devices(found.gaining),
        more_gaining=max(len(found.gaining) - NAMED, 0),
        brakes=found.is_braked,
        braked_losers=len(large.losers),
        braked_holders=len(large.holders),
        brakes_later=large is not found.effect,
        percent=settings.PEERAGE_POLICY_BRAKE_PERCENT,
        broken=found.broken,
        terms=found.terms,
        is_stale=is_stale,
        is_unconfirmed=is_unconfirmed,
        fields=fields,
    )


def _devices(numbers: frozenset[int]) -> Sequence[Device]:
    first = sorted(numbers)[:NAMED]
    return [*Device.objects.filter(pk__in=first).select_related("owner").order_by("pk")]


def _names(people: set[int]) -> Mapping[int, str]:
    # At most NAMED × SHOWN of them, which any database takes as parameters.
    return {user.pk: str(user) for user in User.objects.filter(pk__in=people)}
