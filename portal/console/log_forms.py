"""Forms of the log's filters; `audit.search.filters` checks what they send."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django import forms

from audit.events import CATALOGUE, Outcome, Severity
from audit.search.filters import Decision
from peers.models import Gateway
from policies.models import Application
from portal.console.forms import ConsoleForm

if TYPE_CHECKING:
    from collections.abc import Iterable


def _moment_input() -> forms.DateTimeInput:
    return forms.DateTimeInput(attrs={"type": "datetime-local", "step": 1})


class LogFilterForm(ConsoleForm):
    """What both logs can be asked; `audit.search.filters` checks the answers."""

    q = forms.CharField(
        required=False,
        label="Search",
        widget=forms.TextInput(
            attrs={"placeholder": "beginnings of words", "autocomplete": "off"}
        ),
    )
    person = forms.CharField(
        required=False,
        widget=forms.TextInput(attrs={"autocomplete": "off", "list": "people"}),
    )
    device = forms.CharField(
        required=False, widget=forms.TextInput(attrs={"placeholder": "dv_7"})
    )
    address = forms.CharField(
        required=False,
        label="Address or prefix",
        widget=forms.TextInput(attrs={"placeholder": "10.20.0.0/24"}),
    )
    until = forms.CharField(
        required=False,
        label="Until (UTC)",
        widget=_moment_input(),
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 -- Django's signature
        """Add `from`, which is no name in Python, and dress all fields."""
        super().__init__(*args, **kwargs)
        self.fields["from"] = forms.CharField(
            required=False,
            label="From (UTC)",
            widget=_moment_input(),
        )
        self._offer("application", Application.objects.all())
        self._offer("gateway", Gateway.objects.all())
        self.dress()
        self.order_fields(["q", "from", "until", "person", "application", "gateway"])

    def _offer(self, name: str, rows: Iterable[Application | Gateway]) -> None:
        choices = {"": "any", **{row.ref.id: row.ref.label for row in rows}}
        # The log remembers what is gone; a link to it still shows what it asks.
        if asked := self.data.get(name):
            choices.setdefault(asked, asked)
        self.fields[name] = forms.ChoiceField(
            required=False, choices=list(choices.items())
        )


class ConnectionFilterForm(LogFilterForm):
    """The filter of the connections."""

    verdict = forms.ChoiceField(
        required=False,
        choices=[("", "any"), *((found.value, found.value) for found in Decision)],
    )
    port = forms.CharField(required=False)
    key = forms.CharField(required=False, label="Key fingerprint")


class EventFilterForm(LogFilterForm):
    """The filter of the control log."""

    code = forms.ChoiceField(
        required=False,
        label="Event",
        choices=[
            ("", "any"),
            *((code.value, f"{code} {kind.name}") for code, kind in CATALOGUE.items()),
        ],
    )
    outcome = forms.ChoiceField(
        required=False,
        choices=[
            ("", "any"),
            (Outcome.DONE.value, "done"),
            (Outcome.REFUSED.value, "refused"),
            (Outcome.FAILED.value, "failed"),
            (Outcome.ALERT.value, "alert"),
        ],
    )
    severity = forms.ChoiceField(
        required=False,
        label="At least",
        choices=[("", "any"), *((found.value, found.value) for found in Severity)],
    )
    request = forms.CharField(required=False, label="Request id")
    key = forms.CharField(required=False, label="Key fingerprint")


class PeriodForm(ConsoleForm):
    """A period alone."""

    until = forms.CharField(required=False, label="Until (UTC)", widget=_moment_input())
    field_order = ("from", "until")

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 -- Django's signature
        """Add `from`, which is no name in Python, and dress all fields."""
        super().__init__(*args, **kwargs)
        self.fields["from"] = forms.CharField(
            required=False, label="From (UTC)", widget=_moment_input()
        )
        self.order_fields(self.field_order)
        self.dress()
