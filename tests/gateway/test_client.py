"""The conversation with the portal over real HTTP, and every way it may fail."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from gateway import enrollment
from gateway.agent import SystemClock
from gateway.answers import agent_versions, http_date
from gateway.client import (
    HttpPortal,
    base_url,
    tls_context,
)
from gateway.clock import SteadyClock
from gateway.config import EnrollCommand
from gateway.errors import (
    ConfigError,
    PortalAnswerError,
    PortalRefusedError,
    PortalUnreachableError,
    StoreError,
)
from gateway.stamping import Channel, Sequences
from gateway.store import Store
from tests.gateway.fakes import FakePortal
from tests.gateway.httpportal import TOKEN, HttpFake, serving
from tests.gateway.world import SPOOL, snapshot


def clock() -> datetime:
    """Return the time: the verifier at the other end has a real clock."""
    return datetime.now(UTC)  # noqa: TID251 -- an edge


@dataclass
class Bench:
    """An enrolled gateway and its portal."""

    server: HttpFake
    store: Store
    client: HttpPortal


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    """Enrol against a portal that serves generation 1."""
    portal = FakePortal()
    portal.publish(snapshot(now=clock()))
    with serving(portal) as server:
        command = EnrollCommand(
            portal=server.url,
            token=TOKEN,
            state=tmp_path / "state",
            insecure_http=True,
            ca_file="",
        )
        identity = enrollment.enroll(command)
        store = Store(command.state)
        client = HttpPortal(identity, Sequences(store), clock=clock)
        yield Bench(server=server, store=store, client=client)
        client.close()


def test_enrolment_pins_the_portal_and_keeps_the_secrets_here(bench: Bench) -> None:
    identity = bench.store.read_identity()
    signer = bench.server.portal.signer
    assert (identity.gateway, identity.deployment, identity.epoch) == (
        "gw_1",
        "peerage",
        1,
    )
    assert identity.snapshot_keys == ((signer.keyid, signer.public_key),)
    assert identity.wireguard_private_key != bench.server.wireguard_key


def test_an_enrolled_directory_is_not_enrolled_twice(bench: Bench) -> None:
    command = EnrollCommand(
        portal=bench.server.url,
        token="other",
        state=bench.store.directory,
        insecure_http=True,
        ca_file="",
    )
    with pytest.raises(ConfigError, match="enrolled already"):
        enrollment.enroll(command)


def test_a_spent_token_is_refused_and_leaves_no_identity(
    bench: Bench, tmp_path: Path
) -> None:
    command = EnrollCommand(
        portal=bench.server.url,
        token=TOKEN,
        state=tmp_path / "other",
        insecure_http=True,
        ca_file="",
    )
    with pytest.raises(PortalRefusedError, match="403: this token is not valid"):
        enrollment.enroll(command)
    assert not Store(tmp_path / "other").has_identity()


def test_a_poll_brings_a_snapshot_and_then_only_a_lease(bench: Bench) -> None:
    assert bench.client.poll(after=0, epoch=1).snapshot is not None
    answer = bench.client.poll(after=1, epoch=1)
    assert answer.snapshot is None
    assert answer.lease


def test_acknowledgements_and_evidence_are_taken(bench: Bench) -> None:
    bench.client.acknowledge({"generation": 1})
    assert bench.client.send_evidence([b'{"seq":1}', b'{"seq":2}'], spool=SPOOL)
    assert bench.server.portal.acknowledgements == [{"generation": 1}]
    assert bench.server.portal.records == [{"seq": 1}, {"seq": 2}]


def test_what_names_stand_for_is_taken(bench: Bench) -> None:
    bench.client.tell_names({"db.example.com": ("10.0.0.1", "fd00::1")})
    assert bench.server.portal.told == [{"db.example.com": ("10.0.0.1", "fd00::1")}]


def test_a_channel_keeps_its_connection(bench: Bench) -> None:
    before = bench.server.connections
    for _ in range(5):
        bench.client.acknowledge({})
    assert bench.server.connections == before + 1


def test_sequences_rise_per_channel_and_never_repeat_after_a_restart(
    bench: Bench,
) -> None:
    bench.client.acknowledge({})
    bench.client.acknowledge({})
    bench.client.close()
    again = HttpPortal(bench.store.read_identity(), Sequences(bench.store), clock=clock)
    again.acknowledge({})
    used = bench.server.sequences["acks"]
    assert used == sorted(set(used))
    assert used[-1] > used[-2] + 1
    again.close()


def test_a_reservation_covers_what_a_crash_may_have_used(tmp_path: Path) -> None:
    store = Store(tmp_path)
    first = Sequences(store)
    used = [first.next(Channel.ACKS) for _ in range(2500)]
    assert used == list(range(1, 2501))
    assert Sequences(store).next(Channel.ACKS) > used[-1]
    assert Sequences(store).next(Channel.EVIDENCE) == 1


def test_a_number_that_the_disk_did_not_reserve_is_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise StoreError("full")

    store = Store(tmp_path)
    sequences = Sequences(store)
    with monkeypatch.context() as patched:
        patched.setattr(store, "write_sequences", full)
        for _ in range(2):
            with pytest.raises(StoreError):
                sequences.next(Channel.ACKS)
    used = sequences.next(Channel.ACKS)
    assert Sequences(store).next(Channel.ACKS) > used


def test_a_connection_closed_while_idle_is_opened_again(bench: Bench) -> None:
    bench.client.acknowledge({})
    connection = bench.client._connections[Channel.ACKS]  # noqa: SLF001 -- break it from inside
    assert connection.sock is not None
    connection.sock.shutdown(2)
    bench.client.acknowledge({})
    assert len(bench.server.portal.acknowledgements) == 2


def test_a_refusal_says_why_in_printable_words(bench: Bench) -> None:
    bench.server.refuse_with = 409
    with pytest.raises(PortalRefusedError, match="409: go away") as caught:
        bench.client.poll(after=0, epoch=1)
    assert caught.value.status == 409


@pytest.mark.parametrize(
    ("told", "agent"),
    [
        ({"version": "0.2.0", "least": "0.1.0"}, ("0.2.0", "0.1.0")),
        ({"version": "0.2.0"}, None),
        ({"version": "0.2.0\n", "least": "0.1.0"}, None),
        ({"version": [2], "least": "0.1.0"}, None),
        ("0.2.0", None),
        (None, None),
    ],
)
def test_what_a_portal_says_of_agents_is_a_version_or_nothing(
    told: object, agent: object
) -> None:
    assert agent_versions(told) == agent


@pytest.mark.parametrize("answer", [b"<html>", b"[]", b"{}", b'{"lease": 1}'])
def test_an_answer_of_another_form_is_an_error(bench: Bench, answer: bytes) -> None:
    bench.server.raw_answer = answer
    with pytest.raises(PortalAnswerError):
        bench.client.poll(after=0, epoch=1)
    with pytest.raises(PortalAnswerError):
        bench.client.send_evidence([], spool=SPOOL)


def test_nobody_there_is_an_error_of_its_own(bench: Bench) -> None:
    bench.server.shutdown()
    bench.server.server_close()
    bench.client.close()
    with pytest.raises(PortalUnreachableError, match="cannot reach"):
        bench.client.acknowledge({})


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("portal.example", "not a URL"),
        ("ftp://portal.example", "not a URL"),
        ("https://", "not a URL"),
        ("http://portal.example", "--insecure-http"),
        ("https://portal.example?x=1", "bare"),
        ("https://user@portal.example", "bare"),
    ],
)
def test_a_url_that_does_not_fit_is_refused(url: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        base_url(url, insecure_http=False)


def test_https_is_the_rule_and_slashes_do_not_matter() -> None:
    assert base_url("https://p.example/", insecure_http=False) == "https://p.example"
    assert base_url("http://p.example", insecure_http=True) == "http://p.example"


def test_a_file_that_holds_no_certificates_is_refused(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("no")
    with pytest.raises(ConfigError, match="certificates"):
        tls_context(str(tmp_path / "ca.pem"))
    with pytest.raises(ConfigError, match="certificates"):
        tls_context(str(tmp_path / "absent.pem"))


@pytest.mark.parametrize("skew", [3600, -3600], ids=["ahead", "behind"])
def test_a_clock_that_is_wrong_at_the_start_is_corrected_by_the_refusal(
    bench: Bench, skew: int
) -> None:
    @dataclass
    class Machine(SystemClock):
        def now(self) -> datetime:
            return super().now() + timedelta(seconds=skew)

    steady = SteadyClock(Machine())
    client = HttpPortal(
        bench.store.read_identity(),
        Sequences(bench.store),
        clock=steady.now,
        correct=steady.correct,
    )
    assert client.poll(after=0, epoch=1).snapshot is not None
    assert abs((steady.now() - clock()).total_seconds()) < 5
    client.close()


def test_a_refusal_is_not_tried_again_when_the_clock_is_right(bench: Bench) -> None:
    bench.server.refuse_with = 401
    asked: list[datetime] = []

    def correct(told: datetime) -> bool:
        asked.append(told)
        return False

    client = HttpPortal(
        bench.store.read_identity(),
        Sequences(bench.store),
        clock=clock,
        correct=correct,
    )
    with pytest.raises(PortalRefusedError):
        client.poll(after=0, epoch=1)
    assert len(asked) == 1
    client.close()


@pytest.mark.parametrize("text", ["", "yesterday", "Sat, 28 Nov 2026 15:00:00 -0000"])
def test_a_date_that_is_none_says_no_time(text: str) -> None:
    assert http_date(text) is None
