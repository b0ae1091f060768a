"""Forms of alarms and of the channels they go out on; bounds are the services'."""

from __future__ import annotations

from django import forms

from audit.alarms.channels import ChannelInput
from audit.alarms.models import AlarmChannel, AlarmVerdict, ChannelKind
from audit.alarms.rules import RULES, RuleId, Severity
from audit.alarms.selectors import AlarmFilter, severity_choices
from portal.accounts.models import READERS, User
from portal.console.forms import ConsoleForm

RULE_CHOICES = [(rule.id.value, rule.title) for rule in RULES.values()]


class AlarmFilterForm(ConsoleForm):
    """The filter of the inbox."""

    state = forms.ChoiceField(
        required=False,
        label="State",
        choices=[
            ("", "not closed"),
            ("open", "open"),
            ("acknowledged", "acknowledged"),
            ("closed", "closed"),
            ("all", "all"),
        ],
    )
    severity = forms.ChoiceField(
        required=False,
        label="At least",
        choices=[
            ("", "any severity"),
            *((str(number), word) for number, word in severity_choices()),
        ],
    )
    rule = forms.ChoiceField(
        required=False, label="Rule", choices=[("", "any rule"), *RULE_CHOICES]
    )
    mine = forms.ChoiceField(
        required=False, label="Whose", choices=[("", "everybody's"), ("1", "mine")]
    )

    def wanted(self, viewer: User) -> AlarmFilter:
        """Return what is asked; what cannot be read is not asked."""
        self.is_valid()
        data = self.cleaned_data
        return AlarmFilter(
            state=data.get("state", ""),
            severity=int(data.get("severity") or 0),
            rule=data.get("rule", ""),
            assignee=viewer.ref.id if data.get("mine") else "",
        )


class AssignForm(ConsoleForm):
    """Whose an alarm is to be."""

    assignee = forms.ModelChoiceField(
        User.objects.filter(is_active=True, role__in=READERS),
        required=False,
        label="Who looks into it",
        empty_label="nobody",
    )


class VerdictForm(ConsoleForm):
    """What an alarm turned out to be."""

    verdict = forms.ChoiceField(
        label="It was", choices=AlarmVerdict.choices, widget=forms.RadioSelect()
    )
    note = forms.CharField(
        max_length=1000,
        label="What you found",
        help_text="Kept with the alarm and in the log.",
        widget=forms.Textarea(attrs={"rows": 3}),
    )


class ChannelForm(ConsoleForm):
    """Where alarms go out, and which."""

    name = forms.CharField(
        max_length=64,
        label="Name",
        widget=forms.TextInput(attrs={"autocomplete": "off"}),
    )
    kind = forms.ChoiceField(
        label="Kind", choices=ChannelKind.choices, widget=forms.RadioSelect()
    )
    address = forms.CharField(
        max_length=2000,
        label="Address",
        help_text="Mail addresses separated by commas, or the URL of a webhook.",
        widget=forms.TextInput(attrs={"autocomplete": "off"}),
    )
    least_severity = forms.TypedChoiceField(
        label="From",
        coerce=int,
        choices=severity_choices(),
        help_text="Alarms that are at least as bad are sent.",
    )
    rules = forms.MultipleChoiceField(
        required=False,
        label="Only these rules",
        choices=RULE_CHOICES,
        widget=forms.CheckboxSelectMultiple(),
        help_text="None ticked: all.",
    )
    enabled = forms.BooleanField(required=False, initial=True, label="Send alarms")

    def wanted(self) -> ChannelInput:
        """Return what a valid form asks for."""
        data = self.cleaned_data
        return ChannelInput(
            name=data["name"],
            kind=ChannelKind(data["kind"]),
            address=data["address"],
            least_severity=Severity(data["least_severity"]),
            rules=[RuleId(rule) for rule in data["rules"]],
            enabled=data["enabled"],
        )


class ChangeChannelForm(ChannelForm):
    """A channel that is there; its kind stays, and its URL is not shown again."""

    def dress(self) -> None:
        """Let the kind and the address stay as they are."""
        self.fields.pop("kind", None)
        self.fields["address"].required = False
        self.fields[
            "address"
        ].help_text = "Leave it empty to keep the one that is there."
        super().dress()

    def wanted_of(self, channel: AlarmChannel) -> ChannelInput:
        """Return what a valid form asks of a channel."""
        self.cleaned_data["kind"] = channel.kind
        return self.wanted()
