"""A witness's line says when which tree was seen, and nothing else; C2SP."""

from __future__ import annotations

from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from audit.tlog.cosignature import (
    WitnessKey,
    cosign,
    cosigned_at,
    parse_witness_key,
)
from audit.tlog.note import (
    Checkpoint,
    Note,
    NoteError,
    VerifierKey,
    parse_note,
    parse_verifier_key,
    sign_note,
    verify_note,
)

LOG_KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(1, 33)))
PUBLIC = KEY.public_key().public_bytes_raw()
WITNESS = WitnessKey(name="witness.example", public_key=PUBLIC)
TEXT = Checkpoint(origin="audit.example", size=15, root=bytes(32)).text()
AT = 1_679_315_147
LINE = cosign(TEXT, name=WITNESS.name, key=KEY, at=AT)


def signed(*lines: object) -> bytes:
    note = sign_note(TEXT, name="audit.example", key=LOG_KEY)
    return (str(note) + "".join(line.line() for line in lines)).encode()  # type: ignore[attr-defined]


# The example of C2SP tlog-cosignature: text and line, without the keys.
EXAMPLE = """\
example.com/behind-the-sofa
20852163
CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=

— example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOo\
RDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=
— witness.example.com/w1 jWbPPwAAAABkGFDLEZMHwSRaJNiIDoe9DYn/zXcrtPHeol\
MI5OWXEhZCB9dlrDJsX3b2oyin1nPZqhf5nNo0xUe+mbIUBkBIfZ+qnA==
"""


def test_time_of_the_specifications_example_is_read() -> None:
    assert cosigned_at(parse_note(EXAMPLE.encode()).signatures[1].signature) == AT


def test_cosignature_is_accepted_beside_the_logs() -> None:
    note = verify_note(signed(LINE), [WITNESS])
    assert note.signatures == (LINE,)
    assert cosigned_at(LINE.signature) == AT


def test_what_is_signed_is_two_lines_and_the_text() -> None:
    message = f"cosignature/v1\ntime {AT}\n{TEXT}".encode()
    KEY.public_key().verify(LINE.signature[8:], message)


def test_another_time_is_another_statement() -> None:
    moved = replace(LINE, signature=(AT + 1).to_bytes(8) + LINE.signature[8:])
    with pytest.raises(NoteError, match="is wrong"):
        verify_note(signed(moved), [WITNESS])


def test_another_tree_is_another_statement() -> None:
    other = Checkpoint(origin="audit.example", size=16, root=bytes(32)).text()
    line = cosign(other, name=WITNESS.name, key=KEY, at=AT)
    with pytest.raises(NoteError, match="is wrong"):
        verify_note(signed(line), [WITNESS])


def test_signature_of_a_log_does_not_pass_for_a_cosignature() -> None:
    plain = sign_note(TEXT, name=WITNESS.name, key=KEY).signatures[0]
    forged = replace(plain, key_id=WITNESS.key_id)
    with pytest.raises(NoteError):
        verify_note(signed(forged), [WITNESS])


def test_cosignature_does_not_pass_for_the_signature_of_a_log() -> None:
    log = VerifierKey(name=WITNESS.name, public_key=PUBLIC)
    assert log.key_id != WITNESS.key_id
    with pytest.raises(NoteError):
        verify_note(signed(replace(LINE, key_id=log.key_id)), [log])


@pytest.mark.parametrize("length", [0, 7, 71, 73])
def test_cosignature_of_another_length_is_refused(length: int) -> None:
    with pytest.raises(NoteError, match="a time and"):
        verify_note(signed(replace(LINE, signature=bytes(length or 1))), [WITNESS])


@pytest.mark.parametrize("at", [-1, 2**63])
def test_no_cosignature_is_made_at_an_impossible_time(at: int) -> None:
    with pytest.raises(NoteError, match="no cosignature"):
        cosign(TEXT, name=WITNESS.name, key=KEY, at=at)


def test_key_of_a_witness_survives_its_text_form_and_is_no_key_of_a_log() -> None:
    assert parse_witness_key(str(WITNESS)) == WITNESS
    with pytest.raises(NoteError, match="not a key of the sort"):
        parse_verifier_key(str(WITNESS))
    with pytest.raises(NoteError, match="not a key of the sort"):
        parse_witness_key(str(VerifierKey(name="n", public_key=PUBLIC)))


def test_note_with_a_cosignature_only_is_a_note() -> None:
    data = str(Note(text=TEXT, signatures=(LINE,))).encode()
    assert verify_note(data, [WITNESS]).text == TEXT
