"""Forget a person in the policy: what was typed about them, and where they were seen.

Who was granted what, and when, stays by their number; the reasons go.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from django.db.models import Q

from policies.models import (
    AccessRequest,
    Grant,
    LabelGrant,
    Lock,
    PolicyVersion,
    RequestReview,
    ReviewItem,
    Revocation,
    TunnelSighting,
)
from policies.policy_files.versions import etag_of

if TYPE_CHECKING:
    from datetime import datetime

    from audit.retention.blanking import Names
    from portal.accounts.models import User

GONE: Final = "(forgotten)"


def live_grants(user: User, *, now: datetime) -> list[str]:
    """Return the ids of the grants to a person that did not end."""
    found = []
    for model in (Grant, LabelGrant):
        open_ones = model.objects.filter(user=user, ended_at=None)
        live = open_ones.exclude(expires_at__lte=now)
        found += [grant.ref.id for grant in live.order_by("pk")]
    return found


def forget_in_policy(user: User, names: Names) -> None:
    """Take what was typed about a person, and where their devices were seen from."""
    TunnelSighting.objects.filter(device__owner=user).delete()
    Grant.objects.filter(user=user).exclude(reason="").update(reason=GONE)
    LabelGrant.objects.filter(user=user).exclude(reason="").update(reason=GONE)
    AccessRequest.objects.filter(requester=user).update(reason=GONE)
    Revocation.objects.filter(user=user).update(reason=GONE)
    Lock.objects.filter(Q(user=user) | Q(device__owner=user)).update(message=GONE)
    reviews = RequestReview.objects.filter(
        Q(reviewer=user) | Q(request__requester=user)
    )
    reviews.exclude(note="").update(note=GONE)
    items = ReviewItem.objects.filter(Q(person=user) | Q(decided_by=user))
    items.exclude(note="").update(note=GONE)
    PolicyVersion.objects.filter(actor_id=names.person).update(actor_label=names.person)
    _forget_in_files(names)


def _forget_in_files(names: Names) -> None:
    """Put their id in the place of their names in every policy file that was kept.

    The file's hash changes with it: whoever applies the next one reads it again.
    """
    for version in PolicyVersion.objects.order_by("pk"):
        text = names.without(version.text)
        if text != version.text:
            PolicyVersion.objects.filter(pk=version.pk).update(
                text=text, etag=etag_of(text)
            )
