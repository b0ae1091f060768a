"""Rules of `applicationTerms`, a section of our own: how strict an application is."""

from __future__ import annotations

import pytest

from policies.compiler.strictness import ORDINARY, Evidence, Strictness
from policies.dialect.definitions import define
from policies.dialect.errors import UnsupportedError
from policies.dialect.export import export
from policies.dialect.reader import Options, read_policy
from tests.policies.dialect.makers import grant, policy, why

RULES = [grant("ana@example.com", ["gitlab", "lab"], "tcp:443")]
TERMS = {"gitlab": {"maxStaleness": "2m", "evidence": "bestEffort"}, "lab": {}}


def test_what_an_entry_leaves_out_is_ordinary() -> None:
    found = define(policy(applicationTerms=TERMS, grants=RULES)).applications
    assert {a.name: a.terms for a in found} == {
        "gitlab": Strictness(max_staleness=120, evidence=Evidence.BEST_EFFORT),
        "lab": ORDINARY,
    }


def test_an_application_without_an_entry_is_not_spoken_of() -> None:
    found = define(policy(grants=RULES)).applications
    assert [a.terms for a in found] == [None, None]


@pytest.mark.parametrize(
    ("entry", "says"),
    [
        ({"maxStaleness": "59s"}, "59 seconds are no limit from 60 to 86400"),
        ({"maxStaleness": "2d"}, "no limit from 60 to 86400"),
        ({"maxStaleness": 120}, "expected text"),
        ({"maxStaleness": "two"}, "not an age like 8h"),
        ({"evidence": "best_effort"}, "neither strict nor bestEffort"),
        ({"evidence": True}, "expected text"),
        ({"staleness": "2m"}, "unknown field"),
        ("2m", "expected"),
    ],
)
def test_terms_that_say_nothing_we_know_are_refused(entry: object, says: str) -> None:
    assert says in why({"applicationTerms": {"gitlab": entry}})


def test_terms_of_what_the_file_does_not_grant_are_refused() -> None:
    with pytest.raises(UnsupportedError, match='applicationTerms="git" is no'):
        define(policy(applicationTerms={"git": {}}, grants=RULES))


def test_the_plain_dialect_does_not_know_the_section_and_says_so() -> None:
    section = {"applicationTerms": TERMS}
    assert "applicationTerms" in why(section, Options(extensions=False))
    found = define(policy(applicationTerms=TERMS, grants=RULES))
    text = export(found, tailscale=True)
    assert "// Left out, this dialect has no terms: gitlab\n" in text
    # Who reaches what is the same; applied again, the terms stay.
    assert "gitlab" in str(read_policy(text, Options(extensions=False)).rules)
