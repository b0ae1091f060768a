"""Who held this address at this time, as a page and as the API tells it."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from django import forms
from django.core.exceptions import ValidationError
from django.views.decorators.http import require_safe

from audit.search.filters import address_or_prefix
from peers.holders import holders_at
from policies.services.inquiries import record_inquiry
from portal.accounts.access import reader_required
from portal.console.forms import MomentField
from portal.console.pages import page
from portal.console.questions import AtForm

if TYPE_CHECKING:
    from datetime import datetime

    from django.http import HttpResponse

    from audit.http import PortalRequest
    from peers.holders import Holder


class HolderForm(AtForm):
    """An address or a prefix, and a moment."""

    address = forms.CharField(
        label="Address or prefix",
        max_length=64,
        widget=forms.TextInput(
            attrs={"placeholder": "100.64.0.7", "spellcheck": "false"}
        ),
    )
    at = MomentField(
        required=False,
        label="At (UTC)",
        widget=forms.DateTimeInput(attrs={"type": "datetime-local", "step": "0.001"}),
    )
    field_order = ("address", "at")

    def clean_address(self) -> str:
        """Return it in its one spelling."""
        try:
            return address_or_prefix(self.cleaned_data["address"])
        except ValueError as exc:
            raise ValidationError(str(exc)) from exc


@require_safe
@reader_required
def holders(request: PortalRequest) -> HttpResponse:
    form = HolderForm(request.GET or None, now=request.received_at)
    title = "Who held an address"
    if not request.GET or not form.is_valid():
        status = 400 if form.errors else 200
        return page(request, "holders.html", title=title, form=form, status=status)
    address, at = form.cleaned_data["address"], form.cleaned_data["at"]
    record_inquiry(
        question="holder",
        details={"address": address, "at": f"{at:%FT%TZ}"},
        actor=request.actor,
        now=request.received_at,
    )
    found, is_all = holders_at(address, at)
    return page(
        request,
        "holders.html",
        title=title,
        form=form,
        address=address,
        at=at,
        is_prefix="/" in address,
        holders=found,
        is_all=is_all,
    )


def link_time(at: datetime) -> str:
    """Return a moment as the form's field takes it: milliseconds, never too early."""
    rounded = at + timedelta(microseconds=-at.microsecond % 1000)
    return f"{rounded:%Y-%m-%dT%H:%M:%S.%f}"[:-3]


def holder_output(found: Holder) -> dict[str, Any]:
    """Return a holder as the API tells it."""
    lease, device = found.lease, found.device
    return {
        "address": lease.address,
        "holding": found.holding.value,
        "device": {"id": device.ref.id, "name": device.ref.label},
        "person": {"id": device.owner.ref.id, "name": device.owner.ref.label},
        "key": found.key_fingerprint or None,
        "leased_at": lease.leased_at,
        "released_at": lease.released_at,
        "quarantined_until": lease.quarantined_until,
    }
