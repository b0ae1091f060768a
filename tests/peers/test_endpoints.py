"""Endpoints of gateways. No database."""

from __future__ import annotations

import pytest

from peers.endpoints import valid_endpoint_host, valid_endpoint_port
from peers.errors import InvalidEndpointError


@pytest.mark.parametrize(
    ("text", "host"),
    [
        ("vpn.example.com", "vpn.example.com"),
        ("VPN.Example.com", "vpn.example.com"),
        ("gw", "gw"),
        ("1.example", "1.example"),
        ("192.0.2.1", "192.0.2.1"),
        ("2001:DB8:0::1", "2001:db8::1"),
    ],
)
def test_a_host_has_one_form(text: str, host: str) -> None:
    assert valid_endpoint_host(text) == host


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="empty"),
        pytest.param("gw.example\nPostUp = x", id="another line"),
        pytest.param("gw.example\n", id="line feed at the end"),
        pytest.param("gw example", id="blank"),
        pytest.param("gw.example:51820", id="with a port"),
        pytest.param("[2001:db8::1]", id="in brackets"),
        pytest.param("fe80::1%eth0", id="zone"),
        pytest.param("::", id="unspecified"),
        pytest.param("ff02::1", id="multicast"),
        pytest.param("127.0.0.1", id="the client itself"),
        pytest.param("::1", id="the client itself over IPv6"),
        pytest.param("localhost", id="the client itself by name"),
        pytest.param("LocalHost", id="the client itself in capitals"),
        pytest.param("gw.localhost", id="a name of the client itself"),
        pytest.param("169.254.169.254", id="metadata service"),
        pytest.param("fe80::1", id="link-local"),
        pytest.param("::ffff:192.0.2.1", id="IPv4 in IPv6"),
        pytest.param("::ffff:127.0.0.1", id="the client itself in IPv6"),
        pytest.param("0.0.0.0", id="this host"),  # noqa: S104 -- binds nothing
        pytest.param("255.255.255.255", id="broadcast"),
        pytest.param("240.0.0.1", id="reserved"),
        pytest.param("2130706433", id="an address as a number"),
        pytest.param("0x7f000001", id="an address in hexadecimal"),
        pytest.param("192.0.2.1:22", id="an address with a port"),
        pytest.param("gw.example,evil.example", id="two hosts"),
        pytest.param("gw.example # x", id="a comment"),
        pytest.param("gw.example\tx", id="a tab"),
        pytest.param("gw.example\x00", id="NUL"),
        pytest.param("192.0.2", id="missing octet"),
        pytest.param("100.064.0.2", id="leading zero"),
        pytest.param("-gw.example", id="label begins with a hyphen"),
        pytest.param("gw-.example", id="label ends with a hyphen"),
        pytest.param("gw..example", id="empty label"),
        pytest.param("gw.example.", id="trailing dot"),
        pytest.param("gw_1.example", id="underscore"),
        pytest.param("bücher.example", id="not ASCII"),
        pytest.param(f"{'a' * 64}.example", id="long label"),
        pytest.param(".".join(["a" * 60] * 5), id="long name"),
    ],
)
def test_what_clients_cannot_dial_is_refused(text: str) -> None:
    """Attack D07, the endpoint of a gateway."""
    with pytest.raises(InvalidEndpointError):
        valid_endpoint_host(text)


def test_ports_run_from_1_to_65535() -> None:
    assert [valid_endpoint_port(port) for port in (1, 65535)] == [1, 65535]
    for port in (0, -1, 65536):
        with pytest.raises(InvalidEndpointError):
            valid_endpoint_port(port)
