"""Figures and checks of the log, for whoever watches machines."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from django.test import Client
from pytest_django import Settings

from audit.models import Log
from audit.sealing import tables
from tests.audit.sealing.conftest import Write, sealer_files, write
from tests.audit.signing import TestWitness, policy_of, seal_all

__all__ = ["sealer_files", "write"]
pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("sealer_files")]
TOKEN = "tests-only-0123456789"


def clock() -> datetime:
    return datetime.now(UTC)  # noqa: TID251 -- pages are asked now


def figures(token: str = TOKEN) -> dict[str, float]:
    answer = Client().get("/metrics", headers={"Authorization": f"Bearer {token}"})
    assert answer.status_code == 200
    assert answer["Content-Type"].startswith("text/plain; version=0.0.4")
    lines = answer.content.decode().splitlines()
    pairs = (line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
    return {name: float(value) for name, value in pairs}


@pytest.mark.parametrize(
    ("set_to", "sent"),
    [("", ""), ("", "Bearer "), (TOKEN, ""), (TOKEN, "Bearer other"), (TOKEN, TOKEN)],
)
def test_without_the_token_there_is_no_such_page(
    set_to: str, sent: str, settings: Settings
) -> None:
    settings.PEERAGE_METRICS_TOKEN = set_to
    headers = {"Authorization": sent} if sent else {}
    assert Client().get("/metrics", headers=headers).status_code == 404


def test_figures_say_how_the_logs_are_sealed_and_witnessed(
    settings: Settings, tmp_path: Path, write: Write
) -> None:
    settings.PEERAGE_METRICS_TOKEN = TOKEN
    settings.PEERAGE_ROOM_DIR, settings.PEERAGE_ROOM_RESERVE_MB = tmp_path, 1
    strange = TestWitness("gw_1", 1)
    path = tmp_path / "policy"
    path.write_text(policy_of(("berlin", strange)))
    settings.PEERAGE_LOG_POLICY_FILE = str(path)
    write(2)
    seal_all(clock() - timedelta(seconds=30))
    strange.sign(Log.CONTROL, clock())
    write(1)
    tables.tell_refusal(Log.CONNECTIONS, "edited", now=clock())
    found = figures()
    assert 30 <= found['peerage_log_checkpoint_age_seconds{log="control"}'] < 60
    assert found['peerage_log_leaves{log="control"}'] == 2
    assert found['peerage_log_outbox_rows{log="control"}'] == 2
    assert found['peerage_log_sealer_refuses{log="control"}'] == 0
    assert found['peerage_log_sealer_refuses{log="connections"}'] == 1
    behind = 'peerage_log_witness_behind_leaves{witness="gw_1",log="control"}'
    assert found[behind] == 0
    assert found['peerage_log_quorum{log="control"}'] == 1
    assert found['peerage_log_quorum{log="connections"}'] == 0
    assert found["peerage_room_reserve_bytes"] == 1 << 20
    assert found["peerage_room_free_bytes"] > 0


def test_what_is_not_known_is_no_figure(settings: Settings) -> None:
    settings.PEERAGE_METRICS_TOKEN = TOKEN
    names = {name.partition("{")[0] for name in figures()}
    assert names == {
        "peerage_log_leaves",
        "peerage_log_outbox_rows",
        "peerage_log_sealer_refuses",
    }


def test_the_check_of_the_log_fails_where_somebody_has_to_look(write: Write) -> None:
    def told() -> tuple[int, object]:
        answer = Client().get("/healthz/log")
        return answer.status_code, answer.json()

    write(1)
    assert told() == (
        503,
        {"status": "look", "control": "overdue", "connections": "ok"},
    )
    seal_all(clock())
    assert told() == (200, {"status": "ok", "control": "ok", "connections": "ok"})
    tables.tell_refusal(Log.CONTROL, "edited", now=clock())
    assert told()[1] == {"status": "look", "control": "refused", "connections": "ok"}
    assert Client().get("/healthz").status_code == 200
