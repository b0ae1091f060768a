"""The part of a form that says what a grant demands beside its time.

A form decides nothing: it turns lines and words into what the services check.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final
from zoneinfo import available_timezones

from django import forms
from django.core.exceptions import ValidationError

from policies.conditions import ConditionsInput, local_moment, parse_window
from policies.errors import InvalidGrantError
from portal.console.forms import ConsoleForm, MomentField

if TYPE_CHECKING:
    from datetime import datetime

    from policies.conditions import WindowInput

UTC_NAME: Final = "UTC"
SECONDS_AN_HOUR: Final = 3600


class ConditionsForm(ConsoleForm):
    """An end, hours of the week, and what must be held."""

    expires_at = MomentField(
        required=False,
        label="Ends at",
        help_text="On the clocks of the time zone below, UTC if there is none."
        " Leave empty for a grant without an end.",
        widget=forms.DateTimeInput(attrs={"type": "datetime-local"}),
    )
    time_zone = forms.CharField(
        required=False,
        max_length=64,
        help_text="Of the hours and of the end, for example Europe/Berlin.",
        widget=forms.TextInput(attrs={"autocomplete": "off", "list": "zones"}),
    )
    hours = forms.CharField(
        required=False,
        label="Only in these hours, one window a line",
        help_text="Days, then from and until: mon-fri 08:00-18:00. Leave empty for"
        " all hours.",
        widget=forms.Textarea(attrs={"rows": 2, "spellcheck": "false"}),
    )
    max_auth_age = forms.DecimalField(
        required=False,
        label="Sign-in not older than (hours)",
        max_digits=6,
        decimal_places=2,
        help_text="The kernel ends access when the last sign-in is that old.",
    )
    amr = forms.CharField(
        required=False,
        max_length=255,
        label="Methods of the sign-in, all of them",
        help_text="As the identity provider tells them (amr), for example mfa or hwk.",
        widget=forms.TextInput(attrs={"autocomplete": "off", "spellcheck": "false"}),
    )
    acr = forms.CharField(
        required=False,
        max_length=255,
        label="Class of the sign-in, one of them",
        help_text="As the identity provider tells it (acr).",
        widget=forms.TextInput(attrs={"autocomplete": "off", "spellcheck": "false"}),
    )
    needs_approved_device = forms.BooleanField(
        required=False, label="Only from devices that an administrator approved"
    )

    def clean_hours(self) -> tuple[WindowInput, ...]:
        """Return the windows, or say for each wrong line what is wrong."""
        found, errors = [], []
        lines = enumerate(self.cleaned_data["hours"].splitlines(), start=1)
        for number, line in lines:
            if not line.strip():
                continue
            try:
                found.append(parse_window(line))
            except InvalidGrantError as exc:
                errors.append(f"Line {number}: {exc}")
        if errors:
            raise ValidationError(errors)
        return tuple(found)

    def clean(self) -> dict[str, Any]:
        """Put the conditions together, and the end on the clocks of its zone."""
        data = super().clean() or {}
        ends = data.get("expires_at")
        if ends is not None and "time_zone" in data:
            data["expires_at"] = self._moment(ends, data["time_zone"].strip())
        windows = data.get("hours") or ()
        age = data.get("max_auth_age")
        data["conditions"] = ConditionsInput(
            # Without hours it is the zone of the end alone.
            time_zone=data.get("time_zone", "").strip() if windows else "",
            windows=windows,
            max_auth_age_seconds=None if age is None else int(age * SECONDS_AN_HOUR),
            amr=_words(data.get("amr")),
            acr=_words(data.get("acr")),
            needs_approved_device=bool(data.get("needs_approved_device")),
        )
        return data

    @property
    def zones(self) -> list[str]:
        """The time zones to choose from."""
        return sorted(name for name in available_timezones() if "/" in name)

    def _moment(self, typed: datetime, zone: str) -> datetime | None:
        try:
            return local_moment(typed.replace(tzinfo=None), zone or UTC_NAME)
        except InvalidGrantError as exc:
            field = (
                "expires_at" if zone in {"", *available_timezones()} else "time_zone"
            )
            self.add_error(field, str(exc))
            return None


def _words(text: str | None) -> tuple[str, ...]:
    return tuple((text or "").replace(",", " ").split())
