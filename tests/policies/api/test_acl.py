"""The ACL API: what it answers, when it refuses, and what is kept."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from datetime import timedelta
from hashlib import sha256
from typing import TYPE_CHECKING

import pytest
from django.core.cache import cache
from django.test import Client
from pytest_django import Settings

from audit.events import EventCode
from audit.models import AuditEvent
from peers.models import Device, Gateway
from policies import services
from policies.dialect.formatting import fmt
from policies.dialect.hujson import MAX_BYTES
from policies.models import Application, Grant, PolicyVersion
from policies.policy_files.versions import DENY_ALL
from portal.accounts.api.machines import CALLS_PER_MINUTE, FAILURES_PER_MINUTE
from portal.accounts.credentials import revoke_credential
from portal.accounts.models import Scope, User
from tests.conftest import SignIn
from tests.peers.api.conftest import Bearer, bearer
from tests.peers.makers import Machine
from tests.policies.makers import make_grant
from tests.policies.policy_files.makers import grant, source
from tests.portal.credentials import MakeKey, make_key, with_key, with_token

if TYPE_CHECKING:
    from django.test.client import _MonkeyPatchedWSGIResponse as Answer

    from audit.actor import Actor

__all__ = ["bearer", "make_key"]
pytestmark = pytest.mark.django_db
ACL = "/api/v2/tailnet/-/acl"
ALICE = "alice@example.test"
COMMENTED = """// The policy.
{
  "hosts": {"git": "10.2.0.5", "wiki": "10.1.0.0/24"},
  "grants": [ // who reaches what
    {"src": ["alice@example.test"], "dst": ["git"], "ip": ["tcp:443"]},
  ],
}
"""


@pytest.fixture(autouse=True)
def calm() -> None:
    """Begin with no tries counted."""
    cache.clear()


@pytest.fixture
def laptop(alice: User, pools: None) -> Device:
    """Alice's laptop."""
    return Machine().enroll(alice)


@pytest.fixture
def program(dave: User, make_key: MakeKey) -> Client:
    """A pipeline that may read and write."""
    return with_key(make_key(dave)[1])


def send(program: Client, text: str | bytes, path: str = "", **headers: str) -> Answer:
    """Post a file."""
    body = text if isinstance(text, bytes) else text.encode()
    return program.post(
        f"{ACL}{path}", body, content_type="application/hujson", headers=headers
    )


def etag(text: str) -> str:
    return f'"{sha256(fmt(text).encode()).hexdigest()}"'


def held() -> set[str]:
    """The grants that are open, in words."""
    return {str(row) for row in Grant.objects.filter(ended_at__isnull=True)}


def test_a_file_becomes_the_policy_and_comes_back_as_it_was_sent(
    program: Client, alice: User
) -> None:
    answer = send(program, COMMENTED)
    assert (answer.status_code, answer.content.decode()) == (200, COMMENTED)
    assert answer["ETag"] == etag(COMMENTED)
    assert held() == {"Alice → git"}
    answer = program.get(ACL, headers={"Accept": "application/hujson"})
    assert answer.content.decode() == COMMENTED
    assert answer["Content-Type"] == "application/hujson"
    assert answer["ETag"] == etag(COMMENTED)
    assert answer["Cache-Control"] == "no-store"


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        ("application/json", "application/json"),
        ("text/html, application/json;q=0.9", "application/json"),
        ("application/hujson", "application/hujson"),
        ("application/hujson, application/json", "application/hujson"),
        ("*/*", "application/hujson"),
        ("", "application/hujson"),
    ],
)
def test_json_is_answered_where_it_is_named(
    accept: str, kind: str, program: Client, alice: User
) -> None:
    posted = send(program, COMMENTED, Accept=accept)
    got = program.get(ACL, headers={"Accept": accept})
    assert posted.content == got.content
    assert (posted["Content-Type"], got["Content-Type"]) == (kind, kind)
    assert posted["ETag"] == got["ETag"] == etag(COMMENTED)
    if kind == "application/json":
        assert json.loads(got.content)["grants"][0]["src"] == [ALICE]


def test_json_is_taken_too(program: Client, alice: User) -> None:
    text = source(grant(ALICE, "git"))
    answer = program.post(ACL, text, content_type="application/json")
    assert (answer.status_code, held()) == (200, {"Alice → git"})


def test_details_hold_the_text_and_its_warnings(program: Client, alice: User) -> None:
    text = source(grant("eve@example.test", "git"))
    send(program, text)
    told = program.get(f"{ACL}?details=1").json()
    assert base64.b64decode(told["acl"]).decode() == text
    assert "nobody here" in told["warnings"][0]
    assert told["errors"] is None


@pytest.mark.parametrize("name", ["-", "peerage", "example.com"])
def test_the_tailnet_is_a_dash_or_an_alias(
    name: str, program: Client, settings: Settings
) -> None:
    settings.PEERAGE_TAILNETS = ["peerage", "example.com"]
    assert program.get(f"/api/v2/tailnet/{name}/acl").status_code == 200


@pytest.mark.parametrize("path", ["", "/validate", "/preview?type=user&previewFor=x"])
def test_another_tailnet_does_not_exist(path: str, program: Client) -> None:
    answer = program.post(
        f"/api/v2/tailnet/other.example/acl{path}", "{}", content_type="text/plain"
    )
    assert answer.status_code == 404
    assert answer.json().keys() == {"message"}
    assert not PolicyVersion.objects.exists()


# --- lost updates


def test_a_writer_who_has_seen_the_policy_may_write(
    program: Client, alice: User
) -> None:
    seen = program.get(ACL)["ETag"]
    answer = send(program, COMMENTED, **{"If-Match": seen})
    assert answer.status_code == 200
    late = send(program, "{}", **{"If-Match": seen})
    assert (late.status_code, held()) == (412, {"Alice → git"})
    assert "changed since it was read" in late.json()["message"]
    event = AuditEvent.objects.filter(code=EventCode.POLICY_APPLY).latest("pk")
    assert (event.outcome, event.actor_kind) == ("W", "credential")


@pytest.mark.parametrize(
    "header", ['W/"{}"', '"{}", "x"', '"{}x"', '"x"', '""', "x", "'*'"]
)
def test_what_is_not_the_etag_does_not_match(header: str, program: Client) -> None:
    seen = program.get(ACL)["ETag"].strip('"')
    answer = send(program, "{}", **{"If-Match": header.replace("{}", seen)})
    assert answer.status_code == 412
    assert not PolicyVersion.objects.exists()


@pytest.mark.parametrize("header", ["*", "", " * "])
def test_who_demands_nothing_overwrites(header: str, program: Client) -> None:
    assert send(program, "{}", **{"If-Match": header}).status_code == 200


def test_the_default_holds_once(program: Client, alice: User) -> None:
    default = {"If-Match": '"ts-default"'}
    assert program.get(ACL).content.decode() == DENY_ALL
    assert send(program, COMMENTED, **default).status_code == 200
    assert send(program, COMMENTED, **default).status_code == 412
    assert send(program, "", **default).status_code == 412
    assert send(program, "").status_code == 200
    assert program.get(ACL).content.decode() == DENY_ALL
    # It was set once: nothing makes it untouched again.
    assert send(program, COMMENTED, **default).status_code == 412


def test_an_empty_file_was_a_policy_too(program: Client) -> None:
    assert send(program, "{}").status_code == 200
    assert not Application.objects.exists()
    answer = send(program, COMMENTED, **{"If-Match": '"ts-default"'})
    assert answer.status_code == 412


@pytest.mark.usefixtures("wiki")
def test_a_policy_made_by_pages_is_no_untouched_default(program: Client) -> None:
    answer = send(program, COMMENTED, **{"If-Match": '"ts-default"'})
    assert answer.status_code == 412
    assert "untouched" in answer.json()["message"]


def test_a_label_that_somebody_is_granted_is_a_policy(
    program: Client, alice: User, actor: Actor
) -> None:
    label = services.create_label(name="db", actor=actor, now=alice.created_at)
    services.create_label_grant(
        label=label, user=alice, reason="", actor=actor, now=alice.created_at
    )
    answer = send(program, COMMENTED, **{"If-Match": '"ts-default"'})
    assert answer.status_code == 412


# --- what GET answers after changes elsewhere


def test_a_change_by_a_page_shows_as_another_policy(
    program: Client, alice: User, bob: User, actor: Actor
) -> None:
    send(program, COMMENTED)
    made = make_grant(Application.objects.get(name="git"), user=bob)
    changed = program.get(ACL)
    assert changed["ETag"] != etag(COMMENTED)
    assert changed["ETag"] == etag(changed.content.decode())
    assert "bob@example.test" in changed.content.decode()
    services.end_grant(grant=made, actor=actor, now=made.created_at)
    taken_back = program.get(ACL)
    assert taken_back.content.decode() == COMMENTED
    assert taken_back["ETag"] == etag(COMMENTED)


def test_a_labels_grant_by_a_page_shows_as_another_policy(
    program: Client, alice: User, bob: User, actor: Actor
) -> None:
    labelled = """{
  "tagOwners": {"tag:db": []},
  "grants": [{"src": ["alice@example.test"], "dst": ["tag:db"], "ip": ["*"]}],
}
"""
    label = services.create_label(name="db", actor=actor, now=alice.created_at)
    assert send(program, labelled).status_code == 200
    assert program.get(ACL)["ETag"] == etag(labelled)
    services.create_label_grant(
        label=label, user=bob, reason="", actor=actor, now=alice.created_at
    )
    assert program.get(ACL)["ETag"] != etag(labelled)


def test_a_changed_destination_shows_as_another_policy(
    program: Client, alice: User
) -> None:
    send(program, COMMENTED)
    Application.objects.get(name="git").destinations.update(port_last=444)
    assert program.get(ACL)["ETag"] != etag(COMMENTED)


def test_a_description_that_nobody_is_granted_changes_nothing(
    program: Client, alice: User, wiki: Application
) -> None:
    send(program, COMMENTED)
    assert program.get(ACL)["ETag"] == etag(COMMENTED)


def test_a_grant_that_ran_out_by_itself_is_no_change(
    program: Client, alice: User
) -> None:
    text = source(grant(ALICE, "git", expires="2099-01-01T00:00:00Z"))
    answer = send(program, text)
    assert answer.status_code == 400
    began = AuditEvent.objects.latest("pk").at
    end = (began + timedelta(days=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
    text = source(grant(ALICE, "git", expires=end))
    assert send(program, text).status_code == 200
    row = Grant.objects.get()
    row.expires_at = began - timedelta(seconds=1)
    Grant.objects.filter(pk=row.pk).update(
        not_before=began - timedelta(days=2), expires_at=row.expires_at
    )
    over = text.replace(end, row.expires_at.strftime("%Y-%m-%dT%H:%M:%SZ"))
    PolicyVersion.objects.update(text=over, etag=etag(over).strip('"'))
    assert program.get(ACL)["ETag"] == etag(over)


def test_a_file_that_names_what_is_gone_gives_way_to_the_export(
    program: Client, alice: User
) -> None:
    send(program, source(grant("group:engineering", "git")))
    alice.groups.update(name="builders")
    answer = program.get(ACL)
    assert answer.status_code == 200
    assert "group:builders" in answer.content.decode()


def test_the_exported_policy_can_be_sent_back(
    program: Client, alices_grant: Grant
) -> None:
    exported = program.get(ACL)
    answer = send(program, exported.content, **{"If-Match": exported["ETag"]})
    assert (answer.status_code, answer["ETag"]) == (200, exported["ETag"])
    assert held() == {"Alice → wiki"}


# --- history


def test_every_file_is_kept_as_it_was_sent(program: Client, alice: User) -> None:
    send(program, COMMENTED)
    send(program, COMMENTED)
    send(program, COMMENTED + "// the same, said again\n")
    send(program, "")
    kept = list(PolicyVersion.objects.order_by("number"))
    assert [row.number for row in kept] == [1, 2, 3]
    assert kept[0].text == COMMENTED
    assert kept[1].text.endswith("said again\n")
    assert kept[2].text == DENY_ALL
    assert all(f'"{row.etag}"' == etag(row.text) for row in kept)
    assert {row.actor_label for row in kept} == {"pipeline (made by Dave)"}
    events = AuditEvent.objects.filter(code=EventCode.POLICY_APPLY).order_by("pk")
    assert [event.target_id for event in events] == ["pv_1", "pv_2", "pv_3"]
    assert [event.details["etag"] for event in events] == [row.etag for row in kept]


def test_a_refused_file_is_an_event_and_no_version(
    program: Client, alice: User
) -> None:
    assert send(program, '{"unknown": 1}').status_code == 400
    assert not PolicyVersion.objects.exists()
    event = AuditEvent.objects.get(code=EventCode.POLICY_APPLY)
    assert (event.outcome, event.actor_label) == ("W", "pipeline (made by Dave)")
    assert event.reason.startswith("line 1, column 2")


def test_what_a_credential_changes_is_an_event_of_the_credential(
    program: Client, alice: User
) -> None:
    send(program, COMMENTED)
    for code in (EventCode.APPLICATION_CREATE, EventCode.GRANT_CREATE):
        event = AuditEvent.objects.get(code=code)
        assert (event.actor_kind, event.actor_id[:3]) == ("credential", "ac_")
        assert event.request_id


# --- refusals


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "line 1, column 2: invalid character end of file"),
        ('{\n "a": }', "line 2, column 7: "),
        ('{"unknown": 1}', 'line 1, column 2: unknown field "unknown"'),
        ('{"acls": 7}', "line 1, column 10: expected a list"),
        ("[]", "line 1, column 1: expected an object"),
        ("null", "line 1, column 1: expected an object"),
        (" \n ", "line 1, column 1: nothing; to deny"),
        ("// only a comment\n", "line 2, column 1: "),
        ('{"hosts": {"a": "10.0.0.1", "a": "10.0.0.2"}}', "line 1, column 29: "),
        ('{"hosts": {"a": "\x00"}}', "line 1, column 18: the character U+0000"),
        ("{} /* \x00 */", "line 1, column 7: the character U+0000"),
        ("\ufeff{}", "line 1, column 1: invalid character"),
        ('{"derpMap": ' + "9" * 200 + "}", "line 1, column 13: a literal is longer"),
        ('{"derpMap": 1e999999999}', None),
    ],
)
def test_a_broken_file_is_refused_with_its_place(
    text: str, message: str | None, program: Client
) -> None:
    answer = send(program, text)
    validated = send(program, text, "/validate")
    assert validated.status_code == 200
    if message is None:
        assert (answer.status_code, validated.json()) == (200, {})
        return
    assert (answer.status_code, answer["Content-Type"]) == (400, "application/json")
    assert answer.json()["message"].startswith(message)
    if text.strip() not in {"", "[]"}:
        assert validated.json()["message"].startswith(message)
    assert not PolicyVersion.objects.exists()


def test_bytes_that_are_no_text_are_refused(program: Client) -> None:
    answer = send(program, b'{"hosts": {"\xff": "10.0.0.1"}}')
    assert answer.json() == {"message": "line 1, column 13: invalid UTF-8"}


def test_several_problems_are_all_told(program: Client) -> None:
    told = send(program, source(grant("group:a", "b"), grant("group:c", "d"))).json()
    assert told["message"].startswith("line 1, column ")
    assert "\n" not in told["message"]
    assert len(told["data"][0]["errors"]) == 3


@pytest.mark.usefixtures("laptop")
def test_failing_tests_are_told_by_source(program: Client) -> None:
    claims = [
        {"src": ALICE, "accept": ["git:22"], "deny": ["git:443"]},
        {"user": ALICE, "allow": ["git:80"]},
    ]
    text = source(grant(ALICE, "git"), tests=claims)
    answer = send(program, text)
    told = answer.json()
    assert (answer.status_code, told["message"]) == (400, "test(s) failed")
    ((entry),) = told["data"]
    assert (entry["user"], len(entry["errors"])) == (ALICE, 3)
    assert send(program, text, "/validate").json() == told
    assert send(program, text, "?confirm=true").status_code == 400
    assert held() == set()


@pytest.mark.usefixtures("alices_grant", "laptop")
def test_the_brake_names_the_share_and_how_to_confirm(program: Client) -> None:
    answer = send(program, "")
    assert answer.status_code == 409
    said = answer.json()["message"]
    for words in ("1 of 1 people", "20 %", "?confirm=true", "Peerage-Confirm: true"):
        assert words in said
    assert held() == {"Alice → wiki"}
    assert send(program, "{}", "/validate").json() == {}


@pytest.mark.usefixtures("alices_grant", "laptop")
@pytest.mark.parametrize("by", ["query", "header"])
def test_a_confirmed_file_passes_the_brake(by: str, program: Client) -> None:
    path = "?confirm=true" if by == "query" else ""
    headers = {"Peerage-Confirm": "true"} if by == "header" else {}
    assert send(program, "", path, **headers).status_code == 200
    assert held() == set()
    event = AuditEvent.objects.get(code=EventCode.POLICY_APPLY)
    assert event.details["is_confirmed"] is True


@pytest.mark.usefixtures("alices_grant", "laptop")
@pytest.mark.parametrize("path", ["?confirm=1", "?confirm=", "?confirm=TRUE"])
def test_anything_else_confirms_nothing(path: str, program: Client) -> None:
    assert send(program, "", path).status_code == 409


def test_what_is_new_needs_to_know_its_gateway(
    program: Client, alice: User, gw1: Gateway, settings: Settings
) -> None:
    other = Gateway.objects.create(
        name="gw2",
        endpoint_host="gw2.example.test",
        endpoint_port=51820,
        state=gw1.state,
        public_key="x",
        signing_key=b"x" * 32,
        created_at=gw1.created_at,
    )
    told = send(program, COMMENTED).json()["message"]
    assert "say which gateway serves what is new: gw1, gw2" in told
    assert send(program, COMMENTED, "/validate").json()["message"] == told
    settings.PEERAGE_POLICY_GATEWAYS = ["gw2"]
    assert send(program, COMMENTED, "/validate").json() == {}
    assert send(program, COMMENTED).status_code == 200
    assert [*Application.objects.get().gateways.all()] == [other]
    more = COMMENTED.replace('"git"', '"lab"')
    assert send(program, more, "?gateway=gw1&confirm=true").status_code == 200
    assert [*Application.objects.get(name="lab").gateways.all()] == [gw1]


# --- validate


def test_validating_changes_nothing(program: Client, alice: User) -> None:
    answer = send(program, COMMENTED, "/validate")
    assert (answer.status_code, answer.json()) == (200, {})
    assert not Application.objects.exists()
    assert not PolicyVersion.objects.exists()


@pytest.mark.usefixtures("alices_grant", "laptop")
def test_a_list_of_tests_is_run_against_the_policy(program: Client) -> None:
    good = [{"src": ALICE, "accept": ["10.1.0.7:443"], "deny": ["10.1.0.7:22"]}]
    assert send(program, json.dumps(good), "/validate").json() == {}
    old = [{"user": ALICE, "allow": ["10.1.0.7:22"]}]
    told = send(program, json.dumps(old), "/validate").json()
    assert (told["message"], told["data"][0]["user"]) == ("test(s) failed", ALICE)
    for broken in ("[7]", '[{"who": "x"}]', "[{]", "[" * 10_000):
        told = send(program, broken, "/validate").json()
        assert told["message"].startswith("line 1, column ")


# --- preview


PREVIEWED = """{
  "groups": {"group:ops": ["alice@example.test"]},
  "hosts": {"git": "10.2.0.5", "lab": "10.3.0.0/16"},
  "postures": {"posture:ok": ["node:os == 'linux'"]},
  "acls": [
    {"action": "accept", "src": ["bob@example.test"], "dst": ["git:22,443"]},
  ],
  "grants": [
    {"src": ["group:ops"], "dst": ["lab"], "ip": ["tcp:8000-8100"],
     "srcPosture": ["posture:ok"]},
    {"src": ["group:engineering"], "dst": ["fd00::/64"], "ip": ["*"]},
    {"src": ["alice@example.test"], "dst": ["git"], "ip": ["tcp:1"],
     "expires": "2020-01-01T00:00:00Z"},
  ],
}"""


def preview(program: Client, kind: str, asked: str, text: str = PREVIEWED) -> Answer:
    return send(program, text, f"/preview?type={kind}&previewFor={asked}")


def test_a_preview_for_a_person(program: Client, alice: User, bob: User) -> None:
    told = preview(program, "user", ALICE).json()
    assert (told["type"], told["previewFor"]) == ("user", ALICE)
    ops, engineering = told["matches"]
    assert ops == {
        "users": ["group:ops"],
        "ports": ["lab:8000-8100"],
        "lineNumber": 9,
        "postures": ["posture:ok"],
    }
    assert (engineering["lineNumber"], engineering["ports"]) == (11, ["[fd00::/64]:*"])
    assert told["postures"] == {"posture:ok": ["node:os == 'linux'"]}
    told = preview(program, "user", "bob@example.test").json()
    assert [match["ports"] for match in told["matches"]] == [
        ["git:22,443"],
        ["[fd00::/64]:*"],
    ]


@pytest.mark.parametrize(
    ("asked", "lines"),
    [
        ("10.2.0.5:443", [6]),
        ("10.2.0.5:80", []),
        ("10.3.7.7:8050", [9]),
        ("10.3.7.7:8101", []),
        ("[fd00::1]:22", [11]),
        ("10.9.9.9:22", []),
    ],
)
def test_a_preview_for_an_address_and_port(
    asked: str, lines: list[int], program: Client, alice: User
) -> None:
    told = preview(program, "ipport", asked).json()
    assert [match["lineNumber"] for match in told["matches"]] == lines


def test_a_preview_without_a_file_is_of_the_policy(
    program: Client, alices_grant: Grant
) -> None:
    told = preview(program, "ipport", "10.1.0.9:443", "").json()
    assert [match["users"] for match in told["matches"]] == [[ALICE]]
    assert AuditEvent.objects.get(code=EventCode.POLICY_QUERY).details["for"]


@pytest.mark.parametrize(
    "query",
    [
        "",
        "?type=user",
        "?type=group&previewFor=x",
        "?type=user&previewFor=eve@example.test",
        "?type=ipport&previewFor=10.0.0.1",
        "?type=ipport&previewFor=10.0.0.1:1-2",
        "?type=ipport&previewFor=git:22",
        "?type=ipport&previewFor=10.0.0.0/8:22",
    ],
)
def test_a_preview_of_nothing_is_refused(query: str, program: Client) -> None:
    answer = send(
        program, PREVIEWED.replace("group:engineering", "group:ops"), f"/preview{query}"
    )
    assert answer.status_code == 400
    assert answer.json()["message"]


# --- who may


@pytest.mark.parametrize("path", ["", "/validate", "/preview?type=user&previewFor=x"])
def test_nobody_without_a_credential(
    path: str, dave: User, sign_in: SignIn, bearer: Bearer, make_key: MakeKey
) -> None:
    made, secret = make_key(dave)
    wrong = secret[:-1] + ("A" if secret[-1] != "A" else "B")
    for client in (
        Client(),
        sign_in(dave),
        bearer(dave),
        with_key(wrong),
        with_token(wrong),
        Client(headers={"Authorization": "Basic x"}),
        Client(headers={"Authorization": f"Digest {secret}"}),
        Client(headers={"Authorization": "Bearer " + "x" * 5000}),
    ):
        answer = send(client, "{}", path)
        assert (answer.status_code, answer.json().keys()) == (401, {"message"})
    made.refresh_from_db()
    assert made.last_used_at is None
    assert AuditEvent.objects.filter(code=EventCode.ACCESS_REFUSED).count() == 8


@pytest.mark.parametrize("show", [with_key, with_token])
def test_a_key_is_shown_as_user_name_or_as_bearer(
    show: Callable[[str], Client], dave: User, make_key: MakeKey
) -> None:
    made, secret = make_key(dave)
    assert show(secret).get(ACL).status_code == 200
    made.refresh_from_db()
    assert made.last_used_address == "127.0.0.1"


def test_who_may_only_read_changes_nothing(dave: User, make_key: MakeKey) -> None:
    reader = with_key(make_key(dave, Scope.POLICY_READ)[1])
    assert reader.get(ACL).status_code == 200
    assert send(reader, "{}", "/validate").status_code == 200
    answer = send(reader, "{}")
    assert answer.status_code == 403
    assert "policy:write" in answer.json()["message"]
    event = AuditEvent.objects.get(code=EventCode.ACCESS_REFUSED)
    assert (event.actor_kind, event.target_label) == ("credential", ACL)
    assert not PolicyVersion.objects.exists()


def test_a_revoked_key_opens_nothing(
    dave: User, make_key: MakeKey, actor: Actor
) -> None:
    made, secret = make_key(dave)
    revoke_credential(credential=made, reason="", actor=actor, now=made.created_at)
    assert with_key(secret).get(ACL).status_code == 401


def test_the_key_of_a_disabled_administrator_opens_nothing(
    dave: User, program: Client
) -> None:
    assert program.get(ACL).status_code == 200
    User.objects.filter(pk=dave.pk).update(is_active=False)
    assert program.get(ACL).status_code == 401


def test_other_methods_are_refused(program: Client) -> None:
    for method in ("put", "patch", "delete", "options", "head"):
        assert getattr(program, method)(ACL).status_code == 405
    assert program.get(f"{ACL}/validate").status_code == 405


def test_whoever_guesses_too_often_waits(program: Client) -> None:
    for _ in range(FAILURES_PER_MINUTE):
        assert Client().get(ACL).status_code == 401
    answer = Client().get(ACL)
    assert (answer.status_code, answer["Retry-After"]) == (429, "60")
    assert answer.json().keys() == {"message"}
    assert program.get(ACL).status_code == 200


def test_a_program_that_runs_wild_is_held_back(
    program: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("portal.accounts.api.machines.CALLS_PER_MINUTE", 3)
    assert CALLS_PER_MINUTE > 3
    assert [program.get(ACL).status_code for _ in range(4)] == [200, 200, 200, 429]


# --- too much


@pytest.mark.parametrize("path", ["", "/validate", "/preview?type=user&previewFor=x"])
def test_ten_megabytes_are_refused_unread(path: str, program: Client) -> None:
    answer = send(program, b" " * (10 * 2**20), path)
    assert answer.status_code == 413
    assert f"longer than {MAX_BYTES} bytes" in answer.json()["message"]
