"""Describe a gateway and print the token its agent enrols with."""

from __future__ import annotations

from argparse import ArgumentParser
from datetime import UTC, datetime
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from peers import services
from peers.errors import PeerError
from portal.management.actors import command_actor


class Command(BaseCommand):
    """Print a single-use token; nothing else goes to standard output."""

    help = "Describe a gateway and print its single-use enrolment token."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Take name and endpoint."""
        parser.add_argument("name")
        parser.add_argument(
            "--endpoint",
            required=True,
            metavar="HOST:PORT",
            help="what devices dial; an IPv6 address in brackets",
        )

    def handle(self, *_args: object, **options: Any) -> None:  # noqa: ANN401 -- Django's signature
        """Create the gateway and issue its token."""
        host, port = _endpoint(options["endpoint"])
        actor = command_actor("create_gateway")
        now = datetime.now(UTC)  # noqa: TID251 -- a command is an edge
        try:
            gateway = services.create_gateway(
                name=options["name"],
                endpoint_host=host,
                endpoint_port=port,
                actor=actor,
                now=now,
            )
            token = services.issue_enrolment_token(
                gateway=gateway, actor=actor, now=now
            )
        except PeerError as exc:
            raise CommandError(str(exc)) from exc
        self.stderr.write(f"{gateway.ref.id} {gateway.name}: token, once:")
        self.stdout.write(token)


def _endpoint(text: str) -> tuple[str, int]:
    host, colon, port = text.rpartition(":")
    if not colon or not port.isdecimal():
        msg = f"the endpoint {text!r} is not HOST:PORT"
        raise CommandError(msg)
    return host.removeprefix("[").removesuffix("]"), int(port)
