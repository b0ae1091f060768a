"""A gateway's view of the world: flows as `policies` hands them to `audit`."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from typing import Any, Final

import pytest

from audit.actor import Ref
from audit.flows import AttributedFlow
from audit.models import FlowKind

NOON: Final = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
GATEWAY: Final = Ref(id="gw_1", label="berlin")
ALICE: Final = Ref(id="us_1", label="Alice")

MakeFlow = Callable[..., AttributedFlow]


@pytest.fixture
def make_flow() -> MakeFlow:
    """Return a maker of alice's flows; each keyword replaces one field."""

    def make(kind: FlowKind, sequence: int, **fields: Any) -> AttributedFlow:  # noqa: ANN401 -- the fields of the flow
        values: dict[str, Any] = {
            "at": NOON + timedelta(seconds=sequence),
            "flow": "f1",
            "protocol": 6,
            "source": ip_address("100.64.0.7"),
            "source_port": 51234,
            "destination": ip_address("10.2.0.5"),
            "destination_port": 443,
            "person": ALICE,
            "device": Ref(id="dv_9", label="laptop"),
            "key_fingerprint": "ab" * 8,
        }
        if kind is not FlowKind.DENY:
            values["application"] = Ref(id="ap_3", label="payroll")
            values["grant"] = Ref(id="gt_4", label="engineering → payroll")
            values["generation"] = 12
        if kind is FlowKind.CLOSE:
            values |= {
                "bytes_up": 1000,
                "bytes_down": 2000,
                "packets_up": 10,
                "packets_down": 20,
                "started_at": NOON,
                "ended_at": NOON + timedelta(seconds=sequence),
                "reason": "closed",
            }
        values |= fields
        return AttributedFlow(kind=kind, sequence=sequence, **values)

    return make
