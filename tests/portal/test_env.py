"""Reading the environment: clear, or no start. No database."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
from django.core.exceptions import ImproperlyConfigured

from portal import env


@pytest.mark.parametrize(
    ("text", "value"), [("1", True), ("Yes", True), ("0", False), ("off", False)]
)
def test_switch_reads_clear_words(
    monkeypatch: pytest.MonkeyPatch,
    text: str,
    value: bool,
) -> None:
    monkeypatch.setenv("PEERAGE_X", text)
    assert env.env_bool("PEERAGE_X") is value


@pytest.mark.parametrize("text", ["maybe", "2", "tru"])
def test_switch_refuses_the_rest(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("PEERAGE_X", text)
    with pytest.raises(ImproperlyConfigured):
        env.env_bool("PEERAGE_X")


@pytest.mark.parametrize("text", ["ten", "1.5", "-1", ""])
def test_number_refuses_nonsense(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("PEERAGE_X", text)
    with pytest.raises(ImproperlyConfigured):
        env.env_int("PEERAGE_X", 7)


def test_number_stays_within_its_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PEERAGE_X", "9")
    assert env.env_int("PEERAGE_X", 7, maximum=9) == 9
    for bounds in ({"maximum": 8}, {"minimum": 10}):
        with pytest.raises(ImproperlyConfigured):
            env.env_int("PEERAGE_X", 7, **bounds)


def test_choice_is_one_of_those_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PEERAGE_X", "tls")
    assert env.env_choice("PEERAGE_X", "none", {"tls", "none"}) == "tls"
    with pytest.raises(ImproperlyConfigured, match="not one of none, ssl"):
        env.env_choice("PEERAGE_X", "none", {"ssl", "none"})


def test_missing_secret_stops_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PEERAGE_X", raising=False)
    with pytest.raises(ImproperlyConfigured):
        env.env_secret("PEERAGE_X")


def test_secret_comes_from_its_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "secret").write_text("hidden\n")
    monkeypatch.setenv("PEERAGE_X_FILE", str(tmp_path / "secret"))
    assert env.env_secret("PEERAGE_X", "default") == "hidden"


def test_unreadable_secret_file_never_falls_back(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PEERAGE_X_FILE", str(tmp_path / "gone"))
    with pytest.raises(ImproperlyConfigured):
        env.env_secret("PEERAGE_X", "default")


def test_list_is_split_and_trimmed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PEERAGE_X", " a, b ,,c")
    assert env.env_list("PEERAGE_X") == ["a", "b", "c"]


def test_sqlite_queues_writers_and_never_blocks_readers(tmp_path: Path) -> None:
    found = env.database(f"sqlite:///{tmp_path}/new/peerage.sqlite3")
    assert found["NAME"] == f"{tmp_path}/new/peerage.sqlite3"
    assert found["OPTIONS"]["transaction_mode"] == "IMMEDIATE"
    assert "WAL" in found["OPTIONS"]["init_command"]


def test_directory_of_sqlite_is_for_its_owner_alone(tmp_path: Path) -> None:
    env.database(f"sqlite:///{tmp_path}/new/peerage.sqlite3")
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o700


def test_postgresql_url_is_taken_apart() -> None:
    found = env.database("postgresql://u%40x:p%2Fw@db:5433/peerage?sslmode=require")
    assert (found["USER"], found["PASSWORD"]) == ("u@x", "p/w")
    assert (found["HOST"], found["PORT"], found["NAME"]) == ("db", "5433", "peerage")
    assert found["OPTIONS"] == {"sslmode": "require"}


def test_postgresql_socket_directory_is_a_host() -> None:
    found = env.database("postgresql:///peerage?host=/run/postgresql")
    assert (found["HOST"], found["OPTIONS"]) == ("/run/postgresql", {})


def test_other_databases_are_refused() -> None:
    with pytest.raises(ImproperlyConfigured, match="mysql"):
        env.database("mysql://u@db/peerage")


@pytest.mark.parametrize(
    ("url", "expected"),
    [("https://idp.test:8443/realms/x", "https://idp.test:8443"), ("", "")],
)
def test_origin_is_scheme_host_and_port(url: str, expected: str) -> None:
    assert env.origin(url) == expected


def test_networks_are_prefixes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("X_NETWORKS", "10.0.0.0/8, ::1")
    assert [str(found) for found in env.env_networks("X_NETWORKS")] == [
        "10.0.0.0/8",
        "::1/128",
    ]
    monkeypatch.setenv("X_NETWORKS", "10.0.0.1/8")
    with pytest.raises(ImproperlyConfigured, match="X_NETWORKS"):
        env.env_networks("X_NETWORKS")
