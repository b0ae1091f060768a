"""Facts that stay compiled: one changed user, device or grant costs what it concerns.

Rules this module keeps:

* The result is the one `compile_snapshot` gives for the same facts at the same time,
  value for value. Where anything is out of order (an address twice, a key that is
  none, a grant for an unserved application) it *is* compiled from scratch, which
  raises the error that says why.
* An edit names the whole of what it replaces: a person's devices, groups and proof, a
  grant, an application. There is nothing to get out of step.
* Time only moves what it concerns: grants that begin or end, hours that open or close,
  sessions that end, proofs that grow too old.

For many questions of the same facts in one process. Publishing does not use it: it
would have to be told of every change that any other process makes
(docs/benchmarks.md).
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import defaultdict
from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from heapq import heappop, heappush

from policies.compiler.compile import (
    application_of,
    compile_snapshot,
    demanded,
    is_in_force,
    next_moment,
    peer_of,
    snapshot_grant,
    terms_of_subjects,
)
from policies.compiler.conditions import Requirement
from policies.compiler.errors import OverlapError
from policies.compiler.people import People
from policies.compiler.requirements import UNHELD, held_until, usable_until
from policies.compiler.roster import NOTHING, Attested, Placed, Roster
from policies.compiler.types import (
    NEVER,
    Application,
    Authentication,
    Device,
    Facts,
    Grant,
    Peer,
    Snapshot,
    SnapshotGrant,
    Subject,
    SubjectKind,
    SubjectMembers,
    sorted_networks,
)
from policies.compiler.validate import check_frame


@dataclass(frozen=True, slots=True)
class _Policy:
    """The part of a snapshot that no person changes."""

    applications: tuple[Application, ...]
    grants: tuple[SnapshotGrant, ...]


class Compilation:
    """The facts of one gateway, indexed. Not safe to share between threads.

    Raises:
        OverlapError: a device, a grant, an application or a proof stands twice.
    """

    def __init__(self, facts: Facts, *, now: datetime) -> None:
        """Index and compile everything once."""
        self._frame = replace(
            facts,
            devices=(),
            memberships=(),
            applications=(),
            grants=(),
            authentications=(),
        )
        self._pools = sorted_networks(facts.pools)
        self._revoked = set(facts.revoked_keys)
        self._revoked_keys = sorted(self._revoked)
        self._applications = {a.id: a for a in facts.applications}
        self._ordered: dict[int, Application] = {}
        self._grants = {grant.id: grant for grant in facts.grants}
        self._people = People(facts)
        if len(self._grants) != len(facts.grants) or len(self._applications) != len(
            facts.applications
        ):
            msg = "a grant or an application stands twice"
            raise OverlapError(msg)
        self._parts: _Policy | None = None
        self._now = now
        self._compile()

    def put_user(
        self,
        user_id: int,
        *,
        devices: Iterable[Device],
        groups: Iterable[int],
        proof: Authentication | None = None,
    ) -> None:
        """Replace a person's devices, memberships and proof; without any, it is gone.

        Raises:
            InvalidValueError: a device or the proof names another person.
            OverlapError: a device is another person's already, or stands twice.
        """
        self._people.put(user_id, devices, groups, proof)
        for device in self._people.devices(user_id):
            self._watch(device.expires_at, device.id)
        self._place(user_id)

    def put_grant(self, grant: Grant) -> None:
        """Add a grant, or replace the one of its id."""
        self._grants[grant.id] = grant
        self._judge(grant.id)

    def remove_grant(self, grant_id: int) -> None:
        """Remove a grant, if there is one of this id."""
        self._grants.pop(grant_id, None)
        self._judge(grant_id)

    def put_application(self, application: Application) -> None:
        """Add an application, or replace the one of its id."""
        self._applications[application.id] = application
        self._forget(application.id)

    def remove_application(self, application_id: int) -> None:
        """Serve an application no longer. Its live grants are then an error."""
        self._applications.pop(application_id, None)
        self._forget(application_id)

    def revoke_key(self, key: str) -> None:
        """Never let a key be a peer again."""
        if key in self._revoked:
            return
        self._revoked.add(key)
        insort(self._revoked_keys, key)
        self._roster.refuse(key)
        for user in self._people.owners_of(self._roster.holders(key)):
            self._place(user)

    def facts(self) -> Facts:
        """Return the facts as they stand, in an order that means nothing."""
        return replace(
            self._people.told_in(self._frame),
            applications=tuple(self._applications.values()),
            grants=tuple(self._grants.values()),
            revoked_keys=tuple(self._revoked_keys),
        )

    def snapshot(self, *, epoch: int, generation: int, now: datetime) -> Snapshot:
        """Return what `compile_snapshot` returns for these facts.

        Raises:
            CompilerError: what `compile_snapshot` raises for these facts.
        """
        self._advance(now)
        parts = self._parts or self._policy()
        if parts is None or self._roster.is_odd:
            return compile_snapshot(
                self.facts(), epoch=epoch, generation=generation, now=now
            )
        snapshot = Snapshot(
            deployment=self._frame.deployment,
            audience=f"gw_{self._frame.gateway_id}",
            epoch=epoch,
            generation=generation,
            issued=now,
            listen_port=self._frame.listen_port,
            pools=self._pools,
            peers=self._roster.peers,
            subjects=tuple(self._subject(subject) for subject in self._sorted),
            applications=parts.applications,
            grants=parts.grants,
            revoked_keys=tuple(self._revoked_keys),
            conditions=self._attested.conditions,
        )
        if parts is self._parts:
            # What a policy holds was checked when it was made.
            check_frame(replace(snapshot, subjects=(), applications=(), grants=()))
        else:
            check_frame(snapshot)
            self._parts = parts
        return snapshot

    def _policy(self) -> _Policy | None:
        """Return what concerns no person, or None if an application is not served."""
        granted = {grant.application_id for grant in self._live.values()}
        if not granted <= self._applications.keys():
            return None
        for number in granted - self._ordered.keys():
            self._ordered[number] = application_of(self._applications, number)
        return _Policy(
            tuple(self._ordered[number] for number in sorted(granted)),
            tuple(self._live[number] for number in sorted(self._live)),
        )

    def _forget(self, application_id: int) -> None:
        """Put an application in order anew when it is asked for."""
        self._ordered.pop(application_id, None)
        self._parts = None

    def _compile(self) -> None:
        """Compute everything from the facts at the present time."""
        self._moments: list[tuple[datetime, bool, int]] = []
        self._next: dict[int, datetime] = {}
        self._live: dict[int, SnapshotGrant] = {
            number: snapshot_grant(grant, now=self._now)
            for number, grant in self._grants.items()
            if is_in_force(grant, now=self._now)
        }
        self._of_subject: defaultdict[Subject, dict[int, SnapshotGrant]] = defaultdict(
            dict
        )
        for number, grant in self._live.items():
            self._of_subject[grant.subject][number] = grant
        self._terms = dict(terms_of_subjects(self._live.values()))
        self._sorted = sorted(self._terms)
        self._parts = None
        self._roster = Roster(self._pools, self._revoked)
        self._held: dict[Subject, list[int]] = {s: [] for s in self._sorted}
        self._tuples: dict[Subject, SubjectMembers] = {}
        self._placed: dict[int, Placed] = {}
        self._attested = Attested()
        self._place_all()
        for wanted in demanded(self._live.values()):
            self._demand(wanted)
        for number in self._grants:
            self._await(number)
        for user in self._people.owners:
            for device in self._people.devices(user):
                self._watch(device.expires_at, device.id)

    def _place_all(self) -> None:
        """Give everybody what they are due: `_place` for all, but sorted once."""
        peers: list[Peer] = []
        for user in self._people.owners:
            due = self._due(user)
            if due.peers:
                self._placed[user] = due
                peers.extend(due.peers.values())
                for subject in due.subjects:
                    self._held[subject].extend(due.peers)
        self._roster.fill(peers)
        for held in self._held.values():
            held.sort()

    def _watch(self, moment: datetime, device_id: int) -> None:
        """Look again at a device's owner when a moment comes."""
        if self._now < moment < NEVER:
            heappush(self._moments, (moment, False, device_id))

    def _await(self, number: int) -> None:
        """Look again at a grant when its next moment comes."""
        grant = self._grants.get(number)
        moment = next_moment(grant, now=self._now) if grant else NEVER
        if moment != self._next.pop(number, None) and moment < NEVER:
            heappush(self._moments, (moment, True, number))
        self._next[number] = moment

    def _advance(self, now: datetime) -> None:
        """Go to another time. Back is unusual, and compiles everything anew."""
        back, self._now = now < self._now, now
        if back:
            self._compile()
        while self._moments and self._moments[0][0] <= now:
            moment, is_grant, number = heappop(self._moments)
            if is_grant and self._next.get(number) == moment:
                self._judge(number)
            for user in () if is_grant else self._people.owners_of((number,)):
                self._place(user)

    def _judge(self, number: int) -> None:
        """Let a grant count or not, as it stands now; nothing happens twice."""
        self._parts = None
        self._await(number)
        old, grant = self._live.pop(number, None), self._grants.get(number)
        if old:
            del self._of_subject[old.subject][number]
        new = None
        if grant and is_in_force(grant, now=self._now):
            new = snapshot_grant(grant, now=self._now)
            self._live[number] = new
            self._of_subject[new.subject][number] = new
        for subject in {found.subject for found in (old, new) if found}:
            self._judge_subject(subject)
        for wanted in new.requires if new else ():
            self._demand(wanted)
        wanted_still = demanded(self._live.values()) if old and old.requires else ()
        for wanted in old.requires if old else ():
            if wanted not in wanted_still:
                self._attested.drop(wanted)

    def _judge_subject(self, subject: Subject) -> None:
        """Place the people anew who have something on other terms now."""
        terms = terms_of_subjects(self._of_subject[subject].values()).get(subject)
        before = self._terms.pop(subject, None)
        if terms is not None:
            self._terms[subject] = terms
        if terms == before:
            return
        if before is None:
            insort(self._sorted, subject)
            self._held[subject] = []
        for user in self._who_is(subject):
            self._place(user)
        if terms is None:
            self._sorted.remove(subject)
            del self._held[subject]
        self._tuples.pop(subject, None)

    def _who_is(self, subject: Subject) -> Collection[int]:
        """Return the people that a subject is."""
        if subject.kind is SubjectKind.USER:
            return (subject.id,)
        return self._people.members(subject.id)

    def _place(self, user: int) -> None:
        """Give a person the peers and memberships it is due, and no others."""
        old, new = self._placed.get(user, NOTHING), self._due(user)
        if new.peers:
            self._placed[user] = new
        else:
            self._placed.pop(user, None)
        for number, peer in old.peers.items():
            if new.peers.get(number) != peer:
                self._roster.take_out(peer)
        for number, peer in new.peers.items():
            if old.peers.get(number) != peer:
                self._roster.put_in(peer)
        for subject in old.subjects | new.subjects:
            before = set(old.peers) if subject in old.subjects else set()
            after = set(new.peers) if subject in new.subjects else set()
            if before != after:
                self._hold(subject, gone=before - after, come=after - before)
        gone = old.peers.keys() - new.peers.keys()
        for wanted in self._attested.requirements:
            for number in gone:
                self._attested.put(wanted, number, UNHELD)
            self._attest(wanted, user, new.peers)

    def _demand(self, wanted: Requirement) -> None:
        """Begin to keep who holds a requirement, unless that is kept already."""
        if self._attested.begin(wanted):
            for user, placed in self._placed.items():
                self._attest(wanted, user, placed.peers)

    def _attest(self, wanted: Requirement, user: int, peers: Collection[int]) -> None:
        """Note until when a person's peers hold a requirement, if they do."""
        proof = self._people.proof(user)
        for device in self._people.devices(user):
            if device.id in peers:
                until = held_until(wanted, device, proof)
                held = until if self._now < until else UNHELD
                if self._attested.put(wanted, device.id, held):
                    self._watch(until, device.id)

    def _due(self, user: int) -> Placed:
        """Return what a person is due now."""
        subjects = {Subject(kind=SubjectKind.USER, id=user)}
        for group in self._people.groups(user):
            subjects.add(Subject(kind=SubjectKind.GROUP, id=group))
        granted = frozenset(subjects & self._terms.keys())
        if not granted:
            return NOTHING
        terms = [self._terms[subject] for subject in granted]
        proof = self._people.proof(user)
        peers = {
            device.id: peer_of(device, last)
            for device in self._people.devices(user)
            if device.public_key not in self._revoked
            and self._now < device.expires_at
            and self._now < (last := usable_until(terms, device, proof))
        }
        return Placed(peers, granted)

    def _hold(self, subject: Subject, *, gone: set[int], come: set[int]) -> None:
        """Take devices out of a subject and put others in."""
        held = self._held[subject]
        for number in gone:
            del held[bisect_left(held, number)]
        for number in come:
            insort(held, number)
        self._tuples.pop(subject, None)

    def _subject(self, subject: Subject) -> SubjectMembers:
        """Return a subject with its devices."""
        if subject not in self._tuples:
            ids = tuple(self._held[subject])
            self._tuples[subject] = SubjectMembers(subject=subject, device_ids=ids)
        return self._tuples[subject]
