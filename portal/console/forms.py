"""Forms of the console: they turn text into values and name what is wrong.

A form decides nothing: rules that matter are the services' rules.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from django import forms
from django.core.exceptions import ValidationError

from peers.models import DeviceState, Gateway
from policies.compiler.strictness import (
    MAX_STALENESS,
    MIN_STALENESS,
    Evidence,
    Strictness,
)
from policies.destinations import DestinationInput, parse_destinations
from policies.errors import InvalidDestinationError
from policies.models import Application, Label
from policies.models.applications import EvidenceChoice
from portal.accounts.models import User
from portal.many import named_people

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date, datetime

DESTINATION: Final = re.compile(
    r"(?:(?P<host>\S+)\s+in\s+)?(?P<prefix>\S+)\s+(?P<protocol>[a-z0-9]+)"
    r"(?:/(?P<first>[0-9]{1,5})(?:-(?P<last>[0-9]{1,5}))?)?"
)


class MomentField(forms.DateTimeField):
    """A time in plain characters: Python's own reader stops at a NUL and says nothing.

    It also takes the digits of other scripts, which people do not see are others.
    """

    def to_python(self, value: str | datetime | date | None) -> datetime | None:
        """Refuse what is not plain text before it is read."""
        if isinstance(value, str) and not (value.isascii() and value.isprintable()):
            raise ValidationError(self.error_messages["invalid"], code="invalid")
        return super().to_python(value)


class ConsoleForm(forms.Form):
    """A form whose fields wear the console's coat."""

    required_css_class = "required"

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 -- Django's signature
        """Dress all fields."""
        super().__init__(*args, **kwargs)
        self.dress()

    def dress(self) -> None:
        """Give each widget its class; again, when a field was added."""
        for bound in self.visible_fields():
            widget = bound.field.widget
            widget.attrs["class"] = _css_class(widget)
            if bound.errors:
                widget.attrs["class"] += " is-invalid"


def _css_class(widget: forms.Widget) -> str:
    match widget:
        case (
            forms.CheckboxInput() | forms.CheckboxSelectMultiple() | forms.RadioSelect()
        ):
            return "form-check-input"
        case forms.Select():
            return "form-select"
        case _:
            return "form-control"


class DeviceForm(ConsoleForm):
    """What the enrolment page asks; the page's script sends it to the API."""

    name = forms.CharField(
        max_length=64,
        label="Name of this device",
        help_text="As you will recognise it, for example “Work laptop”.",
    )
    platform = forms.ChoiceField(
        label="Kind",
        choices=[
            ("linux", "Linux"),
            ("macos", "macOS"),
            ("windows", "Windows"),
            ("ios", "iPhone or iPad"),
            ("android", "Android"),
        ],
    )


class NameForm(ConsoleForm):
    """Another name for a device."""

    name = forms.CharField(max_length=64, label="Name of this device")


class ReasonForm(ConsoleForm):
    """Why something that hurts is done; it goes into the log."""

    reason = forms.CharField(
        max_length=255,
        label="Reason",
        help_text="Kept in the log beside your name.",
        widget=forms.TextInput(attrs={"autocomplete": "off"}),
    )


class ManyForm(ReasonForm):
    """Who is to be revoked, why, and how many that are."""

    people = forms.CharField(
        label="People",
        max_length=100_000,
        help_text="One a line: an e-mail address, a subject, or an id such as us_7.",
        widget=forms.Textarea(attrs={"rows": 8, "spellcheck": "false"}),
    )
    count = forms.IntegerField(
        required=False,
        label="How many people are these?",
        help_text="Type the number that stands above. They lose everything at once.",
        widget=forms.NumberInput(attrs={"autocomplete": "off"}),
    )
    field_order = ("people", "reason", "count")

    def clean_people(self) -> Sequence[User]:
        """Return everybody named."""
        named = named_people(self.cleaned_data["people"])
        if not named.users and not named.unknown:
            raise ValidationError("These lines name nobody.")
        if named.unknown:
            words = ", ".join(named.unknown[:20])
            raise ValidationError(f"These name nobody, or several people: {words}")
        return named.users


class DeviceFilter(ConsoleForm):
    """The filter of the device list."""

    q = forms.CharField(
        label="Search",
        required=False,
        widget=forms.TextInput(attrs={"placeholder": "name, owner, address"}),
    )
    state = forms.ChoiceField(
        label="State", required=False, choices=[("", "any"), *DeviceState.choices]
    )


class UserFilter(ConsoleForm):
    """The filter of the user list."""

    q = forms.CharField(
        label="Search",
        required=False,
        widget=forms.TextInput(attrs={"placeholder": "name, e-mail, group"}),
    )
    state = forms.ChoiceField(
        label="State",
        required=False,
        choices=[("", "any"), ("active", "enabled"), ("disabled", "disabled")],
    )


class GrantFilter(ConsoleForm):
    """The filter of the grant list."""

    state = forms.ChoiceField(
        label="State",
        required=False,
        choices=[("", "live"), ("ended", "ended or expired"), ("all", "all")],
    )
    application = forms.ModelChoiceField(
        Application.objects.all(), required=False, empty_label="any"
    )
    label = forms.ModelChoiceField(
        Label.objects.all(), required=False, label="Label", empty_label="any"
    )


class ApplicationForm(ConsoleForm):
    """An application: one destination a line."""

    name = forms.CharField(max_length=64)
    description = forms.CharField(max_length=255, required=False)
    destinations = forms.CharField(
        label="Destinations, one a line",
        help_text=(
            "A prefix, then protocol and ports: 10.20.0.0/24 tcp/443, "
            "fd00:20::5/128 tcp/8000-8010, 10.20.0.9/32 icmp, 10.30.0.0/16 any. "
            "By host name: db.example.com in 10.20.0.0/16 tcp/5432. Then only those "
            "addresses of the prefix count that the gateway resolves the name to, "
            "whatever else DNS may say; devices route the whole prefix."
        ),
        widget=forms.Textarea(attrs={"rows": 5, "spellcheck": "false"}),
    )
    gateways = forms.ModelMultipleChoiceField(
        Gateway.objects.exclude(state="retired"),
        required=False,
        widget=forms.CheckboxSelectMultiple,
        help_text="The gateways that stand in front of it.",
    )
    labels = forms.ModelMultipleChoiceField(
        Label.objects.all(),
        required=False,
        widget=forms.CheckboxSelectMultiple,
        help_text="Who is granted a label reaches every application that bears it.",
    )

    max_staleness = forms.IntegerField(
        required=False,
        min_value=MIN_STALENESS,
        max_value=MAX_STALENESS,
        label="Close after so many seconds without word from the portal",
        help_text=(
            f"From {MIN_STALENESS}, and shorter than what every gateway allows. Empty:"
            " as every gateway. Established connections end, too."
        ),
    )
    evidence = forms.ChoiceField(
        choices=EvidenceChoice.choices,
        required=False,
        initial=EvidenceChoice.STRICT,
        label="While a gateway cannot record connections",
        help_text="For example when its disk is full.",
    )

    def clean(self) -> dict[str, Any]:
        """Return both terms as one value; none where a program sent neither."""
        cleaned: dict[str, Any] = super().clean() or {}
        limit, evidence = (
            cleaned.pop("max_staleness", None),
            cleaned.pop("evidence", ""),
        )
        if evidence:
            cleaned["terms"] = Strictness(
                max_staleness=limit, evidence=Evidence(evidence)
            )
        return cleaned

    def clean_destinations(self) -> tuple[DestinationInput, ...]:
        """Return the destinations, or say for each wrong line what is wrong."""
        found, errors = [], []
        for number, line in enumerate(
            self.cleaned_data["destinations"].splitlines(), start=1
        ):
            if not line.strip():
                continue
            try:
                found.append(parse_destination(line.strip()))
            except InvalidDestinationError as exc:
                errors.append(f"Line {number}: {exc}")
        if errors:
            raise ValidationError(errors)
        return tuple(found)


def parse_destination(line: str) -> DestinationInput:
    """Return the destination written in one line.

    Raises:
        InvalidDestinationError: the line is not a prefix, a protocol and its ports,
            behind a host name and "in" or not.
    """
    match = DESTINATION.fullmatch(line)
    if match is None:
        msg = f"{line!r} is not written like 10.20.0.0/24 tcp/443"
        raise InvalidDestinationError(msg)
    given = DestinationInput(
        host=match["host"] or "",
        prefix=match["prefix"],
        protocol=match["protocol"],
        port_first=int(match["first"]) if match["first"] else None,
        port_last=int(match["last"]) if match["last"] else None,
    )
    parse_destinations([given])
    return given


class LabelForm(ConsoleForm):
    """A label before anything bears it."""

    name = forms.CharField(
        max_length=63,
        help_text="Small letters, digits and hyphens, for example db-prod.",
        widget=forms.TextInput(attrs={"autocomplete": "off", "spellcheck": "false"}),
    )


class GatewayForm(ConsoleForm):
    """A gateway before its agent has enrolled."""

    name = forms.CharField(max_length=64)
    endpoint_host = forms.CharField(
        max_length=253,
        label="Address that devices dial",
        help_text="A host name or an IP address, as seen from outside.",
    )
    endpoint_port = forms.IntegerField(
        label="UDP port", min_value=1, max_value=65535, initial=51820
    )
