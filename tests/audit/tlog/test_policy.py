"""A policy file says whom to believe; too few witnesses are not enough."""

from __future__ import annotations

from itertools import combinations

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from audit.tlog.cosignature import WitnessKey, cosign
from audit.tlog.note import Checkpoint, NoteError, VerifierKey, sign_note
from audit.tlog.policy import PolicyError, parse_policy, trusting

ORIGIN = "audit.example/control"
LOG_KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
LOG = VerifierKey(name=ORIGIN, public_key=LOG_KEY.public_key().public_bytes_raw())
CHECKPOINT = Checkpoint(origin=ORIGIN, size=15, root=bytes(32))
KEYS = {
    name: Ed25519PrivateKey.from_private_bytes(bytes([number]) * 32)
    for number, name in enumerate(("x1", "x2", "x3", "y1"), 1)
}
WITNESSES = {
    name: WitnessKey(
        name=f"{name}.example", public_key=key.public_key().public_bytes_raw()
    )
    for name, key in KEYS.items()
}
LINES = "".join(f"witness {name} {key}\n" for name, key in WITNESSES.items())
HEAD = f"# ours\nlog {LOG} https://portal.example/log\n\n{LINES}"


def signed(*names: str, text: str = CHECKPOINT.text()) -> bytes:
    note = str(sign_note(text, name=ORIGIN, key=LOG_KEY))
    lines = (
        cosign(text, name=f"{name}.example", key=KEYS[name], at=100 + place).line()
        for place, name in enumerate(names)
    )
    return (note + "".join(lines)).encode()


def test_log_alone_is_believed_where_no_witness_is_wanted() -> None:
    for policy in (trusting(LOG), parse_policy(f"{HEAD}quorum none")):
        assert policy.check(signed()).checkpoint == CHECKPOINT


def test_who_signed_and_when_is_told() -> None:
    policy = parse_policy(f"{HEAD}quorum x1")
    assert policy.check(signed("x1", "y1")).witnesses == {"x1": 100, "y1": 101}


@pytest.mark.parametrize(
    ("group", "least"), [("any", 1), ("2", 2), ("all", 3), ("3", 3)]
)
def test_group_is_satisfied_by_its_threshold(group: str, least: int) -> None:
    policy = parse_policy(f"{HEAD}group g {group} x1 x2 x3\nquorum g")
    for count in range(4):
        for names in combinations(("x1", "x2", "x3"), count):
            if count >= least:
                assert set(policy.check(signed(*names)).witnesses) == set(names)
            else:
                with pytest.raises(NoteError, match="quorum 'g' is not reached"):
                    policy.check(signed(*names, "y1"))


def test_groups_may_be_members() -> None:
    policy = parse_policy(
        f"{HEAD}group x 2 x1 x2 x3\ngroup y any y1\ngroup both all x y\nquorum both"
    )
    assert policy.check(signed("x1", "x3", "y1")).witnesses.keys() == {"x1", "x3", "y1"}
    for names in (("x1", "x2", "x3"), ("x1", "y1")):
        with pytest.raises(NoteError, match="not reached"):
            policy.check(signed(*names))


def test_wrong_line_of_a_known_witness_refuses_the_checkpoint() -> None:
    other = signed("x1", text=Checkpoint(origin=ORIGIN, size=9, root=bytes(32)).text())
    data = signed("x2") + other.splitlines(keepends=True)[-1]
    with pytest.raises(NoteError, match=r"x1\.example is wrong"):
        parse_policy(f"{HEAD}quorum x2").check(data)


def test_witnesses_do_not_make_up_for_the_log() -> None:
    data = signed("x1", "x2", "x3")
    lines = data.splitlines(keepends=True)
    without = b"".join(line for line in lines if ORIGIN.encode() not in line[4:])
    with pytest.raises(NoteError):
        parse_policy(f"{HEAD}quorum x1").check(without)


def test_checkpoint_of_another_log_is_refused_whoever_signed_it() -> None:
    text = Checkpoint(origin="audit.example/connections", size=1, root=bytes(32)).text()
    with pytest.raises(NoteError, match="no key of the log"):
        trusting(LOG).check(signed(text=text))


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("", "exactly one quorum"),
        ("quorum x9", "not defined above"),
        ("quorum none\nquorum none", "not understood"),
        ("group g any\nquorum g", "not understood"),
        ("group g 0 x1\nquorum g", "0 of 1"),
        ("group g 2 x1\nquorum g", "2 of 1"),
        ("group g -1 x1\nquorum g", "any, all or a number"),
        ("group g 2 x1 x1\nquorum g", "named twice"),
        ("group g any x9\nquorum g", "not defined above"),
        ("group x1 any x2\nquorum x1", "is taken"),
        ("group none any x1\nquorum none", "is taken"),
        (f"witness x1 {WITNESSES['x1']}\nquorum none", "is taken"),
        (f"witness x9 {WITNESSES['x1']}\nquorum none", "another witness's too"),
        (f"witness x9 {LOG}\nquorum none", "sort"),
        (f"log {WITNESSES['x1']}\nquorum none", "sort"),
        ("trust everybody\nquorum none", "not understood"),
    ],
)
def test_policy_that_cannot_be_meant_is_refused(line: str, message: str) -> None:
    with pytest.raises(PolicyError, match=message):
        parse_policy(f"{HEAD}{line}")


def test_message_names_the_line() -> None:
    with pytest.raises(PolicyError, match="line 2: 'w' is not defined above"):
        parse_policy(f"log {LOG}\nquorum w")


def test_policy_without_a_log_is_refused() -> None:
    with pytest.raises(PolicyError, match="at least one log"):
        parse_policy("quorum none")


def test_log_is_not_its_own_witness() -> None:
    own = WitnessKey(name="w", public_key=LOG.public_key)
    with pytest.raises(PolicyError, match="a log's too"):
        parse_policy(f"log {LOG}\nwitness w {own}\nquorum w")
