"""Host names as destinations write them: exact, absolute, one spelling each.

A wildcard is none of ours: what it stands for is nobody's to enumerate, so nobody
could say who reaches what. Nor is a single label, which a resolver would complete
from a list of its own.
"""

from __future__ import annotations

import re
from typing import Final

from policies.compiler.errors import InvalidValueError

LONGEST: Final = 253
"""RFC 1035 §2.3.4: 255 octets on the wire, which count one length more and the root."""

_LABEL: Final = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_NAME: Final = re.compile(rf"{_LABEL}(?:\.{_LABEL})+", re.ASCII)
"""RFC 1123 §2.1: letters, digits and hyphens, 63 to a label, none at its edges."""


def host_name(text: str) -> str:
    """Return the exact host name written in `text`.

    Raises:
        InvalidValueError: not one; the message names the fix where there is one.
    """
    if not text.isascii():
        msg = f"{text!r} is not ASCII; write its labels as xn--… (RFC 5890)"
    elif "*" in text:
        msg = f"{text!r} is a wildcard; a destination names one host"
    elif text != text.lower():
        msg = f"{text!r} is not in lower case; write {text.lower()!r}"
    elif text.endswith("."):
        msg = f"{text!r} ends in a dot; names are absolute without it"
    elif len(text) > LONGEST:
        msg = f"a host name has at most {LONGEST} characters, not {len(text)}"
    elif _NAME.fullmatch(text) is None:
        msg = f"{text!r} is not a host name with its domain, such as db.example.com"
    elif text.rpartition(".")[2].isdecimal():
        msg = f"{text!r} ends in a number, as an address does"
    else:
        return text
    raise InvalidValueError(msg)
