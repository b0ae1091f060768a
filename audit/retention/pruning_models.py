"""What of a log is to be pruned, and by whose word (ADR 0036).

Part of `audit.models`, from where everybody takes them.
"""

from __future__ import annotations

from django.db import models
from django.db.models import F, Q

from audit.actor import Ref
from audit.sealed_models import Log


class Prune(models.Model):
    """The leaves of a log below an index, to be deleted when two people want it.

    `hashes` is the frontier, which is kept: 32 bytes for each complete subtree over
    what goes, and `root` their root. Approving writes the leaf (AU005); rows go when
    that leaf is sealed. A prune is never deleted, and one that was approved never
    changes but for `done_at`.
    """

    id = models.BigAutoField(primary_key=True)
    log = models.CharField(max_length=16, choices=Log)
    begin = models.BigIntegerField()
    below = models.BigIntegerField()
    root = models.BinaryField()
    hashes = models.BinaryField()
    reason = models.CharField(max_length=255)
    proposer_id = models.CharField(max_length=32)
    proposed_at = models.DateTimeField()
    approver_id = models.CharField(max_length=32, blank=True)
    approved_at = models.DateTimeField(null=True, blank=True)
    leaf_uid = models.UUIDField(null=True, blank=True)
    withdrawn_at = models.DateTimeField(null=True, blank=True)
    done_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        """One at a time for each log; two people; an approved one has its leaf."""

        ordering = ("-id",)
        constraints = (
            models.UniqueConstraint(
                fields=("log",),
                condition=Q(done_at=None, withdrawn_at=None),
                name="audit_prune_one_open_per_log",
            ),
            models.CheckConstraint(
                condition=~Q(approver_id=F("proposer_id")),
                name="audit_prune_two_people",
            ),
            models.CheckConstraint(
                condition=Q(approved_at=None, approver_id="", leaf_uid=None)
                | Q(approved_at__isnull=False, leaf_uid__isnull=False)
                & ~Q(approver_id=""),
                name="audit_prune_approved_with_its_leaf",
            ),
            models.CheckConstraint(
                condition=Q(below__gt=F("begin")), name="audit_prune_of_something"
            ),
        )

    def __str__(self) -> str:
        """Return which leaves go."""
        return f"leaves {self.begin} to below {self.below} of {self.log}"

    @property
    def ref(self) -> Ref:
        """Return how the log names it."""
        return Ref(id=f"pr_{self.pk}", label=str(self))
