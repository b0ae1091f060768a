"""The page of seals and witnesses, in each of its states."""

from __future__ import annotations

from pathlib import Path

import pytest
from pytest_django import Settings

from audit.models import Log
from audit.sealing import tables
from portal.accounts.models import User
from tests.audit.conftest import NOON
from tests.audit.sealing.conftest import Write, sealer_files, write
from tests.audit.signing import TestWitness, policy_of, seal_all
from tests.conftest import SignIn

__all__ = ["sealer_files", "write"]
pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("sealer_files")]
BERLIN, OUTSIDE = TestWitness("gw_1", 1), TestWitness("witness.example.org", 2)


@pytest.fixture
def read(carol: User, sign_in: SignIn) -> object:
    """Return what an auditor reads."""
    browser = sign_in(carol)
    return lambda: " ".join(browser.get("/audit/witnesses/").content.decode().split())


def test_an_empty_log_says_what_is_missing(read: object) -> None:
    assert callable(read)
    text = read()
    for expected in (
        "empty",
        "Nobody has signed yet.",
        "No policy file is named",
        "is not watched from here",
        "python -m audit.witness keygen",
    ):
        assert expected in text


def test_it_says_who_signed_what_and_whether_that_is_enough(
    read: object, settings: Settings, tmp_path: Path, write: Write
) -> None:
    assert callable(read)
    path = tmp_path / "policy"
    path.write_text(policy_of(("berlin", BERLIN)))
    settings.PEERAGE_LOG_POLICY_FILE = str(path)
    write(2)
    seal_all(NOON)
    assert "not reached" in read()
    BERLIN.sign(Log.CONTROL, NOON)
    OUTSIDE.sign(Log.CONNECTIONS, NOON)
    text = read()
    assert ">reached<" in text
    assert str(BERLIN.key) in text
    assert "not in the policy" in text
    path.unlink()
    assert "The policy file is not read." in read()


def test_it_says_why_nothing_is_signed_and_what_the_disk_has(
    read: object, settings: Settings, tmp_path: Path, write: Write
) -> None:
    assert callable(read)
    write(1)
    assert "overdue" in read()
    tables.tell_refusal(Log.CONTROL, "the tree <shrank>", now=NOON)
    settings.PEERAGE_ROOM_RESERVE_MB, settings.PEERAGE_ROOM_DIR = 1 << 30, tmp_path
    text = read()
    assert "refuses to sign" in text
    assert "the tree &lt;shrank&gt;" in text
    assert "nothing is granted" in text
    settings.PEERAGE_ROOM_DIR = tmp_path / "gone"
    assert "The disk cannot be asked" in read()
