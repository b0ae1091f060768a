"""Template tags of the console: icons, menu entries, times, byte counts."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, Final

from django import template
from django.urls import reverse

from audit.events import Outcome, Severity
from policies.conditions import conditions_text, stored_conditions
from policies.durations import in_words
from policies.models.terms import Terms
from portal.console.reasons import explained

register = template.Library()

KIBI: Final = 1024
PROTOCOLS: Final = {1: "icmp", 6: "tcp", 17: "udp", 58: "icmpv6"}
COLOURS: Final = {
    Outcome.DONE: "green",
    Outcome.REFUSED: "orange",
    Outcome.FAILED: "red",
    Outcome.ALERT: "red",
}
SEVERITY_COLOURS: Final = {
    Severity.INFO: "secondary",
    Severity.NOTICE: "azure",
    Severity.WARNING: "orange",
    Severity.ALERT: "red",
}
UNITS: Final = ("B", "KiB", "MiB", "GiB", "TiB")


@register.inclusion_tag("elements/icon.html")
def icon(name: str) -> dict[str, str]:
    return {"name": name}


@register.inclusion_tag("elements/nav_item.html", takes_context=True)
def nav_item(
    context: template.Context,
    view: str,
    title: str,
    name: str,
    *,
    also: str = "",
    count: str = "",
) -> dict[str, Any]:
    """Return an entry of the menu; the pages below `also` are below it, too.

    `count` is the view that says how many wait there; the browser asks it.
    """
    href = reverse(view)
    request = context.get("request")
    below = (href, reverse(also)) if also else (href,)
    active = request is not None and request.path.startswith(below)
    return {
        "href": href,
        "title": title,
        "name": name,
        "active": active,
        "count": reverse(count) if count else "",
    }


@register.inclusion_tag("elements/time.html")
def moment(
    value: datetime | None, otherwise: str = "", *, zone: bool = True
) -> dict[str, Any]:
    return {"moment": value, "otherwise": otherwise, "zone": zone}


@register.inclusion_tag("elements/badge.html")
def badge(text: object, colour: str = "secondary") -> dict[str, object]:
    return {"text": text, "colour": colour}


@register.inclusion_tag("elements/badge.html")
def severity(level: str) -> dict[str, str]:
    """Show how grave something is: its word, in a colour."""
    return {"text": level, "colour": SEVERITY_COLOURS[Severity(level)]}


@register.filter
def demands(grant: Terms) -> str:
    """Return what a grant demands beside its time, in words."""
    return conditions_text(stored_conditions(grant))


@register.filter
def size(value: int | None) -> str:
    """Return a byte count as people read it, exact below one KiB."""
    if value is None:
        return ""
    amount, unit = float(value), 0
    while amount >= KIBI and unit < len(UNITS) - 1:
        amount, unit = amount / KIBI, unit + 1
    return f"{value} B" if unit == 0 else f"{amount:.1f} {UNITS[unit]}"


@register.filter
def span(value: timedelta) -> str:
    """Return how long something is to last, as people say it."""
    return in_words(value)


@register.simple_tag
def lasted(began: datetime, ended: datetime) -> str:
    """Return how long something lasted, in its two largest units."""
    seconds = max(0, round((ended - began).total_seconds()))
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {seconds} s" if minutes else f"{seconds} s"


@register.filter
def protocol(number: int) -> str:
    """Return the name of an IP protocol (IANA), or its number."""
    return PROTOCOLS.get(number, f"protocol {number}")


@register.filter
def why(code: str) -> str:
    """Return why a connection was denied, or how it ended, as a sentence."""
    return explained(code)


@register.inclusion_tag("elements/outcome.html")
def outcome(code: str, ending: str) -> dict[str, str]:
    """Show an event's code in the colour of how it ended."""
    return {"code": code, "ending": ending, "colour": COLOURS[Outcome(ending)]}
