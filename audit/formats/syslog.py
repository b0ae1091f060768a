r"""Entries as syslog messages (RFC 5424), framed for TLS (RFC 5425 §4.3). Pure.

    <PRI>1 TIMESTAMP HOSTNAME peerage LOG CODE [peerage@32473 …][meta …] MESSAGE

* PRI: facility 13 (log audit) and a severity of RFC 5424 §6.2.1.
* STRUCTURED-DATA names what an entry speaks of; `"`, `\` and `]` in a value are
  escaped with a backslash (§6.3.3). `meta sequenceId` counts within the log.
* MESSAGE is the sentence in UTF-8 behind a byte order mark (§6.4), or one line of
  JSON, which is ASCII and has none because JSON readers stumble over it.
* Nothing can begin another message: control characters became visible escapes, and a
  receiver finds the end by the count of octets, never by a line feed.
"""

from __future__ import annotations

import re
from datetime import UTC
from enum import StrEnum
from typing import TYPE_CHECKING, Final, assert_never

from audit.catalogue.kinds import Severity
from audit.formats.bodies import Shape, shaped
from audit.formats.records import FAILED, json_text
from audit.text import visible

if TYPE_CHECKING:
    from collections.abc import Iterable

    from audit.formats.records import Record

LOG_AUDIT: Final = 13
SEVERITIES: Final = {
    Severity.INFO: 6,
    Severity.NOTICE: 5,
    Severity.WARNING: 4,
    Severity.ALERT: 1,
}
ERROR: Final = 3
BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"
# The number that RFC 5612 gives to whoever has none of their own.
SD_ID: Final = "peerage@32473"
APP_NAME: Final = "peerage"
NIL: Final = "-"
MAX_HOST: Final = 255
MAX_VALUE: Final = 100
"""Characters of one value: longer than any id, and short enough that a sentence with
all its names stays below the 8,192 octets that receivers SHOULD take (RFC 5425 §4.3.1).
What is longer ends in an ellipsis; the JSON forms cut nothing."""
MAX_SEQUENCE: Final = 2**31 - 1
PARAMETERS: Final = (
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
    "gateway_id",
    "gateway_label",
    "application_id",
    "application_label",
    "target_id",
    "target_label",
    "grant_id",
    "key_fingerprint",
    "flow",
    "kind",
    "protocol",
    "source",
    "source_port",
    "destination",
    "destination_port",
    "bytes_up",
    "bytes_down",
    "generation",
    "reason",
)
_NOT_PRINTABLE: Final = re.compile(r"[^\x21-\x7e]")
_ESCAPED: Final = str.maketrans({"\\": r"\\", '"': r"\"", "]": r"\]"})


class MessageForm(StrEnum):
    """What stands in the message."""

    SENTENCE = "sentence"
    NATIVE = "native"
    OCSF = "ocsf"


def syslog_message(
    record: Record, form: MessageForm, *, host: str, deployment: str
) -> bytes:
    """Return one entry as one message, without framing."""
    header = " ".join(
        (
            f"<{LOG_AUDIT * 8 + _severity(record)}>1",
            _timestamp(record),
            _name(host, MAX_HOST),
            APP_NAME,
            _name(record.log, 128),
            _name(f"{record.code}{record.outcome}", 32),
            _structured_data(record),
        )
    )
    return header.encode() + b" " + _message(record, form, deployment)


def framed(messages: Iterable[bytes]) -> bytes:
    """Return messages one after another, each behind the count of its octets."""
    return b"".join(b"%d %s" % (len(message), message) for message in messages)


def parameter_value(text: str) -> str:
    """Return the value of a parameter, escaped and without line breaks."""
    shown = visible(text)
    if len(shown) > MAX_VALUE:
        shown = shown[: MAX_VALUE - 1] + "…"
    return shown.translate(_ESCAPED)


def _severity(record: Record) -> int:
    return ERROR if record.outcome == FAILED else SEVERITIES[record.severity]


def _timestamp(record: Record) -> str:
    text = record.at.astimezone(UTC).isoformat(timespec="microseconds")
    return text.removesuffix("+00:00") + "Z"


def _name(text: str, longest: int) -> str:
    """Return a header field: printable ASCII without blanks, or the nil value."""
    return _NOT_PRINTABLE.sub("_", text)[:longest] or NIL


def _structured_data(record: Record) -> str:
    given = {
        "uid": record.uid,
        "index": str(record.index),
        "name": record.name,
        "severity": record.severity.value,
        **{name: record.text(name) for name in PARAMETERS},
    }
    parameters = "".join(
        f' {name}="{parameter_value(value)}"' for name, value in given.items() if value
    )
    sequence = record.index % MAX_SEQUENCE + 1
    return f'[{SD_ID}{parameters}][meta sequenceId="{sequence}"]'


def _message(record: Record, form: MessageForm, deployment: str) -> bytes:
    match form:
        case MessageForm.SENTENCE:
            return BYTE_ORDER_MARK + visible(record.sentence).encode()
        case MessageForm.NATIVE | MessageForm.OCSF:
            shape = Shape(form.value)
            return json_text(shaped(record, shape, deployment=deployment)).encode()
    assert_never(form)
