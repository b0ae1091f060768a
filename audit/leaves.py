"""The bytes of an event that enter the tree: canonical JSON (RFC 8785).

Whoever holds an exported event can make the same bytes again and check its proof.
Hence only I-JSON: strings, booleans, and integers that every reader keeps exactly;
larger ones become strings. What is empty is left out. Commitments in place of
personal data, so that a person can be forgotten without breaking the tree, belong
to the sealing process and its vault; `v` tells the shapes apart.
"""

from __future__ import annotations

from datetime import UTC
from typing import TYPE_CHECKING, Any, Final

import rfc8785

from audit.errors import LeafError

if TYPE_CHECKING:
    from datetime import datetime

    from audit.models import AuditEvent, FlowEvent

VERSION: Final = 1
MAX_SAFE_INTEGER: Final = 2**53 - 1
# C2SP tlog-tiles: an entry's length is written in 16 bits.
MAX_LENGTH: Final = 65_535
PARTIES: Final = ("person", "device", "gateway", "application", "target")


def event_leaf(event: AuditEvent) -> bytes:
    """Return the leaf of an event of the control log.

    Raises:
        LeafError: the details hold what JSON cannot say exactly, or too much.
    """
    parties = {
        party: {
            "id": getattr(event, f"{party}_id"),
            "label": getattr(event, f"{party}_label"),
        }
        for party in PARTIES
    }
    actor = {
        "kind": event.actor_kind,
        "id": event.actor_id,
        "label": event.actor_label,
        "role": event.actor_role,
        "address": event.actor_address,
    }
    return _canonical(
        {
            "v": VERSION,
            "id": str(event.uid),
            "t": moment(event.at),
            "code": event.code,
            "res": event.outcome,
            "actor": actor,
            **parties,
            "request": event.request_id,
            "reason": event.reason,
            "details": event.details,
        }
    )


def flow_leaf(event: FlowEvent) -> bytes:
    """Return the leaf of an event of the connections log.

    Raises:
        LeafError: the record holds what JSON cannot say exactly, or too much.
    """
    return _canonical(
        {
            "v": VERSION,
            "gateway": event.gateway_id,
            "seq": str(event.sequence),
            "t": moment(event.at),
            "received": moment(event.received_at),
            "kind": event.kind,
            "flow": event.flow,
            "record": event.body,
            "who": event.attribution,
        }
    )


def moment(value: datetime) -> str:
    """Return a time as RFC 3339 in UTC with microseconds."""
    text = value.astimezone(UTC).isoformat(timespec="microseconds")
    return text.removesuffix("+00:00") + "Z"


def _canonical(leaf: dict[str, Any]) -> bytes:
    try:
        data = rfc8785.dumps(_exact(leaf))
    except (rfc8785.CanonicalizationError, UnicodeError) as exc:
        raise LeafError(f"no canonical form: {exc}") from exc
    if len(data) > MAX_LENGTH:
        raise LeafError(f"a leaf has at most {MAX_LENGTH} bytes, not {len(data)}")
    return data


def _exact(value: Any) -> Any:  # noqa: ANN401 -- any JSON value
    match value:
        case dict():
            exact = {str(key): _exact(item) for key, item in value.items()}
            return {key: item for key, item in exact.items() if item not in ("", {})}
        case list() | tuple():
            return [_exact(item) for item in value]
        case float():
            raise LeafError(f"{value!r} is a float; say it as a string")
        case int() if abs(value) > MAX_SAFE_INTEGER:
            return str(value)
    return value
