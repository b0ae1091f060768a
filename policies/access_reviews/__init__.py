"""Access reviews (ADR-0034): who holds what is frozen, decided, and applied.

A campaign starts (`starting`, of what `listing` finds, for whom `assigning` names), its
items are decided (`deciding`), reviewers are written to (`reminding`), and at the
finish (`finishing`) what is to be removed ends, in so far as `settling` finds that the
portal can end it without taking anything from anybody else.
"""

from __future__ import annotations

from policies.access_reviews.deciding import Decided, decide_items
from policies.access_reviews.finishing import (
    call_off_review,
    finish_review,
    result_digest,
)
from policies.access_reviews.listing import Scope
from policies.access_reviews.reminding import remind_reviewers, report_overdue
from policies.access_reviews.starting import Preview, preview, start_review

__all__ = [
    "Decided",
    "Preview",
    "Scope",
    "call_off_review",
    "decide_items",
    "finish_review",
    "preview",
    "remind_reviewers",
    "report_overdue",
    "result_digest",
    "start_review",
]
