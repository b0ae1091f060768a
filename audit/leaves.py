"""The bytes of an event that enter the tree: canonical JSON (RFC 8785).

Pure, and without Django: whoever holds an exported row, and the salts of those it
speaks of, makes the same bytes again and checks their proof. What is personal (names,
addresses, a person's id, free text) enters only as a commitment

    c = base64(HMAC-SHA256(key, JCS(identity)))

whose key is the salt of the person (`audit.vault`), or the event's own nonce `n`
where it concerns nobody we know. Without the salt nothing can be guessed from it, so
that forgetting a person is deleting one salt and the tree stays as it is (ADR-0029).
Machine ids, codes and times are open. Only I-JSON enters: integers beyond what every
reader keeps exactly, and fractions, become text. What is empty is left out. `v` tells
the shapes apart.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import rfc8785

from audit.errors import LeafError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping

Row: TypeAlias = "Mapping[str, Any]"
"""The columns of an event as JSON knows them (`event_row`, `flow_row`)."""

VERSION: Final = 1
MAX_SAFE_INTEGER: Final = 2**53 - 1
# Smaller than C2SP tlog-tiles allows, so that a bundle of 256 stays a page or two.
MAX_LENGTH: Final = 8192
PERSON_PREFIX: Final = "us_"
MENTIONED: Final = "@"
"""Before the id of somebody who was forgotten: the event named them elsewhere."""

EVENT_COLUMNS: Final = (
    "uid",
    "at",
    "code",
    "outcome",
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
    "reason",
    "details",
    "nonce",
)
FLOW_COLUMNS: Final = (
    "gateway_id",
    "sequence",
    "kind",
    "at",
    "received_at",
    "flow",
    "body",
    "attribution",
    "nonce",
)
BEYOND: Final = re.compile(r"[\ud800-\U0010ffff]")
PERSONAL_FACTS: Final = ("person_id", "person_label", "device_label", "grant_label")
"""Of a flow's attribution. A grant is often named after whom it is for."""


_encode = json.JSONEncoder(
    ensure_ascii=False, sort_keys=True, separators=(",", ":")
).encode


@dataclass(frozen=True, slots=True, kw_only=True)
class Opening:
    """One personal part of an event: whose it is, and what was committed to.

    `person` is empty where the event's own nonce is the key.
    """

    part: str
    person: str
    identity: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """An event before its leaf: what is open, and what will be committed to."""

    nonce: bytes
    open: Mapping[str, Any]
    hidden: tuple[Opening, ...]

    @property
    def persons(self) -> frozenset[str]:
        """Return the ids of those whose salts are needed."""
        return frozenset(o.person for o in self.hidden if o.person)

    def leaf(self, salts: Mapping[str, bytes]) -> bytes:
        """Return the leaf. Who has no salt (any more) is committed to by the nonce.

        Raises:
            LeafError: a text holds what JSON cannot say, or all is too long.
        """
        return self.leaf_with(
            lambda o: commitment(salts.get(o.person, self.nonce), o.part, o.identity)
        )

    def leaf_with(self, committed: Callable[[Opening], str | None]) -> bytes:
        """Return the leaf with commitments that are found otherwise.

        Raises:
            LeafError: as `leaf`.
        """
        leaf = dict(self.open)
        for opening in self.hidden:
            part = dict(leaf.get(opening.part, {}))
            part["c"] = committed(opening) or ""
            leaf[opening.part] = part
        data = canonical(leaf)
        if len(data) > MAX_LENGTH and "record" in leaf:
            # A gateway may say more than a leaf takes; a hash proves it as well, and
            # a spool must not be held up for ever by one long record.
            record = hashlib.sha256(canonical(leaf["record"])).hexdigest()
            data = canonical({**leaf, "record": {"sha256": record}})
        if len(data) > MAX_LENGTH:
            raise LeafError(f"a leaf has at most {MAX_LENGTH} bytes, not {len(data)}")
        return data


def commitment(key: bytes, part: str, identity: Mapping[str, Any]) -> str:
    """Return the commitment to an identity; `part` keeps two parts apart."""
    text = canonical({"part": part, **identity})
    return base64.b64encode(hmac.digest(key, text, hashlib.sha256)).decode()


def event_shape(row: Row, *, open_details: Collection[str] = ()) -> Shape:
    """Return the shape of an event of the control log.

    `open_details` are the fields of its details that concern no person.
    """
    hidden = openings(row, open_details=open_details)
    details = row["details"]
    return Shape(
        nonce=_nonce(row),
        open={
            "v": VERSION,
            "id": row["uid"],
            "t": row["at"],
            "code": row["code"],
            "res": row["outcome"],
            "actor": {"kind": row["actor_kind"], "role": row["actor_role"]},
            "device": {"id": row["device_id"]},
            "gateway": {"id": row["gateway_id"], "label": row["gateway_label"]},
            "application": {
                "id": row["application_id"],
                "label": row["application_label"],
            },
            "request": row["request_id"],
            "details": {k: v for k, v in details.items() if k in open_details},
            "n": row["nonce"],
        },
        hidden=tuple(opening for opening in hidden if opening.identity),
    )


def openings(row: Row, *, open_details: Collection[str] = ()) -> tuple[Opening, ...]:
    """Return every part of an event that is committed to, also those that are empty."""
    actor = row["actor_id"] if row["actor_kind"] == "user" else ""
    person = row["person_id"] or actor
    target = row["target_id"]
    whose = target if target.startswith(PERSON_PREFIX) else person
    details = row["details"]
    return (
        _opening("actor", actor, row, "actor_id", "actor_label", "actor_address"),
        _opening("person", row["person_id"], row, "person_id", "person_label"),
        _opening("device", person, row, "device_label"),
        _opening("target", whose, row, "target_id", "target_label"),
        _opening("reason", person, row, "reason"),
        Opening(
            part="private",
            person=person,
            identity={k: v for k, v in details.items() if k not in open_details},
        ),
    )


def flow_shape(row: Row) -> Shape:
    """Return the shape of an event of the connections log."""
    facts = row["attribution"]
    who = {k: v for k, v in facts.items() if k not in PERSONAL_FACTS}
    identity = {name: facts[name] for name in PERSONAL_FACTS if facts.get(name)}
    person = facts.get("person_id", "")
    return Shape(
        nonce=_nonce(row),
        open={
            "v": VERSION,
            "gateway": row["gateway_id"],
            "seq": str(row["sequence"]),
            "t": row["at"],
            "received": row["received_at"],
            "kind": row["kind"],
            "flow": row["flow"],
            "record": row["body"],
            "who": who,
            "n": row["nonce"],
        },
        hidden=(Opening(part="who", person=person, identity=identity),)
        if identity
        else (),
    )


def shape_of(row: Row, leaf: bytes | None = None) -> Shape:
    """Return the shape of an exported row; which details are open its leaf says.

    Raises:
        LeafError: the row lacks a column, or the leaf is not JSON.
    """
    try:
        if "sequence" in row:
            return flow_shape(row)
        said = json.loads(leaf) if leaf else {}
        return event_shape(row, open_details=_open_by(said, row))
    except (KeyError, TypeError, AttributeError, ValueError) as exc:
        raise LeafError(f"not a row of a log: {exc!r}") from exc


def agrees(leaf: bytes, row: Row, salts: Mapping[str, bytes | None]) -> bool:
    """Return whether a leaf was made from a row.

    A person whose salt is None was forgotten: what was committed to about them can
    no longer be checked, and all else is. Where `MENTIONED` stands before their id,
    the event named them in what it says of others, and any part of it may be gone.

    Raises:
        LeafError: the row is none.
    """
    shape = shape_of(row, leaf)
    known = {who: salt for who, salt in salts.items() if salt is not None}
    if len(known) == len(salts):
        return shape.leaf(known) == leaf
    said = json.loads(leaf)
    shape = replace(shape, hidden=(*shape.hidden, *_lost(said, row, salts)))

    def committed(opening: Opening) -> str | None:
        if salts.get(opening.person, b"") is None:
            kept = said.get(opening.part)
            if not _is_hidden(kept):
                return None
            if any(v != opening.person for v in opening.identity.values()):
                # Not blanked: only what was recorded after forgetting may say so.
                return commitment(shape.nonce, opening.part, opening.identity)
            return str(kept["c"])
        key = salts.get(opening.person) or shape.nonce
        return commitment(key, opening.part, opening.identity)

    return shape.leaf_with(committed) == leaf


def event_row(event: Any) -> dict[str, Any]:  # noqa: ANN401 -- a row, without Django
    """Return the columns of an `AuditEvent` as JSON knows them."""
    return _row(event, EVENT_COLUMNS)


def flow_row(event: Any) -> dict[str, Any]:  # noqa: ANN401 -- a row, without Django
    """Return the columns of a `FlowEvent` as JSON knows them."""
    return _row(event, FLOW_COLUMNS)


def moment(value: datetime) -> str:
    """Return a time as RFC 3339 in UTC with microseconds."""
    text = value.astimezone(UTC).isoformat(timespec="microseconds")
    return text.removesuffix("+00:00") + "Z"


def canonical(value: Any) -> bytes:  # noqa: ANN401 -- any JSON value
    """Return a JSON value in its one form, without what is empty.

    Raises:
        LeafError: it holds what JSON cannot say exactly.
    """
    plain = _plain(value)
    try:
        text = _encode(plain)
        # `json` orders names by code point and RFC 8785 §3.2.3 by UTF-16 unit, which
        # is the same below the surrogates. It escapes as §3.2.2.2 wants, and integers
        # are all that is left of numbers.
        if not BEYOND.search(text):
            return text.encode()
        return rfc8785.dumps(plain)
    except (TypeError, rfc8785.CanonicalizationError, UnicodeError) as exc:
        raise LeafError(f"no canonical form: {exc}") from exc


def exact(value: Any) -> Any:  # noqa: ANN401 -- any JSON value
    """Return a JSON value that every reader keeps exactly."""
    match value:
        case dict():
            return {str(key): exact(item) for key, item in value.items()}
        case list() | tuple():
            return [exact(item) for item in value]
        case bool():
            return value
        case float():
            return repr(value)
        case int() if abs(value) > MAX_SAFE_INTEGER:
            return str(value)
    return value


def _plain(value: Any) -> Any:  # noqa: ANN401 -- any JSON value
    """Return what `exact` does, without what is empty."""
    if isinstance(value, str):
        return value
    if isinstance(value, dict):
        found = {str(key): _plain(item) for key, item in value.items()}
        return {
            key: item
            for key, item in found.items()
            if item or not isinstance(item, str | dict)
        }
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return exact(value)


def _opening(part: str, person: str, row: Row, *names: str) -> Opening:
    identity = {name: row[name] for name in names if row[name]}
    return Opening(part=part, person=person, identity=identity)


def _open_by(said: Mapping[str, Any], row: Row) -> Collection[str]:
    """Return which details were open, as a leaf says.

    What is empty is in no leaf. Where it holds nothing private, nothing that is empty
    was private; where it does, what is empty adds nothing to that.
    """
    shown = {*said.get("details", {})}
    if "private" in said:
        return shown
    details = row["details"]
    return shown | {key for key in details if not _plain({key: details[key]})}


def _lost(
    said: Mapping[str, Any], row: Row, salts: Mapping[str, bytes | None]
) -> Iterator[Opening]:
    """Yield the parts of which forgetting somebody left nothing in the row."""
    gone = {who for who, salt in salts.items() if salt is None}
    if not gone or "sequence" in row:
        return
    named = next((who for who in gone if who.startswith(MENTIONED)), "")
    for part in openings(row, open_details=said.get("details", {}).keys()):
        whose = part.person if part.person in gone else named
        if whose and not part.identity and _is_hidden(said.get(part.part)):
            yield Opening(part=part.part, person=whose, identity={})


def _is_hidden(part: Any) -> bool:  # noqa: ANN401 -- any JSON value
    return isinstance(part, dict) and "c" in part


def _nonce(row: Row) -> bytes:
    return base64.b64decode(row["nonce"])


def _row(event: Any, columns: tuple[str, ...]) -> dict[str, Any]:  # noqa: ANN401 -- see above
    return {name: _column(getattr(event, name)) for name in columns}


def _column(value: Any) -> Any:  # noqa: ANN401 -- any column
    if value is None or isinstance(value, str | int | dict | list):
        return value
    if isinstance(value, datetime):
        return moment(value)
    if isinstance(value, bytes | memoryview):
        return base64.b64encode(value).decode()
    return str(value)
