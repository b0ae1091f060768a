"""Requests in the name of a gateway that must not work."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Iterator

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from gateway.signing import Request, signed_headers
from gateway.store import Store
from tests.lab.lab import Lab, token_in
from tests.lab.network import GATEWAY, GATEWAY_ADDRESS
from tests.lab.processes import PYTHON

pytestmark = [pytest.mark.e2e, pytest.mark.netns]

CHANNEL = "evidence"
PATH = f"/api/gateway/v1/{CHANNEL}"
NOTHING = json.dumps({"records": []}).encode()


@pytest.fixture
def silent(doomed: Lab) -> Iterator[Lab]:
    """The lab with its agent asleep, so that its identity can be used by hand."""
    doomed.gateway.stop()
    yield doomed
    doomed.gateway.start()


def signed(made: Lab) -> tuple[str, dict[str, str]]:
    """Return the address and headers of the gateway's next request, signed by it."""
    store = Store(made.gateway.state)
    identity, sequences = store.read_identity(), store.read_sequences()
    sequences[CHANNEL] = sequences.get(CHANNEL, 0) + 1
    store.write_sequences(sequences)
    url = f"{made.portal.url}{PATH}"
    headers = signed_headers(
        Request(method="POST", url=url, body=NOTHING),
        key=Ed25519PrivateKey.from_private_bytes(identity.signing_seed),
        keyid=identity.gateway,
        sequence=sequences[CHANNEL],
        created=int(time.time()),
        nonce=secrets.token_bytes(16),
    )
    return url, {**headers, "Content-Type": "application/json"}


def refusals(made: Lab) -> int:
    """Return how many refused requests are on record."""
    return len(made.visitor("carol").events(code="GW013"))


def test_replayed_request_is_refused_and_recorded(silent: Lab) -> None:
    url, headers = signed(silent)
    first = httpx.post(url, content=NOTHING, headers=headers, trust_env=False)
    before = refusals(silent)
    again = httpx.post(url, content=NOTHING, headers=headers, trust_env=False)
    assert (first.status_code, again.status_code) == (200, 409)
    assert refusals(silent) == before + 1


def test_request_with_another_body_is_refused_and_recorded(silent: Lab) -> None:
    url, headers = signed(silent)
    before = refusals(silent)
    forged = b'{"records": [{"seq": 999999}]}'
    answer = httpx.post(url, content=forged, headers=headers, trust_env=False)
    assert answer.status_code == 401
    assert refusals(silent) == before + 1


def test_enrolment_token_works_once(doomed: Lab) -> None:
    dave = doomed.visitor("dave")
    page = dave.submit(
        "/manage/gateways/add/",
        {
            "name": f"spare-{secrets.token_hex(4)}",
            "endpoint_host": GATEWAY_ADDRESS,
            "endpoint_port": "51821",
        },
    )
    token = token_in(page.text)
    statuses = [_enroll(doomed, token, state) for state in ("spare-a", "spare-b")]
    assert statuses == [0, 1]


def _enroll(made: Lab, token: str, state: str) -> int:
    folder = made.folder / f"{state}-{secrets.token_hex(4)}"
    return made.network.run(
        GATEWAY,
        *(PYTHON, "-m", "gateway", "enroll", "--insecure-http"),
        *("--portal", made.portal.inner_url, "--token", token, "--state", str(folder)),
        check=False,
    ).returncode
