"""Rules of envelopes."""

from __future__ import annotations

import pytest

from policies.compiler.envelope import envelope, open_envelope, pae
from policies.compiler.errors import SnapshotFormatError

GOOD = b'{"payload":"eyJ9","payloadType":"t","signatures":[{"keyid":"k","sig":"AQ=="}]}'


def test_signed_bytes_follow_the_specification() -> None:
    # The example of DSSE's own protocol.md.
    assert (
        pae("http://example.com/HelloWorld", b"hello world")
        == b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
    )


def test_an_envelope_comes_back_as_it_was_closed() -> None:
    opened = open_envelope(envelope("type", b"payload", [("k1", b"s1"), ("k2", b"s2")]))
    assert opened.payload_type == "type"
    assert opened.payload == b"payload"
    assert opened.signatures == (("k1", b"s1"), ("k2", b"s2"))


@pytest.mark.parametrize(
    "data",
    [
        GOOD.replace(b'"t"', b"1"),
        GOOD.replace(b'[{"keyid":"k","sig":"AQ=="}]', b"[]"),
        GOOD.replace(b'"keyid":"k",', b""),
        GOOD.replace(b"AQ==", b"AR=="),
        GOOD.replace(b"AQ==", b"AQ"),
        GOOD.replace(b"eyJ9", b"ey J9"),
        GOOD.replace(b"eyJ9", b"ey-9"),
        GOOD.replace(b"eyJ9", "eyä9".encode()),
        GOOD.replace(b'{"payload"', b'{"extra":1,"payload"'),
        b"[]",
    ],
    ids=range(10),
)
def test_a_malformed_envelope_is_refused(data: bytes) -> None:
    open_envelope(GOOD)
    with pytest.raises(SnapshotFormatError):
        open_envelope(data)
