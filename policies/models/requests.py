"""Access requests: what somebody asked for, and what was answered."""

from __future__ import annotations

from datetime import timedelta

from django.conf import settings
from django.db import models
from django.db.models import Q

from audit.actor import Ref
from policies.models.applications import Application
from policies.models.grants import Grant


class RequestState(models.TextChoices):
    """What became of a request; only a pending one changes."""

    PENDING = "pending", "pending"
    APPROVED = "approved", "approved"
    REFUSED = "refused", "refused"
    CANCELLED = "cancelled", "cancelled"
    EXPIRED = "expired", "expired"


class AccessRequest(models.Model):
    """Somebody asks for an application, for a reason and for a time.

    The time begins at approval, with the grant. Unanswered it expires at `answer_by`.
    `reminded_at` is when approvers were last written to, `answer_told_at` and
    `end_told_at` when the requester was.
    """

    id = models.BigAutoField(primary_key=True)
    requester = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.PROTECT,
        related_name="access_requests",
    )
    application = models.ForeignKey(
        Application, on_delete=models.PROTECT, related_name="requests"
    )
    reason = models.CharField(max_length=255)
    duration = models.DurationField()
    state = models.CharField(
        max_length=16, choices=RequestState.choices, default=RequestState.PENDING
    )
    requested_at = models.DateTimeField()
    answer_by = models.DateTimeField()
    decided_at = models.DateTimeField(null=True, blank=True)
    grant = models.OneToOneField(
        Grant,
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        related_name="request",
    )
    reminded_at = models.DateTimeField(null=True, blank=True)
    answer_told_at = models.DateTimeField(null=True, blank=True)
    end_told_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        """One pending a person and application; a grant exactly when approved."""

        ordering = ("-id",)
        constraints = (
            models.UniqueConstraint(
                fields=("requester", "application"),
                condition=Q(state="pending"),
                name="policies_accessrequest_one_pending",
            ),
            models.CheckConstraint(
                condition=Q(state="approved", grant__isnull=False)
                | (~Q(state="approved") & Q(grant__isnull=True)),
                name="policies_accessrequest_grant_when_approved",
            ),
            models.CheckConstraint(
                condition=Q(state="pending", decided_at__isnull=True)
                | (~Q(state="pending") & Q(decided_at__isnull=False)),
                name="policies_accessrequest_decided_once",
            ),
            models.CheckConstraint(
                condition=Q(duration__gt=timedelta(0)),
                name="policies_accessrequest_takes_time",
            ),
        )
        indexes = (
            models.Index(fields=("state", "answer_by"), name="policies_request_due"),
        )

    def __str__(self) -> str:
        """Return requester → application."""
        return f"{self.requester} → {self.application}"

    @property
    def ref(self) -> Ref:
        """The machine id and label, for events."""
        return Ref(id=f"rq_{self.pk}", label=str(self))

    @property
    def is_pending(self) -> bool:
        """Whether it waits for an answer."""
        return self.state == RequestState.PENDING


class RequestReview(models.Model):
    """What one approver said to a request, once. Append-only."""

    id = models.BigAutoField(primary_key=True)
    request = models.ForeignKey(
        AccessRequest, on_delete=models.CASCADE, related_name="reviews"
    )
    reviewer = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+"
    )
    is_approval = models.BooleanField()
    note = models.CharField(max_length=255, blank=True)
    at = models.DateTimeField()

    class Meta:
        """Nobody answers twice; the first answer first."""

        ordering = ("id",)
        constraints = (
            models.UniqueConstraint(
                fields=("request", "reviewer"), name="policies_requestreview_once"
            ),
        )

    def __str__(self) -> str:
        """Return who said what."""
        said = "approved" if self.is_approval else "refused"
        return f"{self.reviewer} {said}"
