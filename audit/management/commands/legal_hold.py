"""Keep evidence: what is under a legal hold is neither forgotten nor pruned.

manage.py legal_hold place [us_7] [--since DAY] [--until DAY] --reason TEXT
manage.py legal_hold lift lh_3 --reason TEXT
manage.py legal_hold list
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from django.core.management.base import BaseCommand, CommandError

from audit.actor import Actor, ActorKind
from audit.errors import HoldError
from audit.leaves import PERSON_PREFIX
from audit.models import LegalHold
from audit.retention.holds import holds_in_force, lift_hold, place_hold

if TYPE_CHECKING:
    from argparse import ArgumentParser

ACTOR = Actor(kind=ActorKind.COMMAND, id="legal_hold", label="manage.py legal_hold")


class Command(BaseCommand):
    """See the module."""

    help = "Place, lift or list legal holds."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Take what to do with which hold."""
        commands = parser.add_subparsers(dest="action", required=True)
        place = commands.add_parser("place")
        place.add_argument("person", nargs="?", default="", help="us_7; or everybody")
        place.add_argument("--since", type=_day, metavar="YYYY-MM-DD")
        place.add_argument("--until", type=_day, metavar="YYYY-MM-DD")
        place.add_argument("--reason", required=True)
        lift = commands.add_parser("lift")
        lift.add_argument("hold", help="lh_3")
        lift.add_argument("--reason", required=True)
        commands.add_parser("list")

    def handle(self, **options: Any) -> None:  # noqa: ANN401 -- Django's signature
        """Do it, and show the hold."""
        now = datetime.now(UTC)  # noqa: TID251 -- a command is an edge
        try:
            match options["action"]:
                case "place":
                    holds = [
                        place_hold(
                            person=_person(options["person"]),
                            since=options["since"],
                            until=options["until"],
                            reason=options["reason"],
                            actor=ACTOR,
                            now=now,
                        )
                    ]
                case "lift":
                    held = _hold(options["hold"])
                    holds = [
                        lift_hold(
                            hold=held, reason=options["reason"], actor=ACTOR, now=now
                        )
                    ]
                case _:
                    holds = [*holds_in_force()]
        except HoldError as exc:
            raise CommandError(str(exc)) from exc
        for hold in holds:
            state = "lifted" if hold.lifted_at else "in force"
            self.stdout.write(f"{hold.ref.id}: {hold}: {state}: {hold.reason}")


def _day(text: str) -> datetime:
    return datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC)


def _person(text: str) -> str:
    number = text.removeprefix(PERSON_PREFIX)
    if not text:
        return ""
    if number == text or not number.isdecimal():
        raise CommandError(f"{text!r} is no number of a person, as us_7")
    # As the log writes it: a hold on us_07 would keep nobody.
    return f"{PERSON_PREFIX}{int(number)}"


def _hold(text: str) -> LegalHold:
    number = text.removeprefix("lh_")
    found = (
        LegalHold.objects.filter(pk=int(number)).first() if number.isdecimal() else None
    )
    if found is None:
        raise CommandError(f"there is no hold {text!r}")
    return found
