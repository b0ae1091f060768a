"""A witness signs what continues what it signed, and nothing else."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from audit.tlog.merkle import root
from audit.tlog.note import Checkpoint, sign_note
from audit.tlog.witnessing import (
    MAX_PROOF,
    MAX_REQUEST,
    ForgedError,
    ForkError,
    Head,
    MalformedError,
    StaleError,
    StrangerError,
    WitnessError,
    judge,
    parse_request,
    request_text,
)
from tests.audit.witness.log import MemoryLog

LEAVES = [b"%d" % number for number in range(9)]


def grown(count: int) -> MemoryLog:
    log = MemoryLog()
    log.add(*LEAVES[:count])
    return log


def head(log: MemoryLog, size: int) -> Head:
    return Head(size=size, root=root(log.hashes[:size])) if size else Head()


def judged(log: MemoryLog, request: bytes, known: Head) -> Head:
    return judge(parse_request(request), key=log.verifier, known=known)


@pytest.mark.parametrize("size", range(10))
def test_each_tree_that_continues_the_head_is_taken(size: int) -> None:
    log = grown(size)
    for old in range(size + 1):
        assert judged(log, log.request(old), head(log, old)) == head(log, size)


def test_a_rewritten_history_is_a_fork() -> None:
    log, other = grown(5), MemoryLog()
    other.key = log.key
    other.add(b"other", *LEAVES[1:8])
    with pytest.raises(ForkError):
        judged(log, other.request(5), head(log, 5))


def test_two_trees_of_one_size_are_a_fork() -> None:
    log, other = grown(5), MemoryLog()
    other.key = log.key
    other.add(*LEAVES[:4], b"other")
    with pytest.raises(ForkError):
        judged(log, other.request(5), head(log, 5))


def test_a_smaller_tree_is_refused() -> None:
    log = grown(8)
    known = head(log, 8)
    del log.hashes[4:]
    with pytest.raises(StaleError, match="prove from 8"):
        judged(log, log.request(4), known)


def test_who_proves_from_elsewhere_is_told_from_where() -> None:
    log = grown(8)
    with pytest.raises(StaleError) as caught:
        judged(log, log.request(3), head(log, 5))
    assert caught.value.size == 5


def test_the_empty_tree_has_one_root() -> None:
    log = MemoryLog()
    text = Checkpoint(origin=log.origin, size=0, root=b"x" * 32).text()
    note = str(sign_note(text, name=log.origin, key=log.key))
    with pytest.raises(MalformedError):
        judged(log, request_text(0, [], note), Head())


def test_a_stranger_and_a_forger_are_told_apart() -> None:
    log = grown(3)
    other = MemoryLog(origin="else.where")
    with pytest.raises(StrangerError):
        judged(log, other.request(0), Head())
    forger = MemoryLog(key=Ed25519PrivateKey.generate())
    with pytest.raises(ForgedError):
        judged(log, forger.request(0), Head())


NOTE = grown(3).note()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"old\n\n" + NOTE.encode(),
        b"old 01\n\n" + NOTE.encode(),
        b"old -1\n\n" + NOTE.encode(),
        b"old 1\nAAA\n\n" + NOTE.encode(),
        b"old 1\n\xff\n\n" + NOTE.encode(),
        b"old 0\n" + NOTE.encode(),
        request_text(0, [b"x" * 32] * (MAX_PROOF + 1), NOTE),
        b"old 0\n\n" + b"x" * MAX_REQUEST,
    ],
    ids=[
        *("empty", "no size", "leading zero", "negative", "short hash"),
        *("not ascii", "no gap", "long proof", "long"),
    ],
)
def test_what_is_no_request_is_malformed(data: bytes) -> None:
    log = grown(3)
    with pytest.raises(MalformedError):
        judged(log, data, Head())


def test_an_old_size_beyond_the_checkpoint_is_malformed() -> None:
    log = grown(3)
    with pytest.raises(MalformedError):
        judged(log, request_text(4, [], log.note()), Head())


@pytest.mark.parametrize("proof", [[b"x" * 32], [b"x" * 31]], ids=["extra", "short"])
def test_a_proof_from_nothing_or_of_other_lengths_is_refused(
    proof: list[bytes],
) -> None:
    log = grown(3)
    with pytest.raises(WitnessError):
        judged(log, request_text(0, proof, log.note()), Head())
    with pytest.raises(WitnessError):
        judged(log, request_text(2, proof, log.note()), head(log, 2))
