"""How far the portal is reached, against servers that end it at each stage."""

from __future__ import annotations

import socket
from datetime import UTC, datetime

import pytest

from gateway.doctor.reach import endpoint, reach
from gateway.store import Identity
from tests.gateway.fakes import FakePortal
from tests.gateway.httpportal import serving
from tests.gateway.world import NOW


def identity(portal: str) -> Identity:
    """Return a gateway of that portal."""
    return Identity(
        portal=portal,
        insecure_http=True,
        ca_file="",
        gateway="gw_1",
        deployment="peerage",
        epoch=1,
        snapshot_keys=(),
        signing_seed=b"s" * 32,
        wireguard_private_key="k",
    )


@pytest.mark.parametrize(
    ("url", "host", "port"),
    [
        ("https://portal.example", "portal.example", 443),
        ("http://[::1]:8000", "::1", 8000),
    ],
)
def test_an_endpoint_is_host_and_port(url: str, host: str, port: int) -> None:
    assert endpoint(url) == (host, port)


def test_a_portal_that_answers_tells_its_time() -> None:
    with serving(FakePortal()) as server:
        server.raw_answer = b"{}"
        found = reach(identity(server.url), now=NOW)
    assert (found.problem, found.tls) == ("", "")
    assert found.date is not None
    assert abs((datetime.now(UTC) - found.date).total_seconds()) < 60  # noqa: TID251 -- an edge


def test_a_name_that_nobody_knows_ends_it_at_once() -> None:
    found = reach(identity("https://portal.invalid"), now=NOW)
    assert found.stage == "name"
    assert found.problem


def test_a_port_where_nobody_listens_ends_it_at_tcp() -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    found = reach(identity(f"https://127.0.0.1:{port}"), now=NOW)
    assert (found.stage, found.problem) == ("tcp", "Connection refused")


def test_a_server_without_tls_ends_it_there() -> None:
    with serving(FakePortal()) as server:
        url = server.url.replace("http:", "https:")
        found = reach(identity(url), now=NOW)
    assert found.stage == "tls"
    assert found.problem
