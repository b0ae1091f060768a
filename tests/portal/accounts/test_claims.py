"""What an identity provider may say. No database."""

from __future__ import annotations

import pytest

from portal.accounts.claims import checked_groups, checked_text, role_for, username_for
from portal.accounts.errors import InvalidIdentityError
from portal.accounts.models import Role

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
