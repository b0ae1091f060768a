"""One file proves one entry, to whoever has the log's key; C2SP tlog-proof."""

from __future__ import annotations

from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from audit.tlog.merkle import ProofError, inclusion_proof, leaf_hash, root
from audit.tlog.note import Checkpoint, NoteError, VerifierKey, sign_note
from audit.tlog.policy import trusting
from audit.tlog.proof import LogProof, parse_proof

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
POLICY = trusting(
    VerifierKey(name="audit.example", public_key=KEY.public_key().public_bytes_raw())
)
ENTRIES = [f"entry {number}".encode() for number in range(11)]
LEAVES = [leaf_hash(entry) for entry in ENTRIES]


def note(size: int = 11) -> str:
    checkpoint = Checkpoint(origin="audit.example", size=size, root=root(LEAVES[:size]))
    return str(sign_note(checkpoint.text(), name="audit.example", key=KEY))


def proof(index: int, size: int = 11) -> LogProof:
    return LogProof(
        entry=ENTRIES[index],
        index=index,
        hashes=tuple(inclusion_proof(LEAVES[:size], index)),
        checkpoint=note(size),
    )


@pytest.mark.parametrize("index", range(11))
def test_proof_is_read_back_and_believed(index: int) -> None:
    found = parse_proof(str(proof(index)))
    assert found == proof(index)
    assert found.check(POLICY).checkpoint.size == 11


def test_proof_in_a_log_of_one_has_no_hashes() -> None:
    assert parse_proof(str(proof(0, 1))).check(POLICY).checkpoint.size == 1


@pytest.mark.parametrize(
    "change",
    [
        {"entry": b"entry 4"},
        {"entry": b""},
        {"index": 2},
        {"index": 11},
        {"index": 2**62},
        {"hashes": ()},
        {"hashes": proof(3).hashes[:-1]},
        {"hashes": (*proof(3).hashes, bytes(32))},
        {"hashes": (bytes(31), *proof(3).hashes[1:])},
        {"checkpoint": note(10)},
    ],
    ids=str,
)
def test_g11_changed_proof_is_refused(change: dict[str, object]) -> None:
    found = parse_proof(str(replace(proof(3), **change)))  # type: ignore[arg-type]
    with pytest.raises(ProofError):
        found.check(POLICY)


def test_g11_nothing_is_in_an_empty_log() -> None:
    found = replace(proof(0, 1), checkpoint=note(0))
    with pytest.raises(ProofError, match="no leaf 0 in a tree of 0"):
        found.check(POLICY)


def test_checkpoint_by_somebody_else_is_refused() -> None:
    other = Ed25519PrivateKey.from_private_bytes(bytes(range(1, 33)))
    checkpoint = Checkpoint(origin="audit.example", size=11, root=root(LEAVES))
    forged = str(sign_note(checkpoint.text(), name="audit.example", key=other))
    with pytest.raises(NoteError):
        replace(proof(3), checkpoint=forged).check(POLICY)


GOOD = str(proof(3))


@pytest.mark.parametrize(
    "text",
    [
        "",
        GOOD.replace("@v1", "@v2"),
        GOOD.replace("index 3\n", ""),
        GOOD.replace("index 3", "index 03"),
        GOOD.replace("index 3", "index -3"),
        GOOD.replace("extra ", "extra  "),
        GOOD.partition("\n\n")[0],
        GOOD.replace("index 3\n", "index 3\nAAAA=\n"),
        GOOD.replace("index 3\n", "index 3\n" + "AAAA\n" * 64),
        GOOD + " " * 1_000_000,
    ],
)
def test_malformed_proof_is_refused(text: str) -> None:
    with pytest.raises(NoteError):
        parse_proof(text)
