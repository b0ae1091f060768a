"""Forms of access requests. They decide nothing; bounds are the services' rules."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Final

from django import forms

from policies.durations import SHORTEST, in_words, longest_duration
from policies.models import Application, RequestState
from portal.accounts.models import Group, User
from portal.console.forms import ConsoleForm
from portal.console.people import find_person


class AskForm(ConsoleForm):
    """Why, and for how long, somebody needs an application."""

    reason = forms.CharField(
        max_length=255,
        label="Why do you need it?",
        help_text="The approver reads it, and it is kept in the log.",
        widget=forms.TextInput(attrs={"autocomplete": "off"}),
    )
    # Wide enough for every answer and too narrow for an overflow.
    count = forms.IntegerField(label="For how long?", min_value=1, max_value=99_999)
    unit = forms.ChoiceField(
        choices=[("minutes", "minutes"), ("hours", "hours"), ("days", "days")],
        initial="hours",
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 -- Django's signature
        """Say what the bounds are today."""
        super().__init__(*args, **kwargs)
        # On the bound field, which was made when the form was dressed.
        self["count"].help_text = (
            f"The time begins when somebody approves: at least {in_words(SHORTEST)},"
            f" at most {in_words(longest_duration())}."
        )
        self.fields["unit"].widget.attrs["aria-label"] = "Unit of time"

    @property
    def duration(self) -> timedelta:
        """The time that was asked for, allowed or not."""
        return timedelta(**{self.cleaned_data["unit"]: self.cleaned_data["count"]})


class ApproveForm(ConsoleForm):
    """A word with an approval."""

    note = forms.CharField(
        max_length=255,
        required=False,
        label="Note",
        help_text="The requester reads it. May stay empty.",
        widget=forms.TextInput(attrs={"autocomplete": "off"}),
    )


class RefuseForm(ConsoleForm):
    """Why a request is refused."""

    note = forms.CharField(
        max_length=255,
        label="Why not?",
        help_text="The requester reads it.",
        widget=forms.TextInput(attrs={"autocomplete": "off"}),
    )


class RequestFilter(ConsoleForm):
    """The filter of the list of all requests."""

    q = forms.CharField(
        label="Search",
        required=False,
        widget=forms.TextInput(attrs={"placeholder": "person, reason"}),
    )
    state = forms.ChoiceField(
        label="State", required=False, choices=[("", "any"), *RequestState.choices]
    )
    application = forms.ModelChoiceField(
        Application.objects.all(), required=False, empty_label="any"
    )


class RequestRulesForm(ConsoleForm):
    """Whether people may ask for an application, and who answers them."""

    RULES: Final = ("is_requestable", "approver_group", "needs_two_approvals")

    is_requestable = forms.BooleanField(
        required=False, label="People may ask for this application"
    )
    person = forms.CharField(
        required=False,
        label="Owner",
        help_text=(
            "Answers requests. A name, an e-mail address, or an id such as us_7;"
            " empty for nobody."
        ),
        widget=forms.TextInput(attrs={"autocomplete": "off", "list": "people"}),
    )
    approver_group = forms.ModelChoiceField(
        Group.objects.all(),
        required=False,
        label="Approver group",
        empty_label="none",
        help_text="Its members answer, too. Administrators always may.",
    )
    needs_two_approvals = forms.BooleanField(
        required=False, label="Two people must approve"
    )

    def clean_person(self) -> User | None:
        """Return the one person meant, or nobody."""
        text = self.cleaned_data["person"].strip()
        if not text:
            return None
        return find_person(User.objects.filter(is_active=True), text)
