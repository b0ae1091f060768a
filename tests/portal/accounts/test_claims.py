"""What an identity provider may say. No database."""

from __future__ import annotations

from datetime import timedelta

import pytest

from portal.accounts.claims import (
    Proof,
    checked_groups,
    checked_proof,
    checked_text,
    role_for,
    username_for,
)
from portal.accounts.errors import InvalidIdentityError
from portal.accounts.models import Role
from tests.conftest import NOW

ROLES = {
    Role.AUDITOR: "auditors",
    Role.ADMINISTRATOR: "administrators",
    Role.OWNER: "owners",
}


@pytest.mark.parametrize(
    ("groups", "role"),
    [
        ((), Role.EMPLOYEE),
        (("auditors",), Role.AUDITOR),
        (("auditors", "administrators"), Role.ADMINISTRATOR),
        (("owners", "auditors"), Role.OWNER),
        (("Auditors",), Role.EMPLOYEE),
    ],
)
def test_highest_role_of_the_groups_wins(groups: tuple[str, ...], role: Role) -> None:
    assert role_for(frozenset(groups), role_groups=ROLES) == role


def test_unnamed_role_group_gives_nobody_a_role() -> None:
    only = {Role.OWNER: "", Role.AUDITOR: "auditors"}
    assert role_for(frozenset({""}), role_groups=only) == Role.EMPLOYEE


def test_without_role_groups_roles_are_kept_by_hand() -> None:
    empty = dict.fromkeys(ROLES, "")
    assert role_for(frozenset({"auditors"}), role_groups=empty) is None


def test_one_group_may_come_as_a_text() -> None:
    assert checked_groups("sales") == {"sales"}


@pytest.mark.parametrize("value", [7, {"sales": True}, [None], ["a"] * 1001, ["a\n"]])
def test_other_groups_claims_are_refused(value: object) -> None:
    with pytest.raises(InvalidIdentityError):
        checked_groups(value)


@pytest.mark.parametrize("name", ["Renée O'Hara-Müller", "山田 太郎", "علی‌رضا", "क्‍ष"])
def test_names_of_people_are_accepted(name: str) -> None:
    assert checked_text(name, what="a name") == name


def test_machine_name_tells_identities_apart() -> None:
    one = username_for(issuer="https://a", subject="bc")
    other = username_for(issuer="https://ab", subject="c")
    assert one != other
    assert len(one) <= 64


@pytest.mark.parametrize("name", ["owners ", " owners", "\u3000owners", "owners\u00a0"])
def test_padded_group_is_not_the_group_without_padding(name: str) -> None:
    groups = checked_groups([name])
    assert groups == {name}
    assert role_for(groups, role_groups=ROLES) == Role.EMPLOYEE


STAMP = int(NOW.timestamp())


def test_a_proof_is_read_as_the_provider_tells_it() -> None:
    claims = {"auth_time": STAMP - 60, "amr": ["pwd", "mfa", "pwd"], "acr": "gold"}
    assert checked_proof(claims, now=NOW) == Proof(
        proven_at=NOW - timedelta(seconds=60), amr=("mfa", "pwd"), acr="gold"
    )


def test_a_clock_that_is_ahead_a_little_means_now() -> None:
    assert checked_proof({"auth_time": STAMP + 60}, now=NOW).proven_at == NOW
    assert checked_proof({"auth_time": STAMP + 61}, now=NOW).proven_at is None


@pytest.mark.parametrize(
    "auth_time", [None, True, 0, -1, 1.5, "1700000000", 10**30, [STAMP]], ids=repr
)
def test_a_malformed_time_is_no_time(auth_time: object) -> None:
    assert checked_proof({"auth_time": auth_time}, now=NOW).proven_at is None


@pytest.mark.parametrize(
    "amr",
    [
        None,
        "mfa",
        {"mfa": 1},
        [["mfa"]],
        [None],
        [""],
        ["m" * 65],
        ["mfa\n"],
        ["\uff4dfa"],
    ],
    ids=repr,
)
def test_malformed_methods_are_no_methods(amr: object) -> None:
    assert checked_proof({"amr": amr}, now=NOW).amr == ()


@pytest.mark.parametrize("acr", [None, 1, "", "x" * 65, "gold\x00", ["gold"]], ids=repr)
def test_a_malformed_class_is_no_class(acr: object) -> None:
    assert checked_proof({"acr": acr}, now=NOW).acr == ""
