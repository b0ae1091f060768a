"""Who exists at the demonstration's identity provider. Passwords are printed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """A person with a password that everybody may know."""

    username: str
    name: str
    groups: tuple[str, ...]

    @property
    def password(self) -> str:
        """The password, printed wherever it helps."""
        return f"{self.username}-demo"

    @property
    def email(self) -> str:
        """An address that leads nowhere (RFC 6761)."""
        return f"{self.username}@example.test"


CAST: Final = (
    Person(username="alice", name="Alice Archer", groups=("engineering",)),
    Person(username="bob", name="Bob Baker", groups=("sales",)),
    Person(username="carol", name="Carol Carter", groups=("peerage-auditors",)),
    Person(username="dave", name="Dave Dyer", groups=("peerage-administrators",)),
    Person(username="mallory", name="Mallory Mason", groups=()),
)
