"""Say whether somebody can reach something, and why."""

from __future__ import annotations

import json
import sys
from argparse import ArgumentParser
from collections.abc import Iterator
from datetime import UTC, datetime
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError

from audit.services import NOBODY
from policies.dialect.errors import DialectError
from policies.errors import PolicyError
from policies.explanations import answer
from policies.policy_files.supposing import answer_supposing
from policies.services.inquiries import record_inquiry
from policies.wording import answer_output, question_text
from portal.accounts.selectors import find_user
from portal.console.questions import DestinationForm, find_device
from portal.management.actors import command_actor
from portal.management.files import read_source

if TYPE_CHECKING:
    from peers.models import Device
    from policies.compiler.explanation import Question
    from policies.explanations import Answer
    from portal.accounts.models import User

DENIED: Final = 1
USAGE: Final = 2
SOURCES: Final = {
    "snapshots": "the snapshots in force",
    "policy": "policy",
    "supposed": "the policy file, which is not applied,",
}


class Command(BaseCommand):
    """Exit status 0 when allowed, 1 when denied, 2 when the question is wrong."""

    help = "Say whether a person or a device can reach an address, and why."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Take who, where to, how and when."""
        parser.add_argument("who", help="us_7, dv_7, or the subject at the provider")
        parser.add_argument("destination", help="an IPv4 or IPv6 address")
        parser.add_argument("--protocol", default="tcp", metavar="NAME|NUMBER")
        parser.add_argument("--port", default="")
        parser.add_argument("--at", default="", help="in UTC: 2026-05-03T14:30")
        parser.add_argument(
            "--policy",
            default="",
            metavar="FILE",
            help="as if this policy file had been applied; - is standard input",
        )
        parser.add_argument(
            "--gateway",
            action="append",
            default=[],
            metavar="NAME",
            help="a gateway that new applications of the file are behind",
        )
        parser.add_argument("--json", action="store_true", dest="as_json")

    def handle(self, *_args: object, **options: Any) -> None:  # noqa: ANN401 -- Django's signature
        """Print the answer; a denial ends with status 1."""
        now = datetime.now(UTC)  # noqa: TID251 -- a command is an edge
        person, device = _whom(options["who"])
        form = DestinationForm(options, now=now)
        if not form.is_valid():
            told = "; ".join(
                f"{name}: {' '.join(map(str, messages))}"
                for name, messages in form.errors.items()
            )
            raise CommandError(told, returncode=USAGE)
        question = form.cleaned_data["question"]
        path = options["policy"]
        source = read_source(path, returncode=USAGE) if path else None
        record_inquiry(
            question="explain",
            details={
                "destination": question_text(question),
                "at": f"{question.at:%FT%TZ}",
                "policy_sha256": "" if source is None else sha256(source).hexdigest(),
            },
            person=person.ref,
            device=NOBODY if device is None else device.ref,
            actor=command_actor("explain"),
            now=now,
        )
        if source is None:
            found = answer(person, device, question, now=now, with_others=True)
        else:
            chosen = options["gateway"]
            found = _supposed(
                source, person, device, question, gateways=chosen, now=now
            )
        output = answer_output(found)
        if options["as_json"]:
            self.stdout.write(json.dumps(output, indent=2))
        else:
            self.stdout.writelines(f"{line}\n" for line in _lines(output))
        if not found.is_allowed:
            sys.exit(DENIED)


def _supposed(
    source: bytes,
    person: User,
    device: Device | None,
    question: Question,
    *,
    gateways: list[str],
    now: datetime,
) -> Answer:
    try:
        return answer_supposing(
            source,
            person,
            device,
            question,
            gateways=gateways,
            actor=command_actor("explain"),
            now=now,
        )
    except (DialectError, PolicyError) as exc:
        raise CommandError(str(exc), returncode=USAGE) from exc


def _whom(text: str) -> tuple[User, Device | None]:
    if text.startswith("dv_"):
        try:
            device = find_device(text)
        except ValidationError as exc:
            raise CommandError(exc.message, returncode=USAGE) from exc
        return device.owner, device
    found = find_user(text)
    if found is None:
        msg = f"{text!r} is nobody, or the subject of several people; say us_NUMBER"
        raise CommandError(msg, returncode=USAGE)
    return found, None


def _lines(output: dict[str, Any]) -> Iterator[str]:
    """Return the answer as a person at a terminal reads it."""
    port = "" if output["port"] is None else f"/{output['port']}"
    where = f"{output['destination']} {output['protocol']}{port}"
    person = output["person"]
    yield f"{output['verdict']}: {person['name']} ({person['id']}) → {where}"
    yield f"by {SOURCES[output['source']]} at {output['at']}"
    for part in output["gateways"]:
        yield from _gateway_lines(part)


def _gateway_lines(part: dict[str, Any]) -> Iterator[str]:
    name = part["gateway"]["name"] if part["gateway"] else "no gateway"
    place = part["snapshot"]
    number = f", generation {place['epoch']}.{place['generation']}" if place else ""
    state = "" if part["is_acknowledged"] or not place else ", not acknowledged"
    yield f"{name}: {part['verdict']}{number}{state}"
    if part["problem"]:
        yield f"  {part['problem']}"
    if part["pending"]:
        pending = part["pending"]
        yield f"  {pending['epoch']}.{pending['generation']} is not acknowledged yet"
    if part["enforces"]:
        yield f"  not enforced yet; at this moment: {part['enforces']}"
    yield from (f"  {name['sentence']}" for name in part["names"])
    for grant in part["grants"]:
        yield f"  allowed by {grant['grant']['id']} {grant['grant']['name']}"
    if part["verdict"] == "denied":
        yield from (f"  {failure['sentence']}" for failure in part["failures"])
    for candidate in part["candidates"]:
        yield f"  {candidate['grant']['id']} {candidate['grant']['name']}:"
        yield from (f"    {failure['sentence']}" for failure in candidate["failures"])
