"""Access reviews: campaigns, who reviews, and one item a person and what they hold."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import F, Q

from audit.actor import Ref
from policies.models.applications import Application
from policies.models.grants import Grant
from portal.accounts.models import Group


class CampaignState(models.TextChoices):
    """What became of a campaign; only an open one changes."""

    OPEN = "open", "open"
    FINISHED = "finished", "finished"
    CALLED_OFF = "called_off", "called off"


class CampaignScope(models.TextChoices):
    """What is reviewed: who reaches applications, or who is in groups."""

    APPLICATIONS = "applications", "applications"
    GROUPS = "groups", "groups"


class Decision(models.TextChoices):
    """What a reviewer said of an item; empty is nothing yet."""

    KEEP = "keep", "keep"
    REMOVE = "remove", "remove"


class Way(models.TextChoices):
    """How a removal comes about; the portal itself carries out the first only."""

    PORTAL = "portal", "the portal ends it"
    PROVIDER = "provider", "at the identity provider"
    GROUP = "group", "in the local group"
    LABEL = "label", "by the grant of a label"
    FILE = "file", "in the policy file"


class ItemOutcome(models.TextChoices):
    """What a finished campaign did about an item."""

    KEPT = "kept", "kept"
    UNDECIDED = "undecided", "undecided, kept"
    ENDED = "ended", "removed"
    GONE = "gone", "was gone already"
    FOLLOW_UP = "follow_up", "still to be removed"
    NOT_APPLIED = "not_applied", "nothing was applied"


class ReviewCampaign(models.Model):
    """A review of who holds what, frozen when it started; never deleted (ADR-0034).

    `used_since` is from when on use was counted. `told_at` is when reviewers were last
    written to, `overdue_at` when the log was told that it is late. `result_sha256` is
    the digest of what came of the items, as the log has it.
    """

    id = models.BigAutoField(primary_key=True)
    title = models.CharField(max_length=64)
    scope = models.CharField(max_length=16, choices=CampaignScope.choices)
    applications: models.ManyToManyField[Application, models.Model] = (
        models.ManyToManyField(Application, related_name="campaigns", blank=True)
    )
    groups: models.ManyToManyField[Group, models.Model] = models.ManyToManyField(
        Group, related_name="campaigns", blank=True
    )
    state = models.CharField(
        max_length=16, choices=CampaignState.choices, default=CampaignState.OPEN
    )
    started_at = models.DateTimeField()
    started_by = models.CharField(max_length=255, blank=True)
    used_since = models.DateTimeField()
    due_at = models.DateTimeField()
    finished_at = models.DateTimeField(null=True, blank=True)
    finished_by = models.CharField(max_length=255, blank=True)
    reason = models.CharField(max_length=255, blank=True)
    told_at = models.DateTimeField(null=True, blank=True)
    overdue_at = models.DateTimeField(null=True, blank=True)
    result_sha256 = models.CharField(max_length=64, blank=True)

    class Meta:
        """The newest first; over exactly when it was finished or called off."""

        ordering = ("-id",)
        constraints = (
            models.CheckConstraint(
                condition=Q(state="open", finished_at__isnull=True)
                | (~Q(state="open") & Q(finished_at__isnull=False)),
                name="policies_reviewcampaign_over_when_finished",
            ),
            models.CheckConstraint(
                condition=Q(due_at__gt=F("started_at")),
                name="policies_reviewcampaign_due_after_its_start",
            ),
        )
        indexes = (
            models.Index(fields=("state", "due_at"), name="policies_review_due"),
        )

    def __str__(self) -> str:
        """Return the title."""
        return self.title

    @property
    def ref(self) -> Ref:
        """The machine id and label, for events."""
        return Ref(id=f"rc_{self.pk}", label=self.title)

    @property
    def is_open(self) -> bool:
        """Whether reviewers decide still."""
        return self.state == CampaignState.OPEN


class ReviewAssignment(models.Model):
    """Somebody reviews a campaign: one application of it, or all (null)."""

    id = models.BigAutoField(primary_key=True)
    campaign = models.ForeignKey(
        ReviewCampaign, on_delete=models.CASCADE, related_name="assignments"
    )
    reviewer = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+"
    )
    application = models.ForeignKey(
        Application, on_delete=models.PROTECT, null=True, blank=True, related_name="+"
    )

    class Meta:
        """Nobody twice for the same."""

        ordering = ("id",)
        constraints = (
            models.UniqueConstraint(
                fields=("campaign", "reviewer"),
                condition=Q(application__isnull=True),
                name="policies_reviewassignment_once_for_all",
            ),
            models.UniqueConstraint(
                fields=("campaign", "reviewer", "application"),
                condition=Q(application__isnull=False),
                name="policies_reviewassignment_once_an_application",
            ),
        )

    def __str__(self) -> str:
        """Return who reviews what."""
        return f"{self.reviewer} reviews {self.application or 'everything'}"


class ReviewItem(models.Model):
    """One person and one grant they hold, or one group they are in.

    In a review of applications there is a `grant`, and the `group` through which it is
    held, if any; in a review of groups there is the `group` alone. Since `since` the
    person could; `connections`, `bytes` (of ended connections) and `last_used_at` say
    what they did in the campaign's period. `revision` counts the decisions, so that
    nobody overwrites one that they have not seen.
    """

    id = models.BigAutoField(primary_key=True)
    campaign = models.ForeignKey(
        ReviewCampaign, on_delete=models.PROTECT, related_name="items"
    )
    person = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+"
    )
    grant = models.ForeignKey(
        Grant, on_delete=models.PROTECT, null=True, blank=True, related_name="+"
    )
    group = models.ForeignKey(
        Group, on_delete=models.PROTECT, null=True, blank=True, related_name="+"
    )
    since = models.DateTimeField()
    connections = models.PositiveBigIntegerField(default=0)
    bytes = models.PositiveBigIntegerField(default=0)
    last_used_at = models.DateTimeField(null=True, blank=True)
    way = models.CharField(max_length=16, choices=Way.choices)
    decision = models.CharField(max_length=8, choices=Decision.choices, blank=True)
    note = models.CharField(max_length=255, blank=True)
    decided_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        related_name="+",
    )
    decided_at = models.DateTimeField(null=True, blank=True)
    revision = models.PositiveIntegerField(default=0)
    outcome = models.CharField(max_length=16, choices=ItemOutcome.choices, blank=True)

    class Meta:
        """Once each; decided by somebody, and with a note where it takes away."""

        ordering = ("id",)
        constraints = (
            # A grant has one subject, so a person holds it in one way.
            models.UniqueConstraint(
                fields=("campaign", "person", "grant"),
                condition=Q(grant__isnull=False),
                name="policies_reviewitem_once_a_grant",
            ),
            models.UniqueConstraint(
                fields=("campaign", "person", "group"),
                condition=Q(grant__isnull=True),
                name="policies_reviewitem_once_a_group",
            ),
            models.CheckConstraint(
                condition=Q(grant__isnull=False) | Q(group__isnull=False),
                name="policies_reviewitem_is_of_something",
            ),
            models.CheckConstraint(
                condition=Q(decision="", decided_by__isnull=True)
                | (~Q(decision="") & Q(decided_by__isnull=False)),
                name="policies_reviewitem_decided_by_somebody",
            ),
            models.CheckConstraint(
                condition=~Q(decision="remove") | ~Q(note=""),
                name="policies_reviewitem_removed_for_a_reason",
            ),
        )

    def __str__(self) -> str:
        """Return whose, and what."""
        return f"{self.person}: {self.grant or self.group}"

    @property
    def ref(self) -> Ref:
        """The machine id and label, for events."""
        return Ref(id=f"ri_{self.pk}", label=str(self))

    @property
    def held(self) -> Ref:
        """What the person holds: a grant, or a group."""
        # A check constraint says that there is one.
        thing = self.grant or self.group
        return thing.ref if thing else Ref(id="")
