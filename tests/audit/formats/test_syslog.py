r"""Syslog: RFC 5424 as written, and no name that could forge a message or a field."""

from __future__ import annotations

import json
import re
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audit.catalogue.kinds import Severity
from audit.formats.syslog import (
    MAX_VALUE,
    PARAMETERS,
    MessageForm,
    framed,
    parameter_value,
    syslog_message,
)
from tests.audit.formats.conftest import HOSTILE, MakeRecord

BOM: Final = b"\xef\xbb\xbf"
# RFC 5424 §6: header, structured data, message. Strict on purpose.
MESSAGE: Final = re.compile(
    rb"<(?P<pri>[0-9]{1,3})>1 "
    rb"(?P<at>[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:]{8}\.[0-9]{1,6}Z) "
    rb"(?P<host>[\x21-\x7e]{1,255}) (?P<app>[\x21-\x7e]{1,48}) "
    rb"(?P<process>[\x21-\x7e]{1,128}) (?P<id>[\x21-\x7e]{1,32}) "
    rb"(?P<data>(?:\[(?:\\.|[^\]\\])*\])+) (?P<message>.*)",
    re.DOTALL,
)
PARAMETER: Final = re.compile(
    rb' (?P<name>[^ =\]"]{1,32})="(?P<value>(?:\\["\\\]]|[^"\\\]])*)"'
)


def parsed(message: bytes) -> re.Match[bytes]:
    match = MESSAGE.fullmatch(message)
    assert match is not None, message
    return match


def parameters(data: bytes) -> dict[str, str]:
    """Read the first element, as a receiver does; all of it must be parameters."""
    body = data[1 : data.index(b"][meta ")].removeprefix(b"peerage@32473")
    found = {
        match["name"].decode(): re.sub(r'\\(["\\\]])', r"\1", match["value"].decode())
        for match in PARAMETER.finditer(body)
    }
    assert b"".join(match[0] for match in PARAMETER.finditer(body)) == body
    return found


def sent(record: object, form: MessageForm = MessageForm.SENTENCE) -> bytes:
    return syslog_message(record, form, host="portal.acme.test", deployment="acme")  # type: ignore[arg-type]  # what the maker makes


def test_a_message_follows_the_grammar(make_event: MakeRecord) -> None:
    match = parsed(sent(make_event()))
    assert match["pri"] == b"110"
    assert match["at"] == b"2026-11-23T12:00:00.123456Z"
    assert match["host"] == b"portal.acme.test"
    assert (match["app"], match["process"]) == (b"peerage", b"control")
    assert match["id"] == b"DV012I"
    assert match["message"] == BOM + b"laptop was revoked"
    assert parameters(match["data"])["person_label"] == "Alice"


@pytest.mark.parametrize(
    ("severity", "outcome", "expected"),
    [
        (Severity.INFO, "I", 6),
        (Severity.NOTICE, "I", 5),
        (Severity.WARNING, "W", 4),
        (Severity.WARNING, "E", 3),
        (Severity.ALERT, "A", 1),
    ],
)
def test_the_priority_is_log_audit_and_the_severity(
    severity: Severity, outcome: str, expected: int, make_event: MakeRecord
) -> None:
    entry = make_event(severity=severity, outcome=outcome)
    assert int(parsed(sent(entry))["pri"]) == 13 * 8 + expected


@pytest.mark.parametrize("form", MessageForm)
def test_a_name_forges_neither_a_message_nor_a_field(
    form: MessageForm, make_event: MakeRecord
) -> None:
    entry = make_event(
        person_label=HOSTILE, reason=HOSTILE, sentence=HOSTILE, actor_label=HOSTILE
    )
    message = sent(entry, form)
    # No octet below the blank anywhere: neither a line feed nor an escape nor NUL.
    assert min(message) >= 0x20
    assert b"\x7f" not in message
    assert "\u202e" not in message.decode()
    found = parameters(parsed(message)["data"])
    assert "\\x0a<13>1" in found["person_label"]
    assert set(found) == {
        "uid",
        "index",
        "name",
        "severity",
        "actor_kind",
        "actor_id",
        "actor_label",
        "actor_role",
        "actor_address",
        "request_id",
        "person_id",
        "person_label",
        "device_id",
        "device_label",
        "reason",
    }


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('a"b', r"a\"b"),
        ("a]b", r"a\]b"),
        ("a\\b", r"a\\b"),
        ("a\nb", r"a\\x0ab"),
        ("Zoë", "Zoë"),
        ("x" * 300, "x" * (MAX_VALUE - 1) + "…"),
    ],
    ids=["quote", "bracket", "backslash", "line feed", "letters", "long"],
)
def test_a_value_is_escaped(text: str, expected: str) -> None:
    assert parameter_value(text) == expected


@given(st.text(max_size=200))
def test_any_value_comes_back_as_it_was_shown(text: str) -> None:
    escaped = parameter_value(text).encode()
    match = re.fullmatch(rb'(?:\\["\\\]]|[^"\\\]])*', escaped)
    assert match is not None
    assert min(escaped, default=0x20) >= 0x20


@pytest.mark.parametrize("form", [MessageForm.NATIVE, MessageForm.OCSF])
def test_json_has_no_byte_order_mark(form: MessageForm, make_event: MakeRecord) -> None:
    message = parsed(sent(make_event(), form))["message"]
    assert isinstance(json.loads(message), dict)


def test_names_of_parameters_are_short_and_plain() -> None:
    assert all(re.fullmatch(r"[a-z_]{1,32}", name) for name in PARAMETERS)


@pytest.mark.parametrize(
    ("host", "expected"),
    [("", b"-"), ("a b\nc", b"a_b_c"), ("é" * 300, b"_" * 255)],
    ids=["none", "blanks", "long"],
)
def test_a_host_is_one_word_of_ascii(
    host: str, expected: bytes, make_event: MakeRecord
) -> None:
    message = syslog_message(
        make_event(), MessageForm.SENTENCE, host=host, deployment="acme"
    )
    assert parsed(message)["host"] == expected


def test_frames_count_octets_not_characters(make_event: MakeRecord) -> None:
    messages = [sent(make_event(sentence="Zoë → 1 x")), sent(make_event())]
    data, found = framed(messages), []
    while data:
        length, _, rest = data.partition(b" ")
        found.append(rest[: int(length)])
        data = rest[int(length) :]
    assert found == messages


def test_the_sequence_stays_within_its_range(make_event: MakeRecord) -> None:
    last = parsed(sent(make_event(index=2**31 - 2)))["data"]
    wrapped = parsed(sent(make_event(index=2**31 - 1)))["data"]
    assert last.endswith(b'[meta sequenceId="2147483647"]')
    assert wrapped.endswith(b'[meta sequenceId="1"]')


def test_a_sentence_with_the_longest_names_fits_what_receivers_take(
    make_event: MakeRecord,
) -> None:
    longest = {
        name: "\U0001d49c" * 255
        if name.endswith("_label") or name == "reason"
        else "x" * 64
        for name in PARAMETERS
    }
    sentence = f"{longest['actor_label']} {longest['device_label']}"
    message = sent(make_event(values=longest, sentence=sentence))
    assert 6000 < len(message) <= 8192
