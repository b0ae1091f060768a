"""Forms turn lines into values, and say which line is wrong. No database."""

from __future__ import annotations

import pytest

from policies.destinations import DestinationInput
from policies.errors import InvalidDestinationError
from portal.console.forms import parse_destination


@pytest.mark.parametrize(
    ("line", "meant"),
    [
        ("10.0.0.0/24 tcp/443", ("10.0.0.0/24", "tcp", 443, None)),
        ("10.0.0.0/24   udp/1000-2000", ("10.0.0.0/24", "udp", 1000, 2000)),
        ("fd00::5/128 icmpv6", ("fd00::5/128", "icmpv6", None, None)),
        ("10.0.0.0/8 any", ("10.0.0.0/8", "any", None, None)),
    ],
)
def test_a_line_says_prefix_protocol_and_ports(
    line: str, meant: tuple[str, str, int | None, int | None]
) -> None:
    prefix, protocol, first, last = meant
    assert parse_destination(line) == DestinationInput(
        prefix=prefix, protocol=protocol, port_first=first, port_last=last
    )


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("10.0.0.0/24", "is not written like"),
        ("10.0.0.1/24 tcp/443", "did you mean 10.0.0.0/24"),
        ("10.0.0.0/24 tcp/0", "from 1 to 65535"),
        ("10.0.0.0/24 tcp/20-10", "reversed"),
        ("10.0.0.0/24 tcp", "needs ports"),
        ("10.0.0.0/24 smtp/25", "not a protocol"),
        ("10.0.0.0/24 icmp/1", "takes no ports"),
        ("fd00::/64 icmp", "does not exist on IPv6"),
        ("10.0.0.0/24 tcp/443; drop", "is not written like"),
        ("10.0.0.0/24 tcp/99999", "from 1 to 65535"),
    ],
)
def test_a_wrong_line_says_what_is_wrong(line: str, says: str) -> None:
    with pytest.raises(InvalidDestinationError, match=says):
        parse_destination(line)
