"""Rules of AllowedIPs and configurations."""

from __future__ import annotations

from datetime import timedelta
from ipaddress import ip_address

import pytest

from policies.compiler.errors import InvalidValueError
from policies.compiler.types import network
from policies.compiler.wireguard import (
    ClientPeer,
    client_config,
    device_allowed_ips,
    gateway_peers,
    with_private_key,
)
from tests.policies.compiler.build import NOW, application, facts, grant, key, snapshot
from tests.policies.compiler.examples import EVENING, SESSION, company

ADDRESSES = [ip_address("fd5e::2"), ip_address("100.64.0.2")]


def peer(
    *prefixes: str, host: str = "gw.example.com", port: int = 51820, number: int = 1
) -> ClientPeer:
    return ClientPeer(
        public_key=key(number),
        endpoint_host=host,
        endpoint_port=port,
        allowed_ips=tuple(network(prefix) for prefix in prefixes),
    )


def allowed(user: int) -> list[str]:
    return [str(n) for n in device_allowed_ips(company(), user_id=user, now=NOW)]


def test_a_device_routes_what_its_owner_was_granted_collapsed() -> None:
    assert allowed(2) == ["10.0.0.0/8", "fd20::/64"]
    assert allowed(3) == ["10.0.0.0/8", "fd20::53/128", "fd30::/32"]


def test_no_grant_routes_nothing() -> None:
    assert allowed(99) == []


def test_an_ended_grant_routes_nothing() -> None:
    given = facts(
        applications=(application(1, "10.0.0.0/8 icmp"),),
        grants=(grant(1, "us_1", 1, expires_at=EVENING),),
    )
    assert device_allowed_ips(given, user_id=1, now=EVENING) == ()
    before = EVENING - timedelta(microseconds=1)
    assert device_allowed_ips(given, user_id=1, now=before) != ()


def test_a_gateway_peer_speaks_for_its_own_addresses_only() -> None:
    peers = gateway_peers(snapshot(company()), now=NOW)
    assert [str(n) for n in peers[0].allowed_ips] == [
        "100.64.0.1/32",
        "fd5e:e4a6:e000::1/128",
    ]
    assert len(peers) == 4


def test_a_peer_ends_with_its_session() -> None:
    keys = {p.public_key for p in gateway_peers(snapshot(company()), now=SESSION)}
    assert keys == {key(1), key(2), key(7)}


def test_a_configuration_lacks_only_its_private_key() -> None:
    text = client_config(ADDRESSES, [peer("10.0.0.0/8", "fd00::/8")])
    assert text == (
        "[Interface]\n"
        "Address = 100.64.0.2/32, fd5e::2/128\n"
        "\n"
        "[Peer]\n"
        f"PublicKey = {key(1)}\n"
        "AllowedIPs = 10.0.0.0/8, fd00::/8\n"
        "Endpoint = gw.example.com:51820\n"
        "PersistentKeepalive = 25\n"
    )


def test_a_gateway_that_carries_nothing_is_left_out() -> None:
    assert client_config(ADDRESSES[1:], [peer()]) == (
        "[Interface]\nAddress = 100.64.0.2/32\n"
    )


def test_a_prefix_behind_two_gateways_goes_to_the_first() -> None:
    text = client_config(
        ADDRESSES,
        [peer("10.0.0.0/8"), peer("10.0.0.0/8", "10.0.0.0/16", number=2)],
    )
    assert text.count("10.0.0.0/8") == 1
    assert f"PublicKey = {key(2)}\nAllowedIPs = 10.0.0.0/16\n" in text


@pytest.mark.parametrize(
    ("host", "endpoint"),
    [
        ("gw.example.com", "gw.example.com:1"),
        ("192.0.2.1", "192.0.2.1:1"),
        ("2001:db8::1", "[2001:db8::1]:1"),
    ],
)
def test_an_endpoint_is_written_as_wg_reads_it(host: str, endpoint: str) -> None:
    assert peer(host=host, port=1).endpoint == endpoint


@pytest.mark.parametrize(
    "host",
    [
        "",
        "a b",
        "gw\nPostUp = touch pwned",
        "gw.example.com\n",
        "-gw",
        "gw..example",
        "fe80::1%eth0",
        "a" * 64,
        "[2001:db8::1]",
        "gw:80",
        "ä.example",
    ],
)
def test_a_host_that_could_break_its_line_is_refused(host: str) -> None:
    with pytest.raises(InvalidValueError):
        peer(host=host)


@pytest.mark.parametrize("port", [0, 65536, -1])
def test_an_endpoint_port_out_of_range_is_refused(port: int) -> None:
    with pytest.raises(InvalidValueError):
        peer(port=port)


def test_a_device_without_an_address_has_no_configuration() -> None:
    with pytest.raises(InvalidValueError):
        client_config([], [])


def test_the_private_key_comes_first() -> None:
    text = with_private_key(client_config(ADDRESSES, []), key(5))
    assert text.startswith(f"[Interface]\nPrivateKey = {key(5)}\nAddress = ")


@pytest.mark.parametrize(
    "text", ["", "Address = 1\n", f"[Interface]\nPrivateKey = {key(5)}\n"]
)
def test_a_key_is_put_only_where_one_is_awaited(text: str) -> None:
    with pytest.raises(InvalidValueError):
        with_private_key(text, key(6))


def test_a_malformed_private_key_is_not_repeated() -> None:
    with pytest.raises(InvalidValueError) as caught:
        with_private_key("[Interface]\n", "secret")
    assert "secret" not in str(caught.value)
