"""D16: nothing too large, too deep or packed gets into the log of connections."""

from __future__ import annotations

import gzip
import json
from typing import Any

import pytest
from django.conf import settings

from audit.models import AuditEvent, FlowEvent
from peers.models import Gateway
from policies.evidence import MAX_RECORD_BYTES, MAX_RECORDS
from tests.policies.api.agents import SigningAgent
from tests.policies.makers import opened

pytestmark = pytest.mark.django_db


@pytest.fixture
def agent(gw1: Gateway) -> SigningAgent:
    """The agent of gw1."""
    return SigningAgent(gw1)


def batch(*records: dict[str, Any]) -> bytes:
    return json.dumps({"records": records}).encode()


def nested(depth: int) -> bytes:
    """Return a batch whose one record holds lists in lists."""
    inside = "[" * depth + "]" * depth
    return batch(opened(1, flow="@")).replace(b'"@"', inside.encode())


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(gzip.compress(b"0" * 10_000_000), id="gzip bomb"),
        pytest.param(b'{"records": ' + b"[" * 10_000, id="depth 10,000, open"),
        pytest.param(nested(10_000), id="depth 10,000"),
        pytest.param(
            batch(*({"seq": number} for number in range(1, MAX_RECORDS + 2))),
            id="5,001 records",
        ),
    ],
)
def test_a_hostile_batch_is_refused_whole(agent: SigningAgent, body: bytes) -> None:
    answer = agent.post_bytes("evidence", body, **{"Content-Encoding": "gzip"})
    assert answer.status_code in {413, 422}
    assert not FlowEvent.objects.exists()
    assert AuditEvent.objects.get().code == "GW013"


def test_ten_megabytes_are_not_read(agent: SigningAgent) -> None:
    body = b'{"records": "' + b"x" * settings.DATA_UPLOAD_MAX_MEMORY_SIZE + b'"}'
    assert agent.post_bytes("evidence", body).status_code in {400, 413}
    assert not FlowEvent.objects.exists()


@pytest.mark.parametrize(
    "record",
    [
        pytest.param(opened(1, flow="x" * MAX_RECORD_BYTES), id="8 KiB"),
        pytest.param(opened(1, flow={"a": {"b": 1}}), id="nested"),
        pytest.param(opened(1, flow=[[[[[[[[["x"]]]]]]]]]), id="depth 9"),
    ],
)
def test_a_record_that_is_too_large_or_deep_is_counted_not_stored(
    agent: SigningAgent, record: dict[str, Any]
) -> None:
    assert agent.post("evidence", {"records": [record]}).status_code == 200
    assert not FlowEvent.objects.exists()
    event = AuditEvent.objects.get(code="GW008")
    assert event.details["lost"] == 1
    assert len(json.dumps(event.details)) < MAX_RECORD_BYTES
