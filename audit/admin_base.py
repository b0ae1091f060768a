"""Django's admin is for looking: nothing here adds, changes or deletes a row.

The few acts that hurt lead to the console's own confirm pages, which ask for a
reason and call the same services as everything else. Who may look is decided by
`User.has_perm`: administrators.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from django.contrib import admin, messages
from django.db import models
from django.http import HttpResponseRedirect
from django.urls import reverse

if TYPE_CHECKING:
    from django.db.models import QuerySet
    from django.http import HttpRequest, HttpResponse

Row = TypeVar("Row", bound=models.Model)

if TYPE_CHECKING:
    _Admin = admin.ModelAdmin
else:
    # Django's class takes no type argument when it runs.
    class _Admin(admin.ModelAdmin):
        """Django's, with a type argument."""

        def __class_getitem__(cls, _row: object) -> type:
            """Ignore the type argument."""
            return cls


class ReadOnlyAdmin(_Admin[Row]):
    """Shows rows. `hidden` names the columns that no page may show."""

    hidden: ClassVar[tuple[str, ...]] = ()
    list_per_page = 50
    show_full_result_count = False

    def get_exclude(
        self,
        request: HttpRequest,  # noqa: ARG002 -- Django's signature
        obj: Row | None = None,  # noqa: ARG002 -- the same
    ) -> tuple[str, ...]:
        """Keep secrets off the page."""
        return self.hidden

    def has_add_permission(self, request: HttpRequest) -> bool:  # noqa: ARG002 -- Django's signature
        """Return no."""
        return False

    def has_change_permission(
        self,
        request: HttpRequest,  # noqa: ARG002 -- Django's signature
        obj: Row | None = None,  # noqa: ARG002 -- the same
    ) -> bool:
        """Return no."""
        return False

    def has_delete_permission(
        self,
        request: HttpRequest,  # noqa: ARG002 -- Django's signature
        obj: Row | None = None,  # noqa: ARG002 -- the same
    ) -> bool:
        """Return no."""
        return False

    def confirm_elsewhere(
        self, request: HttpRequest, rows: QuerySet[Row], page: str
    ) -> HttpResponse | None:
        """Lead to the confirm page of the one row that was chosen."""
        chosen: list[Any] = list(rows[:2])
        if len(chosen) != 1:
            text = "Choose one; each is confirmed by itself."
            self.message_user(request, text, messages.WARNING)
            return None
        return HttpResponseRedirect(reverse(page, args=(chosen[0].pk,)))
