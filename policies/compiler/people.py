"""Who there is: the devices, groups and proofs of each person, indexed. Pure.

For `incremental`: an edit names all that a person has, so nothing gets out of step.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable
from dataclasses import replace

from policies.compiler.errors import InvalidValueError, OverlapError
from policies.compiler.types import Authentication, Device, Facts


class People:
    """Everybody who has a device, a group or a proof.

    Raises:
        OverlapError: a device or a proof stands twice in the facts.
    """

    def __init__(self, facts: Facts) -> None:
        """Sort devices and memberships by person."""
        self._devices: dict[int, tuple[Device, ...]] = {}
        self._groups: dict[int, frozenset[int]] = {}
        self._proofs = {proof.user_id: proof for proof in facts.authentications}
        self._members: defaultdict[int, set[int]] = defaultdict(set)
        self._owner: dict[int, int] = {}
        owned: defaultdict[int, list[Device]] = defaultdict(list)
        joined: defaultdict[int, set[int]] = defaultdict(set)
        for device in facts.devices:
            owned[device.user_id].append(device)
        for user, group in facts.memberships:
            joined[user].add(group)
        for user in owned.keys() | joined.keys():
            self._keep(user, tuple(owned[user]), frozenset(joined[user]))
        is_once = len(self._owner) == len(facts.devices)
        if not is_once or len(self._proofs) != len(facts.authentications):
            msg = "a device or a proof stands twice"
            raise OverlapError(msg)

    def put(
        self,
        user_id: int,
        devices: Iterable[Device],
        groups: Iterable[int],
        proof: Authentication | None,
    ) -> None:
        """Replace all that a person has.

        Raises:
            InvalidValueError: a device or the proof names another person.
            OverlapError: a device is another person's already, or stands twice.
        """
        owned, joined = tuple(devices), frozenset(groups)
        ids = [device.id for device in owned]
        taken = any(self._owner.get(number, user_id) != user_id for number in ids)
        if any(device.user_id != user_id for device in owned):
            msg = f"a device is not us_{user_id}'s"
            raise InvalidValueError(msg)
        if proof is not None and proof.user_id != user_id:
            msg = f"the proof is not us_{user_id}'s"
            raise InvalidValueError(msg)
        if taken or len(set(ids)) != len(ids):
            msg = f"a device of us_{user_id} stands twice"
            raise OverlapError(msg)
        for device in self._devices.pop(user_id, ()):
            del self._owner[device.id]
        for group in self._groups.pop(user_id, frozenset()):
            self._members[group].discard(user_id)
        self._proofs.pop(user_id, None)
        if proof is not None:
            self._proofs[user_id] = proof
        self._keep(user_id, owned, joined)

    @property
    def owners(self) -> Collection[int]:
        """The people who have a device."""
        return self._devices.keys()

    def devices(self, user_id: int) -> tuple[Device, ...]:
        """Return the devices of a person."""
        return self._devices.get(user_id, ())

    def groups(self, user_id: int) -> frozenset[int]:
        """Return the groups that a person is in."""
        return self._groups.get(user_id, frozenset())

    def proof(self, user_id: int) -> Authentication | None:
        """Return how a person last proved who they are."""
        return self._proofs.get(user_id)

    def owners_of(self, device_ids: Iterable[int]) -> frozenset[int]:
        """Return whose these devices are, of those there are."""
        return frozenset(self._owner[n] for n in device_ids if n in self._owner)

    def members(self, group_id: int) -> Collection[int]:
        """Return who is in a group."""
        return self._members[group_id]

    def told_in(self, facts: Facts) -> Facts:
        """Return the facts with all these people, in an order that means nothing."""
        return replace(
            facts,
            devices=tuple(d for owned in self._devices.values() for d in owned),
            memberships=tuple(
                (user, group)
                for user, groups in self._groups.items()
                for group in groups
            ),
            authentications=tuple(self._proofs.values()),
        )

    def _keep(
        self, user: int, owned: tuple[Device, ...], joined: frozenset[int]
    ) -> None:
        """Remember a person's devices and groups."""
        if owned:
            self._devices[user] = owned
        if joined:
            self._groups[user] = joined
        for device in owned:
            self._owner[device.id] = user
        for group in joined:
            self._members[group].add(user)
