"""Who did something, and what it was done to: copied values, no foreign keys."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class ActorKind(StrEnum):
    """What kind of party acts."""

    USER = "user"
    GATEWAY = "gateway"
    SYSTEM = "system"
    COMMAND = "command"
    ANONYMOUS = "anonymous"
    CREDENTIAL = "credential"


@dataclass(frozen=True, slots=True, kw_only=True)
class Actor:
    """The party behind a change. `label` is copied and survives deletion.

    `address` is the client's IP address as text, or empty. `request_id` ties all
    events of one request together.
    """

    kind: ActorKind
    id: str = ""
    label: str = ""
    role: str = ""
    address: str = ""
    request_id: str = ""


SYSTEM = Actor(kind=ActorKind.SYSTEM, label="peerage")


@dataclass(frozen=True, slots=True, kw_only=True)
class Ref:
    """A thing an event speaks of: machine id (`dv_7`) and its label at that time."""

    id: str
    label: str = ""
