"""From kernel events to records the portal has signed for; every loss is counted."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.errors import PortalUnreachableError, SpoolError, UntrustedError
from gateway.evidence import Collector, Uploader
from gateway.journal import Journal
from gateway.spool import Spool
from gateway.trust import Judge
from gateway.types import Entry, Overrun
from gateway.view import View
from tests.gateway.fakes import FakeClock, FakeEvents, FakePortal, entry, logged, tcp
from tests.gateway.world import ALICE, BOB, facts, signer

DEVICES = {tcp(ALICE).source: ALICE, tcp(BOB).source: BOB}


class Bench:
    """A collector with events, entries and a clock that a test moves."""

    def __init__(self, directory: Path) -> None:
        """Start empty."""
        self.directory = directory
        self.clock = FakeClock()
        self.events = FakeEvents()
        self.entries: list[Entry] = []
        self.evictions = 0
        self.portal = FakePortal()
        self.start()

    def start(self) -> None:
        """Make a collector, as each start of the agent does."""
        self.spool = Spool(self.directory / "spool")
        self.collector = Collector(
            events=self.events,
            entries=lambda: self.entries,
            evict=self.evict,
            spool=self.spool,
            journal=Journal(self.directory),
            clock=self.clock,
        )
        self.collector.set_view(
            View(
                generation=4,
                pools=facts().pools,
                devices=DEVICES,
                attribute=lambda e: (
                    (9, 3) if e.tuple.destination_port == 8080 else None
                ),
            )
        )

    def evict(self) -> None:
        """Count."""
        self.evictions += 1

    def step(self, *events: object, after: float = 0.2) -> None:
        """Let events arrive and time pass."""
        self.events.waiting += events  # type: ignore[arg-type]
        self.clock.advance(after)
        self.collector.step()

    def records(self) -> list[dict[str, object]]:
        """Return everything that is durable."""
        return [json.loads(body) for _, body in self.spool.batch(1000)]

    def kinds(self) -> list[object]:
        """Return the kinds of what is durable."""
        return [record["kind"] for record in self.records()]


def restarted(bench: Bench) -> list[dict[str, object]]:
    """Return what the successor of an agent that was killed just now tells."""
    seen, killed = len(bench.records()), bench.spool
    bench.start()
    bench.collector.begin("boot-2")
    bench.step()
    told = bench.records()[seen:]
    killed.close()
    bench.spool.close()
    return told


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """Return a bench; its spool is closed by the collector's end."""
    return Bench(tmp_path)


def test_a_flow_is_an_open_and_a_close_under_one_name(bench: Bench) -> None:
    bench.step(logged(ALICE))
    bench.step(entry(1, ALICE))
    opened, closed = bench.records()
    assert (opened["kind"], closed["kind"]) == ("open", "close")
    assert opened["flow"] == closed["flow"]
    assert (opened["device"], opened["grant"], opened["application"]) == (ALICE, 9, 3)
    assert (closed["bytes_up"], closed["bytes_down"], closed["reason"]) == (
        100,
        2000,
        "closed",
    )
    bench.spool.close()


def test_records_carry_exactly_the_fields_of_the_protocol(bench: Bench) -> None:
    bench.step(logged(ALICE), logged(BOB, prefix="no_grant"))
    bench.step(entry(1, ALICE))
    flow = "at destination destination_port device flow kind protocol seq source"
    base = {*flow.split(), "source_port"}
    opened, denied, closed = bench.records()
    assert set(opened) == base | {"grant", "application", "generation"}
    assert set(denied) == base | {"reason", "generation"}
    counters = {"bytes_up", "bytes_down", "packets_up", "packets_down"}
    assert set(closed) == base | counters | {"started_at", "ended_at", "reason"}
    bench.spool.close()


def test_a_log_without_a_mark_is_attributed_by_its_source(bench: Bench) -> None:
    bench.step(replace(logged(ALICE), mark=0))
    assert bench.records()[0]["device"] == ALICE
    bench.spool.close()


def test_a_log_of_a_device_that_just_left_is_still_its_own(bench: Bench) -> None:
    bench.collector.set_view(View(generation=5, pools=facts().pools, devices={}))
    bench.step(replace(logged(ALICE), mark=0), logged(ALICE, prefix="no_device"))
    opened, denied = bench.records()
    assert (opened["device"], denied["device"]) == (ALICE, ALICE)
    bench.spool.close()


def test_further_packets_of_an_unanswered_flow_are_no_new_flows(bench: Bench) -> None:
    bench.step(logged(ALICE), logged(ALICE), logged(ALICE))
    assert bench.kinds() == ["open"]
    bench.spool.close()


def test_a_tuple_that_is_used_again_is_another_flow(bench: Bench) -> None:
    bench.step(logged(ALICE))
    bench.step(entry(1, ALICE), logged(ALICE))
    bench.step(entry(2, ALICE))
    names = [record["flow"] for record in bench.records()]
    assert bench.kinds() == ["open", "close", "open", "close"]
    assert names[0] == names[1] != names[2] == names[3]
    bench.spool.close()


def test_repeated_denials_of_one_attempt_are_one(bench: Bench) -> None:
    denial = logged(BOB, prefix="no_grant", flow=tcp(BOB, to="10.50.0.11"))
    bench.step(denial, denial)
    bench.step(denial, after=29)
    bench.step(denial, after=31)
    assert [(r["kind"], r["reason"]) for r in bench.records()] == [
        ("deny", "no_grant"),
        ("deny", "no_grant"),
    ]
    bench.spool.close()


def test_a_denied_answer_is_of_the_device_it_goes_to(bench: Bench) -> None:
    asked = tcp(ALICE)
    answer = replace(asked, source=asked.destination, destination=asked.source)
    bench.step(logged(0, prefix="unsolicited", flow=answer))
    assert [r["device"] for r in bench.records()] == [ALICE]
    bench.spool.close()


@pytest.mark.parametrize("prefix", ["", "DROP: ", "x" * 100, "\x1b[2J"])
def test_a_reason_that_is_not_ours_is_unknown(bench: Bench, prefix: str) -> None:
    bench.step(logged(ALICE, prefix=prefix))
    assert [r["reason"] for r in bench.records()] == ["unknown"]
    bench.spool.close()


def test_a_flow_that_was_cut_closes_as_revoked(bench: Bench) -> None:
    bench.step(logged(ALICE), logged(BOB))
    bench.collector.revoking([tcp(ALICE)])
    bench.step(entry(1, ALICE), entry(2, BOB))
    assert [r["reason"] for r in bench.records()[2:]] == ["revoked", "closed"]
    bench.spool.close()


def test_an_end_waits_for_its_beginning(bench: Bench) -> None:
    bench.step(entry(1, ALICE))
    assert bench.records() == []
    bench.step(logged(ALICE))
    assert bench.kinds() == ["open", "close"]
    bench.spool.close()


def test_an_end_whose_beginning_was_lost_is_told_with_what_policy_says(
    bench: Bench,
) -> None:
    bench.step(entry(1, ALICE), entry(2, ALICE, tcp(ALICE, dport=22)))
    bench.step(after=1.1)
    assert bench.kinds() == ["open", "close", "close"]
    opened = bench.records()[0]
    assert (opened["grant"], opened["at"]) == (9, "2026-11-23T12:00:00.000000Z")
    bench.spool.close()


def test_foreign_ends_are_not_evidence(bench: Bench) -> None:
    foreign = replace(tcp(ALICE), source=tcp(ALICE).destination)
    bench.step(entry(1, 77, foreign))
    bench.step(after=2)
    assert bench.records() == []
    bench.spool.close()


def test_numbers_that_are_missing_are_a_gap(bench: Bench) -> None:
    bench.step(logged(ALICE, lost=12))
    gap = bench.records()[0]
    assert (gap["kind"], gap["source"], gap["lost"]) == ("gap", "nflog", 12)
    bench.spool.close()


def test_after_an_overrun_lost_ends_are_told_and_counted(bench: Bench) -> None:
    bench.step(logged(ALICE), logged(BOB))
    bench.entries = [entry(2, BOB)]
    bench.step(Overrun(source="conntrack"), Overrun(source="nflog"))
    bench.step()
    closed, gap = bench.records()[2:]
    assert (closed["reason"], closed["device"]) == ("restart", ALICE)
    assert (gap["source"], gap["lost"]) == ("conntrack", 1)
    bench.spool.close()


def test_an_end_that_is_still_to_be_read_is_not_taken_for_lost(bench: Bench) -> None:
    bench.step(logged(ALICE))
    bench.step(Overrun(source="conntrack"))
    # The kernel has it no more when it is asked, but its end is on the way.
    bench.step(entry(1, ALICE))
    bench.step(after=2)
    kinds = [(r["kind"], r.get("reason")) for r in bench.records()]
    assert kinds == [("open", None), ("close", "closed")]
    bench.spool.close()


def test_a_beginning_read_late_whose_end_was_lost_is_closed(bench: Bench) -> None:
    bench.step(Overrun(source="conntrack"))
    bench.step(logged(ALICE))
    bench.step(after=2)
    (opened, closed, gap) = bench.records()
    assert (opened["flow"], closed["reason"]) == (closed["flow"], "restart")
    assert (gap["source"], gap["lost"]) == ("conntrack", 1)
    bench.spool.close()


def test_a_restart_knows_the_names_of_open_flows(bench: Bench) -> None:
    bench.step(logged(ALICE), logged(BOB))
    bench.collector.end()
    bench.spool.close()
    name = bench.records()[0]["flow"]
    bench.entries = [entry(1, ALICE), entry(2, BOB)]
    bench.start()
    bench.collector.begin("boot-2")
    bench.step(entry(1, ALICE))
    assert bench.kinds() == ["open", "open", "start", "close"]
    assert bench.records()[-1]["flow"] == name
    bench.spool.close()


def test_what_happened_while_nobody_listened_is_counted(bench: Bench) -> None:
    bench.step(logged(ALICE))
    bench.collector.end()
    bench.spool.close()
    bench.entries = [entry(2, BOB)]
    bench.start()
    bench.collector.begin("boot-2")
    assert bench.kinds() == ["open", "start", "close", "gap", "open", "gap"]
    assert [r["source"] for r in bench.records() if r["kind"] == "gap"] == [
        "conntrack",
        "nflog",
    ]
    bench.spool.close()


def test_a_spool_that_refuses_is_unhealthy_and_its_losses_are_told(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(record: object) -> int:
        raise SpoolError(f"full: {record}")

    with monkeypatch.context() as patched:
        patched.setattr(bench.spool, "append", refuse)
        bench.step(logged(ALICE), logged(BOB))
        assert not bench.collector.is_healthy()
    bench.step()
    assert bench.collector.is_healthy()
    gap = bench.records()[0]
    assert (gap["source"], gap["lost"]) == ("spool", 2)
    bench.spool.close()


def test_a_gap_that_cannot_be_written_keeps_its_number(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(record: object) -> int:
        raise SpoolError(f"full: {record}")

    with monkeypatch.context() as patched:
        patched.setattr(bench.spool, "append", refuse)
        # Forty were lost on the way, and the one that came is lost here.
        bench.step(logged(ALICE, lost=40))
    bench.step()
    gap = bench.records()[0]
    assert (gap["source"], gap["lost"]) == ("spool", 41)
    bench.spool.close()


def test_what_was_lost_by_a_run_that_ended_full_is_told_by_the_next(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(record: object) -> int:
        raise SpoolError(f"full: {record}")

    with monkeypatch.context() as patched:
        patched.setattr(bench.spool, "append", refuse)
        bench.step(logged(ALICE), logged(BOB))
        bench.spool.close()
    bench.start()
    bench.collector.begin("boot-2")
    gap = next(r for r in bench.records() if r["kind"] == "gap")
    assert (gap["source"], gap["lost"]) == ("spool", 2)
    bench.spool.close()
    bench.start()
    assert bench.spool.lost == 0
    bench.spool.close()


def test_a_collector_that_is_silent_is_unhealthy(bench: Bench) -> None:
    bench.step()
    assert bench.collector.is_healthy()
    bench.clock.advance(6)
    assert not bench.collector.is_healthy()
    bench.spool.close()


def test_expired_flows_are_asked_for_while_some_are_open(bench: Bench) -> None:
    bench.step(after=10)
    assert bench.evictions == 0
    bench.step(logged(ALICE), after=10)
    bench.step(after=1)
    assert bench.evictions == 1
    bench.spool.close()


def test_an_upload_is_forgotten_after_its_receipt_only(bench: Bench) -> None:
    uploader = Uploader(
        portal=bench.portal, spool=bench.spool, judge=Judge(anchor=signer().anchor())
    )
    assert uploader.step() == 0
    bench.step(logged(ALICE), logged(BOB))
    bench.portal.is_reachable = False
    with pytest.raises(PortalUnreachableError):
        uploader.step()
    assert bench.spool.depth == 2
    bench.portal.is_reachable = True
    assert uploader.step() == 2
    assert (bench.spool.depth, len(bench.portal.records)) == (0, 2)
    bench.spool.close()


def test_a_batch_that_is_sent_twice_is_taken_once(bench: Bench) -> None:
    uploader = Uploader(
        portal=bench.portal, spool=bench.spool, judge=Judge(anchor=signer().anchor())
    )
    bench.step(logged(ALICE), logged(BOB))
    bench.portal.receipts_back = 1
    assert uploader.step() == 1
    bench.portal.receipts_back = 0
    assert uploader.step() == 1
    assert [r["seq"] for r in bench.portal.records] == [1, 2]
    bench.spool.close()


def test_a_portal_that_has_more_of_a_spool_gets_it_under_another_name(
    bench: Bench,
) -> None:
    """The state directory came from a backup: the portal heard of later numbers."""
    uploader = Uploader(
        portal=bench.portal, spool=bench.spool, judge=Judge(anchor=signer().anchor())
    )
    before = bench.spool.name
    bench.portal.spools[before] = 70
    bench.step(logged(ALICE))
    assert uploader.step() == 0
    assert (bench.spool.depth, bench.portal.records) == (1, [])
    assert bench.spool.name != before
    assert uploader.step() == 1
    assert [r["seq"] for r in bench.portal.records] == [1]
    bench.spool.close()


def test_a_receipt_for_what_was_never_sent_is_refused(bench: Bench) -> None:
    judge = Judge(anchor=signer().anchor())
    uploader = Uploader(portal=bench.portal, spool=bench.spool, judge=judge)
    bench.step(logged(ALICE))
    bench.spool.append({"kind": "gap"})
    bench.portal.receipts_back = -1
    with pytest.raises(SpoolError):
        uploader.step()
    assert bench.spool.depth == 2
    bench.spool.close()


def test_a_receipt_of_another_portal_forgets_nothing(bench: Bench) -> None:
    uploader = Uploader(
        portal=bench.portal, spool=bench.spool, judge=Judge(anchor=signer(2).anchor())
    )
    bench.step(logged(ALICE))
    with pytest.raises(UntrustedError):
        uploader.step()
    assert bench.spool.depth == 1
    bench.spool.close()


def test_a_flow_that_was_recorded_just_before_a_kill_is_not_told_again(
    bench: Bench,
) -> None:
    bench.step(logged(ALICE), after=0)
    bench.entries = [entry(1, ALICE)]
    assert [r["kind"] for r in restarted(bench)] == ["open", "start"]


def test_an_end_that_was_recorded_just_before_a_kill_is_not_told_again(
    bench: Bench,
) -> None:
    bench.step(logged(ALICE))
    bench.step(entry(1, ALICE), after=0)
    assert [r["kind"] for r in restarted(bench)] == ["close", "start"]


def test_a_flow_that_is_cut_while_an_agent_starts_is_no_gap(bench: Bench) -> None:
    bench.step(logged(ALICE))
    cut = entry(1, ALICE)
    bench.spool.close()
    bench.start()
    # The engine takes up its snapshot first, and hears of the cut by its event.
    bench.collector.revoking([cut.tuple])
    bench.events.waiting.append(cut)
    bench.collector.begin("boot-2")
    bench.step()
    opened, _, closed = bench.records()
    assert (closed["kind"], closed["reason"]) == ("close", "revoked")
    assert (closed["flow"], closed["bytes_up"]) == (opened["flow"], cut.bytes_up)
    bench.spool.close()
