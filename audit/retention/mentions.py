"""Names of somebody who is forgotten, in tables that may be written (ADR 0029).

Whatever people typed may name somebody: a reason, a note, a search, a policy file. In
every text and JSON column of every table their id takes the place of the name. The
append-only log is none of this module's business (`audit.retention.forgetting`); nor
are names of things (`spared`), by which others find them.
"""

from __future__ import annotations

from functools import reduce
from operator import or_
from typing import TYPE_CHECKING, Any

from django.apps import apps
from django.db import models
from django.db.models import Q, TextField
from django.db.models.functions import Cast

from audit.append_only import AppendOnlyModel

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from audit.retention.blanking import Names


def replace_mentions(names: Names, *, spared: Collection[str]) -> int:
    """Put the id of somebody in the place of their names; return how many rows.

    `spared` are the labels of models that are left as they are.
    """
    changed = 0
    for model in _writable(spared):
        for row, columns in _naming(model, names):
            values = {name: _without(model, name, row, names) for name in columns}
            changed += models.QuerySet(model).filter(pk=row.pk).update(**values)
    return changed


def mentions(names: Names, *, among: Collection[str]) -> list[str]:
    """Return what bears somebody's name among tables, as `app.Model number`."""
    return [
        f"{model._meta.label} {row.pk}"
        for model in map(apps.get_model, sorted(among))
        for row, _ in _naming(model, names)
    ]


def text_columns(model: type[models.Model]) -> list[str]:
    """Return the columns of a table in which people's words may stand."""
    kinds = (models.CharField, models.TextField, models.JSONField)
    return [
        field.attname
        for field in model._meta.concrete_fields
        if isinstance(field, kinds) and not field.primary_key and not field.choices
    ]


def _writable(spared: Collection[str]) -> Iterator[type[models.Model]]:
    for model in apps.get_models(include_auto_created=True):
        label = model._meta.label
        if not issubclass(model, AppendOnlyModel) and label not in spared:
            yield model


def _naming(model: type[models.Model], names: Names) -> Iterator[tuple[Any, list[str]]]:
    """Yield the rows of a table that name somebody, with the columns that do."""
    columns = text_columns(model)
    as_text = {f"{name}_as_text": Cast(name, TextField()) for name in columns}
    found: dict[Any, Any] = {}
    # A query for each, because SQLite takes no long condition.
    for form in sorted(names.sought()) if columns else ():
        sought = reduce(or_, (Q(**{f"{name}__icontains": form}) for name in as_text))
        rows = models.QuerySet(model).annotate(**as_text).filter(sought)
        found |= {row.pk: row for row in rows.iterator()}
    for _, row in sorted(found.items(), key=lambda item: str(item[0])):
        changed = [
            name
            for name in columns
            if names.without_in(getattr(row, name)) != getattr(row, name)
        ]
        if changed:
            yield row, changed


def _without(model: type[models.Model], name: str, row: Any, names: Names) -> Any:  # noqa: ANN401 -- any column
    value = names.without_in(getattr(row, name))
    longest = model._meta.get_field(name).max_length  # type: ignore[union-attr]
    return value[:longest] if isinstance(value, str) else value
