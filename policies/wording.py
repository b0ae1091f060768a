"""Explanations in words and as JSON. Pure: what is said, not where it is shown."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

from policies.application_terms import terms_text
from policies.compiler.conditions import MaxAge
from policies.compiler.explanation import NUMBERS, Condition
from policies.compiler.types import NEVER, Protocol
from policies.conditions import requirement_text

if TYPE_CHECKING:
    from datetime import datetime

    from policies.compiler.conditions import Requirement
    from policies.compiler.explanation import Candidate, Failure, Question
    from policies.compiler.types import Destination, Grant
    from policies.explanations import Answer, GatewayAnswer
    from policies.history import Position

SENTENCES: Final[Mapping[Condition, str]] = {
    Condition.FORBIDDEN: "no grant can cover this destination and protocol",
    Condition.LATERAL: "devices do not reach each other",
    Condition.USER_DISABLED: "the person is disabled",
    Condition.LOCKED: "a lock stops the person or the device",
    Condition.GATEWAY_LOCKED: "a lock stops everybody at this gateway",
    Condition.NO_DEVICE: "the person has no device",
    Condition.DEVICE_REVOKED: "the device is revoked{since}",
    Condition.DEVICE_NOT_ENROLLED: "the device is not enrolled{until}",
    Condition.DEVICE_ABSENT: "the snapshot does not hold the device",
    Condition.SESSION_ENDED: "the device's time here ended{at}",
    Condition.NO_ADDRESS: "the device has no address of this IP version",
    Condition.GRANT_ABSENT: "the snapshot does not hold the grant",
    Condition.NOT_MEMBER: "it is for {subject}, who is somebody else",
    Condition.NOT_BEGUN: "it begins{at}",
    Condition.ENDED: "it ended{at}",
    Condition.OUTSIDE_HOURS: "it is outside its hours; they open again{at}",
    Condition.PROOF_TOO_OLD: "it needs a {wanted}; {proven}",
    Condition.PROOF_TOO_WEAK: "it needs a {wanted}; {proven}",
    Condition.NOT_APPROVED: "it needs an approved device; this one is not approved",
    Condition.APPLICATION_LOCKED: "{application} is locked",
    Condition.NOT_SERVED: "no application of this gateway: {application}",
    Condition.WRONG_DESTINATION: "{application} is elsewhere{nearest}",
    Condition.WRONG_PROTOCOL: "{application} takes another protocol{nearest}",
    Condition.WRONG_PORT: "{application} listens on another port{nearest}",
    Condition.NOT_RESOLVED: "{host} is not known to stand for this address there",
}
"""What is said of each condition; a new one cannot be forgotten (a test looks)."""

NO_MEMBER: Final = "not a member of the group {subject}"

PROTOCOLS: Final = {number: protocol.value for protocol, number in NUMBERS.items()}


def failure_sentence(failure: Failure, grant: Grant, names: Mapping[str, str]) -> str:
    """Return in words what failed."""
    subject, number = grant.subject.ref, f"ap_{grant.application_id}"
    template = SENTENCES[failure.condition]
    if failure.condition is Condition.NOT_MEMBER and subject.startswith("gr_"):
        template = NO_MEMBER
    return template.format(
        subject=names.get(subject, subject),
        application=names.get(number, number),
        **_times(failure),
        **_demand(failure),
        host=failure.nearest.host if failure.nearest else "its name",
        nearest=(
            f"; the nearest is {destination_text(failure.nearest)}"
            if failure.nearest
            else ""
        ),
    )


def general_sentence(failure: Failure) -> str:
    """Return in words what failed whatever the grant."""
    return SENTENCES[failure.condition].format(
        subject="",
        application="",
        host="",
        nearest="",
        **_times(failure),
        **_demand(failure),
    )


def destination_text(found: Destination) -> str:
    """Return a destination as people write it."""
    where = f"{found.host} in {found.prefix}" if found.host else f"{found.prefix}"
    if found.ports is None:
        what = "any protocol" if found.protocol is Protocol.ANY else found.protocol
        return f"{where} {what}"
    first, last = found.ports.first, found.ports.last
    ports = f"{first}" if first == last else f"{first}-{last}"
    return f"{where} {found.protocol}/{ports}"


def question_text(question: Question) -> str:
    """Return what is asked for: address, protocol and port."""
    protocol = protocol_text(question.protocol)
    port = "" if question.port is None else f"/{question.port}"
    return f"{question.destination} {protocol}{port}"


def protocol_text(number: int) -> str:
    """Return the name of a protocol, or its number."""
    return PROTOCOLS.get(number, str(number))


def answer_output(found: Answer) -> dict[str, Any]:
    """Return an answer as the API and the command say it."""
    question = found.question
    return {
        "verdict": _verdict(is_allowed=found.is_allowed),
        "person": {"id": found.person.ref.id, "name": str(found.person)},
        "device": found.device
        and {"id": found.device.ref.id, "name": found.device.name},
        "destination": str(question.destination),
        "protocol": protocol_text(question.protocol),
        "port": question.port,
        "at": question.at.isoformat(),
        "source": _source(found),
        "gateways": [_gateway_output(part, found.names) for part in found.gateways],
    }


def _source(found: Answer) -> str:
    if found.is_supposed:
        return "supposed"
    return "snapshots" if found.is_past else "policy"


def _gateway_output(part: GatewayAnswer, names: Mapping[str, str]) -> dict[str, Any]:
    told = part.explanation
    gateway = part.gateway
    enforces = part.enforces
    return {
        "gateway": gateway and {"id": gateway.ref.id, "name": gateway.name},
        "verdict": _verdict(is_allowed=part.is_allowed) if told else "unknown",
        "snapshot": _position_output(part.position),
        "is_acknowledged": part.is_acknowledged,
        "pending": _position_output(part.pending),
        "enforces": None if enforces is None else _verdict(is_allowed=enforces),
        "problem": part.problem,
        "names": [_told_output(each, part) for each in (told.hosts if told else ())],
        "terms": [*term_sentences(part, names)],
        "devices": [f"dv_{number}" for number in told.device_ids] if told else [],
        "grants": [_grant_output(g, names) for g in told.grants] if told else [],
        "failures": [
            {**_failure_output(failure), "sentence": general_sentence(failure)}
            for failure in (told.failures if told else ())
        ],
        "candidates": [
            _candidate_output(candidate, names)
            for candidate in (told.candidates if told else ())
        ],
    }


def term_sentences(part: GatewayAnswer, names: Mapping[str, str]) -> Iterator[str]:
    """Yield in words what the answer supposes of applications with their own terms."""
    terms = part.explanation.terms if part.explanation else {}
    for number, found in sorted(terms.items()):
        ref = f"ap_{number}"
        yield f"{names.get(ref, ref)} {terms_text(found)}"


def name_sentence(host: str, part: GatewayAnswer) -> str:
    """Return in words what a host name, on which the answer depends, stands for."""
    where = f"at {part.gateway}" if part.gateway else "at its gateway"
    depends = f"it depends on what {host} resolves to {where}"
    told = next((each for each in part.told if each.host == host), None)
    if told is None or told.told_at is None:
        return f"{depends}, which is not known here"
    said = ", ".join(told.addresses) or "nothing"
    return f"{depends}: {said}, as it said at {told.told_at:%Y-%m-%d %H:%M:%S} UTC"


def _told_output(host: str, part: GatewayAnswer) -> dict[str, Any]:
    told = next((each for each in part.told if each.host == host), None)
    is_known = told is not None and told.told_at is not None
    return {
        "host": host,
        "addresses": list(told.addresses) if told and is_known else None,
        "told_at": _moment(told.told_at) if told and told.told_at else None,
        "sentence": name_sentence(host, part),
    }


def _candidate_output(candidate: Candidate, names: Mapping[str, str]) -> dict[str, Any]:
    number = candidate.device_id
    return {
        **_grant_output(candidate.grant, names),
        "device": None if number is None else f"dv_{number}",
        "failures": [
            {
                **_failure_output(failure),
                "sentence": failure_sentence(failure, candidate.grant, names),
            }
            for failure in candidate.failures
        ],
    }


def _grant_output(grant: Grant, names: Mapping[str, str]) -> dict[str, Any]:
    ref, subject, number = (
        f"gt_{grant.id}",
        grant.subject.ref,
        f"ap_{grant.application_id}",
    )
    return {
        "grant": {"id": ref, "name": names.get(ref, ref)},
        "subject": {"id": subject, "name": names.get(subject, subject)},
        "application": {"id": number, "name": names.get(number, number)},
        "expires_at": None if grant.expires_at == NEVER else _moment(grant.expires_at),
    }


def _failure_output(failure: Failure) -> dict[str, Any]:
    return {
        "condition": failure.condition.value,
        "at": failure.at and _moment(failure.at),
        "nearest": failure.nearest and destination_text(failure.nearest),
        "requires": failure.requirement and requirement_text(failure.requirement),
    }


def _position_output(position: Position | None) -> dict[str, Any] | None:
    return (
        None
        if position is None
        else {
            "epoch": position.epoch,
            "generation": position.generation,
            "since": _moment(position.since),
        }
    )


def _times(failure: Failure) -> dict[str, str]:
    if failure.at is None:
        return {"at": "", "since": "", "until": ""}
    said = f"{failure.at:%Y-%m-%d %H:%M:%S} UTC"
    return {"at": f" at {said}", "since": f" since {said}", "until": f" before {said}"}


def _demand(failure: Failure) -> dict[str, str]:
    """Return what is demanded, and what there is instead, as far as it is known."""
    wanted = failure.requirement
    if wanted is None:
        return {"wanted": "proof", "proven": "there is none"}
    return {"wanted": requirement_text(wanted), "proven": _proven(failure, wanted)}


def _proven(failure: Failure, wanted: Requirement) -> str:
    proof = failure.proof
    if isinstance(wanted, MaxAge) and failure.at is not None:
        return f"the last one is too old since {failure.at:%Y-%m-%d %H:%M:%S} UTC"
    if proof is None:
        return "none is known that would do"
    if isinstance(wanted, MaxAge):
        return "the identity provider does not say when the last one was"
    methods = " and ".join(proof.amr) or "methods it does not tell"
    of_class = f", of class {proof.acr}" if proof.acr else ""
    return f"the last one was with {methods}{of_class}"


def _verdict(*, is_allowed: bool) -> str:
    return "allowed" if is_allowed else "denied"


def _moment(value: datetime) -> str:
    return value.isoformat()
