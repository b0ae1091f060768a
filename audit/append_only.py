"""A table that only grows, as far as code is concerned.

Querysets and rows refuse to update or delete. Triggers in the database refuse the
same to whoever passes Django by (migration `0002_append_only`). Both guard against
accidents; against an administrator of the database stand the tree and its witnesses.
"""

from __future__ import annotations

from typing import Any, NoReturn, TypeVar

from django.db import models

from audit.errors import AppendOnlyError

Row = TypeVar("Row", bound=models.Model)


class AppendOnlyQuerySet(models.QuerySet[Row]):
    """Rows may be read and added."""

    def update(self, **_values: Any) -> NoReturn:  # noqa: ANN401 -- Django's signature
        """Refuse."""
        raise AppendOnlyError(f"{self.model.__name__} is append-only: no update")

    def delete(self) -> NoReturn:
        """Refuse."""
        raise AppendOnlyError(f"{self.model.__name__} is append-only: no delete")

    def bulk_create(self, *args: Any, **options: Any) -> list[Row]:  # noqa: ANN401 -- Django's signature
        """Add rows; refuse to overwrite the ones that exist."""
        if options.get("update_conflicts"):
            raise AppendOnlyError(f"{self.model.__name__} is append-only: no upsert")
        return super().bulk_create(*args, **options)


class AppendOnlyModel(models.Model):
    """A row that is written once."""

    objects = AppendOnlyQuerySet.as_manager()

    class Meta:
        """Shared by the two logs."""

        abstract = True

    def save(self, *args: Any, **options: Any) -> None:  # noqa: ANN401 -- Django's signature
        """Add the row; refuse to write it a second time."""
        if not self._state.adding:
            name = type(self).__name__
            raise AppendOnlyError(f"{name} is append-only: no second save")
        super().save(*args, **{**options, "force_insert": True})

    def delete(self, *_args: Any, **_options: Any) -> NoReturn:  # noqa: ANN401 -- Django's signature
        """Refuse."""
        raise AppendOnlyError(f"{type(self).__name__} is append-only: no delete")
