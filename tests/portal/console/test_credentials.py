"""Credentials of programs: made with a recent proof, shown once, revoked on purpose."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import pytest
from pytest_django import DjangoAssertNumQueries

from audit.models import AuditEvent
from portal.accounts import credentials
from portal.accounts.models import ApiCredential, Role, User
from tests.conftest import SignIn
from tests.portal.credentials import MakeKey, make_key

__all__ = ["make_key"]
pytestmark = pytest.mark.django_db
LIST = "/manage/credentials/"
ADD = "/manage/credentials/add/"
SECRET = re.compile(r"peerage_ac_[0-9]+_[A-Za-z0-9_-]{43}")


def filled(**changed: object) -> dict[str, object]:
    return {
        "name": "pipeline",
        "kind": "api_key",
        "scopes": ["policy:read"],
        "days": "30",
        **changed,
    }


@pytest.mark.parametrize("kind", ["api_key", "oauth_client"])
def test_the_secret_is_shown_once(kind: str, dave: User, sign_in: SignIn) -> None:
    browser = sign_in(dave)
    answer = browser.post(ADD, filled(kind=kind))
    (secret,) = set(SECRET.findall(answer.content.decode()))
    made = ApiCredential.objects.get()
    assert "no-store" in answer["Cache-Control"]
    assert (made.creator, made.kind, made.scopes) == (dave, kind, "policy:read")
    assert made.expires_at - made.created_at == timedelta(days=30)
    now = datetime.now(UTC)  # noqa: TID251 -- a test's edge
    assert (credentials.caller_of(secret, now=now) is None) is (kind == "oauth_client")
    assert not SECRET.search(browser.get(LIST).content.decode())
    assert AuditEvent.objects.get(code="AU007").actor_label == "Dave"


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"name": ""}, "required"),
        ({"name": "a\u202eb"}, "visible characters"),
        ({"scopes": []}, "required"),
        ({"scopes": ["all"]}, "not one of the available"),
        ({"days": "0"}, "greater than or equal to 1"),
        ({"days": "367"}, "less than or equal to 366"),
        ({"kind": "password"}, "not one of the available"),
    ],
)
def test_a_wrong_form_is_said_and_recorded(
    changed: dict[str, object], says: str, dave: User, sign_in: SignIn
) -> None:
    page = sign_in(dave).post(ADD, filled(**changed)).content.decode()
    assert says in page
    assert not ApiCredential.objects.exists()
    assert AuditEvent.objects.get(code="AU007").outcome == "W"


def test_an_administrator_revokes_with_a_reason(
    dave: User, make_key: MakeKey, sign_in: SignIn
) -> None:
    made, secret = make_key(dave)
    browser, url = sign_in(dave), f"{LIST}{made.pk}/revoke/"
    assert made.ref.id in browser.get(url).content.decode()
    assert browser.post(url, {"reason": ""}).status_code == 200
    assert browser.post(url, {"reason": "leaked"})["Location"] == LIST
    made.refresh_from_db()
    assert made.revoked_at is not None
    assert credentials.caller_of(secret, now=made.created_at) is None
    assert AuditEvent.objects.get(code="AU008", outcome="I").reason == "leaked"
    assert browser.get(url)["Location"] == LIST
    assert browser.post(f"{LIST}999999/revoke/").status_code == 404


def test_the_list_says_what_opens_nothing(
    dave: User, carol: User, make_key: MakeKey, sign_in: SignIn
) -> None:
    make_key(dave)
    User.objects.filter(pk=dave.pk).update(role=Role.EMPLOYEE)
    page = sign_in(carol).get(LIST).content.decode()
    for expected in ("pipeline", "Dave", "never", "opens nothing", "policy:write"):
        assert expected in page
    assert "/revoke/" not in page


def test_listing_takes_a_fixed_number_of_queries(
    carol: User,
    dave: User,
    make_key: MakeKey,
    sign_in: SignIn,
    django_assert_num_queries: DjangoAssertNumQueries,
) -> None:
    browser = sign_in(carol)
    counts = []
    for _ in range(2):
        make_key(dave)
        with django_assert_num_queries(4) as queries:
            browser.get(LIST)
        counts.append(len(queries))
    assert counts[0] == counts[1]


@pytest.mark.parametrize("path", ["add/", "{}/revoke/"])
def test_an_old_proof_goes_back_to_the_identity_provider(
    path: str, dave: User, make_key: MakeKey, sign_in: SignIn
) -> None:
    url = LIST + path.format(make_key(dave)[0].pk)
    browser = sign_in(dave, age=timedelta(hours=2))
    for answer in (browser.get(url), browser.post(url, filled(reason="x"))):
        assert answer["Location"].startswith("/accounts/confirm/?next=")
    assert ApiCredential.objects.get().revoked_at is None
