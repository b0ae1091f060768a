"""Bugs to plant in the compiler, each of a kind that has been somebody's.

Every plant wraps the real function it stands in for, so it goes stale loudly: a name
that no longer exists fails the test that plants it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from ipaddress import ip_network
from typing import Final

import pytest

from policies.compiler import compile as compiling
from policies.compiler import (
    fixed,
    grant_rules,
    leases,
    named,
    nftables,
    ranges,
    regions,
    requirements,
    schedules,
    sweep,
)
from policies.compiler.conditions import Hours, MaxAge, Requirement
from policies.compiler.tables import Chain, NamedSet
from policies.compiler.types import (
    MAX_PORT,
    NEVER,
    Application,
    Authentication,
    Destination,
    Device,
    Facts,
    Grant,
    IPNetwork,
    Peer,
    Resolved,
    SnapshotGrant,
)

Plant = Callable[[pytest.MonkeyPatch], None]
Range = tuple[int, int]


def _ends_are_forgotten(patch: pytest.MonkeyPatch) -> None:
    def endless(facts: Facts) -> Facts:
        grants = (replace(grant, expires_at=NEVER) for grant in facts.grants)
        return replace(facts, grants=tuple(grants))

    _change_facts(patch, "live_grants", endless)


def _coming_grants_count(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(compiling, "is_live", lambda _, ends, *, now: now < ends)


def _revoked_keys_stay(patch: pytest.MonkeyPatch) -> None:
    _change_facts(patch, "_candidates", lambda f: replace(f, revoked_keys=()))
    patch.setattr(compiling, "check_snapshot", lambda _: None)


def _members_of_the_next_group(patch: pytest.MonkeyPatch) -> None:
    _change_facts(
        patch,
        "_held",
        lambda f: replace(f, memberships=tuple((u, g + 1) for u, g in f.memberships)),
    )


def _one_membership_is_forgotten(patch: pytest.MonkeyPatch) -> None:
    _change_facts(
        patch, "_held", lambda f: replace(f, memberships=tuple(f.memberships)[1:])
    )


def _last_port_is_left_out(patch: pytest.MonkeyPatch) -> None:
    _change_services(patch, lambda first, last: (first, max(first, last - 1)))


def _one_port_too_many(patch: pytest.MonkeyPatch) -> None:
    _change_services(patch, lambda first, last: (first, last + 1))


def _ports_begin_at_zero(patch: pytest.MonkeyPatch) -> None:
    _change_services(
        patch,
        lambda first, last: (first - first % (MAX_PORT + 1), last),
        only=lambda first, last: last - first == MAX_PORT - 1,
    )


def _udp_is_taken_for_tcp(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(regions, "UDP", regions.TCP)


def _any_is_tcp_and_udp(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(regions, "HOLES", {4: ((1, 255),), 6: ((1, 255),)})


def _everything_can_be_granted(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(regions, "FORBIDDEN", {4: (), 6: ()})


def _last_address_is_left_out(patch: pytest.MonkeyPatch) -> None:
    real = ranges.network_range

    def short(network: IPNetwork) -> Range:
        first, last = real(network)
        return first, max(first, last - 1)

    patch.setattr(regions, "network_range", short)


def _gaps_of_one_are_closed(patch: pytest.MonkeyPatch) -> None:
    real = ranges.merged

    def wide(ranges: Iterable[Range]) -> Sequence[Range]:
        return [
            (first, last - 1) for first, last in real((f, e + 1) for f, e in ranges)
        ]

    patch.setattr(sweep, "merged", wide)


def _nothing_behind_a_hole(patch: pytest.MonkeyPatch) -> None:
    real = ranges.without
    patch.setattr(regions, "without", lambda wanted, holes: real(wanted, holes)[:1])


def _second_application_is_lost(patch: pytest.MonkeyPatch) -> None:
    real = sweep.overlay

    def first_only(
        layers: Mapping[int, Iterable[sweep.Box]],
    ) -> Iterator[tuple[Range, sweep.Cell]]:
        for addresses, (low, high, owners) in real(layers):
            yield addresses, (low, high, frozenset({min(owners)}))

    patch.setattr(regions, "overlay", first_only)


def _chains_share_a_name(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(nftables, "chain_name", lambda label: f"app_{label[0]}")


def _highest_grant_first(patch: pytest.MonkeyPatch) -> None:
    real = nftables._application_chain  # noqa: SLF001 - planted from inside

    def turned(*given: object) -> Chain:
        chain = real(*given)  # type: ignore[arg-type]
        return replace(chain, rules=(*chain.rules[-2::-1], chain.rules[-1]))

    patch.setattr(nftables, "_application_chain", turned)


def _users_and_groups_share_a_set(patch: pytest.MonkeyPatch) -> None:
    for where in (nftables, grant_rules):
        patch.setattr(where, "who_name", lambda subject: f"who_{subject.id}")


def _ipv6_is_forgotten(patch: pytest.MonkeyPatch) -> None:
    real = regions.regions
    patch.setattr(
        nftables, "regions", lambda given: [r for r in real(given) if r.family == 4]
    )


def _only_the_first_address_is_known(patch: pytest.MonkeyPatch) -> None:
    real = nftables._gates  # noqa: SLF001 - planted from inside

    def first(peers: Iterable[Peer]) -> Iterable[NamedSet]:
        return real(replace(peer, addresses=peer.addresses[:1]) for peer in peers)

    patch.setattr(nftables, "_gates", first)


def _devices_carry_the_next_mark(patch: pytest.MonkeyPatch) -> None:
    real = nftables._gates  # noqa: SLF001 - planted from inside

    def shifted(peers: Iterable[Peer]) -> Iterable[NamedSet]:
        return real(replace(peer, device_id=peer.device_id + 1) for peer in peers)

    patch.setattr(nftables, "_gates", shifted)


def _devices_reach_each_other(patch: pytest.MonkeyPatch) -> None:
    real = fixed.fixed_chains

    def without_lateral(interface: str) -> Iterable[Chain]:
        for chain in real(interface):
            kept = tuple(r for r in chain.rules if not r.endswith("deny_lateral"))
            yield replace(chain, rules=kept)

    patch.setattr(nftables, "fixed_chains", without_lateral)


def _protocols_without_ports_are_not_looked_up(patch: pytest.MonkeyPatch) -> None:
    real = fixed._begin_family  # noqa: SLF001 - planted from inside
    patch.setattr(
        fixed,
        "_begin_family",
        lambda ip, family: tuple(r for r in real(ip, family) if "@proto" not in r),
    )


def _a_new_flow_skips_the_device_gate(patch: pytest.MonkeyPatch) -> None:
    real = fixed._begin  # noqa: SLF001 - planted from inside
    patch.setattr(fixed, "_begin", lambda: (*real()[:2], "goto begin4"))


def _udp_is_not_looked_up(patch: pytest.MonkeyPatch) -> None:
    real = fixed._begin_family  # noqa: SLF001 - planted from inside
    patch.setattr(
        fixed,
        "_begin_family",
        lambda ip, family: tuple(r for r in real(ip, family) if "@udp" not in r),
    )


def _names_are_not_asked(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(nftables, "_BY_NAME", ())


def _bounds_do_not_bind(patch: pytest.MonkeyPatch) -> None:
    everywhere = {4: ip_network("0.0.0.0/0"), 6: ip_network("::/0")}
    real = named.placed

    def unbound(of: Iterable[named.Pin], resolved: Resolved) -> object:
        wide = {replace(pin, prefix=everywhere[pin.prefix.version]): pin for pin in of}
        return {
            address: replace(held, pins=tuple(wide[pin] for pin in held.pins))
            for address, held in real(wide, resolved).items()
        }

    patch.setattr(nftables, "placed", unbound)


def _a_shared_address_is_one_name_s(patch: pytest.MonkeyPatch) -> None:
    real = named.placed

    def first(of: Iterable[named.Pin], resolved: Resolved) -> object:
        held = real(of, resolved)
        return {a: replace(found, pins=found.pins[:1]) for a, found in held.items()}

    patch.setattr(nftables, "placed", first)


def _names_open_every_port(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(named, "_service", lambda _: "")


def _names_end_in_a_denial(patch: pytest.MonkeyPatch) -> None:
    real = named.name_maps

    def final(*given: object) -> Iterable[NamedSet]:
        for each in real(*given):  # type: ignore[arg-type]
            yield replace(
                each,
                elements=tuple(
                    e._replace(data=e.data.replace("jump", "goto"))
                    for e in each.elements
                ),
            )

    patch.setattr(nftables, "name_maps", final)


def _hosts_are_prefixes(patch: pytest.MonkeyPatch) -> None:
    real = regions.regions

    def whole(applications: Iterable[Application]) -> Sequence[regions.Region]:
        return real(
            replace(a, destinations=tuple(replace(d, host="") for d in a.destinations))
            for a in applications
        )

    patch.setattr(nftables, "regions", whole)


def _hours_are_forgotten(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(compiling, "is_open", lambda *_: True)
    patch.setattr(compiling, "closes_at", lambda *_: NEVER)


def _hours_are_those_of_utc(patch: pytest.MonkeyPatch) -> None:
    real = schedules.is_open

    def elsewhere(hours: Hours, moment: datetime) -> bool:
        return real(replace(hours, zone=UTC), moment)

    patch.setattr(compiling, "is_open", elsewhere)


def _windows_end_a_minute_late(patch: pytest.MonkeyPatch) -> None:
    real = schedules.is_open
    minute = timedelta(minutes=1)

    def late(hours: Hours, moment: datetime) -> bool:
        return real(hours, moment) or real(hours, moment - minute)

    patch.setattr(compiling, "is_open", late)


def _only_the_first_requirement_counts(patch: pytest.MonkeyPatch) -> None:
    real = compiling.snapshot_grant

    def first(grant: Grant, *, now: datetime) -> SnapshotGrant:
        return real(replace(grant, requires=grant.requires[:1]), now=now)

    patch.setattr(compiling, "snapshot_grant", first)


def _rules_ask_for_no_requirement(patch: pytest.MonkeyPatch) -> None:
    real = grant_rules.grant_sets
    patch.setattr(
        grant_rules,
        "grant_sets",
        lambda grant: (n for n in real(grant) if not n.startswith("if_")),
    )


def _rules_ask_for_no_lease(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(grant_rules, "leases_of", lambda _: {})


def _strict_stands_behind_no_lease(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(leases, "needs_evidence", lambda _: True)


def _what_one_withholds_all_withhold(patch: pytest.MonkeyPatch) -> None:
    real = nftables._application_chain  # noqa: SLF001 - planted from inside

    def first(*given: object) -> Chain:
        chain = real(*given)  # type: ignore[arg-type]
        ordered = sorted(chain.rules, key=lambda rule: "withheld" not in rule)
        return replace(chain, rules=tuple(ordered))

    patch.setattr(nftables, "_application_chain", first)


def _an_unknown_age_is_young(patch: pytest.MonkeyPatch) -> None:
    def young(
        wanted: Requirement, device: Device, proof: Authentication | None
    ) -> datetime:
        if isinstance(wanted, MaxAge) and proof and proof.proven_at is None:
            return NEVER
        return requirements.held_until(wanted, device, proof)

    patch.setattr(compiling, "held_until", young)


def _an_age_lasts_a_second_longer(patch: pytest.MonkeyPatch) -> None:
    def long(
        wanted: Requirement, device: Device, proof: Authentication | None
    ) -> datetime:
        until = requirements.held_until(wanted, device, proof)
        is_age = isinstance(wanted, MaxAge) and until > requirements.UNHELD
        return until + timedelta(seconds=1) if is_age else until

    patch.setattr(compiling, "held_until", long)


def _one_method_is_enough(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(
        requirements,
        "is_strong",
        lambda wanted, proof: (
            (not wanted.amr or bool({*wanted.amr} & {*proof.amr}))
            and (not wanted.acr or proof.acr in wanted.acr)
        ),
    )


def _any_class_will_do(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(
        requirements,
        "is_strong",
        lambda wanted, proof: {*wanted.amr} <= {*proof.amr},
    )


def _proofs_are_of_the_next_person(patch: pytest.MonkeyPatch) -> None:
    def shifted(facts: Facts) -> Facts:
        moved = (
            replace(proof, user_id=proof.user_id + 1) for proof in facts.authentications
        )
        return replace(facts, authentications=tuple(moved))

    _change_facts(patch, "_placed", shifted)


def _every_device_is_approved(patch: pytest.MonkeyPatch) -> None:
    def approved(facts: Facts) -> Facts:
        found = (replace(device, is_approved=True) for device in facts.devices)
        return replace(facts, devices=tuple(found))

    _change_facts(patch, "_placed", approved)


def _change_facts(
    patch: pytest.MonkeyPatch, name: str, change: Callable[[Facts], Facts]
) -> None:
    real = getattr(compiling, name)
    patch.setattr(
        compiling,
        name,
        lambda facts, *rest, **named: real(change(facts), *rest, **named),
    )


def _change_services(
    patch: pytest.MonkeyPatch,
    change: Callable[[int, int], Range],
    only: Callable[[int, int], bool] = lambda first, last: first < last,
) -> None:
    real = regions.destination_services

    def changed(
        destination: Destination,
    ) -> Iterator[tuple[regions.Axis, Range]]:
        for axis, (first, last) in real(destination):
            ported = axis is regions.Axis.PORT and only(first, last)
            yield axis, change(first, last) if ported else (first, last)

    patch.setattr(regions, "destination_services", changed)


PLANTS: Final[Mapping[str, Plant]] = {
    "ends of grants are forgotten": _ends_are_forgotten,
    "grants to come count already": _coming_grants_count,
    "revoked keys stay": _revoked_keys_stay,
    "members of the next group": _members_of_the_next_group,
    "one membership is forgotten": _one_membership_is_forgotten,
    "the last port is left out": _last_port_is_left_out,
    "one port too many": _one_port_too_many,
    "ports begin at zero": _ports_begin_at_zero,
    "UDP is taken for TCP": _udp_is_taken_for_tcp,
    "any is TCP and UDP": _any_is_tcp_and_udp,
    "everything can be granted": _everything_can_be_granted,
    "the last address is left out": _last_address_is_left_out,
    "gaps of one are closed": _gaps_of_one_are_closed,
    "nothing behind a hole": _nothing_behind_a_hole,
    "the second application is lost": _second_application_is_lost,
    "chains share a name": _chains_share_a_name,
    "the highest grant comes first": _highest_grant_first,
    "users and groups share a set": _users_and_groups_share_a_set,
    "IPv6 is forgotten": _ipv6_is_forgotten,
    "only the first address is known": _only_the_first_address_is_known,
    "devices carry the next mark": _devices_carry_the_next_mark,
    "devices reach each other": _devices_reach_each_other,
    "hours are forgotten": _hours_are_forgotten,
    "hours are those of UTC": _hours_are_those_of_utc,
    "windows end a minute late": _windows_end_a_minute_late,
    "only the first requirement counts": _only_the_first_requirement_counts,
    "rules ask for no requirement": _rules_ask_for_no_requirement,
    "rules ask for no lease": _rules_ask_for_no_lease,
    "strict stands behind no lease": _strict_stands_behind_no_lease,
    "what one withholds all withhold": _what_one_withholds_all_withhold,
    "an unknown age is young": _an_unknown_age_is_young,
    "an age lasts a second longer": _an_age_lasts_a_second_longer,
    "one method is enough": _one_method_is_enough,
    "any class will do": _any_class_will_do,
    "proofs are of the next person": _proofs_are_of_the_next_person,
    "every device is approved": _every_device_is_approved,
    "protocols without ports are not looked up": (
        _protocols_without_ports_are_not_looked_up
    ),
    "names are not asked": _names_are_not_asked,
    "bounds do not bind": _bounds_do_not_bind,
    "a shared address is one name's": _a_shared_address_is_one_name_s,
    "names open every port": _names_open_every_port,
    "names end in a denial": _names_end_in_a_denial,
    "hosts are prefixes": _hosts_are_prefixes,
    "UDP is not looked up": _udp_is_not_looked_up,
    "a new flow skips the device gate": _a_new_flow_skips_the_device_gate,
}
