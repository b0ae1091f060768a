"""Who may open a page: decorators for views.

Anonymous goes to sign in and comes back; the wrong role is 403 and an event; a
proof that is too old goes back to the identity provider.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING, Concatenate, Final, ParamSpec, TypeAlias
from urllib.parse import urlencode

from django.conf import settings
from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import PermissionDenied
from django.http import HttpResponse, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.urls import reverse
from django_htmx.http import HttpResponseClientRedirect

from audit.actor import Ref
from audit.events import EventCode, Outcome
from audit.http import PortalRequest
from audit.services import record
from portal.accounts.models import User
from portal.accounts.sessions import is_recent

if TYPE_CHECKING:
    from django.http import HttpRequest

P = ParamSpec("P")
READ_ONLY: Final = "An auditor reads everything and changes nothing."
View: TypeAlias = Callable[Concatenate[PortalRequest, P], HttpResponseBase]


def signed_in(view: View[P]) -> View[P]:
    """Let anybody in who has signed in."""
    return _guarded(view, lambda _user: True)


def reader_required(view: View[P]) -> View[P]:
    """Let auditors, administrators and owners in."""
    return _guarded(view, lambda user: user.is_reader)


def administrator_required(view: View[P]) -> View[P]:
    """Let administrators and owners in."""
    return _guarded(view, lambda user: user.is_administrator)


def changer_required(view: View[P]) -> View[P]:
    """Let everybody in but auditors: the page is there to change something."""
    return _guarded(view, lambda user: user.may_change, reason=READ_ONLY)


def recent_authentication_required(
    *, seconds: int | None = None
) -> Callable[[View[P]], View[P]]:
    """Demand that the identity provider saw the person within `seconds`.

    A person with an older proof confirms who they are there and comes back to
    this page; a form they had posted is then theirs to post again. Use it below
    one of the others.
    """

    def decorate(view: View[P]) -> View[P]:
        @wraps(view)
        def wrapper(
            request: PortalRequest, /, *args: P.args, **kwargs: P.kwargs
        ) -> HttpResponseBase:
            limit = settings.PEERAGE_STEP_UP_SECONDS if seconds is None else seconds
            if is_recent(request, seconds=limit, now=request.received_at):
                return view(request, *args, **kwargs)
            query = urlencode({"next": request.get_full_path()})
            return _elsewhere(request, f"{reverse('account_confirm')}?{query}")

        return wrapper

    return decorate


def person(request: HttpRequest) -> User:
    """Return the person behind a request that passed one of the decorators."""
    if not isinstance(request.user, User):
        raise PermissionDenied
    return request.user


def _guarded(
    view: View[P], may_enter: Callable[[User], bool], *, reason: str = ""
) -> View[P]:
    @wraps(view)
    def wrapper(
        request: PortalRequest, /, *args: P.args, **kwargs: P.kwargs
    ) -> HttpResponseBase:
        if not request.user.is_authenticated:
            path = request.get_full_path()
            return _elsewhere(request, redirect_to_login(path)["Location"])
        if not may_enter(request.user):
            _record_refusal(request, person(request), reason)
            raise PermissionDenied(reason)
        return view(request, *args, **kwargs)

    return wrapper


def _elsewhere(request: PortalRequest, url: str) -> HttpResponse:
    # htmx follows a redirect inside the fragment; the whole page must go.
    if request.headers.get("HX-Request"):
        return HttpResponseClientRedirect(url)
    return HttpResponseRedirect(url)


def record_read_only(request: PortalRequest, who: User) -> None:
    """Record that an auditor asked for what changes something."""
    _record_refusal(request, who, READ_ONLY)


def _record_refusal(request: PortalRequest, who: User, reason: str = "") -> None:
    record(
        EventCode.ACCESS_REFUSED,
        actor=request.actor,
        now=request.received_at,
        outcome=Outcome.REFUSED,
        person=who.ref,
        target=Ref(id="page", label=request.path[:255]),
        reason=reason,
        details={"method": str(request.method)},
    )
