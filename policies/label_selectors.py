"""Reading labels, and their one gate: readers see all, administrators change them."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from django.core.exceptions import PermissionDenied
from django.http import Http404

from policies.models import Label, LabelGrant

if TYPE_CHECKING:
    from django.db.models import QuerySet

    from portal.accounts.models import User

Row = TypeVar("Row", Label, LabelGrant)


def list_labels_for(user: User) -> QuerySet[Label]:
    """Return every label to a reader, by name."""
    if not user.is_reader:
        raise PermissionDenied
    return Label.objects.all()


def get_label_for(user: User, label_id: int) -> Label:
    """Return a label to a reader."""
    return _found(Label.objects.all(), user, label_id)


def get_label_to_change_for(user: User, label_id: int) -> Label:
    """Return a label to an administrator."""
    return _changeable(user, get_label_for(user, label_id))


def get_label_grant_to_change_for(user: User, grant_id: int) -> LabelGrant:
    """Return the grant of a label to an administrator."""
    rows = LabelGrant.objects.select_related("label", "user", "group")
    return _changeable(user, _found(rows, user, grant_id))


def _found(rows: QuerySet[Row], user: User, identifier: int) -> Row:
    # Who may not see the list learns nothing about what is in it.
    row = rows.filter(pk=identifier).first() if user.is_reader else None
    if row is None:
        raise Http404
    return row


def _changeable(user: User, row: Row) -> Row:
    if not user.is_administrator:
        raise PermissionDenied
    return row
