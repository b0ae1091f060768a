"""What others wrote: names of somebody forgotten go, and ordinary words stay."""

from __future__ import annotations

import io
import unicodedata
from typing import Literal

import pytest
from django.core.management import call_command

from audit.actor import SYSTEM
from audit.events import EventCode
from audit.models import AuditEvent
from audit.retention.blanking import is_telling
from audit.services import record
from peers.models import Device
from portal import erasure
from portal.accounts.models import User
from tests.portal.test_erasure import WHY, company, erase, gone
from tests.walks.company import Company, moment

__all__ = ["company", "gone"]


def about_bob(company: Company, reason: str) -> AuditEvent:
    """Let an event be about somebody else."""
    bob = company.world.people["bob"].ref
    return record(
        EventCode.USER_LOGOUT, person=bob, actor=SYSTEM, now=moment(), reason=reason
    )


def call_device(owner: User, name: str) -> None:
    device = Device.objects.filter(owner=owner)[0]
    device.name = name
    device.save()


@pytest.mark.parametrize("name", ["the", "wiki", "laptop", "Dave Dyer", "revoked from"])
def test_what_a_device_is_called_takes_nothing_from_events_about_others(
    gone: User, company: Company, name: str
) -> None:
    """Who leaves chose it: they would choose which evidence goes."""
    event = about_bob(company, "revoked from the wiki: Dave Dyer saw the laptop")
    call_device(gone, name)
    erase(gone)
    event.refresh_from_db()
    assert event.reason.startswith("revoked")
    assert not Device.objects.filter(name=name, owner=gone).exists()


@pytest.mark.parametrize("name", ["the", "wiki", "Al"])
def test_a_short_name_takes_nothing_from_events_about_others(
    gone: User, company: Company, name: str
) -> None:
    event = about_bob(company, "Al was revoked from the wiki")
    gone.name = name
    gone.save()
    erase(gone)
    event.refresh_from_db()
    assert event.reason == "Al was revoked from the wiki"


def test_a_number_as_subject_is_not_taken_out_of_addresses(
    gone: User, company: Company
) -> None:
    event = about_bob(company, "seen at 10.20.1.8")
    gone.subject = gone.username = "8"
    gone.save()
    erase(gone)
    event.refresh_from_db()
    assert event.reason == "seen at 10.20.1.8"


@pytest.mark.parametrize(
    ("name", "telling"),
    [
        ("Al", False),
        ("1234567", False),
        ("12345678", True),
        ("Mark", True),
        ("Al Oz", True),
        ("a@b.test", True),
    ],
)
def test_short_words_and_numbers_tell_nobody(name: str, telling: bool) -> None:
    assert is_telling(name) is telling


def test_a_device_that_is_called_after_them_goes_everywhere(
    gone: User, company: Company
) -> None:
    event = about_bob(company, "found archer-x1 in a taxi")
    call_device(gone, "archer-x1")
    erase(gone)
    event.refresh_from_db()
    assert event.reason == ""


def test_the_address_goes_of_somebody_who_has_no_name(
    gone: User, company: Company
) -> None:
    gone.name, gone.email = "", "nameless@example.test"
    gone.save()
    event = about_bob(company, "asked by nameless@example.test")
    erase(gone)
    event.refresh_from_db()
    assert event.reason == ""


@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_a_name_goes_however_its_letters_are_composed(
    gone: User, company: Company, form: Literal["NFC", "NFD"]
) -> None:
    gone.name = "Zo\u00eb \u00c5ngstr\u00f6m"
    gone.save()
    event = about_bob(company, unicodedata.normalize(form, f"asked by {gone.name}"))
    erase(gone)
    event.refresh_from_db()
    assert event.reason == ""


def test_whoever_runs_it_sees_the_names_and_leaves_ordinary_ones(
    gone: User, company: Company
) -> None:
    gone.name = "Mark"
    gone.save()
    event = about_bob(company, "mark as read")
    said = io.StringIO()
    words = ["erase_person", gone.ref.id, "--reason", WHY]
    call_command(*words, stdout=said)
    sought, _, stays = said.getvalue().partition("and stays")
    assert "'Mark'" in sought
    assert "'Work laptop'" in stays
    done = ["--ordinary", "mark", "--confirm", gone.ref.id]
    call_command(*words, *done, stdout=said)
    assert "and stays 'Mark'" in said.getvalue()
    event.refresh_from_db()
    assert event.reason == "mark as read"
    assert erasure.names_of(User.objects.get(pk=gone.pk)).certain == ()
