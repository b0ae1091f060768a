"""Errors of policies. Messages are facts that may be shown to the person."""

from __future__ import annotations


class PolicyError(Exception):
    """Root of every refusal in this app."""


class InvalidDestinationError(PolicyError):
    """A destination is malformed, or overlaps another of the same application."""


class InvalidTermsError(PolicyError):
    """An application's own terms are no stricter than the lease, or out of bounds."""


class InvalidGrantError(PolicyError):
    """A grant has no subject, two subjects, or an impossible time."""


class InvalidLockError(PolicyError):
    """A lock has no message, or an impossible time."""


class LabelInUseError(PolicyError):
    """A label that was granted cannot be removed; the log speaks of it."""


class UnknownLabelError(PolicyError):
    """A label was removed since it was chosen."""


class SnapshotError(PolicyError):
    """A snapshot could not be compiled, signed or published."""


class OvertakenError(PolicyError):
    """Somebody else published while this was compiled; it must be compiled anew."""


class AcknowledgementError(PolicyError):
    """A gateway acknowledges a generation that was never issued to it."""


class EvidenceError(PolicyError):
    """A batch of evidence is malformed or out of order."""


class InvalidNameError(PolicyError):
    """A name or a reason is empty, too long, taken, or has control characters."""


class ApplicationInUseError(PolicyError):
    """An application that grants name cannot be deleted; the log speaks of it."""


class SigningKeyError(SnapshotError):
    """The key that signs snapshots is absent, malformed, or readable by others."""


class InvalidRequestError(PolicyError):
    """What was asked for, or how it was answered, is out of its bounds."""


class RequestConflictError(PolicyError):
    """There is such a request already, or this one has been answered."""


class ReviewRefusedError(PolicyError):
    """Who answers may not: not an approver, or the requester."""


class InvalidCampaignError(PolicyError):
    """A review has no title, nothing to review, nobody to do it, or no end."""


class CampaignOverError(PolicyError):
    """An access review is over, or cannot be finished yet."""


class NotReviewerError(PolicyError):
    """Who decides about an item may not: no reviewer of it, or it is their own."""
