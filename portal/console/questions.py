"""Forms of questions about policy; the pages, the API and the command share them.

A form turns text into values and says what is wrong; whom the viewer may ask about
is the gates' matter.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from django import forms
from django.core.exceptions import ValidationError

from peers.models import Device
from peers.selectors import enrolled_gateways
from policies.compiler.errors import InvalidValueError
from policies.compiler.explanation import NUMBERS, Question
from policies.compiler.types import MAX_PORT, IPAddress, Protocol, address
from policies.dialect.hujson import MAX_BYTES
from policies.models import Application
from portal.accounts.models import User
from portal.console.forms import ConsoleForm, MomentField
from portal.console.people import find_person

if TYPE_CHECKING:
    from django.db.models import QuerySet

PROTOCOLS: Final = {protocol.value: number for protocol, number in NUMBERS.items()}
NAMES: Final = {
    Protocol.TCP: "TCP",
    Protocol.UDP: "UDP",
    Protocol.ICMP: "ICMP",
    Protocol.ICMPV6: "ICMPv6",
}
DIGITS: Final = 3


def _moment_input() -> forms.DateTimeInput:
    return forms.DateTimeInput(
        attrs={"type": "datetime-local", "step": 1}, format="%Y-%m-%dT%H:%M:%S"
    )


def _name_input() -> forms.TextInput:
    return forms.TextInput(attrs={"autocomplete": "off", "list": "people"})


def _search_input() -> forms.CharField:
    return forms.CharField(required=False, label="Search")


class MomentForm(ConsoleForm):
    """A form with the moment at which it was opened, and times that can be stored."""

    def __init__(self, *args: Any, now: datetime, **kwargs: Any) -> None:  # noqa: ANN401 -- Django's signature
        """Remember the moment: an empty time means now."""
        # First: dressing the fields asks for their errors.
        self.now = now
        super().__init__(*args, **kwargs)

    def moment(self, name: str) -> datetime:
        """Return a time in UTC, or now.

        Raises:
            ValidationError: a time that no calendar has left in UTC.
        """
        given: datetime | None = self.cleaned_data[name]
        try:
            return self.now if given is None else given.astimezone(UTC)
        except OverflowError as exc:
            raise ValidationError("No calendar has this moment.") from exc


class AtForm(MomentForm):
    """A question about one moment."""

    at = MomentField(required=False, label="At (UTC)", widget=_moment_input())

    def clean_at(self) -> datetime:
        """Return when; an empty time is now."""
        return self.moment("at")


class DestinationForm(AtForm):
    """Where to, how, and when; `cleaned_data["question"]` is the whole question."""

    destination = forms.CharField(
        label="Address",
        max_length=64,
        widget=forms.TextInput(
            attrs={"placeholder": "10.20.1.8", "spellcheck": "false"}
        ),
    )
    protocol = forms.CharField(
        required=False,
        max_length=8,
        widget=forms.Select(choices=[(p.value, name) for p, name in NAMES.items()]),
    )
    port = forms.IntegerField(required=False, min_value=1, max_value=MAX_PORT)
    field_order: Sequence[str] = ("destination", "protocol", "port", "at")

    def clean_destination(self) -> IPAddress:
        """Return the address."""
        try:
            return address(self.cleaned_data["destination"])
        except InvalidValueError as exc:
            raise ValidationError(str(exc)) from exc

    def clean_protocol(self) -> int:
        """Return the number of the protocol; TCP when none was named."""
        text = (self.cleaned_data["protocol"] or "tcp").lower()
        if text in PROTOCOLS:
            return PROTOCOLS[text]
        if text.isascii() and text.isdigit() and len(text) <= DIGITS:
            return int(text)
        raise ValidationError("Say tcp, udp, icmp, icmpv6, or a number from 1 to 255.")

    def clean(self) -> dict[str, Any]:
        """Put the parts together."""
        data = super().clean() or {}
        if self.errors:
            return data
        try:
            data["question"] = Question(
                destination=data["destination"],
                protocol=data["protocol"],
                port=data["port"],
                at=data["at"],
            )
        except InvalidValueError as exc:
            raise ValidationError({"port": str(exc)}) from exc
        return data


class OwnQuestionForm(DestinationForm):
    """What an employee may ask: about themself, and one of their devices."""

    device = forms.CharField(required=False, widget=forms.Select)
    field_order = ("device", "destination", "protocol", "port", "at")

    def __init__(self, *args: Any, devices: QuerySet[Device], **kwargs: Any) -> None:  # noqa: ANN401 -- Django's signature
        """Offer the person's own devices."""
        self.devices = {device.ref.id: device for device in devices}
        super().__init__(*args, **kwargs)
        self.fields["device"].widget = forms.Select(
            choices=[
                ("", "any of mine"),
                *((ref, str(device)) for ref, device in self.devices.items()),
            ]
        )
        self.dress()

    def clean_device(self) -> Device | None:
        """Return the device, when it is the person's own."""
        text = self.cleaned_data["device"]
        if text and text not in self.devices:
            raise ValidationError("None of your devices is this one.")
        return self.devices.get(text)


class QuestionForm(DestinationForm):
    """What a reader may ask: about anybody, or one device."""

    person = forms.CharField(required=False, widget=_name_input())
    device = forms.CharField(
        required=False,
        label="or device",
        widget=forms.TextInput(attrs={"placeholder": "dv_7"}),
    )
    field_order: Sequence[str] = (
        "person",
        "device",
        "destination",
        "protocol",
        "port",
        "at",
    )

    def clean_person(self) -> User | None:
        """Return the one person meant."""
        text = self.cleaned_data["person"].strip()
        return find_person(User.objects.all(), text) if text else None

    def clean_device(self) -> Device | None:
        """Return the device meant."""
        text = self.cleaned_data["device"].strip()
        return find_device(text) if text else None

    def clean(self) -> dict[str, Any]:
        """Demand somebody, and a device that is theirs."""
        data = super().clean()
        if "person" not in data or "device" not in data:
            return data
        person, device = data["person"], data["device"]
        if person is None and device is None:
            self.add_error("person", "Name a person or a device.")
        elif person is None:
            data["person"] = device.owner
        elif device is not None and device.owner_id != person.pk:
            self.add_error("device", f"It belongs to {device.owner}.")
        return data


class SupposeForm(QuestionForm):
    """What a reader may ask of a policy file that is not in force."""

    policy = forms.CharField(
        label="Policy file",
        strip=False,
        max_length=MAX_BYTES,
        help_text=(
            "HuJSON, as `manage.py policy apply` takes it. An empty policy, {}, means"
            " deny all. It is not applied."
        ),
        widget=forms.Textarea(
            attrs={"rows": 12, "spellcheck": "false", "class": "mono"}
        ),
    )
    gateway = forms.ModelChoiceField(
        enrolled_gateways(),
        required=False,
        label="Gateway of what is new",
        empty_label="the only one",
    )
    field_order = (
        *("person", "device", "destination", "protocol", "port", "at"),
        *("gateway", "policy"),
    )


class WhoForm(AtForm):
    """The question who can reach an application."""

    application = forms.ModelChoiceField(Application.objects.all(), empty_label=None)
    q = _search_input()
    field_order = ("application", "at", "q")


class WhatForm(AtForm):
    """The question what a person can reach."""

    person = forms.CharField(widget=_name_input())
    q = _search_input()
    field_order = ("person", "at", "q")

    def clean_person(self) -> User:
        """Return the one person meant."""
        return find_person(User.objects.all(), self.cleaned_data["person"].strip())


class ChangesForm(MomentForm):
    """The question what changed between two moments."""

    since = MomentField(label="Between (UTC)", widget=_moment_input())
    until = MomentField(required=False, label="and (UTC)", widget=_moment_input())
    q = _search_input()

    def clean_since(self) -> datetime:
        """Return the earlier moment."""
        return self.moment("since")

    def clean_until(self) -> datetime:
        """Return the later moment; an empty time is now."""
        return min(self.moment("until"), self.now)

    def clean(self) -> dict[str, Any]:
        """Demand an order."""
        data = super().clean() or {}
        if "since" in data and "until" in data and data["since"] >= data["until"]:
            self.add_error("until", "The period ends before it begins.")
        return data


def find_device(text: str) -> Device:
    """Return the device of a machine id.

    Raises:
        ValidationError: there is none.
    """
    prefix, _, number = text.partition("_")
    is_number = number.isascii() and number.isdigit() and len(number) <= 18  # noqa: PLR2004 -- a 64-bit key
    found = (
        Device.objects.select_related("owner").filter(pk=int(number)).first()
        if prefix == "dv" and is_number
        else None
    )
    if found is None:
        raise ValidationError(f"No device is {text!r}; write an id such as dv_7.")
    return found
