"""The rules are closed, complete and within what the log can say. No database."""

from __future__ import annotations

import re
import string

import pytest

from audit.alarms.findings import Subjects
from audit.alarms.rules import AWAITED, BY_CODE, PARAMETERS, RULES, Rule, RuleId, Tuning
from audit.events import EventCode

NUMBERS = {"number", "reserve", "seconds", "days", "log", "who"}


def test_every_id_has_its_rule() -> None:
    assert [*RULES] == [*RuleId]


@pytest.mark.parametrize("rule", RULES.values(), ids=lambda rule: rule.id)
def test_every_rule_can_be_said_and_says_what_to_do(rule: Rule) -> None:
    fields = {name for _, name, _, _ in string.Formatter().parse(rule.sentence) if name}
    assert fields <= {*Subjects().labels(), *NUMBERS}
    assert rule.runbook.endswith(".")
    assert re.fullmatch(r"[a-z]+(-[a-z]+)*", rule.id.value)
    assert len(rule.id.value) <= 32


def test_rules_name_codes_that_exist_or_are_promised() -> None:
    assert set(BY_CODE) - {code.value for code in EventCode} == AWAITED


def test_no_code_raises_two_alarms() -> None:
    codes = [code for rule in RULES.values() for code in rule.codes]
    assert len(codes) == len(set(codes))


def test_parameters_have_names_of_their_own_and_sane_defaults() -> None:
    assert len({each.name for each in PARAMETERS}) == len(PARAMETERS)
    for each in PARAMETERS:
        assert each.minimum <= each.default <= each.maximum
        assert each.variable == f"PEERAGE_ALARM_{each.name}"


def test_a_rule_that_is_off_is_not_watched() -> None:
    tuning = Tuning(values={}, off=frozenset({"drift"}))
    assert not tuning.is_on(RuleId.DRIFT)
    assert tuning.is_on(RuleId.LOG_GAP)
