"""Applications: what is refused, what a change sets off, one event each."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import IntegrityError

from audit.actor import SYSTEM
from audit.events import Outcome
from audit.models import AuditEvent
from peers.models import Gateway
from policies import services
from policies.compiler.strictness import ORDINARY, Evidence, Strictness
from policies.destinations import DestinationInput
from policies.errors import (
    ApplicationInUseError,
    InvalidDestinationError,
    InvalidNameError,
    InvalidTermsError,
)
from policies.facts import gateway_facts
from policies.models import Application, Grant, Publication
from portal.accounts.models import User
from tests.peers.makers import codes
from tests.policies.campaigns import review
from tests.policies.makers import NOW, make_application, web

pytestmark = pytest.mark.django_db


def create(
    *destinations: DestinationInput,
    **changed: Any,  # noqa: ANN401 -- any argument of the service
) -> Application:
    arguments: dict[str, Any] = {
        "name": "wiki",
        "destinations": destinations or [web("10.1.0.0/24")],
        **changed,
    }
    return services.create_application(**arguments, actor=SYSTEM, now=NOW)


BAD_DESTINATIONS = {
    "host bits": ([web("10.1.0.7/24")], "host bits set; did you mean 10.1.0.0/24"),
    "not a prefix": ([web("wiki.example")], "is not an IP prefix"),
    "port 0": ([web("10.1.0.0/24", 0)], "ports run from 1 to 65535"),
    "port 65536": ([web("10.1.0.0/24", 65536)], "ports run from 1 to 65535"),
    "reversed range": ([web("10.1.0.0/24", 90, 80)], "port range 90-80 is reversed"),
    "range without beginning": (
        [DestinationInput(prefix="10.1.0.0/24", protocol="tcp", port_last=80)],
        "has no beginning",
    ),
    "tcp without ports": (
        [DestinationInput(prefix="10.1.0.0/24", protocol="tcp")],
        "needs ports; write 1-65535 for all",
    ),
    "unknown protocol": (
        [DestinationInput(prefix="10.1.0.0/24", protocol="sctp\n")],
        r"'sctp\\x0a' is not a protocol; use one of tcp",
    ),
    "icmp on ipv6": (
        [DestinationInput(prefix="fd00::/64", protocol="icmp")],
        "icmp does not exist on IPv6",
    ),
    "none": ([], "at least one destination"),
    "covered": (
        [web("10.1.0.0/16", 1, 65535), web("10.1.2.0/24")],
        (
            "10.1.0.0/16 tcp/1-65535 and 10.1.2.0/24 tcp/443 overlap;"
            " remove 10.1.2.0/24 tcp/443, the first covers it"
        ),
    ),
    "same twice": ([web("10.1.0.0/24"), web("10.1.0.0/24")], "overlap; remove"),
    "covered by any": (
        [web("fd00::/64"), DestinationInput(prefix="fd00::/48", protocol="any")],
        "remove fd00::/64 tcp/443, the second covers it",
    ),
    "partly": (
        [web("10.1.0.0/16", 80, 90), web("10.1.2.0/24", 85, 99)],
        "split them so that no address, protocol and port is named twice",
    ),
}


@pytest.mark.parametrize(
    ("destinations", "message"), BAD_DESTINATIONS.values(), ids=BAD_DESTINATIONS.keys()
)
def test_bad_destination_is_refused_with_one_event(
    destinations: list[DestinationInput], message: str
) -> None:
    with pytest.raises(InvalidDestinationError, match=message):
        create(destinations=destinations)
    assert not Application.objects.exists()
    assert codes() == ["PL001W"]


@pytest.mark.parametrize(
    "name", ["", " ", "wi\nki", "wiki\n", "wi\x1b[2Jki", "wi\u202eki", "w" * 65]
)
def test_bad_name_is_refused_with_one_event(name: str) -> None:
    with pytest.raises(InvalidNameError):
        create(name=name)
    assert not Application.objects.exists()
    assert codes() == ["PL001W"]
    assert AuditEvent.objects.get().target_label.isprintable()


def test_taken_name_is_refused_with_one_event() -> None:
    create()
    with pytest.raises(InvalidNameError, match="called 'wiki' already"):
        create()
    assert codes() == ["PL001I", "PL001W"]


def test_disjoint_ports_of_one_prefix_are_two_destinations() -> None:
    application = create(web("10.1.0.0/24", 80), web("10.1.0.0/24", 443))
    assert [str(row) for row in application.destinations.all()] == [
        "10.1.0.0/24 tcp/80",
        "10.1.0.0/24 tcp/443",
    ]


def test_change_of_gateways_reaches_old_and_new(gw1: Gateway) -> None:
    other = Gateway.objects.create(
        name="gw2", endpoint_host="gw2.test", state="enrolled", created_at=NOW
    )
    application = make_application("wiki", "10.1.0.0/24", gateways=[gw1])
    Publication.objects.update(stale_since=None)
    services.update_application(
        application=application,
        name="wiki",
        description="",
        destinations=[web("10.1.0.0/24")],
        gateways=[other],
        actor=SYSTEM,
        now=NOW,
    )
    stale = Publication.objects.filter(stale_since=NOW)
    assert set(stale.values_list("pk", flat=True)) == {gw1.pk, other.pk}


def test_refused_change_leaves_everything(gw1: Gateway) -> None:
    application = make_application("wiki", "10.1.0.0/24", gateways=[gw1])
    with pytest.raises(InvalidDestinationError):
        services.update_application(
            application=application,
            name="other",
            description="",
            destinations=[web("10.1.0.0/24", 0)],
            gateways=[],
            actor=SYSTEM,
            now=NOW,
        )
    application.refresh_from_db()
    assert (application.name, application.gateways.count()) == ("wiki", 1)
    assert codes() == ["PL001I", "PL002W"]


def test_granted_application_is_not_deleted(alices_grant: Grant) -> None:
    with pytest.raises(ApplicationInUseError, match="the log speaks of it"):
        services.delete_application(
            application=alices_grant.application, actor=SYSTEM, now=NOW
        )
    assert codes()[-1] == "PL003W"


def test_reviewed_application_is_not_deleted(
    alices_grant: Grant, wiki: Application, gw1: Gateway, bob: User
) -> None:
    git = make_application("git", "10.2.0.0/24", gateways=[gw1])
    review(wiki, git, by=(bob,))
    with pytest.raises(ApplicationInUseError, match="was reviewed"):
        services.delete_application(application=git, actor=SYSTEM, now=NOW)
    assert codes()[-1] == "PL003W"


def test_application_never_granted_is_deleted(wiki: Application) -> None:
    services.delete_application(application=wiki, actor=SYSTEM, now=NOW)
    assert not Application.objects.exists()
    assert codes() == ["PL001I", "PL003I"]


def by_name(host: str, prefix: str = "10.1.0.0/24") -> DestinationInput:
    return DestinationInput(
        host=host, prefix=prefix, protocol="tcp", port_first=443, port_last=443
    )


def test_a_host_name_is_kept_beside_its_prefix() -> None:
    application = create(by_name("db.example.com"))
    (row,) = application.destinations.all()
    assert row.host_name == "db.example.com"
    assert str(row) == "db.example.com in 10.1.0.0/24 tcp/443"
    details = AuditEvent.objects.get(code="PL001").details
    assert details["destinations"] == ["db.example.com in 10.1.0.0/24 tcp/443"]


@pytest.mark.parametrize(
    "host", ["*.example.com", "DB.example.com", "db", "db.example.com.", "x" * 300]
)
def test_what_is_no_exact_host_name_is_refused(host: str) -> None:
    with pytest.raises(InvalidDestinationError, match=r"in 10\.1\.0\.0/24 tcp: "):
        create(by_name(host))
    assert not Application.objects.exists()


def test_two_names_may_share_a_prefix_and_one_name_may_not() -> None:
    create(by_name("db.example.com"), by_name("www.example.com"), web("10.1.0.0/25"))
    with pytest.raises(InvalidDestinationError, match="overlap"):
        create(
            by_name("db.example.com"),
            by_name("db.example.com", "10.1.0.0/25"),
            name="other",
        )


def test_a_name_reaches_the_facts_and_the_snapshot(gw1: Gateway) -> None:
    application = create(by_name("db.example.com"), gateways=[gw1])
    (served,) = gateway_facts(gw1).applications
    assert served.id == application.pk
    assert [place.host for place in served.destinations] == ["db.example.com"]


QUICK = Strictness(max_staleness=120, evidence=Evidence.BEST_EFFORT)


def test_terms_reach_the_gateways_facts_and_the_log(gw1: Gateway) -> None:
    made = create(gateways=[gw1], terms=QUICK)
    [found] = gateway_facts(gw1).applications
    assert (made.strictness, found.strictness) == (QUICK, QUICK)
    event = AuditEvent.objects.get(code="PL001")
    assert event.details["max_staleness"] == 120
    assert event.details["evidence"] == "best_effort"


def test_a_change_without_terms_keeps_them_and_one_with_them_says_them(
    gw1: Gateway,
) -> None:
    made = create(gateways=[gw1], terms=QUICK)

    def change(**changed: Any) -> Strictness:  # noqa: ANN401 -- any argument of the service
        return services.update_application(
            application=made,
            name="wiki",
            description="",
            destinations=[web("10.1.0.0/24")],
            gateways=[gw1],
            **changed,
            actor=SYSTEM,
            now=NOW,
        ).strictness

    assert change() == QUICK
    assert change(terms=ORDINARY) == ORDINARY


@pytest.mark.parametrize("seconds", [900, 901, 86_400])
def test_a_limit_is_stricter_than_the_lease_or_refused(seconds: int) -> None:
    with pytest.raises(InvalidTermsError, match="900 seconds after"):
        create(terms=Strictness(max_staleness=seconds))
    assert not Application.objects.exists()
    [event] = AuditEvent.objects.all()
    assert event.outcome == Outcome.REFUSED


@pytest.mark.parametrize("column", [{"max_staleness": 59}, {"evidence": "none"}])
def test_the_database_keeps_no_terms_that_no_gateway_keeps(
    column: dict[str, Any],
) -> None:
    made = create()
    with pytest.raises(IntegrityError):
        Application.objects.filter(pk=made.pk).update(**column)
