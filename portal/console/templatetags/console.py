"""Template tags of the console: icons, menu entries, times, byte counts."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

from django import template
from django.urls import reverse

register = template.Library()

KIBI: Final = 1024
UNITS: Final = ("B", "KiB", "MiB", "GiB", "TiB")


@register.inclusion_tag("elements/icon.html")
def icon(name: str) -> dict[str, str]:
    return {"name": name}


@register.inclusion_tag("elements/nav_item.html", takes_context=True)
def nav_item(
    context: template.Context, view: str, title: str, name: str
) -> dict[str, Any]:
    href = reverse(view)
    request = context.get("request")
    active = request is not None and request.path.startswith(href)
    return {"href": href, "title": title, "name": name, "active": active}


@register.inclusion_tag("elements/time.html")
def moment(value: datetime | None, otherwise: str = "") -> dict[str, Any]:
    return {"moment": value, "otherwise": otherwise}


@register.inclusion_tag("elements/badge.html")
def badge(text: object, colour: str = "secondary") -> dict[str, object]:
    return {"text": text, "colour": colour}


@register.filter
def size(value: int | None) -> str:
    """Return a byte count as people read it, exact below one KiB."""
    if value is None:
        return ""
    amount, unit = float(value), 0
    while amount >= KIBI and unit < len(UNITS) - 1:
        amount, unit = amount / KIBI, unit + 1
    return f"{value} B" if unit == 0 else f"{amount:.1f} {UNITS[unit]}"
