"""The lists of what changes without an event name only what there is."""

from __future__ import annotations

from django.apps import apps

from tests.walks.tables import NO_EVENT, NO_EVENT_COLUMNS, domain, unknown


def test_every_table_that_is_spared_exists() -> None:
    assert unknown(NO_EVENT) == []
    assert unknown(NO_EVENT_COLUMNS) == []


def test_every_column_that_is_spared_exists() -> None:
    for label, spared in NO_EVENT_COLUMNS.items():
        fields = apps.get_model(label)._meta.concrete_fields
        assert set(spared) <= {field.attname for field in fields}, label


def test_no_table_of_people_or_policy_is_spared_whole() -> None:
    counted = {model._meta.label for model in domain().values()}
    assert counted >= {
        "accounts.User",
        "accounts.Membership",
        "accounts.ApiCredential",
        "peers.Device",
        "peers.DeviceKey",
        "peers.Gateway",
        "policies.Application",
        "policies.Grant",
        "policies.Lock",
        "policies.AccessRequest",
    }
