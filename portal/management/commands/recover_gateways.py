"""After a backup was restored: take back what gateways know, and let them go on."""

from __future__ import annotations

import time
from argparse import ArgumentParser
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from django.core.management.base import BaseCommand, CommandError

from peers.models import Gateway
from policies import recovery_selectors, services
from policies.models import GatewayRecovery
from portal.management.actors import command_actor

POLL_SECONDS: Final = 0.2


class Command(BaseCommand):
    """Exit status 0 when no gateway is ahead, or each that was asked has gone on."""

    help = "Recover gateways that are ahead of a portal restored from a backup."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Take whom to leave out, and how long to wait."""
        parser.add_argument(
            "--without",
            action="append",
            default=[],
            metavar="GATEWAY",
            help="go on without this one, by name or gw_NUMBER; it stays closed",
        )
        parser.add_argument(
            "--wait", action="store_true", help="wait until all have gone on"
        )
        parser.add_argument("--timeout", type=float, default=120.0, metavar="SECONDS")

    def handle(self, *_args: object, **options: Any) -> None:  # noqa: ANN401 -- Django's signature
        """Ask, then print what each did."""
        rows = services.begin_recovery(
            without=[_gateway(text) for text in options["without"]],
            actor=command_actor("recover_gateways"),
            now=datetime.now(UTC),  # noqa: TID251 -- a command is an edge
        )
        if not rows:
            self.stdout.write("no gateway is ahead of this portal")
            return
        self.stdout.write(
            f"{len(rows)} gateways are ahead of this portal: it was restored from a"
            " backup"
        )
        deadline = time.monotonic() + (options["timeout"] if options["wait"] else 0)
        while (waiting := _waiting(rows)) and time.monotonic() < deadline:
            time.sleep(POLL_SECONDS)
        for row in _read(rows):
            for line in _lines(row):
                self.stdout.write(line)
        if options["wait"] and waiting:
            names = ", ".join(row.gateway.name for row in waiting)
            msg = f"not gone on: {names}"
            raise CommandError(msg)


def _gateway(text: str) -> Gateway:
    for row in recovery_selectors.gateways_ahead():
        if text in {row.gateway.name, row.gateway.ref.id}:
            return row.gateway
    msg = f"{text!r} is no gateway that is ahead"
    raise CommandError(msg)


def _read(rows: Sequence[GatewayRecovery]) -> Sequence[GatewayRecovery]:
    found = GatewayRecovery.objects.filter(pk__in=[row.pk for row in rows])
    return [
        *found.select_related("gateway")
        .prefetch_related("devices__owner")
        .order_by("gateway__name")
    ]


def _waiting(rows: Sequence[GatewayRecovery]) -> Sequence[GatewayRecovery]:
    return [row for row in _read(rows) if row.ended_at is None and not row.is_left_out]


def _lines(row: GatewayRecovery) -> Iterator[str]:
    yield f"{row.gateway.name}: holds {row.epoch}.{row.generation}, {_state(row)}"
    for device in row.devices.all():
        yield f"  revoked again: {device.name} of {device.owner}"
    if row.keys_forgotten:
        yield f"  {row.keys_forgotten} keys that this portal had forgotten"


def _state(row: GatewayRecovery) -> str:
    if row.is_left_out:
        return "left out"
    if row.ended_at is not None:
        return f"gone on in epoch {row.step_epoch}"
    if row.step:
        return f"given the step to epoch {row.step_epoch}"
    return "has answered" if row.shown_at else "asked, not answered yet"
