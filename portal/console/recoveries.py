"""Gateways that are ahead of this portal: seen in red, recovered on confirmation."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from django import forms
from django.contrib import messages
from django.shortcuts import redirect
from django.views.decorators.http import require_http_methods, require_safe

from peers.models import Gateway
from policies import recovery_selectors, services
from portal.accounts.access import (
    administrator_required,
    person,
    reader_required,
    recent_authentication_required,
)
from portal.console.forms import ConsoleForm
from portal.console.pages import page, paged, posted

if TYPE_CHECKING:
    from django.http import HttpResponse

    from audit.http import PortalRequest


class RecoveryForm(ConsoleForm):
    """Whom to go on without."""

    without = forms.ModelMultipleChoiceField(
        queryset=Gateway.objects.none(),
        required=False,
        widget=forms.CheckboxSelectMultiple,
        label="Go on without",
        help_text="What only such a gateway knows to be revoked stays unknown. It stays"
        " closed until a later recovery.",
    )

    def dress(self) -> None:
        """Offer those who are ahead, before anything is judged."""
        ahead = recovery_selectors.gateways_ahead().values("gateway")
        choice = cast("forms.ModelMultipleChoiceField[Gateway]", self.fields["without"])
        choice.queryset = Gateway.objects.filter(pk__in=ahead)
        super().dress()


@require_safe
@reader_required
def recovery(request: PortalRequest) -> HttpResponse:
    pages = paged(request, recovery_selectors.list_recoveries_for(person(request)))
    return page(
        request,
        "recovery.html",
        title="Gateways ahead of this portal",
        pages=pages,
        ahead=recovery_selectors.gateways_ahead(),
    )


@require_http_methods(["GET", "POST"])
@administrator_required
@recent_authentication_required()
def recover(request: PortalRequest) -> HttpResponse:
    ahead = recovery_selectors.gateways_ahead()
    form = RecoveryForm(posted(request))
    if request.method == "POST" and form.is_valid():
        rows = services.begin_recovery(
            without=[*form.cleaned_data["without"]],
            actor=request.actor,
            now=request.received_at,
        )
        asked = sum(not row.is_left_out for row in rows)
        messages.success(request, f"{asked} gateways are asked for what they hold.")
        return redirect("console:recovery")
    return page(
        request,
        "recovery_confirm_begin.html",
        title="Recover gateways",
        form=form,
        ahead=ahead,
    )
