"""Pages of access reviews: who sees what, deciding, finishing, what they say."""

from __future__ import annotations

import csv
import io
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from pytest_django import DjangoAssertNumQueries

from audit.models import AuditEvent
from peers.models import Device
from policies.models import (
    Application,
    CampaignState,
    Decision,
    Grant,
    ReviewCampaign,
    ReviewItem,
)
from portal.accounts.models import Group, User
from tests.conftest import MakeUser, SignIn
from tests.policies.campaigns import decide, finish, keep, remove, review
from tests.policies.makers import NOW, make_grant
from tests.policies.requests import group_of
from tests.portal.console.confirming import confirm, shown

pytestmark = pytest.mark.django_db
STALE = timedelta(hours=2)


@pytest.fixture
def campaign(
    wiki: Application, alices_grant: Grant, bob: User, clock: datetime
) -> ReviewCampaign:
    """Bob reviews alice's access to the wiki, for two weeks from now."""
    return review(wiki, by=(bob,), due=clock + timedelta(days=14), now=clock)


def url(name: str, campaign: ReviewCampaign) -> str:
    return reverse(f"console:{name}", args=[campaign.pk])


def choice(item: ReviewItem | None = None) -> str:
    found = item or ReviewItem.objects.get()
    return f"{found.pk}.{found.revision}"


def codes(code: str) -> list[AuditEvent]:
    return [*AuditEvent.objects.filter(code=code).order_by("pk")]


def text(response: Any) -> str:  # noqa: ANN401 -- the test client's own type
    return str(response.content.decode())


def asking(*applications: Application, **more: object) -> dict[str, object]:
    return {
        "title": "autumn",
        "applications": [row.pk for row in applications],
        "reviewers": "",
        **more,
    }


# What mallory, who reviews nothing, bob, who reviews, and carol, who audits, get.
PAGES = {
    "reviews/{}/": (404, 200, 200),
    "reviews/{}/result/": (404, 200, 200),
    "manage/reviews/start/": (403, 403, 403),
    "manage/reviews/{}/finish/": (403, 403, 403),
    "manage/reviews/{}/call-off/": (403, 403, 403),
}


@pytest.mark.parametrize("path", PAGES)
def test_each_page_opens_to_those_it_is_for(
    path: str,
    campaign: ReviewCampaign,
    mallory: User,
    bob: User,
    carol: User,
    sign_in: SignIn,
) -> None:
    address = "/" + path.format(campaign.pk)
    assert Client().get(address)["Location"].startswith("/accounts/login/")
    found = [sign_in(who).get(address).status_code for who in (mallory, bob, carol)]
    assert tuple(found) == PAGES[path]


def test_a_reviewer_finds_their_review_and_nobody_else_does(
    campaign: ReviewCampaign, bob: User, mallory: User, sign_in: SignIn
) -> None:
    assert "autumn" in text(sign_in(bob).get("/reviews/"))
    assert "To review" in text(sign_in(bob).get("/requests/"))
    empty = text(sign_in(mallory).get("/reviews/"))
    assert "autumn" not in empty
    assert "No access review" in empty
    assert "To review" not in text(sign_in(mallory).get("/requests/"))


def test_the_list_is_filtered_by_state(
    campaign: ReviewCampaign, carol: User, sign_in: SignIn
) -> None:
    browser = sign_in(carol)
    assert "autumn" in text(browser.get("/reviews/?state=open"))
    assert "No review fits" in text(browser.get("/reviews/?state=finished"))


def test_an_item_says_who_could_by_what_and_what_they_did(
    campaign: ReviewCampaign, bob: User, sign_in: SignIn
) -> None:
    page = text(sign_in(bob).get(url("review", campaign)))
    for words in ("Alice → wiki", "alice@example.test", "new, not used", "undecided"):
        assert words in page
    (event,) = codes("AU011")
    assert event.details == {"question": "review", "target": campaign.ref.id}


def test_one_is_kept_by_its_own_button(
    campaign: ReviewCampaign, bob: User, sign_in: SignIn
) -> None:
    page = sign_in(bob).post(
        url("review", campaign), {"keep_one": choice()}, follow=True
    )
    assert "Decided: 1 item." in text(page)
    assert ReviewItem.objects.get().decision == "keep"


def test_to_remove_a_note_is_asked_for_and_what_was_ticked_stays_ticked(
    campaign: ReviewCampaign, bob: User, sign_in: SignIn
) -> None:
    browser = sign_in(bob)
    page = text(browser.post(url("review", campaign), {"remove_one": choice()}))
    assert "say why it is removed" in page
    assert f'value="{choice()}" aria-label="Alice: Alice → wiki" checked' in page
    browser.post(
        url("review", campaign),
        {"item": choice(), "decision": "remove", "note": "left the team"},
    )
    found = ReviewItem.objects.get()
    assert (found.decision, found.note) == ("remove", "left the team")


@pytest.mark.parametrize(
    ("sent", "said"),
    [
        ({"decision": "keep"}, "Tick the items"),
        ({"decision": "maybe", "item": "1.0"}, "Say whether to keep"),
        ({"decision": "keep", "item": "x"}, "Tick the items"),
        ({"decision": "keep", "item": "999999.0"}, "does not review all of this"),
    ],
    ids=["nothing", "neither", "nonsense", "of nobody"],
)
def test_what_cannot_be_decided_is_told_and_changes_nothing(
    sent: dict[str, str],
    said: str,
    campaign: ReviewCampaign,
    bob: User,
    sign_in: SignIn,
) -> None:
    assert said in text(sign_in(bob).post(url("review", campaign), sent))
    assert ReviewItem.objects.get().decision == ""


def test_all_that_a_filter_finds_is_decided_at_once(
    wiki: Application, make_user: MakeUser, dave: User, bob: User, sign_in: SignIn
) -> None:
    people = [make_user(f"user{number}") for number in range(60)]
    make_grant(wiki, group=group_of(*people))
    make_grant(wiki, user=bob)
    campaign = review(wiki, by=(dave,))
    browser = sign_in(dave)
    keep(campaign, people[7], by=dave)
    page = text(browser.get(url("review", campaign) + "?q=user"))
    assert "All 59 undecided items that the filter finds" in page
    browser.post(
        url("review", campaign) + "?q=user",
        {"everything": "on", "decision": "remove", "note": "cleaning"},
    )
    said = ReviewItem.objects.exclude(person=bob).values_list("decision", flat=True)
    assert sorted(said) == ["keep", *["remove"] * 59]
    assert ReviewItem.objects.get(person=bob).decision == ""


def test_what_somebody_else_decided_meanwhile_is_told(
    campaign: ReviewCampaign, bob: User, dave: User, sign_in: SignIn
) -> None:
    stale = choice()
    decide(campaign, Decision.REMOVE, by=dave)
    page = text(
        sign_in(bob).post(url("review", campaign), {"keep_one": stale}, follow=True)
    )
    assert "Decided by somebody else meanwhile, look again: Alice." in page
    assert ReviewItem.objects.get().decision == "remove"


def test_the_same_again_is_told_and_changes_nothing(
    campaign: ReviewCampaign, bob: User, sign_in: SignIn
) -> None:
    keep(campaign, by=bob)
    page = sign_in(bob).post(
        url("review", campaign), {"keep_one": choice()}, follow=True
    )
    assert "It was decided like that already." in text(page)
    assert len(codes("RQ007")) == 1


def test_who_decides_too_late_is_told(
    campaign: ReviewCampaign, bob: User, sign_in: SignIn
) -> None:
    keep(campaign, by=bob)
    finish(campaign)
    late = {"remove_one": choice(), "note": "late"}
    assert "is finished already" in text(
        sign_in(bob).post(url("review", campaign), late)
    )
    assert ReviewItem.objects.get().decision == "keep"


def test_nobody_can_tick_their_own(
    wiki: Application, bob: User, dave: User, sign_in: SignIn
) -> None:
    make_grant(wiki, user=bob)
    campaign = review(wiki, by=(bob, dave))
    browser = sign_in(bob)
    page = text(browser.get(url("review", campaign)))
    assert "yours" in page
    assert 'name="item"' not in page
    said = browser.post(url("review", campaign), {"keep_one": choice()})
    assert "nobody decides about their own access" in text(said)


def test_an_auditor_sees_it_and_decides_nothing(
    campaign: ReviewCampaign, carol: User, sign_in: SignIn
) -> None:
    browser = sign_in(carol)
    page = text(browser.get(url("review", campaign)))
    assert 'name="item"' not in page
    assert "Finish" not in page
    for name in ("review", "finish_review", "call_off_review"):
        assert browser.post(url(name, campaign), {}).status_code == 403
    assert not ReviewItem.objects.exclude(decision="").exists()


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ("q=alice", True),
        ("q=wiki", True),
        ("q=zoe", False),
        ("decision=none", True),
        ("decision=keep", False),
        ("use=never", True),
        ("use=used", False),
        ("follow_up=yes", False),
        ("decision=nonsense", True),
    ],
)
def test_items_are_filtered(
    asked: str,
    found: bool,
    campaign: ReviewCampaign,
    bob: User,
    sign_in: SignIn,
) -> None:
    page = text(sign_in(bob).get(f"{url('review', campaign)}?{asked}"))
    assert ("Alice → wiki" in page) is found
    assert ("No item fits" in page) is not found


def test_an_administrator_sees_how_large_it_would_be_and_starts_it(
    wiki: Application, alices_grant: Grant, dave: User, clock: datetime, sign_in: SignIn
) -> None:
    browser = sign_in(dave)
    due = f"{clock + timedelta(days=7):%Y-%m-%d}"
    sent = asking(wiki, due=due)
    page = text(browser.post(reverse("console:start_review"), sent))
    assert "<strong>1</strong> item of <strong>1</strong> person" in page
    assert "Dave" in page
    assert not ReviewCampaign.objects.exists()
    again = browser.post(reverse("console:start_review"), {**sent, "again": ""})
    assert "Show what would be asked" in text(again)
    browser.post(reverse("console:start_review"), {**sent, "start": ""})
    made = ReviewCampaign.objects.get()
    assert (made.title, f"{made.due_at:%Y-%m-%d %H:%M}") == ("autumn", f"{due} 23:59")
    assert made.started_by == "Dave"


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"applications": []}, "Choose applications or groups"),
        ({"reviewers": "nobody@example.test"}, "name nobody"),
        ({"reviewers": "carol"}, "is an auditor"),
        ({"due": "2020-01-01"}, "is past"),
        ({"title": "a\x01b"}, ""),
    ],
    ids=["nothing", "nobody", "auditor", "past", "control"],
)
def test_what_cannot_be_started_is_told_on_the_form(
    changed: dict[str, object],
    said: str,
    wiki: Application,
    alices_grant: Grant,
    carol: User,
    dave: User,
    clock: datetime,
    sign_in: SignIn,
) -> None:
    due = f"{clock + timedelta(days=7):%Y-%m-%d}"
    sent = {**asking(wiki, due=due), **changed, "start": ""}
    page = text(sign_in(dave).post(reverse("console:start_review"), sent))
    assert "Show what would be asked" in page
    assert said in page
    assert not ReviewCampaign.objects.exists()


def test_an_application_leads_to_its_review(
    wiki: Application, dave: User, sign_in: SignIn
) -> None:
    browser = sign_in(dave)
    page = text(browser.get(reverse("console:application", args=[wiki.pk])))
    link = f"{reverse('console:start_review')}?applications={wiki.pk}"
    assert link in page
    assert f'<option value="{wiki.pk}" selected>wiki' in text(browser.get(link))


def test_the_finish_names_what_stops_for_whom_and_does_it(
    campaign: ReviewCampaign,
    alices_grant: Grant,
    laptop: Device,
    bob: User,
    dave: User,
    sign_in: SignIn,
) -> None:
    decide(campaign, Decision.REMOVE, by=bob, note="left the team")
    browser = sign_in(dave)
    page = text(browser.get(url("finish_review", campaign)))
    for words in ("1 item ends now", "Alice → wiki", "left the team", "loses"):
        assert words in page
    sent = {"seen": seen_on(page)}
    confirm(browser, url("finish_review", campaign), sent, confirmed="on")
    alices_grant.refresh_from_db()
    assert alices_grant.ended_at is not None
    result = text(browser.get(url("review", campaign)))
    assert "1 removed" in result
    assert 'name="item"' not in result


def seen_on(page: str) -> str:
    return page.split('name="seen" value="')[1][:64]


def test_what_was_decided_since_the_look_is_not_finished_unseen(
    campaign: ReviewCampaign, bob: User, dave: User, sign_in: SignIn
) -> None:
    keep(campaign, by=bob)
    browser = sign_in(dave)
    page = browser.get(url("finish_review", campaign))
    sent = {"seen": seen_on(text(page)), "effect": shown(page)}
    remove(campaign, by=bob)
    said = browser.post(url("finish_review", campaign), sent, follow=True)
    assert "something was decided since you looked" in text(said)
    campaign.refresh_from_db()
    assert campaign.is_open


def test_what_is_undecided_is_told_instead_of_finished(
    campaign: ReviewCampaign, dave: User, sign_in: SignIn
) -> None:
    page = sign_in(dave).get(url("finish_review", campaign), follow=True)
    assert "1 items are undecided" in text(page)
    # Somebody only looked.
    assert not codes("RQ006")


def test_what_a_human_has_to_remove_is_said_before_and_after(
    wiki: Application,
    engineering: Group,
    alice: User,
    bob: User,
    dave: User,
    sign_in: SignIn,
) -> None:
    make_grant(wiki, group=engineering)
    campaign = review(wiki, by=(dave,))
    remove(campaign, alice, by=dave)
    keep(campaign, bob, by=dave)
    browser = sign_in(dave)
    how = "must be removed at the identity provider"
    assert how in text(browser.get(url("review", campaign)))
    before = text(browser.get(url("finish_review", campaign)))
    assert "1 removal is left to be carried out elsewhere" in before
    assert how in before
    finish(campaign)
    address = url("review", campaign) + "?follow_up=yes"
    after = text(browser.get(address))
    assert "still there" in after
    engineering.membership_set.filter(user=alice).delete()
    assert "gone by now" in text(browser.get(address))


def test_a_removal_says_when_another_grant_gives_it_still(
    campaign: ReviewCampaign,
    wiki: Application,
    alice: User,
    bob: User,
    carol: User,
    sign_in: SignIn,
) -> None:
    remove(campaign, by=bob)
    finish(campaign)
    words, browser = "reaches wiki still, by another grant", sign_in(carol)
    assert words not in text(browser.get(url("review", campaign)))
    make_grant(wiki, user=alice)
    assert words in text(browser.get(url("review", campaign)))
    (row,) = csv.DictReader(
        io.StringIO(text(browser.get(url("review_result", campaign))))
    )
    assert (row["is_still_held"], row["is_still_reached"]) == ("False", "True")


def test_rows_that_were_changed_afterwards_are_told(
    campaign: ReviewCampaign, bob: User, carol: User, sign_in: SignIn
) -> None:
    keep(campaign, by=bob)
    finish(campaign)
    browser = sign_in(carol)
    words = "is not what the log says"
    assert words not in text(browser.get(url("review", campaign)))
    ReviewItem.objects.update(decision="remove", note="forged")
    assert words in text(browser.get(url("review", campaign)))


def test_a_late_review_is_shown_in_red(
    campaign: ReviewCampaign, bob: User, carol: User, clock: datetime, sign_in: SignIn
) -> None:
    ReviewCampaign.objects.update(
        started_at=clock - timedelta(days=9), due_at=clock - timedelta(days=2)
    )
    assert "overdue" in text(sign_in(carol).get("/reviews/"))
    page = text(sign_in(bob).get(url("review", campaign)))
    assert "alert-danger" in page
    assert "recorded as undecided" in page


def test_a_review_is_called_off_for_a_reason(
    campaign: ReviewCampaign, dave: User, sign_in: SignIn
) -> None:
    browser = sign_in(dave)
    address = url("call_off_review", campaign)
    assert "Nothing is applied" in text(browser.get(address))
    browser.post(address, {"reason": " "})
    assert ReviewCampaign.objects.get().is_open
    browser.post(address, {"reason": "wrong application"})
    found = ReviewCampaign.objects.get()
    assert (found.state, found.reason) == (
        CampaignState.CALLED_OFF,
        "wrong application",
    )
    assert "called off already" in text(browser.post(address, {"reason": "again"}))


def test_changes_demand_a_fresh_sign_in(
    campaign: ReviewCampaign, dave: User, sign_in: SignIn
) -> None:
    browser = sign_in(dave, age=STALE)
    for address in (
        reverse("console:start_review"),
        url("finish_review", campaign),
        url("call_off_review", campaign),
    ):
        answer = browser.post(address, {"reason": "x"})
        assert answer["Location"].startswith("/accounts/confirm/")
    assert ReviewCampaign.objects.get().is_open


@pytest.mark.parametrize("name", ["reviews", "review_result"])
def test_what_is_read_is_not_posted(
    name: str, campaign: ReviewCampaign, dave: User, sign_in: SignIn
) -> None:
    args = [campaign.pk] if name == "review_result" else []
    address = reverse(f"console:{name}", args=args)
    assert sign_in(dave).post(address).status_code == 405


def test_a_copy_holds_every_item_that_the_reader_sees_without_formulas(
    campaign: ReviewCampaign, alice: User, bob: User, sign_in: SignIn
) -> None:
    User.objects.filter(pk=alice.pk).update(name="=cmd()")
    decide(campaign, Decision.REMOVE, by=bob, note="+1")
    finish(campaign)
    answer = sign_in(bob).get(url("review_result", campaign))
    assert answer["Content-Type"] == "text/csv; charset=utf-8"
    (row,) = csv.DictReader(io.StringIO(text(answer), newline=""))
    assert (row["person"], row["note"]) == ("'=cmd()", "'+1")
    assert (row["decision"], row["outcome"], row["is_applied"]) == (
        "remove",
        "ended",
        "True",
    )
    assert codes("AU011")[-1].details["format"] == "csv"


def test_the_number_of_queries_does_not_grow_with_items(
    wiki: Application,
    make_user: MakeUser,
    dave: User,
    sign_in: SignIn,
    django_assert_max_num_queries: DjangoAssertNumQueries,
) -> None:
    make_grant(wiki, group=group_of(*(make_user(f"user{n}") for n in range(40))))
    campaign = review(wiki, by=(dave,), now=NOW)
    browser = sign_in(dave)
    browser.get(url("review", campaign))
    with django_assert_max_num_queries(26):
        browser.get(url("review", campaign))
