"""Every page in both widths and both lights: nothing sticks out, nothing is blocked."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final

import pytest

from audit.actor import SYSTEM
from audit.models import AuditEvent, Connection, Log
from audit.search.filters import Decision, Filter
from audit.search.saved import save_search
from peers.services import approve_device
from policies.conditions import ConditionsInput, parse_window
from policies.models import GatewayRecovery, Revocation, RevocationTarget
from policies.services import create_grant
from tests.browser.alarms import make_alarms
from tests.browser.conftest import MakeWindow, Window
from tests.browser.contrast import PALE
from tests.browser.reviews import make_reviews
from tests.browser.streams import make_streams
from tests.browser.world import World, make_world

pytestmark = [pytest.mark.django_db(transaction=True)]
WindowOf = Callable[..., Window]

STICKS_OUT: Final = """
  document.documentElement.scrollWidth - document.documentElement.clientWidth
"""
UNLABELLED: Final = """
  [...document.querySelectorAll("input, select, textarea")]
    .filter((field) => field.type !== "hidden" && field.labels.length === 0
      && !field.ariaLabel && !field.title)
    .map((field) => field.outerHTML)
"""
NAMELESS: Final = """
  [...document.querySelectorAll("a, button")]
    .filter((item) => !item.innerText.trim() && !item.ariaLabel
      && !item.textContent.trim() && !item.querySelector("img[alt]:not([alt=''])"))
    .map((item) => item.outerHTML)
"""


def pages(world: World, now: datetime) -> list[tuple[str, str]]:
    """Return who looks at what."""
    alice, berlin = world.people["alice"], world.gateways["berlin"]
    laptop, wiki = world.devices["laptop"], world.applications["wiki"]
    database = world.applications["database"]
    revocation = Revocation.objects.create(
        user=alice, requested_at=now, committed_at=now, reason="x", actor_label="Dave"
    )
    RevocationTarget.objects.create(
        revocation=revocation,
        gateway=berlin,
        enforced_at=now + timedelta(milliseconds=70),
        flows_cut=2,
    )
    ahead = GatewayRecovery.objects.create(
        gateway=berlin, epoch=1, generation=99, noticed_at=now, keys_forgotten=3
    )
    ahead.devices.add(laptop)
    desk = world.devices["desk"]
    approve_device(device=desk, actor=SYSTEM, now=now)
    create_grant(
        application=database,
        user=alice,
        conditions=ConditionsInput(
            time_zone="Europe/Berlin",
            windows=(parse_window("mon-fri 08:00-18:00"),),
            max_auth_age_seconds=28_800,
            amr=("mfa",),
            needs_approved_device=True,
        ),
        actor=SYSTEM,
        now=now,
    )
    granted, waiting = world.requests["granted"], world.requests["waiting"]
    asked = (
        "/requests/",
        "/requests/new/",
        f"/requests/new/{wiki.pk}/",
        f"/requests/{granted.pk}/",
        f"/requests/{granted.pk}/end/",
        f"/requests/{waiting.pk}/cancel/",
        "/requests/inbox/",
    )
    answers = (
        "/requests/",
        "/requests/inbox/",
        f"/requests/{waiting.pk}/",
        f"/requests/{waiting.pk}/approve/",
        f"/requests/{waiting.pk}/refuse/",
        "/manage/requests/",
        f"/manage/applications/{wiki.pk}/requests/",
    )
    own = (
        "/devices/",
        "/devices/add/",
        "/access/",
        "/activity/",
        "/accounts/sessions/",
    )
    detail = (f"/devices/{laptop.pk}/", f"/devices/{laptop.pk}/revoke/")
    manage = (
        "/manage/users/",
        f"/manage/users/{alice.pk}/",
        f"/manage/users/{alice.pk}/revoke/",
        "/manage/devices/",
        f"/manage/devices/{laptop.pk}/approve/",
        f"/manage/devices/{desk.pk}/withdraw/",
        "/manage/users/revoke/",
        "/manage/applications/",
        f"/manage/applications/{wiki.pk}/",
        f"/manage/applications/{wiki.pk}/edit/",
        f"/manage/applications/{wiki.pk}/delete/",
        f"/manage/applications/{database.pk}/",
        f"/manage/applications/{database.pk}/edit/",
        "/manage/grants/",
        "/manage/grants/add/",
        f"/manage/grants/{world.grants['wiki'].pk}/end/",
        "/manage/labels/",
        "/manage/labels/add/",
        *(f"/manage/labels/{label.pk}/" for label in world.labels.values()),
        *(f"/manage/labels/{label.pk}/delete/" for label in world.labels.values()),
        f"/manage/labels/grants/{world.label_grant.pk}/end/",
        "/manage/locks/",
        "/manage/locks/?state=all",
        "/manage/locks/add/",
        f"/manage/locks/add/user/{alice.pk}/",
        f"/manage/locks/{world.lock.pk}/lift/",
        "/manage/gateways/",
        "/manage/gateways/add/",
        f"/manage/gateways/{berlin.pk}/",
        f"/manage/gateways/{berlin.pk}/retire/",
        "/manage/gateways/recovery/",
        "/manage/gateways/recovery/begin/",
        "/manage/credentials/",
        "/manage/credentials/add/",
        f"/manage/credentials/{world.credential.pk}/revoke/",
        "/manage/revocations/",
        f"/manage/revocations/{revocation.pk}/",
    )
    target = "destination=10.20.1.8&port=443"
    questions = (
        "/manage/explain/",
        "/manage/explain/policy/",
        f"/manage/explain/?person={alice.ref.id}&{target}",
        f"/manage/explain/?person={alice.ref.id}&{target}&protocol=udp",
        "/manage/reach/applications/",
        f"/manage/reach/applications/?application={wiki.pk}",
        f"/manage/reach/people/?person={alice.ref.id}",
        f"/manage/reach/changes/?since={now - timedelta(hours=9):%Y-%m-%dT%H:%M:%S}",
    )
    source = Connection.objects.filter(person_id=alice.ref.id)[0].source
    saved = save_search(
        log=Log.CONNECTIONS,
        name="Denied to anybody on port 443, the whole of last week",
        filters=Filter(port=443, verdict=Decision.DENIED),
        is_shared=True,
        owner=world.people["dave"].ref,
        actor=SYSTEM,
        now=now,
    )
    looking = (
        "/audit/searches/",
        "/audit/searches/add/connections/?port=443",
        f"/audit/searches/{saved.pk}/remove/",
    )
    audit = (
        "/audit/connections/",
        f"/audit/connections/?q=alice+wiki&last=day&port=443&person={alice.ref.id}",
        f"/audit/connections/?verdict=denied&person={alice.ref.id}",
        f"/audit/timeline/person/{alice.ref.id}/?last=day",
        f"/audit/timeline/application/{wiki.ref.id}/",
        f"/audit/used/applications/{wiki.pk}/",
        f"/audit/used/people/{alice.pk}/",
        "/audit/addresses/",
        f"/audit/addresses/?address={source}",
        "/audit/addresses/?address=100.64.0.0/10",
        f"/audit/connections/{Connection.objects.order_by('pk')[0].pk}/",
        f"/audit/connections/{Connection.objects.order_by('pk')[0].pk}/receipt/",
        "/audit/events/",
        "/audit/events/codes/",
        "/audit/witnesses/",
        "/audit/retention/",
        f"/audit/events/{AuditEvent.objects.order_by('pk')[0].uid}/",
    )
    streams = [stream.pk for stream in make_streams(now)]
    flowing = (
        "/audit/evidence/",
        "/audit/streams/",
        "/audit/streams/add/",
        *(f"/audit/streams/{number}/" for number in streams),
        f"/audit/streams/{streams[0]}/edit/",
        f"/audit/streams/{streams[0]}/stop/",
        f"/audit/streams/{streams[1]}/secret/",
    )
    return [
        *(("alice", path) for path in (*own, *asked, *detail)),
        *(("dave", path) for path in flowing),
        *(("dave", path) for path in (*manage, *answers, *looking)),
        *(("carol", path) for path in (*audit, *questions)),
        ("alice", f"/access/explain/?{target}"),
    ]


@pytest.mark.parametrize(
    ("width", "light"), [(375, "dark"), (1280, "light"), (1280, "dark")]
)
def test_no_page_sticks_out_or_breaks_a_rule(
    width: int, light: str, clock: datetime, window_of: WindowOf
) -> None:
    world = make_world(clock)
    size = {"width": width, "height": 800}
    windows = {
        name: window_of(world.people[name], color_scheme=light, viewport=size)
        for name in ("alice", "dave", "carol")
    }
    wrong = {}
    made = (*make_reviews(world, clock), *make_alarms(world, clock))
    for name, path in [*pages(world, clock), *(("dave", path) for path in made)]:
        window = windows[name]
        window.open(path)
        found = [
            *window.violations,
            *window.problems,
            *window.page.evaluate(UNLABELLED),
            *window.page.evaluate(NAMELESS),
            *window.page.evaluate(PALE),
        ]
        window.problems.clear()
        if window.page.evaluate(STICKS_OUT) > 0:
            found.append("sticks out")
        if found:
            wrong[path] = found
    assert wrong == {}


def test_the_light_follows_the_system_and_then_the_button(window: MakeWindow) -> None:
    dark = window(color_scheme="dark")
    dark.open("/accounts/login/")
    chosen = "document.documentElement.dataset.bsTheme"
    assert dark.page.evaluate(chosen) == "dark"
    dark.page.click("text=Light or dark")
    assert dark.page.evaluate(chosen) == "light"
    dark.open("/accounts/login/")
    assert dark.page.evaluate(chosen) == "light"


def test_the_menu_of_a_phone_opens_and_closes_by_keyboard(
    clock: datetime, window_of: WindowOf
) -> None:
    world = make_world(clock)
    phone = window_of(world.people["alice"], viewport={"width": 375, "height": 800})
    phone.open("/devices/")
    assert not phone.page.is_visible("nav >> text=My access")
    phone.page.focus("[data-menu-toggle]")
    phone.page.keyboard.press("Enter")
    assert phone.page.is_visible("nav >> text=My access")
    phone.page.keyboard.press("Escape")
    assert not phone.page.is_visible("nav >> text=My access")
    assert phone.page.evaluate("document.activeElement.ariaLabel") == "Menu"


def test_typing_a_name_suggests_people(clock: datetime, window_of: WindowOf) -> None:
    world = make_world(clock)
    window = window_of(world.people["dave"])
    window.open("/manage/grants/add/")
    window.page.type("[name=person]", "ali", delay=30)
    window.page.wait_for_selector("#people option", state="attached")
    option = window.page.get_attribute("#people option", "value")
    assert option == f"Alice Archer ({world.people['alice'].ref.id})"
    assert (window.problems, window.violations) == ([], [])
