"""Every reason that a gateway can give has a sentence. No database."""

from __future__ import annotations

import re

import pytest

from policies.attribution import INBOUND, ON_THE_WAY_IN
from policies.compiler.fixed import fixed_chains, withheld_chain
from portal.console.reasons import SENTENCES, explained

DENIALS = sorted(
    {
        reason
        for chain in (*fixed_chains("wg0"), withheld_chain())
        for rule in chain.rules
        for reason in re.findall(r'log prefix "(\w+)"', rule)
    }
)


@pytest.mark.parametrize("code", [*DENIALS, "unknown", "closed", "revoked", "restart"])
def test_every_reason_of_a_gateway_has_a_sentence(code: str) -> None:
    assert SENTENCES[code].endswith(".")


@pytest.mark.parametrize("code", sorted(ON_THE_WAY_IN))
def test_every_inbound_reason_says_that_the_person_sent_nothing(code: str) -> None:
    assert "The person sent nothing." in SENTENCES[f"{INBOUND}{code}"]


def test_a_code_that_is_not_ours_is_shown_as_it_is() -> None:
    assert explained("x_ray") == "x_ray"


def test_the_denials_of_the_ruleset_are_found_by_this_test() -> None:
    assert "no_grant" in DENIALS
    assert len(DENIALS) >= len(ON_THE_WAY_IN)
