"""Why a policy file is not applied."""

from __future__ import annotations

from policies.errors import PolicyError


class PlanError(PolicyError):
    """The portal cannot do what the file says, or not without being told more."""


class FailedTestsError(PolicyError):
    """The file contradicts what its own tests claim."""


class BrakeError(PolicyError):
    """More people than usual would lose something; somebody must say that it is so."""
