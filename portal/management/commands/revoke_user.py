"""Revoke a person everywhere, and see it enforced."""

from __future__ import annotations

import time
from argparse import ArgumentParser
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final

from django.core.management.base import BaseCommand, CommandError

from policies.models import Revocation, RevocationTarget
from portal import revocation
from portal.accounts.models import User
from portal.accounts.selectors import find_user
from portal.management.actors import command_actor

POLL_SECONDS: Final = 0.1


class Command(BaseCommand):
    """Exit status 0 when revoked and, with --wait, enforced by every gateway."""

    help = "Revoke a person's sessions, tokens, devices and connections everywhere."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Take who, why and how long to wait."""
        parser.add_argument("user", help="us_7, or the subject at the provider")
        parser.add_argument("--reason", required=True)
        parser.add_argument(
            "--wait",
            action="store_true",
            help="wait until every gateway enforces it",
        )
        parser.add_argument("--timeout", type=float, default=30.0, metavar="SECONDS")

    def handle(self, *_args: object, **options: Any) -> None:  # noqa: ANN401 -- Django's signature
        """Revoke, then print what each gateway says."""
        now = datetime.now(UTC)  # noqa: TID251 -- a command is an edge
        done = revocation.revoke_user(
            user=_user(options["user"]),
            reason=options["reason"],
            actor=command_actor("revoke_user"),
            requested_at=now,
            now=now,
        )
        self.stdout.write(
            f"{done.user} ({done.user.ref.id}) revoked: {done.devices.count()} devices,"
            f" {done.sessions_ended} sessions, {done.tokens_revoked} tokens"
        )
        deadline = time.monotonic() + (options["timeout"] if options["wait"] else 0)
        while (open_targets := _open(_targets(done))) and time.monotonic() < deadline:
            time.sleep(POLL_SECONDS)
        for target in _targets(done):
            self.stdout.write(_line(done, target))
        if options["wait"] and open_targets:
            names = ", ".join(target.gateway.name for target in open_targets)
            msg = f"not confirmed by {names}"
            raise CommandError(msg)


def _user(text: str) -> User:
    found = find_user(text)
    if found is None:
        msg = f"{text!r} is nobody, or the subject of several people; say us_NUMBER"
        raise CommandError(msg)
    return found


def _targets(done: Revocation) -> Sequence[RevocationTarget]:
    return [*done.targets.select_related("gateway").order_by("gateway__name")]


def _open(targets: Sequence[RevocationTarget]) -> Sequence[RevocationTarget]:
    return [target for target in targets if target.enforced_at is None]


def _line(done: Revocation, target: RevocationTarget) -> str:
    if target.enforced_at is None:
        return f"{target.gateway.name}: not confirmed"
    waited = (target.enforced_at - done.requested_at).total_seconds() * 1000
    return (
        f"{target.gateway.name}: enforced after {waited:.0f} ms,"
        f" {target.flows_cut} connections cut"
    )
