"""Pages of labels: made, borne, granted, ended, removed; what stops is named."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from django.test import Client
from django.urls import reverse
from pytest_django import DjangoAssertNumQueries

from audit.actor import SYSTEM
from audit.models import AuditEvent
from peers.models import Gateway
from policies import services
from policies.errors import UnknownLabelError
from policies.models import Application, Grant, Label, LabelGrant
from portal.accounts.models import Group, User
from tests.conftest import SignIn
from tests.policies.makers import NOW, make_application
from tests.portal.console.confirming import confirm

pytestmark = pytest.mark.django_db


@pytest.fixture
def tag(wiki: Application) -> Label:
    """Return a label that the wiki bears."""
    made = services.create_label(name="db", actor=SYSTEM, now=NOW)
    services.label_application(application=wiki, labels=[made], actor=SYSTEM, now=NOW)
    return made


@pytest.fixture
def browser(dave: User, sign_in: SignIn) -> Client:
    return sign_in(dave)


def granting(**given: object) -> dict[str, object]:
    fields = ("person", "group", "application", "label", "expires_at", "reason")
    return {name: given.get(name, "") for name in fields}


def codes() -> list[str]:
    return [*AuditEvent.objects.order_by("pk").values_list("code", flat=True)]


def test_administrator_makes_a_label(browser: Client) -> None:
    response = browser.post("/manage/labels/add/", {"name": "db-prod"}, follow=True)
    assert Label.objects.get().name == "db-prod"
    assert "no application bears it yet" in response.content.decode()


def test_bad_name_is_told_beside_the_field_and_logged(browser: Client) -> None:
    response = browser.post("/manage/labels/add/", {"name": "No Good"})
    assert "cannot be a label" in response.content.decode()
    assert codes()[-1] == "PL020"
    assert not Label.objects.exists()


def test_application_takes_a_label_on_where_it_is_described(
    wiki: Application, gw1: Gateway, alice: User, browser: Client
) -> None:
    made = services.create_label(name="db", actor=SYSTEM, now=NOW)
    services.create_label_grant(label=made, user=alice, actor=SYSTEM, now=NOW)
    fields = {
        "name": wiki.name,
        "destinations": "10.20.0.10/32 tcp/443",
        "gateways": [gw1.pk],
        "labels": [made.pk],
    }
    confirm(browser, reverse("console:edit_application", args=[wiki.pk]), fields)
    assert [*wiki.labels.all()] == [made]
    assert Grant.objects.get(application=wiki).user == alice


def test_label_is_granted_as_an_application_is(
    tag: Label, engineering: Group, browser: Client
) -> None:
    confirm(
        browser, "/manage/grants/add/", granting(group=engineering.pk, label=tag.pk)
    )
    assert LabelGrant.objects.get().group == engineering
    page = browser.get("/manage/grants/").content.decode()
    assert "tag:db" in page


@pytest.mark.parametrize("both", [True, False], ids=["both", "neither"])
def test_grant_is_of_an_application_or_a_label(
    both: bool,
    tag: Label,
    wiki: Application,
    engineering: Group,
    browser: Client,
) -> None:
    what = {"label": tag.pk, "application": wiki.pk} if both else {}
    response = browser.post(
        "/manage/grants/add/", granting(group=engineering.pk, **what)
    )
    assert "Name one application or one label." in response.content.decode()
    assert not Grant.objects.exists()


def test_ending_names_what_stops_and_ends_all_of_it(
    tag: Label, wiki: Application, alice: User, browser: Client
) -> None:
    made = services.create_label_grant(label=tag, user=alice, actor=SYSTEM, now=NOW)
    url = reverse("console:end_label_grant", args=[made.pk])
    assert wiki.name in browser.get(url).content.decode()
    confirm(browser, url)
    assert not Grant.objects.filter(ended_at=None).exists()
    again = browser.get(url, follow=True).content.decode()
    assert "has ended already" in again


def test_a_part_of_a_labels_grant_ends_with_the_whole(
    tag: Label, alice: User, browser: Client
) -> None:
    made = services.create_label_grant(label=tag, user=alice, actor=SYSTEM, now=NOW)
    derived = Grant.objects.get(source=made)
    response = browser.post(reverse("console:end_grant", args=[derived.pk]))
    assert response["Location"] == reverse("console:end_label_grant", args=[made.pk])


def test_label_that_was_never_granted_is_removed(
    tag: Label, wiki: Application, browser: Client
) -> None:
    url = reverse("console:delete_label", args=[tag.pk])
    assert wiki.name in browser.get(url).content.decode()
    browser.post(url)
    assert not Label.objects.exists()


def test_label_that_was_granted_stays(tag: Label, alice: User, browser: Client) -> None:
    services.create_label_grant(label=tag, user=alice, actor=SYSTEM, now=NOW)
    url = reverse("console:delete_label", args=[tag.pk])
    response = browser.post(url)
    assert "the log speaks of it" in response.content.decode()
    assert Label.objects.exists()


def test_the_label_page_names_applications_and_people(
    tag: Label, wiki: Application, alice: User, carol: User, sign_in: SignIn
) -> None:
    services.create_label_grant(label=tag, user=alice, actor=SYSTEM, now=NOW)
    url = reverse("console:label", args=[tag.pk])
    page = sign_in(carol).get(url).content.decode()
    assert wiki.name in page
    assert str(alice) in page
    assert ">End</a>" not in page


def test_people_see_what_a_label_gives_them(
    tag: Label, wiki: Application, alice: User, sign_in: SignIn
) -> None:
    services.create_label_grant(
        label=tag, user=alice, actor=SYSTEM, now=NOW - timedelta(days=1)
    )
    page = sign_in(alice).get("/access/").content.decode()
    assert wiki.name in page
    assert "tag:db" in page


def test_labels_are_below_applications_in_the_menu(tag: Label, browser: Client) -> None:
    page = browser.get(reverse("console:label", args=[tag.pk])).content.decode()
    (current,) = re.findall(r'href="([^"]*)" aria-current="page"', page)
    assert current == reverse("console:applications")


def test_the_grant_list_shows_what_one_label_gives(
    tag: Label, wiki: Application, alice: User, bob: User, browser: Client
) -> None:
    services.create_label_grant(label=tag, user=alice, actor=SYSTEM, now=NOW)
    services.create_grant(application=wiki, user=bob, actor=SYSTEM, now=NOW)
    page = browser.get(f"/manage/grants/?label={tag.pk}").content.decode()
    assert str(alice) in page
    assert str(bob) not in page


def test_label_that_is_removed_meanwhile_is_a_refusal_on_the_page(
    tag: Label,
    wiki: Application,
    gw1: Gateway,
    browser: Client,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def removed(**_given: object) -> None:
        msg = "tag:db was removed meanwhile"
        raise UnknownLabelError(msg)

    monkeypatch.setattr(services, "update_application", removed)
    fields = {
        "name": wiki.name,
        "destinations": "10.20.0.10/32 tcp/443",
        "gateways": [gw1.pk],
        "labels": [tag.pk],
    }
    response = browser.post(reverse("console:edit_application", args=[wiki.pk]), fields)
    assert "tag:db was removed meanwhile" in response.content.decode()


def test_the_list_takes_as_many_queries_for_many_labels(
    tag: Label,
    gw1: Gateway,
    alice: User,
    browser: Client,
    django_assert_num_queries: DjangoAssertNumQueries,
) -> None:
    for number in range(5):
        made = services.create_label(name=f"x{number}", actor=SYSTEM, now=NOW)
        found = make_application(f"a{number}", f"10.7.{number}.1/32", gateways=[gw1])
        services.label_application(
            application=found, labels=[made, tag], actor=SYSTEM, now=NOW
        )
        services.create_label_grant(label=made, user=alice, actor=SYSTEM, now=NOW)
    browser.get("/manage/labels/")
    with django_assert_num_queries(4):
        page = browser.get("/manage/labels/").content.decode()
    assert "tag:x4" in page
