"""GitOps tools against the portal: their whole cycles, with their own judgement."""

from __future__ import annotations

from urllib.parse import urlencode

import pytest
from django.core.cache import cache
from django.test import Client

from audit.actor import Actor
from peers.models import Device, Gateway
from policies import services
from policies.models import Application, Grant, PolicyVersion
from portal.accounts.models import CredentialKind, User
from tests.peers.makers import Machine
from tests.policies.api.gitops import Provider, Pusher, ToolError
from tests.policies.makers import make_grant
from tests.policies.policy_files.makers import grant, source
from tests.portal.credentials import MakeKey, basic, make_key, with_key, with_token

__all__ = ["make_key"]
pytestmark = pytest.mark.django_db
ALICE = "alice@example.test"
BOB = "bob@example.test"

# As somebody wrote it, not in canonical style: the hashes agree all the same.
FILE = """// The policy, reviewed.
{
  "hosts": { "git": "10.2.0.5" },
  "grants": [
    /* one */ {"src": ["alice@example.test"], "dst": ["git"], "ip": ["tcp:443"]}
  ],
  "tests": [{"src": "alice@example.test", "accept": ["git:443"], "deny": ["git:22"]}]
}
"""


@pytest.fixture(autouse=True)
def laptop(alice: User, bob: User, gw1: Gateway, pools: None) -> Device:
    """Alice's laptop; bob has none."""
    cache.clear()
    assert (bob.subject, gw1.name) == ("bob", "gw1")
    return Machine().enroll(alice)


@pytest.fixture
def program(dave: User, make_key: MakeKey) -> Client:
    """A pipeline with an API key."""
    return with_key(make_key(dave)[1])


@pytest.fixture
def pusher(program: Client) -> Pusher:
    """gitops-pusher in a new pipeline."""
    return Pusher(program)


@pytest.fixture
def provider(program: Client) -> Provider:
    """Terraform's provider."""
    return Provider(program)


def held() -> set[str]:
    return {str(row) for row in Grant.objects.filter(ended_at__isnull=True)}


def test_the_pusher_tests_and_applies_and_then_has_nothing_to_do(
    pusher: Pusher,
) -> None:
    assert pusher.test(FILE) == "tested"
    assert held() == set()
    assert pusher.apply(FILE) == "pushed"
    assert held() == {"Alice → git"}
    control, local = pusher.checksums(FILE)
    assert control == local
    assert pusher.apply(FILE) == "no update needed"
    assert pusher.test(FILE) == "no updates found"
    assert PolicyVersion.objects.count() == 1


def test_the_pusher_sees_what_a_page_changed(pusher: Pusher, bob: User) -> None:
    pusher.apply(FILE)
    pusher.printed.clear()
    make_grant(Application.objects.get(), user=bob)
    pusher.fail_on_manual_edits = True
    with pytest.raises(ToolError, match="modified externally"):
        pusher.apply(FILE)
    assert held() == {"Alice → git", "Bob → git"}
    pusher.fail_on_manual_edits = False
    assert pusher.apply(FILE) == "pushed"
    assert pusher.printed == ["modified externally"] * 2
    assert held() == {"Alice → git"}
    assert pusher.apply(FILE) == "no update needed"


def test_a_page_that_takes_its_change_back_is_nothing_to_the_pusher(
    pusher: Pusher, bob: User, actor: Actor
) -> None:
    pusher.apply(FILE)
    pusher.printed.clear()
    made = make_grant(Application.objects.get(), user=bob)
    services.end_grant(grant=made, actor=actor, now=made.created_at)
    assert pusher.apply(FILE) == "no update needed"
    assert pusher.printed == []


def test_of_two_pushers_one_is_told(pusher: Pusher, program: Client) -> None:
    pusher.apply(FILE)
    control, _ = pusher.checksums(FILE)
    Pusher(program).apply(FILE.replace("reviewed", "reviewed twice"))
    answer = program.post(
        pusher.acl,
        FILE.encode(),
        content_type="application/hujson",
        headers={"If-Match": f'"{control}"'},
    )
    assert answer.status_code == 412
    assert answer.json()["message"]


def test_the_pusher_points_at_what_is_wrong(pusher: Pusher) -> None:
    with pytest.raises(ToolError, match=r"^::error file=policy.hujson,line=3,col=3"):
        pusher.test('{\n  "hosts": {},\n  "host": {}\n}')
    with pytest.raises(ToolError, match=r"^::error file=policy.hujson,line=3,col=3"):
        pusher.apply('{\n  "hosts": {},\n  "host": {}\n}')


def test_the_pusher_names_the_tests_that_fail(pusher: Pusher) -> None:
    wrong = FILE.replace('"deny": ["git:22"]', '"accept ": []').replace(
        '"accept ": []', '"deny": ["git:443"]'
    )
    for act in (pusher.test, pusher.apply):
        with pytest.raises(ToolError) as caught:
            act(wrong)
        lines = str(caught.value).splitlines()
        assert lines[:2] == ["test(s) failed", f"For user {ALICE}:"]
        assert "deny 'git:443'" in lines[2]
    assert held() == set()


def test_the_pusher_hits_the_brake_and_somebody_confirms(
    pusher: Pusher, program: Client
) -> None:
    pusher.apply(FILE)
    with pytest.raises(ToolError, match=r"1 of 1 people .* \?confirm=true"):
        pusher.apply("{}")
    assert held() == {"Alice → git"}
    answer = program.post(
        f"{pusher.acl}?confirm=true", "{}", content_type="application/hujson"
    )
    assert answer.status_code == 200
    assert pusher.apply("{}") == "no update needed"


def test_the_pusher_with_an_oauth_client(dave: User, make_key: MakeKey) -> None:
    client, secret = make_key(dave, kind=CredentialKind.OAUTH_CLIENT)
    answer = Client().post(
        "/api/v2/oauth/token",
        urlencode({"grant_type": "client_credentials"}),
        content_type="application/x-www-form-urlencoded",
        headers={"Authorization": basic(client.ref.id, secret)},
    )
    assert answer.json()["token_type"] == "Bearer"
    pusher = Pusher(with_token(answer.json()["access_token"]), tailnet="peerage")
    assert pusher.apply(FILE) == "pushed"
    kept = PolicyVersion.objects.get()
    assert kept.actor_id == client.ref.id


def test_the_pusher_with_a_wrong_key_does_nothing(alice: User) -> None:
    with pytest.raises(ToolError, match="wanted 200 but got 401"):
        Pusher(with_key("peerage_ac_1_" + "x" * 43)).apply(FILE)


def test_terraform_creates_reads_updates_and_resets(provider: Provider) -> None:
    provider.create(FILE)
    assert provider.read() == FILE
    assert provider.read_json()["grants"][0]["dst"] == ["git"]
    both = source(grant(ALICE, "git"), grant(BOB, "git"))
    provider.update(both)
    assert provider.read() == both
    assert held() == {"Alice → git", "Bob → git"}
    provider.destroy()
    assert held() == {"Alice → git", "Bob → git"}


def test_terraforms_reset_is_deny_all_behind_the_brake(
    provider: Provider, settings: object
) -> None:
    provider.create(FILE)
    with pytest.raises(ToolError, match=r"1 of 1 people .*\(409\)$"):
        provider.destroy(reset_acl_on_destroy=True)
    assert held() == {"Alice → git"}
    settings.PEERAGE_POLICY_BRAKE_PERCENT = 100  # type: ignore[attr-defined]
    provider.destroy(reset_acl_on_destroy=True)
    assert held() == set()
    assert provider.read_json() == {"grants": []}


def test_terraform_does_not_take_over_what_is_there(
    provider: Provider, alices_grant: Grant
) -> None:
    with pytest.raises(ToolError, match="overwrite a non-default policy"):
        provider.create(FILE)
    assert held() == {"Alice → wiki"}
    provider.create(
        source(grant(ALICE, "git"), grant(ALICE, "wiki")),
        overwrite_existing_content=True,
    )
    assert held() == {"Alice → git", "Alice → wiki"}


def test_terraform_is_told_by_message_and_status(provider: Provider) -> None:
    with pytest.raises(ToolError, match=r"^line 1, column 2: .*\(400\)$"):
        provider.update('{"unknown": 1}')
    with pytest.raises(ToolError, match=r"\(404\)$"):
        Provider(provider.client, tailnet="other.example").read()
