"""Every address there is, as the resolver knows it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from django.apps import apps
from django.contrib import admin
from django.urls import URLPattern, URLResolver, get_resolver

ADMIN: Final = "admin/"
GATEWAYS: Final = "api/gateway/v1/"
PROGRAMS: Final = "api/v2/"
PARAMETER: Final = re.compile(r"<(?:\w+:)?(\w+)>")


def routes() -> list[str]:
    """Return the pattern of each page and endpoint, those of the admin left out."""
    found = set(_patterns(get_resolver(), ""))
    return sorted(text for text in found if not text.startswith(ADMIN))


def admin_addresses() -> list[str]:
    """Return an address for each kind of page of the admin, for each table in it."""
    found = ["", "login/", "logout/", "password_change/", "jsi18n/", "autocomplete/"]
    for model in filter(admin.site.is_registered, apps.get_models()):
        base = f"{model._meta.app_label}/{model._meta.model_name}/"
        row = model._default_manager.order_by("pk").first()
        key = "1" if row is None else row.pk
        found += [base, f"{base}add/"]
        found += [f"{base}{key}/{page}/" for page in ("change", "delete", "history")]
    return [f"/{ADMIN}{path}" for path in found]


def _patterns(resolver: URLResolver, before: str) -> Iterator[str]:
    for entry in resolver.url_patterns:
        here = before + str(entry.pattern)
        if isinstance(entry, URLPattern):
            yield here
        else:
            yield from _patterns(entry, here)
