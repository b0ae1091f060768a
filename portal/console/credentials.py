"""Pages of credentials for programs: the list, making one, revoking one."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from django.conf import settings
from django.contrib import messages
from django.shortcuts import redirect
from django.views.decorators.http import require_http_methods, require_safe

from audit.events import EventCode
from portal.accounts import credentials as accounts_credentials
from portal.accounts import selectors
from portal.accounts.access import (
    administrator_required,
    person,
    reader_required,
    recent_authentication_required,
)
from portal.accounts.errors import AccountError
from portal.accounts.models import CredentialKind
from portal.console.credential_forms import CredentialForm
from portal.console.forms import ReasonForm
from portal.console.pages import page, paged, posted
from portal.console.refusals import is_accepted

if TYPE_CHECKING:
    from django.http import HttpResponse

    from audit.http import PortalRequest


@require_safe
@reader_required
def credentials(request: PortalRequest) -> HttpResponse:
    return page(
        request,
        "credential_list.html",
        title="API credentials",
        now=request.received_at,
        pages=paged(request, selectors.list_credentials_for(person(request))),
    )


@require_http_methods(["GET", "POST"])
@administrator_required
@recent_authentication_required()
def add_credential(request: PortalRequest) -> HttpResponse:
    form = CredentialForm(posted(request))
    if request.method == "POST" and is_accepted(
        request, form, EventCode.API_TOKEN_CREATE
    ):
        try:
            made, secret = accounts_credentials.create_credential(
                kind=CredentialKind(form.cleaned_data["kind"]),
                name=form.cleaned_data["name"],
                scopes=form.cleaned_data["scopes"],
                expires_at=request.received_at
                + timedelta(days=form.cleaned_data["days"]),
                creator=person(request),
                actor=request.actor,
                now=request.received_at,
            )
        except AccountError as exc:
            form.add_error(None, str(exc))
        else:
            # The POST itself is answered: the secret is shown here and never again.
            return page(
                request,
                "credential_secret.html",
                title=f"{made.name} is made",
                credential=made,
                secret=secret,
                base_url=settings.PEERAGE_BASE_URL,
            )
    return page(request, "credential_form.html", title="Add a credential", form=form)


@require_http_methods(["GET", "POST"])
@administrator_required
@recent_authentication_required()
def revoke_credential(request: PortalRequest, credential_id: int) -> HttpResponse:
    found = selectors.get_credential_to_revoke_for(person(request), credential_id)
    if found.revoked_at is not None:
        messages.info(request, f"{found.name} has been revoked already.")
        return redirect("console:credentials")
    form = ReasonForm(posted(request))
    if request.method == "POST" and is_accepted(
        request, form, EventCode.API_TOKEN_REVOKE
    ):
        accounts_credentials.revoke_credential(
            credential=found,
            reason=form.cleaned_data["reason"],
            actor=request.actor,
            now=request.received_at,
        )
        messages.success(request, f"{found.name} is revoked.")
        return redirect("console:credentials")
    return page(
        request,
        "credential_confirm_revoke.html",
        title=f"Revoke {found.name}",
        credential=found,
        form=form,
    )
