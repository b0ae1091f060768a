"""An auditor is shown nothing that they may not do: every link and form of every page.

carol was an employee before: she has a device, she asked, and she was granted.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qsl

import pytest
from django.urls import resolve

from audit.actor import SYSTEM
from policies import services
from portal.accounts.models import Role, User
from portal.auditors import OPEN
from tests.conftest import SignIn
from tests.peers.makers import Machine
from tests.walks.company import Company, moment
from tests.walks.leads import Lead, leads_of
from tests.walks.lines import LINES
from tests.walks.test_every_url import pages
from tests.walks.walker import Walker

if TYPE_CHECKING:
    from tests.walks.walker import Commits

pytestmark = pytest.mark.django_db
API: Final = "api/"
# Nobody walks out of a page by mistake, and these speak with the identity provider.
ELSEWHERE: Final = {"sso_login", "sso_callback", "account_confirm", "account_logout"}


@pytest.fixture
def carol(company: Company) -> User:
    """Return the auditor, with what she had as an employee; porto waits."""
    user, now = company.auditor, moment()
    User.objects.filter(pk=user.pk).update(role=Role.EMPLOYEE)
    user.refresh_from_db()
    device = Machine().enroll(user, name="old laptop", now=now)
    asked = [
        services.request_access(
            application=company.world.applications[name],
            requester=user,
            reason="before",
            duration=timedelta(hours=4),
            actor=SYSTEM,
            now=now,
        )
        for name in ("wiki", "database")
    ]
    services.approve_request(
        request=asked[1],
        reviewer=company.owner,
        note="",
        actor=SYSTEM,
        now=now,
    )
    services.update_request_rules(
        application=company.world.applications["database"],
        is_requestable=True,
        owner=user,
        approver_group=None,
        needs_two_approvals=False,
        actor=SYSTEM,
        now=now,
    )
    User.objects.filter(pk=user.pk).update(role=Role.AUDITOR)
    user.refresh_from_db()
    company.numbers["own device"] = device.pk
    company.numbers["own requests"] = [one.pk for one in asked]
    return user


class Reading:
    """Follows an auditor's pages from each to all that it leads to."""

    def __init__(self, walker: Walker) -> None:
        """Have read nothing."""
        self.walker = walker
        self.read: set[str] = set()
        self.tried: set[tuple[str, ...]] = set()
        self.wrong: list[str] = []

    def follow(self, address: str) -> None:
        """Read a page, once, and try all that it leads to."""
        waiting = [address]
        while waiting:
            waiting += self._leads(waiting.pop())

    def _leads(self, address: str) -> list[str]:
        path = address.partition("?")[0]
        if path in self.read or name_of(path) in ELSEWHERE:
            return []
        answer = self.walker.client.get(address)
        if answer.status_code != 200 or "html" not in answer["Content-Type"]:
            return []
        self.read.add(path)
        following = []
        for lead in leads_of(address, answer.content.decode()):
            if shape(lead) not in self.tried:
                self.tried.add(shape(lead))
                self._try(lead, address)
                following += [lead.address] if lead.method == "get" else []
        return following

    def _try(self, lead: Lead, origin: str) -> None:
        name = name_of(lead.address)
        if name in ELSEWHERE:
            return
        visit = self.walker.visit(lead.method, lead.address)
        is_open = lead.method == "get" or name in OPEN
        if visit.is_closed or visit.status >= 500 or visit.changed or not is_open:
            self.wrong.append(f"{visit}, from {origin}")


def shape(lead: Lead) -> tuple[str, ...]:
    """Return what is alike in links that differ in what they ask for alone."""
    path, _, query = lead.address.partition("?")
    return (lead.method, path, *sorted(name for name, _ in parse_qsl(query)))


def name_of(address: str) -> str:
    """Return the name of the view behind an address."""
    return resolve(address.partition("?")[0]).view_name


def test_nothing_that_an_auditor_sees_is_refused_or_changes_anything(
    company: Company, carol: User, commits: Commits, sign_in: SignIn
) -> None:
    walker = Walker(company, sign_in(carol), commits)
    reading = Reading(walker)
    for route in pages():
        if not route.startswith(API):
            reading.follow(walker.address(route, LINES[route]))
    assert sorted(reading.wrong) == []
    own = {f"/requests/{pk}/" for pk in company.numbers["own requests"]}
    assert reading.read >= own | {f"/devices/{company.numbers['own device']}/"}
