"""What the agent says is what the portal reads: both ends of the protocol at once."""

from __future__ import annotations

import json
from pathlib import Path
from urllib.parse import urlsplit

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from gateway.flows import Record
from gateway.pressure import Pressure
from gateway.report import Table
from gateway.signing import Request, signed_headers
from peers.api import signatures
from policies.evidence import parse_records
from policies.reports import parse_report
from tests.gateway.fakes import entry, logged, tcp
from tests.gateway.test_engine import Bench as EngineBench
from tests.gateway.test_evidence import Bench as EvidenceBench
from tests.gateway.world import ALICE, BOB, facts, without


def test_every_kind_of_record_is_read_by_the_portal(tmp_path: Path) -> None:
    bench = EvidenceBench(tmp_path)
    bench.collector.begin("boot-1")
    bench.step(logged(ALICE), logged(BOB, lost=3), logged(BOB, prefix="no_grant"))
    echo = tcp(ALICE, dport=1)
    drift: Record = {"kind": "drift", "at": "2026-11-23T12:00:00.000000Z", "what": "x"}
    bench.collector.tell(drift)
    bench.collector.tell({**drift, "by": "nft pid 7", "repaired_ms": 12})
    bench.collector.tell({**drift, "by": None, "repaired_ms": None})
    crowded = Pressure().observe(Table(entries=8, most=10), now=bench.clock.now())
    assert crowded is not None
    bench.collector.tell(crowded)
    bench.collector.revoking([tcp(ALICE)])
    bench.step(entry(1, ALICE), entry(2, ALICE, echo))
    bench.step(after=2)
    records = parse_records(bench.records())
    assert len(records) == len(bench.records())
    assert {str(r["kind"]) for r in bench.records()} == {
        "start",
        "open",
        "close",
        "deny",
        "gap",
        "drift",
        "flow_table",
    }
    bench.spool.close()


def test_an_acknowledgement_is_read_by_the_portal(tmp_path: Path) -> None:
    bench = EngineBench(tmp_path)
    report = parse_report(json.loads(json.dumps(bench.receive(1))))
    assert (report.generation, report.error) == (1, "")
    assert report.applied_at is not None
    bench.kernel.refuses_transactions = True
    failed = parse_report(bench.receive(2, without([ALICE], facts())))
    assert (failed.applied_at, failed.observed_digest) == (None, "")
    assert failed.error


def test_a_signature_is_read_by_the_portal() -> None:
    key = Ed25519PrivateKey.from_private_bytes(b"\x07" * 32)
    url = "https://portal.example/api/gateway/v1/snapshot?after=0&epoch=1"
    request = Request(method="GET", url=url, body=b"")
    headers = signed_headers(
        request,
        key=key,
        keyid="gw_1",
        sequence=9,
        created=1_800_000_000,
        nonce=bytes(16),
    )
    announced = signatures.parse_signature_input(headers["Signature-Input"])
    components = (
        "GET",
        "portal.example",
        urlsplit(url).path,
        f"?{urlsplit(url).query}",
        signatures.content_digest(b""),
        "9",
    )
    base = signatures.signature_base(
        zip(signatures.COMPONENTS, components, strict=True), announced.params
    )
    assert announced.gateway_id == 1
    key.public_key().verify(signatures.parse_signature(headers["Signature"]), base)
