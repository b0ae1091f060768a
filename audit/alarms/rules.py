"""The rules of alarms: what is watched, how bad it is, and what to do. Pure.

The id of a rule is permanent, like an event's code: alarms, verdicts and channels name
it. A rule that looks at single events names their codes; the others are judged by
`audit.alarms.judging`, or by whoever knows the facts (`policies.services.alarms`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from enum import IntEnum, StrEnum
from typing import Final

from audit.alarms.parameters import (
    CHECKPOINT_SECONDS,
    DENIED_COUNT,
    DENIED_SECONDS,
    DORMANT_DAYS,
    LEARNING_DAYS,
    QUIET_MINUTES,
    REFUSED_COUNT,
    REFUSED_SECONDS,
    REVOCATION_SECONDS,
    Parameter,
)
from audit.events import Outcome


class Severity(IntEnum):
    """How soon somebody should look."""

    NOTICE = 1
    WARNING = 2
    ALERT = 3

    @property
    def word(self) -> str:
        """Return how pages, mails and payloads call it."""
        return self.name.lower()


class RuleId(StrEnum):
    """Every rule there is. Never renamed."""

    DENIED_BURST = "denied-burst"
    NEW_APPLICATION = "new-application"
    DORMANT_WAKES = "dormant-wakes"
    SHARED_KEY = "shared-key"
    DRIFT = "drift"
    LOG_GAP = "log-gap"
    VERIFY_FAILED = "verify-failed"
    CHECKPOINT_OVERDUE = "checkpoint-overdue"
    REVOCATION_LATE = "revocation-late"
    GATEWAY_SILENT = "gateway-silent"
    GATEWAY_QUARANTINED = "gateway-quarantined"
    GATEWAY_AHEAD = "gateway-ahead"
    FLOW_UNATTRIBUTED = "flow-unattributed"
    POLICY_NOT_COMPILED = "policy-not-compiled"
    REFUSED_BURST = "refused-burst"
    ROOM_LOW = "room-low"
    STREAM_FAILED = "stream-failed"
    EVIDENCE_GOES = "evidence-goes"
    REVIEW_OVERDUE = "review-overdue"


TELLING: Final = frozenset({Outcome.ALERT, Outcome.FAILED})
"""How most events ended that raise an alarm by themselves."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One thing that is watched.

    `sentence` is a `str.format` template over the labels of a finding and its
    numbers; `key` says in words of what there is one alarm at a time. `codes` are the
    events that raise it by themselves, with one of `outcomes`.
    """

    id: RuleId
    title: str
    sentence: str
    severity: Severity
    key: str
    runbook: str
    parameters: tuple[Parameter, ...] = ()
    codes: tuple[str, ...] = ()
    outcomes: frozenset[Outcome] = TELLING


GREAT_BURST: Final = 10
"""A burst of so many times the count is an alert."""

RULES: Final[Mapping[RuleId, Rule]] = {
    rule.id: rule
    for rule in (
        Rule(
            id=RuleId.DENIED_BURST,
            title="Denied burst",
            sentence="{device} was denied {number} times within {seconds} s",
            severity=Severity.WARNING,
            key="a device",
            runbook=(
                "Open the denied connections. Many addresses or ports are a scan:"
                " lock the device and ask its owner. One address is a forgotten grant."
            ),
            parameters=(DENIED_COUNT, DENIED_SECONDS),
        ),
        Rule(
            id=RuleId.NEW_APPLICATION,
            title="New application for a person",
            sentence="{person} reached {application} for the first time ever",
            severity=Severity.NOTICE,
            key="a person and an application",
            runbook=(
                "Compare with what their colleagues use and with their requests. If"
                " nobody asked for it, ask them; it may be somebody with their device."
            ),
            parameters=(LEARNING_DAYS,),
        ),
        Rule(
            id=RuleId.DORMANT_WAKES,
            title="Dormant device wakes",
            sentence="{device} of {person} is back after {days} days of silence",
            severity=Severity.WARNING,
            key="a device",
            runbook=(
                "Ask the owner whether they took it out of a drawer. If not, revoke"
                " the device: somebody else found it, or its key."
            ),
            parameters=(DORMANT_DAYS,),
        ),
        Rule(
            id=RuleId.SHARED_KEY,
            title="Shared key suspected",
            sentence="{device} seems to be used in two places",
            severity=Severity.ALERT,
            key="a device",
            runbook=(
                "Ask the owner whether they copied the configuration. Rotate or"
                " revoke the key, and give the second machine a device of its own."
            ),
            codes=("SE004", "KY009"),
        ),
        Rule(
            id=RuleId.DRIFT,
            title="Gateway changed by hand",
            sentence="The kernel of {gateway} held something else than its policy",
            severity=Severity.ALERT,
            key="a gateway",
            runbook=(
                "The gateway has undone it. The event names what was changed and by"
                " which process: find out who was root there, and look again."
            ),
            codes=("GW006",),
        ),
        Rule(
            id=RuleId.LOG_GAP,
            title="Connections missing from the log",
            sentence="{gateway} lost connection events",
            severity=Severity.ALERT,
            key="a gateway",
            runbook=(
                "The event says how many and when. Full disk, crash or a stopped"
                " reader are innocent; counters that disagree without one are not."
            ),
            codes=("GW008", "GW022"),
        ),
        Rule(
            id=RuleId.VERIFY_FAILED,
            title="Log does not verify",
            sentence="The log failed its verification",
            severity=Severity.ALERT,
            key="the log",
            runbook=(
                "Stop pruning. Export the log, verify it on another machine with the"
                " witnesses' checkpoints, and keep a copy of the database."
            ),
            codes=("AU004",),
        ),
        Rule(
            id=RuleId.CHECKPOINT_OVERDUE,
            title="Checkpoint overdue",
            sentence="The log {log} was not sealed for {seconds} s",
            severity=Severity.ALERT,
            key="a log",
            runbook=(
                "See whether the sealer runs and what it says. It refuses to sign a"
                " tree that shrank: then treat it as a log that does not verify."
            ),
            parameters=(CHECKPOINT_SECONDS,),
        ),
        Rule(
            id=RuleId.REVOCATION_LATE,
            title="Revocation not confirmed",
            sentence=(
                "{gateway} did not confirm the revocation of {person} within"
                " {seconds} s"
            ),
            severity=Severity.ALERT,
            key="a revocation at a gateway",
            runbook=(
                "If the gateway is silent, its lease closes it by itself: see when it"
                " runs out. Otherwise stop WireGuard there by hand."
            ),
            parameters=(REVOCATION_SECONDS,),
        ),
        Rule(
            id=RuleId.GATEWAY_SILENT,
            title="Gateway silent",
            sentence="{gateway} does not speak to the portal",
            severity=Severity.WARNING,
            key="a gateway",
            runbook=(
                "Look at the machine and at the network between. People behind it"
                " lose access when its lease runs out."
            ),
            codes=("GW003",),
        ),
        Rule(
            id=RuleId.GATEWAY_QUARANTINED,
            title="Gateway in quarantine",
            sentence="Two hold the key of {gateway}",
            severity=Severity.ALERT,
            key="a gateway",
            runbook=(
                "Find the copy of its disk. Retire the gateway and enrol it anew"
                " unless you know that it was you who restored or cloned it."
            ),
            codes=("GW020",),
        ),
        Rule(
            id=RuleId.GATEWAY_AHEAD,
            title="Gateway ahead of the portal",
            sentence="{gateway} holds what this portal never issued",
            severity=Severity.ALERT,
            key="a gateway",
            runbook=(
                "If the portal was restored from a backup, recover the gateways"
                " (Gateways → recovery). If not, somebody else has its signing key."
            ),
            codes=("GW030",),
        ),
        Rule(
            id=RuleId.FLOW_UNATTRIBUTED,
            title="Connection of nobody",
            sentence="{gateway} saw a connection that belongs to nobody",
            severity=Severity.ALERT,
            key="a gateway",
            runbook=(
                "The event names the address. See who held it at that time; if nobody"
                " did, look for a peer or a route that was added by hand."
            ),
            codes=("FL004",),
        ),
        Rule(
            id=RuleId.POLICY_NOT_COMPILED,
            title="Policy not compiled",
            sentence="The policy of {gateway} could not be compiled",
            severity=Severity.ALERT,
            key="a gateway",
            runbook=(
                "The gateway goes on with the last policy until its lease ends. The"
                " event says what is wrong: undo that change."
            ),
            codes=("PL008",),
        ),
        Rule(
            id=RuleId.REFUSED_BURST,
            title="Refused burst",
            sentence="{who} was refused {number} times within {seconds} s",
            severity=Severity.WARNING,
            key="a person, or a place on the network",
            runbook=(
                "Open the refused events. A person who tries many pages is asked why;"
                " a stranger's address is blocked in front of the portal."
            ),
            parameters=(REFUSED_COUNT, REFUSED_SECONDS),
            codes=("AU010",),
        ),
        Rule(
            id=RuleId.ROOM_LOW,
            title="Disk of the log nearly full",
            sentence=(
                "The disk of the log has less than {reserve} MiB left: nothing is"
                " granted"
            ),
            severity=Severity.ALERT,
            key="the disk",
            runbook=(
                "Find out what fills it, and make room. Until then nothing is granted"
                " or enrolled and gateways keep their evidence; revoking goes on."
            ),
        ),
        Rule(
            id=RuleId.STREAM_FAILED,
            title="Stream does not deliver",
            sentence="The log does not reach a receiver",
            severity=Severity.WARNING,
            key="a stream",
            runbook=(
                "Open the stream: it says what the receiver answered. Nothing is lost,"
                " it is sent when the receiver takes it; until then nobody reads it"
                " there."
            ),
            codes=("AU033",),
        ),
        Rule(
            id=RuleId.EVIDENCE_GOES,
            title="Evidence goes",
            sentence="A prune was approved, a hold lifted, or somebody forgotten",
            severity=Severity.ALERT,
            key="a prune, a hold, or a person",
            runbook=(
                "Ask who wanted it. If nobody knows of it, place a legal hold and keep"
                " a copy of the database at once: a backup from before has the rest."
            ),
            codes=("AU005", "AU017", "ID016"),
            outcomes=frozenset({Outcome.DONE}),
        ),
        Rule(
            id=RuleId.REVIEW_OVERDUE,
            title="Access review overdue",
            sentence="An access review was not finished by the day it was due",
            severity=Severity.WARNING,
            key="a review",
            runbook=(
                "Open the review: ask its reviewers, or decide in their place, and"
                " finish it. What is undecided then is kept."
            ),
            codes=("RQ008",),
        ),
    )
}
PARAMETERS: Final = (
    QUIET_MINUTES,
    *(parameter for rule in RULES.values() for parameter in rule.parameters),
)
BY_CODE: Final = {code: rule for rule in RULES.values() for code in rule.codes}
AWAITED: Final = frozenset({"KY009"})
"""Codes that are promised but that nothing writes yet."""
UNFED: Final = frozenset(
    rule.id for rule in RULES.values() if rule.codes and {*rule.codes} <= AWAITED
)
"""Rules that nothing tells anything yet; pages say so."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tuning:
    """The parameters of a deployment, and the rules it has switched off."""

    values: Mapping[str, int]
    off: frozenset[str] = frozenset()

    def number(self, parameter: Parameter) -> int:
        """Return a parameter's value."""
        return self.values.get(parameter.name, parameter.default)

    def seconds(self, parameter: Parameter) -> timedelta:
        """Return a parameter that is a number of seconds."""
        return timedelta(seconds=self.number(parameter))

    def is_on(self, rule: RuleId) -> bool:
        """Return whether a rule is watched."""
        return rule.value not in self.off
