"""Forms of credentials for programs. Bounds are the service's rules."""

from __future__ import annotations

from django import forms

from portal.accounts.models import CredentialKind, Scope
from portal.console.forms import ConsoleForm


class CredentialForm(ConsoleForm):
    """What a program gets to prove itself with."""

    name = forms.CharField(
        max_length=64,
        label="Name",
        help_text="Which program it is for, as the log will name it.",
        widget=forms.TextInput(attrs={"autocomplete": "off"}),
    )
    kind = forms.ChoiceField(
        label="Kind",
        choices=CredentialKind.choices,
        widget=forms.RadioSelect(),
        initial=CredentialKind.API_KEY,
        help_text=(
            "A program shows an API key at every call. An OAuth client gets a token"
            " for an hour at a time."
        ),
    )
    scopes = forms.MultipleChoiceField(
        label="It may",
        choices=Scope.choices,
        widget=forms.CheckboxSelectMultiple(),
        help_text="Whoever may change the policy may read it.",
    )
    days = forms.IntegerField(
        label="Ends after, in days",
        min_value=1,
        max_value=366,
        initial=90,
    )
