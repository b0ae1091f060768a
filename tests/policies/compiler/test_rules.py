"""Rules of reading rules. The vocabulary itself is read from real kernels."""

from __future__ import annotations

import pytest

from policies.compiler.rules import rule_text

FLAGS = {"payload": {"protocol": "tcp", "field": "flags"}}
NESTED = {"|": [{"|": [{"|": ["fin", "syn"]}, "rst"]}, "ack"]}
PORT = {"protocol": "tcp", "field": "dport"}


def state(right: object, op: str = "in") -> object:
    return {"match": {"op": op, "left": {"ct": {"key": "state"}}, "right": right}}


@pytest.mark.parametrize(
    "expression",
    [
        state(["established", "related"]),
        state(["related", "established"]),
        state(["established", "related"], op="=="),
    ],
    ids=["in", "order", "equals"],
)
def test_versions_of_nft_agree_about_states(expression: object) -> None:
    assert rule_text([expression, {"accept": None}]) == (
        "ct state established,related accept"
    )


@pytest.mark.parametrize("mask", [["fin", "syn", "rst", "ack"], NESTED])
def test_versions_of_nft_agree_about_flags(mask: object) -> None:
    flags = {"match": {"op": "!=", "left": {"&": [FLAGS, mask]}, "right": "syn"}}
    assert rule_text([flags]) == "tcp flags & (fin|syn|rst|ack) != syn"


@pytest.mark.parametrize(
    "expression",
    [
        {"accept": None, "drop": None},
        {"accept": 1},
        {"log": {"prefix": "gt_1/ap_1", "group": 41, "snaplen": 1}},
        {"log": {"prefix": "gt_1/ap_1"}},
        {"counter": "named"},
        {"goto": "app_1"},
        {"match": {"op": "==", "left": 1, "right": 2, "more": 3}},
        {"flow": {"op": "add", "flowtable": "@fast"}},
        {"limit": {"rate": 1, "per": "second", "burst": 5, "inv": True}},
        state(["established", {"range": [1, 2]}]),
        ["accept"],
        None,
    ],
    ids=repr,
)
def test_what_is_not_ours_never_reads_like_ours(expression: object) -> None:
    assert "{" in rule_text([expression]) or rule_text([expression])[0] in "[n"


def test_any_state_of_ours_alone_is_read() -> None:
    assert rule_text([state("invalid")]) == "ct state invalid"
    assert rule_text([state("new", op="!=")]) == "ct state != new"


@pytest.mark.parametrize(
    ("expression", "text"),
    [
        ({"left": {"payload": PORT}, "right": 5432}, "tcp dport 5432"),
        ({"left": {"payload": PORT}, "right": {"range": [80, 90]}}, "tcp dport 80-90"),
        ({"left": {"meta": {"key": "l4proto"}}, "right": "icmp"}, "meta l4proto 1"),
        ({"left": {"meta": {"key": "l4proto"}}, "right": 58}, "meta l4proto 58"),
    ],
    ids=["port", "ports", "protocol", "number"],
)
def test_a_service_is_read_as_we_write_it(
    expression: dict[str, object], text: str
) -> None:
    assert rule_text([{"match": {"op": "==", **expression}}]) == text
