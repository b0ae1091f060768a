"""What keeps people in the log, and what was taken out of it (ADR 0029).

Part of `audit.models`, from where everybody takes them.
"""

from __future__ import annotations

from django.db import models
from django.db.models import F, Q

from audit.actor import Ref
from audit.append_only import AppendOnlyModel


class LegalHold(models.Model):
    """Evidence that must stay: of one person, or of everybody, of a time or of all.

    While it is not lifted nobody whom it names is forgotten, and nothing that it covers
    is pruned. Without `person_id` it holds everybody; without `since` and `until` it
    has no beginning and no end.
    """

    id = models.BigAutoField(primary_key=True)
    person_id = models.CharField(max_length=32, blank=True)
    since = models.DateTimeField(null=True, blank=True)
    until = models.DateTimeField(null=True, blank=True)
    reason = models.CharField(max_length=255)
    placed_at = models.DateTimeField()
    lifted_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        """The newest first; what is in force is found at once."""

        ordering = ("-id",)
        constraints = (
            models.CheckConstraint(
                condition=Q(since__isnull=True)
                | Q(until__isnull=True)
                | Q(until__gt=F("since")),
                name="audit_legalhold_ends_after_it_begins",
            ),
        )
        indexes = (
            models.Index(
                fields=("person_id",),
                condition=Q(lifted_at__isnull=True),
                name="audit_legalhold_in_force",
            ),
        )

    def __str__(self) -> str:
        """Return whom and what time it holds; never the reason, which may name them."""
        whom = self.person_id or "everybody"
        times = [f"{at:%Y-%m-%d}" if at else "…" for at in (self.since, self.until)]
        return f"{whom}, {times[0]} to {times[1]}"

    @property
    def ref(self) -> Ref:
        """Return how the log names it."""
        return Ref(id=f"lh_{self.pk}", label=str(self))


class ErasedMention(AppendOnlyModel):
    """An event about others that named somebody who was forgotten, and was blanked.

    Nothing in such a row says whose name it held, so that the verifier has to be told.
    How many there are and which stands in the leaf of the forgetting (ID016).
    """

    id = models.BigAutoField(primary_key=True)
    event_uid = models.UUIDField()
    person_id = models.CharField(max_length=64)

    class Meta:
        """Once for each event and person."""

        constraints = (
            models.UniqueConstraint(
                fields=("event_uid", "person_id"), name="audit_erasedmention_once"
            ),
        )

    def __str__(self) -> str:
        """Return whose name stood where."""
        return f"{self.person_id} in {self.event_uid}"
