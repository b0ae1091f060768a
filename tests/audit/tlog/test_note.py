"""Notes say who signed what, or are refused; C2SP signed-note, tlog-checkpoint."""

from __future__ import annotations

import base64
from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from audit.tlog.note import (
    Checkpoint,
    Note,
    NoteError,
    NoteSignature,
    VerifierKey,
    parse_checkpoint,
    parse_note,
    parse_verifier_key,
    sign_note,
    verify_note,
)

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
OTHER = Ed25519PrivateKey.from_private_bytes(bytes(range(1, 33)))
VERIFIER = VerifierKey(
    name="audit.example", public_key=KEY.public_key().public_bytes_raw()
)
CHECKPOINT = Checkpoint(origin="audit.example", size=15, root=bytes(32))
SIGNED = str(sign_note(CHECKPOINT.text(), name="audit.example", key=KEY)).encode()
DASH = "\N{EM DASH}"
LINE = SIGNED.decode().splitlines()[-1]


def test_signed_checkpoint_is_read_back() -> None:
    note = verify_note(SIGNED, [VERIFIER])
    assert parse_checkpoint(note.text) == CHECKPOINT
    assert str(note).encode() == SIGNED


def test_verifier_key_survives_its_text_form() -> None:
    assert parse_verifier_key(str(VERIFIER)) == VERIFIER


def test_signature_of_a_stranger_is_passed_over() -> None:
    stranger = sign_note(CHECKPOINT.text(), name="witness", key=OTHER)
    both = SIGNED + f"{stranger.signatures[0].line()}".encode()
    assert len(parse_note(both).signatures) == 2
    verified = verify_note(both, [VERIFIER])
    assert [signature.name for signature in verified.signatures] == ["audit.example"]


def test_same_name_with_another_key_is_a_stranger() -> None:
    forged = str(sign_note(CHECKPOINT.text(), name="audit.example", key=OTHER))
    with pytest.raises(NoteError, match="none of the keys"):
        verify_note(forged.encode(), [VERIFIER])


def test_every_flipped_bit_of_the_text_is_noticed() -> None:
    for place in range(len(CHECKPOINT.text())):
        changed = bytearray(SIGNED)
        changed[place] ^= 1
        with pytest.raises(NoteError):
            verify_note(bytes(changed), [VERIFIER])


def test_wrong_signature_of_a_known_key_refuses_the_whole_note() -> None:
    good = parse_note(SIGNED)
    bad = replace(good.signatures[0], signature=bytes(64))
    for signatures in ((bad,), (bad, *good.signatures)):
        data = str(Note(text=good.text, signatures=signatures)).encode()
        with pytest.raises(NoteError, match="is wrong"):
            verify_note(data, [VERIFIER])


def test_a_key_is_believed_once() -> None:
    again = SIGNED + f"{LINE}\n".encode()
    assert len(verify_note(again, [VERIFIER]).signatures) == 1


def test_two_keys_with_one_name_and_id_are_refused() -> None:
    class Twin(VerifierKey):
        key_id = VERIFIER.key_id

    twin = Twin(name=VERIFIER.name, public_key=OTHER.public_key().public_bytes_raw())
    with pytest.raises(NoteError, match="share"):
        verify_note(SIGNED, [VERIFIER, twin])


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"text\n",
        b"text\n\n",
        SIGNED[:-1],
        SIGNED + b"\n",
        SIGNED.replace(b"\n", b"\r\n"),
        SIGNED.replace(b"15", b"1\x00"),
        b"\xff" + SIGNED,
        SIGNED.replace(DASH.encode(), b"-"),
        f"text\n\n{DASH} a+b AAAAAAAA\n".encode(),
        f"text\n\n{DASH}  AAAAAAAA\n".encode(),
        f"text\n\n{DASH} name AAAA\n".encode(),
        f"text\n\n{DASH} name AAAAAB==\n".encode(),
        f"text\n\n{DASH} name AAAAA\n".encode(),
        f"text\n\n{DASH} name AAAA AAAA\n".encode(),
        f"text\n\n{DASH} name AAAAé\n".encode(),
        b"text\n\n" + f"{LINE}\n".encode() * 101,
        b"a" * 1_000_001 + SIGNED,
    ],
)
def test_malformed_note_is_refused(data: bytes) -> None:
    with pytest.raises(NoteError):
        parse_note(data)


def test_g12_no_part_of_a_note_is_a_note() -> None:
    """As golang.org/x/mod/sumdb/note is tested: every substring is refused."""
    length = len(SIGNED)
    for begin in range(length):
        for end in {length, *range(begin, length, 7)}:
            if (begin, end) != (0, length):
                with pytest.raises(NoteError):
                    verify_note(SIGNED[begin:end], [VERIFIER])


def test_g12_no_byte_of_a_note_may_differ() -> None:
    for place in range(len(SIGNED)):
        changed = bytearray(SIGNED)
        changed[place] = (changed[place] + 1) % 256
        with pytest.raises(NoteError):
            verify_note(bytes(changed), [VERIFIER])


def test_g12_hundred_signatures_are_read_and_not_one_more() -> None:
    strangers = "".join(
        sign_note(CHECKPOINT.text(), name=f"w{number}", key=OTHER).signatures[0].line()
        for number in range(99)
    )
    assert len(parse_note(SIGNED + strangers.encode()).signatures) == 100
    with pytest.raises(NoteError, match="at most 100"):
        parse_note(SIGNED + strangers.encode() + f"{LINE}\n".encode())


def test_g12_known_name_with_a_wrong_key_id_is_a_stranger() -> None:
    good = parse_note(SIGNED).signatures[0]
    wrong = replace(good, key_id=b"\0\0\0\0")
    data = str(Note(text=CHECKPOINT.text(), signatures=(wrong,))).encode()
    with pytest.raises(NoteError, match="none of the keys"):
        verify_note(data, [VERIFIER])


# The example of golang.org/x/mod/sumdb/note, which others' code reads and writes.
PETER = parse_verifier_key(
    "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
)
PETER_NOTE = """\
If you think cryptography is the answer to your problem,
then you don't know what your problem is.

— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZIn\
NIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=
"""


def test_note_of_others_is_verified() -> None:
    assert verify_note(PETER_NOTE.encode(), [PETER]).text.startswith("If you think")
    with pytest.raises(NoteError, match="is wrong"):
        verify_note(PETER_NOTE.replace("don't", "do").encode(), [PETER])


def test_text_without_line_feed_is_not_signed() -> None:
    with pytest.raises(NoteError, match="line feed"):
        sign_note("text", name="audit.example", key=KEY)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "name",
        "name+00000000+" + base64.b64encode(b"\x01" + bytes(32)).decode(),
        "name+00000000+" + base64.b64encode(b"\x02" + bytes(32)).decode(),
        "name+00000000+" + base64.b64encode(b"\x01" + bytes(31)).decode(),
        "na me+00000000+" + base64.b64encode(b"\x01" + bytes(32)).decode(),
        str(VERIFIER) + "=",
    ],
)
def test_malformed_verifier_key_is_refused(text: str) -> None:
    with pytest.raises(NoteError):
        parse_verifier_key(text)


ROOT = base64.b64encode(bytes(32)).decode()


def test_extension_lines_are_passed_over() -> None:
    text = f"audit.example\n15\n{ROOT}\nextension\n"
    assert parse_checkpoint(text) == CHECKPOINT


@pytest.mark.parametrize(
    "text",
    [
        "",
        f"audit.example\n15\n{ROOT}",
        "audit.example\n15\n",
        f"\n15\n{ROOT}\n",
        f"audit.example\n015\n{ROOT}\n",
        f"audit.example\n-1\n{ROOT}\n",
        f"audit.example\n1\u0665\n{ROOT}\n",
        f"audit.example\n{2**63}\n{ROOT}\n",
        f"audit.example\n{10**19}\n{ROOT}\n",
        "audit.example\n15\nAAAA\n",
        f"audit.example\n15\n{ROOT[:-2]}B=\n",
        f"audit.example\n15\n{ROOT}\n\n",
        f"audit\u202eexample\n15\n{ROOT}\n",
    ],
)
def test_malformed_checkpoint_is_refused(text: str) -> None:
    with pytest.raises(NoteError):
        parse_checkpoint(text)


def test_signature_line_is_what_the_specification_shows() -> None:
    line = NoteSignature(name="n", key_id=b"\0\0\0\1", signature=b"\2").line()
    assert line == f"{DASH} n AAAAAQI=\n"
