"""Forms of streams. They decide nothing; bounds are the service's rules."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django import forms

from audit.models import Log
from audit.streams.addresses import ADDRESS_LENGTH
from audit.streams.checks import NAME_LENGTH, PEM_LENGTH, StreamInput
from audit.streams.models import LeastSeverity, StreamForm, StreamKind
from portal.console.forms import ConsoleForm

if TYPE_CHECKING:
    from audit.streams.models import Stream

LOGS = [
    (Log.CONTROL.value, "Events: who changed what, who signed in, what was refused"),
    (Log.CONNECTIONS.value, "Connections: opened, closed, denied"),
]
ONE_LINE = {"autocomplete": "off", "spellcheck": "false"}


class SecretInput(forms.Textarea):
    """A field of several lines that never shows what was sent."""

    def format_value(self, _value: object) -> str:
        """Show nothing."""
        return ""


class StreamSettingsForm(ConsoleForm):
    """What a stream is to be; the kind is asked when it is made."""

    name = forms.CharField(
        max_length=NAME_LENGTH,
        label="Name",
        widget=forms.TextInput(attrs={"autocomplete": "off"}),
    )
    address = forms.CharField(
        max_length=ADDRESS_LENGTH,
        label="Address",
        help_text=(
            "https://… for a webhook, JSON Lines or Splunk (only its host and port);"
            " host:port for syslog, where 6514 is usual."
        ),
        widget=forms.TextInput(attrs=ONE_LINE),
    )
    form = forms.ChoiceField(label="An entry is", choices=StreamForm.choices)
    logs = forms.MultipleChoiceField(
        label="It carries",
        choices=LOGS,
        widget=forms.CheckboxSelectMultiple(),
        initial=[Log.CONTROL.value, Log.CONNECTIONS.value],
    )
    least_severity = forms.ChoiceField(
        label="Severity", choices=LeastSeverity.choices, required=False
    )
    codes = forms.CharField(
        required=False,
        max_length=2000,
        label="Only these codes",
        help_text="For example: DV012 ID008 FL003. Empty: all.",
        widget=forms.TextInput(attrs=ONE_LINE),
    )
    secret = forms.CharField(
        required=False,
        max_length=PEM_LENGTH,
        label="Token or client certificate",
        help_text=(
            "Splunk: the collector's token. Syslog: our certificate and its key, PEM,"
            " if the receiver asks for one. Webhook and JSON Lines: empty, the portal"
            " makes the secret that signs."
        ),
        widget=SecretInput(attrs={**ONE_LINE, "rows": 2}),
    )
    trusted_certificate = forms.CharField(
        required=False,
        max_length=PEM_LENGTH,
        label="Certificate to trust",
        help_text=(
            "The receiver's certificate authority, PEM. Empty: the authorities that"
            " this machine trusts."
        ),
        widget=forms.Textarea(attrs={**ONE_LINE, "rows": 3}),
    )

    def wanted(self, kind: StreamKind) -> StreamInput:
        """Return what was asked for."""
        data = self.cleaned_data
        return StreamInput(
            name=data["name"],
            kind=kind,
            address=data["address"],
            form=StreamForm(data["form"]),
            logs=[Log(name) for name in data["logs"]],
            least_severity=LeastSeverity(data["least_severity"] or LeastSeverity.INFO),
            codes=data["codes"].replace(",", " ").split(),
            trusted_certificate=data["trusted_certificate"],
        )


class NewStreamForm(StreamSettingsForm):
    """A stream that is made."""

    kind = forms.ChoiceField(
        label="Kind",
        choices=StreamKind.choices,
        widget=forms.RadioSelect(),
        initial=StreamKind.WEBHOOK,
    )
    begin = forms.ChoiceField(
        label="It begins",
        choices=[
            ("now", "with the next entry"),
            ("first", "with the first entry there is"),
        ],
        initial="now",
    )
    field_order = ("name", "kind", "address", "form", "logs", "begin")


def initial_of(stream: Stream) -> dict[str, Any]:
    """Return what a form shows of a stream: all but its secret."""
    return {
        "name": stream.name,
        "address": stream.address,
        "form": stream.form,
        "logs": [cursor.log for cursor in stream.cursors.all()],
        "least_severity": stream.least_severity,
        "codes": stream.codes,
        "trusted_certificate": stream.trusted_certificate,
    }
