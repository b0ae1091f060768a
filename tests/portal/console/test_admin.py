"""Django's admin: for administrators, for looking, without secrets."""

from __future__ import annotations

from uuid import UUID

import pytest
from django.apps import apps
from django.contrib import admin
from django.contrib.admin.utils import quote
from django.db.models import Model
from django.test import Client
from django.urls import reverse

from audit.actor import SYSTEM
from audit.models import AuditEvent
from peers.models import Device, Gateway
from peers.services import create_challenge, issue_enrolment_token
from policies.models import Application, Grant
from portal.accounts.models import User
from portal.console.admin import OURS
from tests.conftest import SignIn
from tests.peers.makers import NOW, make_gateway
from tests.policies.makers import publish

pytestmark = pytest.mark.django_db
MODELS = [
    model
    for label in sorted(OURS)
    for model in apps.get_app_config(label).get_models()
    if not model._meta.auto_created
]
SECRETS = {"password", "token_sha256", "ephemeral_key", "nonce", "salt"}


def label(model: type[Model]) -> str:
    return model._meta.label_lower


def address(model: type[Model], page: str, *args: int | str | UUID) -> str:
    meta = model._meta
    # As the admin itself does: "_12" within a key is not the twelfth character.
    quoted = [quote(arg) for arg in args]
    return reverse(f"admin:{meta.app_label}_{meta.model_name}_{page}", args=quoted)


@pytest.fixture
def full(
    laptop: Device, alices_grant: Grant, wiki: Application, gw1: Gateway, alice: User
) -> None:
    """Put a row into as many tables as one afternoon does."""
    publish()
    issue_enrolment_token(gateway=make_gateway("next"), actor=SYSTEM, now=NOW)
    create_challenge(user=alice, now=NOW)


def test_every_model_of_ours_is_registered_and_no_other() -> None:
    registered = {
        model for model in apps.get_models() if admin.site.is_registered(model)
    }
    assert registered == set(MODELS)


@pytest.mark.parametrize("model", MODELS, ids=label)
@pytest.mark.usefixtures("full")
def test_tables_open_for_administrators(
    model: type[Model], dave: User, sign_in: SignIn
) -> None:
    browser = sign_in(dave)
    assert browser.get(address(model, "changelist")).status_code == 200
    row = model._default_manager.first()
    if row is not None:
        response = browser.get(address(model, "change", row.pk))
        assert response.status_code == 200
        assert not SECRETS & set(response.context["adminform"].form.base_fields)
        shown = {
            name
            for _, options in response.context["adminform"].fieldsets
            for name in options["fields"]
        }
        assert not SECRETS & shown


@pytest.mark.parametrize("model", MODELS, ids=label)
@pytest.mark.usefixtures("full")
def test_nothing_is_added_changed_or_deleted_there(
    model: type[Model], dave: User, sign_in: SignIn
) -> None:
    browser = sign_in(dave)
    assert browser.get(address(model, "add")).status_code == 403
    row = model._default_manager.first()
    if row is not None:
        assert browser.post(address(model, "change", row.pk), {}).status_code == 403
        assert browser.post(address(model, "delete", row.pk)).status_code == 403
        actions = {"action": "delete_selected", "_selected_action": [row.pk]}
        browser.post(address(model, "changelist"), actions)
        assert model._default_manager.filter(pk=row.pk).exists()


@pytest.mark.parametrize("who", ["alice", "carol"])
def test_nobody_else_gets_in(
    who: str, alice: User, carol: User, sign_in: SignIn
) -> None:
    response = sign_in({"alice": alice, "carol": carol}[who]).get(
        "/admin/", follow=True
    )
    assert response.status_code == 403


def test_the_way_in_is_single_sign_on(client: Client) -> None:
    response = client.get("/admin/", follow=True)
    assert response.redirect_chain[-1][0].startswith("/accounts/login/")
    assert b'name="password"' not in response.content


@pytest.mark.parametrize(
    ("model", "action", "page"),
    [
        (User, "revoke", "console:revoke_user"),
        (Device, "revoke", "console:revoke_device"),
        (Gateway, "retire", "console:retire_gateway"),
        (Grant, "end", "console:end_grant"),
    ],
    ids=["user", "device", "gateway", "grant"],
)
@pytest.mark.usefixtures("full")
def test_acts_that_hurt_lead_to_our_confirm_page(
    model: type[Model], action: str, page: str, dave: User, sign_in: SignIn
) -> None:
    row = model._default_manager.first()
    assert row is not None
    before = AuditEvent.objects.count()
    data = {"action": action, "_selected_action": [row.pk]}
    response = sign_in(dave).post(address(model, "changelist"), data)
    assert response["Location"] == reverse(page, args=(row.pk,))
    assert AuditEvent.objects.count() == before


def test_acts_take_one_at_a_time(
    alice: User, bob: User, dave: User, sign_in: SignIn
) -> None:
    data = {"action": "revoke", "_selected_action": [alice.pk, bob.pk]}
    response = sign_in(dave).post(address(User, "changelist"), data, follow=True)
    assert b"Choose one" in response.content
