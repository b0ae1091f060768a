"""Write the rules into docs/alarms.md: `python -m tests.docs.alarms`."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from audit.alarms.parameters import QUIET_MINUTES, Parameter
from audit.alarms.rules import RULES, UNFED, Rule

PATH: Final = Path(__file__).parents[2] / "docs" / "alarms.md"
BEGIN: Final = "<!-- made by python -m tests.docs.alarms: begin -->\n"
END: Final = "<!-- end -->\n"
HEAD: Final = """
| rule | severity | raised when | one alarm for | what to do |
|---|---|---|---|---|
"""
SETTINGS: Final = """
| setting | default | bounds | |
|---|---|---|---|
"""


def tables() -> str:
    """Return the rules and their settings as tables."""
    parameters = [
        QUIET_MINUTES,
        *(each for rule in RULES.values() for each in rule.parameters),
    ]
    rules = "\n".join(map(_rule, RULES.values()))
    settings = "\n".join(map(_parameter, parameters))
    return f"{HEAD}{rules}\n{SETTINGS}{settings}\n\n"


def text(document: str) -> str:
    """Return a document with the tables as they are now."""
    before, _, rest = document.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}{tables()}{END}{after}"


def _rule(rule: Rule) -> str:
    codes = f" ({', '.join(f'`{code}`' for code in rule.codes)})" if rule.codes else ""
    sentence = rule.sentence.replace("{", "*").replace("}", "*")
    waits = " Not watched yet." if rule.id in UNFED else ""
    return (
        f"| `{rule.id.value}` | {rule.severity.word} | {sentence}{codes}.{waits}"
        f" | {rule.key} | {rule.runbook} |"
    )


def _parameter(each: Parameter) -> str:
    return (
        f"| `{each.variable}` | {each.default} | {each.minimum} to {each.maximum}"
        f" | {each.words} |"
    )


if __name__ == "__main__":
    PATH.write_text(text(PATH.read_text(encoding="utf-8")), encoding="utf-8")
