"""A receipt: one connection, proved from the packet to the person's sign-in. Pure.

A file of proofs (C2SP tlog-proof, the entry in its `extra` line), one for each step:
the records of the connection, the registration of the key, the enrolment of the device,
the sign-in of its owner. The steps hold together by what is open in their leaves:

    connection: who.device_id, who.key_fingerprint, who.enrolment
    key:        device.id, details.fingerprint
    enrolment:  id, device.id, details.sign_in
    sign_in:    id

Beside a proof may stand the row and the salts that open what the leaf only commits to
(names, addresses): the holder of the log decides whether a receipt names the person.
"""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from audit.errors import LeafError
from audit.leaves import agrees
from audit.rows import rows_path, salts
from audit.tlog.merkle import ProofError
from audit.tlog.proof import parse_proof
from audit.tlog.proving import prove
from audit.tlog.report import INCOMPLETE, TAMPERED, Report
from audit.tlog.strict_json import strict_json
from audit.tlog.tiles import WIDTH
from audit.tlog.whole import parsed_entries

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from audit.tlog.policy import Policy
    from audit.tlog.proof import LogProof
    from audit.tlog.whole import Files

FORMAT: Final = "peerage-receipt/1"
CONNECTION, KEY, ENROLMENT, SIGN_IN = "connection", "key", "enrolment", "sign_in"
CODES: Final = {KEY: "KY001", ENROLMENT: "DV004", SIGN_IN: "ID001"}
LOGS: Final = {CONNECTION: "connections"}
# A step's value, and the value of the connection or enrolment that it must equal.
LINKS: Final[tuple[tuple[tuple[str, ...], tuple[str, ...]], ...]] = (
    ((KEY, "device", "id"), (CONNECTION, "who", "device_id")),
    ((KEY, "details", "fingerprint"), (CONNECTION, "who", "key_fingerprint")),
    ((ENROLMENT, "id"), (CONNECTION, "who", "enrolment")),
    ((ENROLMENT, "device", "id"), (CONNECTION, "who", "device_id")),
    ((SIGN_IN, "id"), (ENROLMENT, "details", "sign_in")),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One proof of a receipt; `row` and `salts` open it, where they are given."""

    name: str
    proof: LogProof
    row: Mapping[str, Any] | None = None
    salts: Mapping[str, bytes | None] = field(default_factory=dict)


def receipt(steps: Iterable[Step]) -> str:
    """Return the steps as a file to hand on."""
    return json.dumps(
        {
            "format": FORMAT,
            "steps": [
                {
                    "step": step.name,
                    "proof": str(step.proof),
                    "row": step.row,
                    "salts": {
                        person: salt and base64.b64encode(salt).decode()
                        for person, salt in step.salts.items()
                    },
                }
                for step in steps
            ],
        },
        indent=1,
    )


def find_steps(files: Mapping[str, Files], policy: Policy, index: int) -> list[Step]:
    """Return the steps for one entry of the connections log, found by reading all.

    Raises:
        ValueError: the entry is none of a connection, or a log is not there.
    """
    if set(files) != {"control", "connections"}:
        raise ValueError("a receipt needs both logs: an export's whole directory")
    steps = [step(CONNECTION, files["connections"], policy, index)]
    who = strict_json(steps[0].proof.entry).get("who", {})
    wanted = {
        KEY: (who.get("device_id"), who.get("key_fingerprint")),
        ENROLMENT: who.get("enrolment"),
    }
    size = policy.check(files["control"].read("checkpoint")).checkpoint.size
    # A sign-in comes before the enrolment that names it.
    sign_ins: dict[str, int] = {}
    found: dict[str, int] = {}
    for place, leaf in parsed_entries(files["control"], size):
        device, details = leaf.get("device", {}).get("id"), leaf.get("details", {})
        if leaf.get("code") == CODES[SIGN_IN]:
            sign_ins[leaf["id"]] = place
        elif leaf.get("code") == CODES[ENROLMENT] and leaf["id"] == wanted[ENROLMENT]:
            found[ENROLMENT] = place
            if (sign_in := details.get("sign_in")) in sign_ins:
                found[SIGN_IN] = sign_ins[sign_in]
        elif (
            leaf.get("code") == CODES[KEY]
            and (device, details.get("fingerprint")) == wanted[KEY]
        ):
            found[KEY] = place
    order = [name for name in CODES if name in found]
    return steps + [step(name, files["control"], policy, found[name]) for name in order]


def step(name: str, files: Files, policy: Policy | None, index: int) -> Step:
    """Return one step: the proof, and what opens it where the rows are there."""
    lines = files.lines(rows_path(index // WIDTH))
    line: dict[str, Any] = next((line for line in lines if line["i"] == index), {})
    return Step(
        name=name,
        proof=prove(files, policy, index),
        row=line.get("row"),
        salts=salts(line.get("salts", {})),
    )


def check_receipt(text: str, policy: Policy, report: Report) -> None:
    """Add to the report what a receipt proves, and everything that is wrong with it.

    Raises:
        ValueError: it is no receipt at all.
    """
    steps = parse_receipt(text)
    leaves: dict[str, list[Any]] = {}
    people: set[str] = set()
    report.facts["steps"] = []
    for step in steps:
        leaf = _proved(step, policy, report)
        if leaf is None:
            continue
        leaves.setdefault(step.name, []).append(leaf)
        people |= {_person(step.row)} - {""} if step.row else set()
        if code := CODES.get(step.name):
            _equal(report, f"the code of {step.name}", leaf.get("code"), code)
    for one, other in LINKS:
        _check_link(leaves, one, other, report)
    if len(people) > 1:
        report.add(TAMPERED, "", None, f"several people: {', '.join(sorted(people))}")
    for name in (CONNECTION, KEY, ENROLMENT, SIGN_IN):
        if name not in leaves:
            report.add(INCOMPLETE, "", None, f"nothing proves the step {name}")


def parse_receipt(text: str) -> list[Step]:
    """Read a receipt without believing it.

    Raises:
        ValueError: it is none.
    """
    told = strict_json(text)
    if not isinstance(told, dict) or told.get("format") != FORMAT:
        raise ValueError(f"not a receipt of the format {FORMAT}")
    try:
        return [_step(item) for item in told["steps"]]
    except (KeyError, TypeError, AttributeError) as exc:
        raise ValueError(f"not a receipt: {exc!r}") from exc


def _step(item: Mapping[str, Any]) -> Step:
    return Step(
        name=item["step"],
        proof=parse_proof(item["proof"]),
        row=item.get("row"),
        salts=salts(item.get("salts", {})),
    )


def _proved(step: Step, policy: Policy, report: Report) -> dict[str, Any] | None:
    """Return the leaf of a step that is in a log which the policy believes."""
    index = step.proof.index
    try:
        accepted = step.proof.check(policy)
        leaf = _opened(step)
    except (LeafError, ValueError, LookupError, TypeError, AttributeError) as exc:
        report.add(TAMPERED, step.name, index, str(exc))
        return None
    origin = accepted.checkpoint.origin
    _equal(report, step.name, origin.rpartition("/")[2], LOGS.get(step.name, "control"))
    report.facts["steps"].append(
        {
            "step": step.name,
            "log": origin,
            "index": index,
            "witnesses": dict(accepted.witnesses),
            "leaf": leaf,
            "row": step.row,
        }
    )
    if gone := sorted(who for who, salt in step.salts.items() if salt is None):
        # Their names were in the leaf and are nowhere any more.
        known = report.facts.setdefault("forgotten", [])
        known += (who for who in gone if who not in known)
    return leaf


def _opened(step: Step) -> dict[str, Any]:
    """Return the leaf of a step; what is shown beside it must be what was sealed."""
    leaf = strict_json(step.proof.entry)
    if not isinstance(leaf, dict):
        raise ProofError("the entry is no event")
    if step.row is not None and not agrees(step.proof.entry, step.row, step.salts):
        raise ProofError("the row that is shown is not the one that was sealed")
    return leaf


def _check_link(
    leaves: Mapping[str, list[Any]],
    one: tuple[str, ...],
    other: tuple[str, ...],
    report: Report,
) -> None:
    for held in leaves.get(one[0], ()):
        for meant in leaves.get(other[0], ()):
            found, wanted = _value(held, one[1:]), _value(meant, other[1:])
            _equal(report, f"{'.'.join(one)} and {'.'.join(other)}", found, wanted)


def _equal(report: Report, what: str, found: object, wanted: object) -> None:
    if not found or found != wanted:
        report.add(TAMPERED, "", None, f"{what} do not fit: {found!r}, {wanted!r}")


def _value(leaf: Mapping[str, Any], path: tuple[str, ...]) -> object:
    found: Any = leaf
    for name in path:
        found = found.get(name) if isinstance(found, dict) else None
    return found


def _person(row: Mapping[str, Any]) -> str:
    facts = row.get("attribution", row)
    return str(facts.get("person_id", ""))
