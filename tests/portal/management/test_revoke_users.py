"""`manage.py revoke_users`: says what ends, and does it only when told how many."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError

from policies.models import Revocation
from portal.accounts.models import User
from tests.conftest import MakeUser
from tests.peers.makers import Machine

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("pools", "signing_key")]


def run(path: Path, *words: str) -> str:
    output = io.StringIO()
    call_command("revoke_users", str(path), "--reason", "left", *words, stdout=output)
    return output.getvalue()


@pytest.fixture
def named(tmp_path: Path, alice: User, bob: User) -> Path:
    """A file that names alice twice and bob once."""
    Machine().enroll(alice)
    path = tmp_path / "people"
    path.write_text(
        f"# the supplier\nALICE@example.test\n{alice.ref.id}  # again\nbob\n\n",
        encoding="utf-8",
    )
    return path


def test_without_a_number_it_only_says_what_ends(named: Path, alice: User) -> None:
    text = run(named)
    assert "2 people, 1 devices, 0 sessions, 0 open connections" in text
    assert "nothing was done; --people 2 does it" in text
    alice.refresh_from_db()
    assert alice.is_active


def test_with_the_number_everybody_is_revoked(
    named: Path, alice: User, bob: User
) -> None:
    assert "2 people revoked" in run(named, "--people", "2")
    for user in (alice, bob):
        user.refresh_from_db()
        assert not user.is_active


def test_another_number_revokes_nobody(named: Path) -> None:
    with pytest.raises(CommandError, match="these are 2 people, not 3"):
        run(named, "--people", "3")
    assert not Revocation.objects.exists()


def test_one_unknown_line_revokes_nobody(named: Path) -> None:
    with named.open("a", encoding="utf-8") as file:
        file.write("nobody@example.test\n")
    with pytest.raises(CommandError, match=r"nobody@example\.test; nothing was done"):
        run(named, "--people", "2")
    assert not Revocation.objects.exists()


def test_address_of_two_people_names_nobody(
    tmp_path: Path, make_user: MakeUser
) -> None:
    for name in ("one", "two"):
        user = make_user(name)
        user.email = "shared@example.test"
        user.save(update_fields=["email"])
    path = tmp_path / "people"
    path.write_text("shared@example.test\n", encoding="utf-8")
    with pytest.raises(CommandError, match="several people"):
        run(path)


def test_empty_and_unreadable_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "people"
    with pytest.raises(CommandError, match="No such file"):
        run(path)
    path.write_text("# nobody\n", encoding="utf-8")
    with pytest.raises(CommandError, match="names nobody"):
        run(path)


def test_standard_input_is_read(
    named: Path, monkeypatch: pytest.MonkeyPatch, alice: User
) -> None:
    assert named.exists()
    monkeypatch.setattr("sys.stdin", io.StringIO(alice.ref.id))
    assert "1 people" in run(Path("-"))


def test_an_address_that_is_another_ones_subject_names_nobody(
    named: Path, alice: User, bob: User
) -> None:
    User.objects.filter(pk=bob.pk).update(subject=alice.email)
    named.write_text(alice.email, encoding="utf-8")
    with pytest.raises(CommandError, match="nobody, or several people"):
        run(named, "--people", "1")
    assert not Revocation.objects.exists()
