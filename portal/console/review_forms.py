"""Forms of access reviews. They decide nothing; rules are the services' rules."""

from __future__ import annotations

import re
from datetime import UTC, datetime, time, timedelta
from typing import TYPE_CHECKING, Any, Final, cast

from django import forms
from django.core.exceptions import ValidationError

from policies.access_reviews import Scope
from policies.models import Application, CampaignState, Decision
from portal.accounts.models import Group, User
from portal.console.forms import ConsoleForm
from portal.many import named_people

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date

    from django.http import QueryDict

ISO: Final = "%Y-%m-%d"
USUAL: Final = timedelta(days=14)
CHOICE: Final = re.compile(r"([0-9]{1,18})\.([0-9]{1,9})")
"""The id of an item, and the revision that was seen."""


class CampaignForm(ConsoleForm):
    """What is to be reviewed, by whom, until when."""

    title = forms.CharField(
        max_length=64,
        label="Name of this review",
        help_text="As reviewers will recognise it, for example “Payroll, autumn”.",
        widget=forms.TextInput(attrs={"autocomplete": "off"}),
    )
    applications = forms.ModelMultipleChoiceField(
        Application.objects.all(),
        required=False,
        label="Applications",
        help_text="Who reaches them, and by which grant.",
        widget=forms.SelectMultiple(attrs={"size": 6}),
    )
    groups = forms.ModelMultipleChoiceField(
        Group.objects.all(),
        required=False,
        label="or groups",
        help_text="Who is in them.",
        widget=forms.SelectMultiple(attrs={"size": 6}),
    )
    reviewers = forms.CharField(
        required=False,
        max_length=10_000,
        label="Reviewers",
        help_text=(
            "One a line: an e-mail address, a subject, or an id such as us_7. Empty:"
            " those who answer requests for each application, else administrators."
        ),
        widget=forms.Textarea(attrs={"rows": 3, "spellcheck": "false"}),
    )
    due = forms.DateField(
        label="Due at the end of (UTC)",
        input_formats=[ISO],
        widget=forms.DateInput(format=ISO, attrs={"placeholder": "YYYY-MM-DD"}),
    )

    def __init__(self, *args: Any, now: datetime, **kwargs: Any) -> None:  # noqa: ANN401 -- Django's signature
        """Propose two weeks."""
        initial = {"due": (now + USUAL).date(), **kwargs.pop("initial", {})}
        super().__init__(*args, initial=initial, **kwargs)

    def clean_reviewers(self) -> Sequence[User]:
        """Return everybody named."""
        named = named_people(self.cleaned_data["reviewers"])
        if named.unknown:
            words = ", ".join(named.unknown[:20])
            raise ValidationError(f"These name nobody, or several people: {words}")
        return named.users

    def clean_due(self) -> datetime:
        """Return the last moment of the day."""
        day: date = self.cleaned_data["due"]
        return datetime.combine(day, time(23, 59, 59), tzinfo=UTC)

    def clean(self) -> dict[str, Any]:
        """Demand one kind of thing to review."""
        data = super().clean() or {}
        if bool(data.get("applications")) == bool(data.get("groups")):
            raise ValidationError("Choose applications or groups to review.")
        return data

    @property
    def scope(self) -> Scope:
        """What a valid form asks to review."""
        return Scope(
            applications=tuple(self.cleaned_data["applications"]),
            groups=tuple(self.cleaned_data["groups"]),
        )


class CampaignFilter(ConsoleForm):
    """The filter of the list of reviews."""

    state = forms.ChoiceField(
        label="State", required=False, choices=[("", "any"), *CampaignState.choices]
    )


class ItemFilter(ConsoleForm):
    """The filter of the items of a review."""

    q = forms.CharField(
        label="Search",
        required=False,
        widget=forms.TextInput(attrs={"placeholder": "person, application, group"}),
    )
    decision = forms.ChoiceField(
        label="Decision",
        required=False,
        choices=[("", "any"), ("none", "undecided"), *Decision.choices],
    )
    use = forms.ChoiceField(
        label="Use",
        required=False,
        choices=[("", "any"), ("never", "not used"), ("used", "used")],
    )
    follow_up = forms.ChoiceField(
        label="Result",
        required=False,
        choices=[("", "any"), ("yes", "still to be removed")],
    )


class DecideForm(ConsoleForm):
    """What a reviewer says of the items they ticked, or of one by its own button."""

    note = forms.CharField(
        max_length=255,
        required=False,
        label="Note",
        help_text="Why; needed to remove. Kept in the log beside your name.",
        widget=forms.TextInput(attrs={"autocomplete": "off"}),
    )
    everything = forms.BooleanField(required=False)

    def clean(self) -> dict[str, Any]:
        """Find out what was decided, and about what."""
        data = super().clean() or {}
        sent = cast("QueryDict", self.data)
        for decision in Decision:
            if one := sent.get(f"{decision.value}_one"):
                data["decision"], chosen = decision, [one]
                data["everything"] = False
                break
        else:
            chosen = sent.getlist("item")
            if sent.get("decision") not in Decision.values:
                raise ValidationError("Say whether to keep or to remove.")
            data["decision"] = Decision(str(sent["decision"]))
        found = [CHOICE.fullmatch(text) for text in chosen]
        data["seen"] = {int(one[1]): int(one[2]) for one in found if one}
        if not data["seen"] and not data.get("everything"):
            raise ValidationError("Tick the items that you decide about.")
        return data


class CallOffForm(ConsoleForm):
    """Why a review is called off."""

    reason = forms.CharField(
        max_length=255,
        label="Why?",
        help_text="Kept in the log beside your name.",
        widget=forms.TextInput(attrs={"autocomplete": "off"}),
    )
