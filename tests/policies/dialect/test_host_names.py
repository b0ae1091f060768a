"""Rules of `hostNames`, a section of our own: a name stands beside a host's prefix."""

from __future__ import annotations

import pytest

from policies.compiler.types import Destination, PortRange, Protocol, network
from policies.dialect.definitions import define
from policies.dialect.errors import UnsupportedError
from policies.dialect.export import export
from policies.dialect.reader import Options, read_policy
from policies.dialect.verdicts import failures, run_tests
from tests.policies.dialect.makers import COMPANY, claim, grant, policy, why
from tests.policies.makers import NOW

NAMED = {
    "hosts": {"db": "10.20.0.0/16", "web": "10.30.0.0/24"},
    "hostNames": {"db": "db.example.com"},
}


def test_a_host_with_a_name_is_a_destination_by_name() -> None:
    rules = [grant("ana@example.com", ["db", "web"], "tcp:5432")]
    (db, web) = define(policy(**NAMED, grants=rules)).applications
    ports = PortRange(first=5432, last=5432)
    assert db.destinations == (
        Destination(
            prefix=network("10.20.0.0/16"),
            protocol=Protocol.TCP,
            ports=ports,
            host="db.example.com",
        ),
    )
    assert [place.host for place in web.destinations] == [""]


@pytest.mark.parametrize(
    ("names", "says"),
    [
        ({"db": "*.example.com"}, "wildcard"),
        ({"db": "DB.example.com"}, "write 'db.example.com'"),
        ({"db": "db"}, "with its domain"),
        ({"db": "10.20.0.1"}, "as an address does"),
        ({"db": 5}, "text"),
        ({"other": "db.example.com"}, 'hostNames="other" is not in hosts'),
    ],
)
def test_what_is_no_exact_name_of_a_host_is_refused(
    names: dict[str, object], says: str
) -> None:
    assert says in why({**NAMED, "hostNames": names})


def test_an_address_set_cannot_hold_a_host_name_and_lose_it() -> None:
    sets = {"ipset:all": ["add db"]}
    assert "a host name" in why({**NAMED, "ipsets": sets})


def test_the_plain_dialect_does_not_know_the_section() -> None:
    assert "hostNames" in why(NAMED, Options(extensions=False))


def test_tests_of_a_file_judge_a_name_by_its_bound() -> None:
    rules = [grant("ana@example.com", "db", "tcp:5432")]
    tests = [claim("ana@example.com", accept="10.20.0.9:5432", deny="10.21.0.1:5432")]
    document = policy(**NAMED, grants=rules, tests=tests)
    assert failures(run_tests(document, COMPANY, now=NOW)) == {}


def test_an_exported_name_is_read_back_the_same() -> None:
    rules = [
        grant("ana@example.com", "db", ["tcp:5432", "icmp:*"], id="one"),
        grant("ana@example.com", "web", "tcp:443", id="two"),
    ]
    defined = define(policy(**NAMED, grants=rules))
    text = export(defined)
    assert '"hostNames": {' in text
    assert define(read_policy(text)) == defined


def test_tailscale_s_dialect_gets_no_bound_in_place_of_a_name() -> None:
    rules = [
        grant("ana@example.com", "db", "tcp:5432", id="one"),
        grant("ana@example.com", "web", "tcp:443", id="two"),
    ]
    text = export(define(policy(**NAMED, grants=rules)), tailscale=True)
    assert "// Left out, this dialect has no host names: db" in text
    assert "10.20.0.0" not in text
    assert "hostNames" not in text
    assert "10.30.0.0/24" in text
    left = define(read_policy(text, Options(extensions=False)))
    assert [(g.application) for g in left.grants] == ["web"]


def test_a_source_cannot_be_a_host_name() -> None:
    with pytest.raises(UnsupportedError):
        define(policy(**NAMED, grants=[grant("db", "web", "tcp:443")]))
