"""Rules of a host name. Pure."""

from __future__ import annotations

import pytest

from policies.compiler.errors import InvalidValueError
from policies.compiler.hostnames import LONGEST, host_name

LABEL = "a" * 63


@pytest.mark.parametrize(
    "text",
    [
        "db.example.com",
        "a.b",
        "1.2.3.example",
        "xn--bcher-kva.example",
        "r3---edge.example.net",
        f"{LABEL}.{LABEL}.{LABEL}.{'a' * 61}",
    ],
)
def test_an_exact_name_is_taken_as_it_is(text: str) -> None:
    assert host_name(text) == text


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "not a host name"),
        ("db", "with its domain"),
        ("localhost", "with its domain"),
        ("*.example.com", "wildcard"),
        ("DB.example.com", "write 'db.example.com'"),
        ("db.example.com.", "ends in a dot"),
        ("bücher.example", "xn--"),
        ("db..example.com", "not a host name"),
        (".example.com", "not a host name"),
        ("-db.example.com", "not a host name"),
        ("db-.example.com", "not a host name"),
        ("my_db.example.com", "not a host name"),
        ("db.example.com\n", "not a host name"),
        ("db.exam ple.com", "not a host name"),
        ("db.example.com:443", "not a host name"),
        ('db.example.com"; flush ruleset', "not a host name"),
        ("10.0.0.1", "as an address does"),
        (f"{LABEL}a.example.com", "not a host name"),
        (f"{LABEL}.{LABEL}.{LABEL}.{'a' * 62}", f"at most {LONGEST}"),
        ("fd00::1", "not a host name"),
    ],
)
def test_what_is_no_exact_name_is_refused_with_the_reason(text: str, says: str) -> None:
    with pytest.raises(InvalidValueError, match=says):
        host_name(text)
