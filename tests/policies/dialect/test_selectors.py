"""Rules of names, ports and protocols."""

from __future__ import annotations

import pytest

from policies.compiler.types import network
from policies.dialect.document import ANY_PORT, SelectorKind
from policies.dialect.errors import DialectError
from policies.dialect.selectors import (
    grant_services,
    port_ranges,
    protocol_numbers,
    selector,
    services,
    split_ports,
)


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("*", SelectorKind.EVERYTHING),
        ("ana@example.com", SelectorKind.USER),
        ("user:*@example.com", SelectorKind.DOMAIN),
        ("group:eng", SelectorKind.GROUP),
        ("tag:ci", SelectorKind.TAG),
        ("autogroup:member", SelectorKind.ROLE),
        ("ipset:lab", SelectorKind.IPSET),
        ("git-lab.example", SelectorKind.HOST),
        ("10.0.0.0/8", SelectorKind.PREFIX),
        ("10.0.0.1", SelectorKind.PREFIX),
        ("fd00::1", SelectorKind.PREFIX),
    ],
)
def test_names_are_told_apart(text: str, kind: SelectorKind) -> None:
    assert selector(text).kind is kind


@pytest.mark.parametrize(
    "text",
    ["", "a b", "svc:x", "group:", "10.0.0.300", "10.0.0.1/8", "-a", "::ffff:1.2.3.4"],
)
def test_what_is_no_name_is_refused(text: str) -> None:
    with pytest.raises(DialectError):
        selector(text)


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("gitlab:22", ("gitlab", "22")),
        ("tag:ci:80,443", ("tag:ci", "80,443")),
        ("fd00::1/128:443", ("fd00::1/128", "443")),
        ("[fd00::1]:443", ("fd00::1", "443")),
        ("[fd00::]/64:*", ("fd00::/64", "*")),
    ],
)
def test_ports_stand_behind_the_last_colon(text: str, parts: tuple[str, str]) -> None:
    assert split_ports(text) == parts


@pytest.mark.parametrize(
    "text",
    [
        "gitlab",
        ":22",
        "gitlab:",
        "[fd00::1]",
        "[10.0.0.1]:22",
        "[fd00::1:22",
        "[fd00::1]x:1",
    ],
)
def test_destinations_without_ports_are_refused(text: str) -> None:
    with pytest.raises(DialectError):
        split_ports(text)


def test_ports_may_be_one_a_range_several_or_all() -> None:
    assert port_ranges("80,8000-8100") == ((80, 80), (8000, 8100))
    assert port_ranges("*") == (ANY_PORT,)


@pytest.mark.parametrize(
    ("text", "numbers"),
    [("tcp", (6,)), ("UDP", (17,)), ("icmp", (1, 58)), ("1", (1,)), ("255", (255,))],
)
def test_protocols_have_names_and_numbers(text: str, numbers: tuple[int, ...]) -> None:
    assert protocol_numbers(text) == numbers


@pytest.mark.parametrize("text", ["*", "0", "06", "256", "http", "-1", ""])
def test_what_is_no_protocol_is_refused(text: str) -> None:
    with pytest.raises(DialectError, match="unknown protocol"):
        protocol_numbers(text)


def test_no_protocol_means_the_default_four() -> None:
    (service,) = services("", "22")
    assert (service.protocols, service.named) == ((1, 6, 17, 58), False)


def test_only_some_protocols_have_ports() -> None:
    assert services("icmp", "*")[0].protocols == (1, 58)
    with pytest.raises(DialectError, match="has no ports"):
        services("icmp", "80")


@pytest.mark.parametrize("text", [":80", "a:b:80"])
def test_a_grant_names_one_protocol(text: str) -> None:
    with pytest.raises(DialectError):
        grant_services(text)


def test_a_selector_keeps_its_prefix() -> None:
    assert selector("10.0.0.0/8").prefix == network("10.0.0.0/8")
