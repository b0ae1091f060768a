"""The page of evidence packs: readers take one, and that is recorded."""

from __future__ import annotations

import hashlib
import io
import zipfile
from datetime import UTC, datetime, timedelta

import pytest

from audit.models import AuditEvent
from portal.accounts.models import User
from tests.conftest import SignIn

pytestmark = pytest.mark.django_db
PAGE = "/audit/evidence/"


def test_an_auditor_takes_a_pack_whose_hash_is_an_event(
    carol: User, sign_in: SignIn
) -> None:
    browser = sign_in(carol)
    today = datetime.now(UTC).date()  # noqa: TID251 -- a test's edge
    assert f'value="{today}"' in browser.get(PAGE).content.decode()
    answer = browser.post(PAGE, {"since": today - timedelta(days=30), "until": today})
    assert answer["Content-Type"] == "application/zip"
    assert answer["Cache-Control"] == "no-store"
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        found = {
            name.partition("/")[2]: archive.read(name) for name in archive.namelist()
        }
    assert set(found) >= {"manifest.json", "access.csv", "leavers.csv", "gaps.csv"}
    event = AuditEvent.objects.get(code="AU035")
    assert event.actor_label == "Carol"
    digest = hashlib.sha256(found["manifest.json"]).hexdigest()
    assert event.details["manifest_sha256"] == digest


@pytest.mark.parametrize(
    ("since", "until", "says"),
    [
        ("", "2026-11-01", "required"),
        ("2026-11-02", "2026-11-01", "begins before it ends"),
        ("2026-11-02", "2999-01-01", "ends by today"),
        ("0001-01-01", "2026-11-01", "begins before it ends"),
        ("2020-01-01", "2026-11-01", "at most 400 days"),
        ("1\x00", "2026-11-01", "valid date"),
        ("01/11/2026", "2026-11-01", "valid date"),
    ],
)
def test_a_wrong_period_is_said_and_nothing_made(
    since: str, until: str, says: str, carol: User, sign_in: SignIn
) -> None:
    answer = sign_in(carol).post(PAGE, {"since": since, "until": until})
    assert says in answer.content.decode()
    assert not AuditEvent.objects.filter(code="AU035").exists()
