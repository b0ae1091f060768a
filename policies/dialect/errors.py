"""Errors of policy files. Each says where, so that an editor or CI can point at it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, order=True)
class Position:
    """A place in the text: line and column, both from 1, counted in characters."""

    line: int
    column: int


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong or worth knowing, and where.

    Written `line N, column M: text`; Tailscale's GitOps tools look for that form.
    """

    position: Position
    text: str

    def __str__(self) -> str:
        """Return the form that tools parse."""
        return f"line {self.position.line}, column {self.position.column}: {self.text}"


class DialectError(Exception):
    """Root of every error about a policy file."""


class PolicyError(DialectError):
    """The file is not a policy: every problem found, the decisive one first."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        """Keep the problems; there is at least one."""
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = tuple(problems)

    @property
    def message(self) -> str:
        """The decisive problem without its place, as the reference service says it."""
        return self.problems[0].text


class SyntaxRefusedError(PolicyError):
    """The text is not HuJSON, or is more than this reader takes."""


class UnsupportedError(PolicyError):
    """A valid policy that says something a gateway does not enforce."""


class UnknownNameError(DialectError):
    """A policy names something that the portal does not know, or the reverse."""


def problem(position: Position, text: str) -> Problem:
    """Return a problem; shorter at the many places that find one."""
    return Problem(position=position, text=text)
