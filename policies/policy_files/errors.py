"""Why a policy file is not applied."""

from __future__ import annotations

from typing import TYPE_CHECKING

from policies.errors import PolicyError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from policies.dialect.verdicts import TestReport


class PlanError(PolicyError):
    """The portal cannot do what the file says, or not without being told more."""


class FailedTestsError(PolicyError):
    """The file contradicts what its own tests claim."""

    def __init__(self, message: str, failed: Sequence[TestReport]) -> None:
        """Keep which tests failed."""
        super().__init__(message)
        self.failed = tuple(failed)


class StaleFileError(PolicyError):
    """The policy is not the one that the writer of a file has seen."""


class BrakeError(PolicyError):
    """More people than usual would lose something; somebody must say that it is so."""
