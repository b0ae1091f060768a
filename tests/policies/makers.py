"""Applications, grants and the reports of a gateway, made short."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from typing import Any, Final

from audit.actor import SYSTEM, Actor, ActorKind
from audit.flows import AttributedFlow
from audit.models import Connection, FlowKind
from audit.services import record_flows
from peers.models import Device, Gateway
from policies import services
from policies.compiler.envelope import open_envelope
from policies.compiler.snapshot import parse_snapshot
from policies.compiler.types import Snapshot as Content
from policies.destinations import DestinationInput
from policies.models import Application, Grant, Publication, Snapshot
from policies.services.acknowledgements import expected_digest
from portal.accounts.models import Group, User

NOW: Final = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)


def web(prefix: str, first: int = 443, last: int | None = None) -> DestinationInput:
    """Return TCP ports of a prefix."""
    return DestinationInput(
        prefix=prefix, protocol="tcp", port_first=first, port_last=last
    )


def make_application(
    name: str, *prefixes: str, gateways: Sequence[Gateway]
) -> Application:
    """Describe an application that speaks HTTPS at these prefixes."""
    return services.create_application(
        name=name,
        destinations=[web(prefix) for prefix in prefixes],
        gateways=gateways,
        actor=SYSTEM,
        now=NOW,
    )


def make_grant(
    application: Application,
    *,
    user: User | None = None,
    group: Group | None = None,
    not_before: datetime | None = None,
    expires_at: datetime | None = None,
) -> Grant:
    """Grant an application."""
    return services.create_grant(
        application=application,
        user=user,
        group=group,
        not_before=not_before,
        expires_at=expires_at,
        actor=SYSTEM,
        now=NOW,
    )


def publish(*, now: datetime = NOW) -> list[Snapshot]:
    """Publish every gateway."""
    return services.publish_snapshots(
        gateway_ids=None, cause="test", actor=SYSTEM, now=now
    )


def content(gateway: Gateway) -> Content:
    """Return what the gateway's current snapshot says."""
    snapshot = Publication.objects.get(pk=gateway.pk).snapshot
    assert snapshot is not None
    return parse_snapshot(open_envelope(snapshot.envelope.encode()).payload)


def agent(gateway: Gateway) -> Actor:
    """Return the gateway as an acting party."""
    return Actor(kind=ActorKind.GATEWAY, id=gateway.ref.id, label=gateway.name)


def moment(*, seconds: float = 0) -> str:
    """Return a time as an agent writes it, `seconds` after NOW."""
    return f"{NOW + timedelta(seconds=seconds):%Y-%m-%dT%H:%M:%S.%f}Z"


def notice_report(number: int, /, **changed: object) -> dict[str, Any]:
    """Return the report of a gateway that enforces a notice."""
    return {
        "epoch": 1,
        "number": number,
        "received_at": moment(seconds=0.04),
        "applied_at": moment(seconds=0.05),
        "flows_cut": 0,
        "timings": {
            "verify_ms": 1.0,
            "persist_ms": 4.0,
            "nftables_ms": 0.5,
            "wireguard_ms": 0.5,
            "conntrack_ms": 4.0,
            "total_ms": 10.0,
        },
        "boot_id": "b",
        "agent_version": "1",
        "error": "",
        **changed,
    }


def report(snapshot: Snapshot, **changed: object) -> dict[str, Any]:
    """Return the report of a gateway that enforces `snapshot`."""
    timings = {
        f"{step}_ms": 1.5
        for step in ("verify", "persist", "nftables", "wireguard", "conntrack", "total")
    }
    return {
        "epoch": snapshot.epoch,
        "generation": snapshot.generation,
        "received_at": moment(seconds=0.01),
        "applied_at": moment(seconds=0.05),
        "observed_digest": expected_digest(snapshot),
        "flows_cut": 0,
        "timings": timings,
        "boot_id": "b007",
        "agent_version": "0.1.0",
        "error": "",
        **changed,
    }


def opened(sequence: int, **changed: object) -> dict[str, Any]:
    """Return the record of an accepted flow."""
    return {
        "seq": sequence,
        "kind": "open",
        "at": moment(seconds=sequence),
        "flow": f"{sequence:08x}-1",
        "device": 1,
        "grant": 1,
        "application": 1,
        "generation": 1,
        "protocol": 6,
        "source": "100.64.0.1",
        "source_port": 40000,
        "destination": "10.1.0.7",
        "destination_port": 443,
        **changed,
    }


def closed(sequence: int, **changed: object) -> dict[str, Any]:
    """Return the record of a flow's end."""
    record = opened(sequence, kind="close")
    for name in ("grant", "application", "generation"):
        del record[name]
    return {
        **record,
        "bytes_up": 100,
        "bytes_down": 2000,
        "packets_up": 3,
        "packets_down": 4,
        "started_at": moment(seconds=sequence),
        "ended_at": moment(seconds=sequence + 1),
        "reason": "closed",
        **changed,
    }


def denied(sequence: int, **changed: object) -> dict[str, Any]:
    """Return the record of a denied packet."""
    record = opened(sequence, kind="deny", reason="no_grant")
    for name in ("grant", "application"):
        del record[name]
    return {**record, **changed}


def as_sent(value: object) -> Any:  # noqa: ANN401 -- any JSON value
    """Return a value as it arrives over the wire."""
    return json.loads(json.dumps(value))


def open_connection(
    device: Device, gateway: Gateway, application: Application, *, port: int = 443
) -> None:
    """Record a flow that has begun and not ended."""
    lease = next(x for x in device.leases.all() if "." in x.address)
    host = application.destinations.all()[0].prefix.split("/")[0]
    number = Connection.objects.count() + 1
    flow = AttributedFlow(
        kind=FlowKind.OPEN,
        sequence=number,
        at=NOW,
        flow=f"f{number}",
        protocol=6,
        source=ip_address(lease.address),
        source_port=50_000 + number,
        destination=ip_address(host),
        destination_port=port,
        person=device.owner.ref,
        device=device.ref,
        application=application.ref,
        started_at=NOW,
        generation=1,
        reason="",
        body={},
    )
    record_flows(gateway=gateway.ref, flows=[flow], now=NOW)
