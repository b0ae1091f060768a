"""The page that tells people what they can reach, and why."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.views.decorators.http import require_safe

from policies import lock_selectors
from policies import selectors as policies_selectors
from portal.accounts.access import person, signed_in
from portal.console.pages import page

if TYPE_CHECKING:
    from django.http import HttpResponse

    from audit.http import PortalRequest


@require_safe
@signed_in
def my_access(request: PortalRequest) -> HttpResponse:
    return page(
        request,
        "access_list.html",
        title="My access",
        access=policies_selectors.my_access(person(request), request.received_at),
        locks=lock_selectors.locks_told_to(person(request), now=request.received_at),
    )
