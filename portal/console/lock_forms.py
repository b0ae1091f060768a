"""Forms of locks. They decide nothing; bounds are the service's rules."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from django import forms
from django.core.exceptions import ValidationError

from peers.models import Device, Gateway
from policies.models import Application
from portal.accounts.models import Group, User
from portal.console.forms import ConsoleForm, MomentField
from portal.console.people import find_person

if TYPE_CHECKING:
    from policies.models import Lockable

DEVICE_REF: Final = re.compile(r"(?:dv_)?([0-9]{1,18})")
KINDS: Final = {
    "person": "user",
    "device": "device",
    "group": "group",
    "application": "application",
    "gateway": "gateway",
}


class LockTargetForm(ConsoleForm):
    """What is to be locked: exactly one thing."""

    person = forms.CharField(
        required=False,
        label="Person",
        help_text="A name, an e-mail address, or an id such as us_7.",
        widget=forms.TextInput(attrs={"autocomplete": "off", "list": "people"}),
    )
    device = forms.CharField(
        required=False,
        label="or device",
        help_text="An id such as dv_7. A device's own page has a button, too.",
        widget=forms.TextInput(attrs={"autocomplete": "off"}),
    )
    group = forms.ModelChoiceField(
        Group.objects.all(), required=False, label="or group", empty_label="none"
    )
    application = forms.ModelChoiceField(
        Application.objects.all(),
        required=False,
        label="or application",
        empty_label="none",
    )
    gateway = forms.ModelChoiceField(
        Gateway.objects.exclude(state="retired"),
        required=False,
        label="or gateway",
        empty_label="none",
    )

    def clean_person(self) -> User | None:
        """Return the one person meant."""
        text = self.cleaned_data["person"].strip()
        return find_person(User.objects.all(), text) if text else None

    def clean_device(self) -> Device | None:
        """Return the device meant."""
        text = self.cleaned_data["device"].strip()
        if not text:
            return None
        match = DEVICE_REF.fullmatch(text)
        found = Device.objects.filter(pk=int(match[1])).first() if match else None
        if found is None:
            raise ValidationError(f"There is no device {text!r}.")
        return found

    def clean(self) -> dict[str, Any]:
        """Demand exactly one target."""
        data = super().clean() or {}
        if not self.errors and len(self._given(data)) != 1:
            raise ValidationError("Name one thing to lock.")
        return data

    @property
    def chosen(self) -> tuple[str, Lockable]:
        """The kind of the target, and the target."""
        [name] = self._given(self.cleaned_data)
        return KINDS[name], self.cleaned_data[name]

    def _given(self, data: dict[str, Any]) -> list[str]:
        return [name for name in KINDS if data.get(name)]


class LockForm(ConsoleForm):
    """Why, and until when."""

    message = forms.CharField(
        max_length=255,
        label="Message",
        help_text="Shown to those whom it stops, and kept in the log.",
        widget=forms.TextInput(attrs={"autocomplete": "off"}),
    )
    expires_at = MomentField(
        required=False,
        label="Ends at (UTC)",
        help_text="Leave empty for a lock that stays until it is lifted.",
        widget=forms.DateTimeInput(attrs={"type": "datetime-local"}),
    )


class LockFilter(ConsoleForm):
    """The filter of the list."""

    state = forms.ChoiceField(
        label="State",
        required=False,
        choices=[("", "in force"), ("ended", "ended"), ("all", "all")],
    )
