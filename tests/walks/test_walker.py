"""The walk finds what it looks for: a change without an event, and one with it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from audit.actor import SYSTEM
from peers import services
from peers.models import Device
from policies.models import Application
from tests.walks.company import Company, moment
from tests.walks.tables import Ledger
from tests.walks.walker import Visit

pytestmark = pytest.mark.django_db


def renamed_in_silence(company: Company) -> None:
    Device.objects.filter(pk=company.numbers["device_id"]).update(name="other")


def unlinked_in_silence(company: Company) -> None:
    company.world.applications["wiki"].gateways.clear()


def deleted_in_silence(company: Company) -> None:
    Application.objects.get(name="Wiki").destinations.all().delete()


@pytest.mark.parametrize(
    ("act", "label"),
    [
        (renamed_in_silence, "peers.Device"),
        (unlinked_in_silence, "policies.Application_gateways"),
        (deleted_in_silence, "policies.ApplicationDestination"),
    ],
    ids=["update", "link", "delete"],
)
def test_a_change_is_found(
    company: Company, act: Callable[[Company], None], label: str
) -> None:
    ledger = Ledger()
    with ledger.watching() as changed:
        act(company)
    assert changed == {label}


def test_a_service_changes_what_it_says(company: Company) -> None:
    ledger = Ledger()
    with ledger.watching() as changed:
        services.rename_device(
            device=company.world.devices["laptop"],
            name="other",
            actor=SYSTEM,
            now=moment(),
        )
    assert changed == {"peers.Device"}


def test_what_was_taken_back_is_no_change(company: Company) -> None:
    ledger = Ledger()
    with ledger.watching() as changed:
        renamed_in_silence(company)
        Device.objects.filter(pk=company.numbers["device_id"]).update(
            name=company.world.devices["laptop"].name
        )
    assert changed == set()


def visit(changed: set[str], *codes: str) -> Visit:
    return Visit(
        method="post",
        address="/",
        status=302,
        changed=frozenset(changed),
        codes=codes,
    )


def test_a_change_without_an_event_is_silent() -> None:
    assert visit({"peers.Device"}).is_silent
    assert not visit({"peers.Device"}, "DV009I").is_silent
    assert not visit(set()).is_silent
