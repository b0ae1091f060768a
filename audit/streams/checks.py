"""What a stream may be. Nothing is written here."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from audit.events import EventCode
from audit.streams.addresses import checked_address
from audit.streams.errors import DeliveryError, InvalidStreamError
from audit.streams.facts import FLOW_CODES
from audit.streams.models import LeastSeverity, Stream, StreamForm, StreamKind
from audit.streams.syslog_tls import TlsParty, tls_context
from audit.text import first_invisible

if TYPE_CHECKING:
    from collections.abc import Collection

    from audit.models import Log

NAME_LENGTH: Final = 64
PEM_LENGTH: Final = 64 * 1024
SIGNED: Final = frozenset({StreamKind.WEBHOOK, StreamKind.LINES})
"""Kinds whose receiver checks a signature under a secret that the portal makes."""
KNOWN_CODES: Final = frozenset({*(code.value for code in EventCode), *FLOW_CODES})
# What may stand in a header without being taken for something else (RFC 9110 §5.5).
TOKEN: Final = re.compile(r"[\x21-\x7e]{1,255}")


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamInput:
    """What a stream is to be. `logs` are those it carries, `codes` all when empty."""

    name: str
    kind: StreamKind
    address: str
    form: StreamForm
    logs: Collection[Log]
    least_severity: LeastSeverity = LeastSeverity.INFO
    codes: Collection[str] = ()
    trusted_certificate: str = ""


def checked_input(
    wanted: StreamInput, *, other_than: Stream | None = None
) -> StreamInput:
    """Return what a stream is to be, in its canonical form.

    Raises:
        InvalidStreamError: it could not work, and why.
    """
    name = unicodedata.normalize("NFC", wanted.name).strip()
    if not name or len(name) > NAME_LENGTH or first_invisible(name):
        raise InvalidStreamError(f"a name has 1 to {NAME_LENGTH} visible characters")
    others = Stream.objects.filter(name=name)
    if other_than is not None:
        others = others.exclude(pk=other_than.pk)
    if others.exists():
        raise InvalidStreamError(f"there is another stream named {name}")
    if not wanted.logs:
        raise InvalidStreamError("a stream carries at least one log")
    unknown = sorted(set(wanted.codes) - KNOWN_CODES)
    if unknown:
        raise InvalidStreamError(f"these are no codes: {', '.join(unknown)[:100]}")
    if wanted.form == StreamForm.SENTENCE and wanted.kind != StreamKind.SYSLOG:
        raise InvalidStreamError("only syslog carries sentences")
    checked = replace(
        wanted,
        name=name,
        address=checked_address(wanted.kind, wanted.address.strip()),
        trusted_certificate=wanted.trusted_certificate.strip(),
    )
    _check_certificates(checked, own="")
    return checked


def checked_secret(wanted: StreamInput, secret: str) -> str:
    """Return a secret that was entered for a stream, as it will be used.

    Raises:
        InvalidStreamError: it is none that this kind of receiver could take.
    """
    given = secret.strip()
    if not given:
        return ""
    if wanted.kind in SIGNED:
        raise InvalidStreamError("the secret of this stream is made by the portal")
    if wanted.kind == StreamKind.SYSLOG:
        _check_certificates(wanted, own=given)
    elif not TOKEN.fullmatch(given):
        raise InvalidStreamError("a token is printable ASCII without blanks")
    return given


def _check_certificates(wanted: StreamInput, *, own: str) -> None:
    """Refuse a certificate or a key that could not be used later."""
    for text in (wanted.trusted_certificate, own):
        if len(text) > PEM_LENGTH or not text.isascii():
            raise InvalidStreamError("a certificate is PEM text of at most 64 KiB")
    party = TlsParty(host="", port=0, trusted=wanted.trusted_certificate, own=own)
    try:
        tls_context(party)
    except DeliveryError as exc:
        raise InvalidStreamError("a certificate or key could not be read") from exc
