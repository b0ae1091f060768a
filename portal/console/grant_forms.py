"""The form of a grant."""

from __future__ import annotations

from typing import Any

from django import forms
from django.core.exceptions import ValidationError

from policies.models import Application, Label
from portal.accounts.models import Group, User
from portal.console.condition_forms import ConditionsForm
from portal.console.people import find_person


class GrantForm(ConditionsForm):
    """A grant: one person or group, one application or label, perhaps conditions."""

    person = forms.CharField(
        required=False,
        label="Person",
        help_text="A name, an e-mail address, or an id such as us_7.",
        widget=forms.TextInput(attrs={"autocomplete": "off", "list": "people"}),
    )
    group = forms.ModelChoiceField(
        Group.objects.all(), required=False, label="or group", empty_label="none"
    )
    application = forms.ModelChoiceField(
        Application.objects.all(), required=False, empty_label="none"
    )
    label = forms.ModelChoiceField(
        Label.objects.all(),
        required=False,
        label="or label",
        empty_label="none",
        help_text="Every application that bears it, also those that take it on later.",
    )
    reason = forms.CharField(max_length=255, required=False)

    field_order = ("person", "group", "application", "label", "reason")

    def clean_person(self) -> User | None:
        """Return the one person meant."""
        text = self.cleaned_data["person"].strip()
        if not text:
            return None
        return find_person(User.objects.filter(is_active=True), text)

    def clean(self) -> dict[str, Any]:
        """Demand exactly one subject, and one thing to reach."""
        data = super().clean() or {}
        if "person" in data and bool(data["person"]) == bool(data.get("group")):
            raise ValidationError("Name one person or one group.")
        if bool(data.get("application")) == bool(data.get("label")):
            raise ValidationError("Name one application or one label.")
        return data
