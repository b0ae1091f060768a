"""What an explanation is asked about, looks at, and says: values only. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Final

from policies.compiler.conditions import Requirement
from policies.compiler.errors import InvalidValueError
from policies.compiler.regions import ICMP, ICMPV6, TCP, UDP
from policies.compiler.strictness import Strictness
from policies.compiler.types import (
    MAX_PORT,
    NOTHING_RESOLVED,
    Application,
    Authentication,
    Destination,
    Grant,
    IPAddress,
    IPNetwork,
    Protocol,
    Resolved,
    Subject,
)

BEGINNING: Final = datetime.min.replace(tzinfo=UTC)
"""When a grant begins that is known only from a snapshot: before anybody asks."""

MAX_PROTOCOL: Final = 255

NUMBERS: Final[Mapping[Protocol, int]] = {
    Protocol.TCP: TCP,
    Protocol.UDP: UDP,
    Protocol.ICMP: ICMP,
    Protocol.ICMPV6: ICMPV6,
}
"""IP protocol numbers (IANA); `ANY` has none."""


class Condition(StrEnum):
    """What can be wrong, in the order in which it is told."""

    FORBIDDEN = "forbidden_destination"
    LATERAL = "lateral"
    USER_DISABLED = "user_disabled"
    LOCKED = "locked"
    GATEWAY_LOCKED = "gateway_locked"
    NO_DEVICE = "no_device"
    DEVICE_REVOKED = "device_revoked"
    DEVICE_NOT_ENROLLED = "device_not_enrolled"
    DEVICE_ABSENT = "device_not_in_snapshot"
    SESSION_ENDED = "session_ended"
    NO_ADDRESS = "no_address_of_this_family"
    GRANT_ABSENT = "grant_not_in_snapshot"
    NOT_MEMBER = "subject_not_member"
    NOT_BEGUN = "not_begun"
    ENDED = "ended"
    OUTSIDE_HOURS = "outside_hours"
    PROOF_TOO_OLD = "authentication_too_old"
    PROOF_TOO_WEAK = "authentication_too_weak"
    NOT_APPROVED = "device_not_approved"
    APPLICATION_LOCKED = "application_locked"
    NOT_SERVED = "application_not_served"
    WRONG_DESTINATION = "wrong_destination"
    WRONG_PROTOCOL = "wrong_protocol"
    WRONG_PORT = "wrong_port"
    NOT_RESOLVED = "host_not_resolved"


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """One condition that failed.

    `at` is when it began to fail or will cease to; `nearest` the destination that
    comes closest to what was asked for. `requirement` is what is not held, `proof`
    what there is instead, if that is known.
    """

    condition: Condition
    at: datetime | None = None
    nearest: Destination | None = None
    requirement: Requirement | None = None
    proof: Authentication | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """May a packet go there at that time? `port` is None unless TCP or UDP.

    Raises:
        InvalidValueError: no such protocol, or a port too many, too few or too high.
    """

    destination: IPAddress
    protocol: int
    port: int | None
    at: datetime

    def __post_init__(self) -> None:
        """Check that the port fits the protocol."""
        if not 1 <= self.protocol <= MAX_PROTOCOL:
            msg = f"IP protocols run from 1 to {MAX_PROTOCOL}, not {self.protocol}"
            raise InvalidValueError(msg)
        if (self.protocol in {TCP, UDP}) != (self.port is not None):
            needs = "has no ports" if self.port is not None else "needs a port"
            msg = f"protocol {self.protocol} {needs}"
            raise InvalidValueError(msg)
        if self.port is not None and not 1 <= self.port <= MAX_PORT:
            msg = f"ports run from 1 to {MAX_PORT}, not {self.port}"
            raise InvalidValueError(msg)


@dataclass(frozen=True, slots=True, kw_only=True)
class Holding:
    """A device as it stood: its addresses, the subjects it counts among, its end.

    `refusal` says why the gateway would not know it at all, or is None. `attested` is
    what a snapshot says that it holds, and until when; None where the device itself
    and its owner's proof are known.
    """

    device_id: int
    addresses: tuple[IPAddress, ...]
    subjects: frozenset[Subject]
    expires_at: datetime
    refusal: Failure | None = None
    is_approved: bool = False
    attested: tuple[tuple[Requirement, datetime], ...] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Asker:
    """On whose behalf it is asked, and the devices to try: all, or the one named.

    `proof` is how they last proved who they are, if they ever did.
    """

    user_id: int
    is_enabled: bool
    subjects: frozenset[Subject]
    holdings: tuple[Holding, ...]
    proof: Authentication | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What one gateway decides by.

    `applications` may hold some that this gateway does not serve, so that a grant on
    them can be explained. `absent` names grants that exist but are not in the
    snapshot this was read from, `locked` the applications that a lock stops.
    `resolved` is what its host names stand for; one that is missing is not known.
    """

    gateway_id: int
    pools: tuple[IPNetwork, ...]
    applications: tuple[Application, ...]
    served: frozenset[int]
    grants: tuple[Grant, ...]
    absent: frozenset[int] = frozenset()
    locked: frozenset[int] = frozenset()
    resolved: Resolved = field(default_factory=lambda: NOTHING_RESOLVED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A grant that does not help, by which device it came closest, and why not."""

    grant: Grant
    device_id: int | None
    failures: tuple[Failure, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """The verdict of one gateway and its reasons.

    `grants` allow, the primary first, from `device_ids`. `failures` concern the
    question or the asker, whatever the grant. `candidates` come nearest first. On
    what `hosts` resolve to it depends, whichever way it went. `terms` are those of the
    applications that have some of their own: the verdict supposes that they are met.
    """

    gateway_id: int
    grants: tuple[Grant, ...]
    device_ids: tuple[int, ...]
    failures: tuple[Failure, ...]
    candidates: tuple[Candidate, ...]
    hosts: tuple[str, ...] = ()
    terms: Mapping[int, Strictness] = field(default_factory=dict)

    @property
    def is_allowed(self) -> bool:
        """Whether the packet passes."""
        return bool(self.grants)


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One grant judged for one device: what a condition looks at."""

    policy: Policy
    asker: Asker
    holding: Holding | None
    grant: Grant
    application: Application | None
    question: Question
