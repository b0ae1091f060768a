"""Make the address pools that the settings name."""

from __future__ import annotations

from datetime import UTC, datetime

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.db import transaction

from audit.actor import Ref
from audit.events import EventCode
from audit.services import record
from peers.models import AddressPool
from policies.compiler.errors import InvalidValueError
from policies.compiler.types import network
from portal.management.actors import command_actor


class Command(BaseCommand):
    """Create the pools that are not there yet; never changes or removes one."""

    help = "Create the IPv4 and IPv6 tunnel pools, unless they are there."

    def handle(self, *_args: object, **_options: object) -> None:
        """Create each pool, refusing one that overlaps another."""
        for name in ("PEERAGE_POOL_IPV4", "PEERAGE_POOL_IPV6"):
            self._create(name, getattr(settings, name))

    def _create(self, name: str, text: str) -> None:
        try:
            prefix = network(text)
        except InvalidValueError as exc:
            msg = f"{name}: {exc}"
            raise CommandError(msg) from exc
        for pool in AddressPool.objects.all():
            other = network(pool.prefix)
            if other == prefix:
                self.stdout.write(f"pool {prefix} kept")
                return
            if other.version == prefix.version and other.overlaps(prefix):
                msg = f"{name}: {prefix} overlaps the pool {other}"
                raise CommandError(msg)
        with transaction.atomic():
            pool = AddressPool.objects.create(prefix=str(prefix))
            record(
                EventCode.SETTINGS_UPDATE,
                actor=command_actor("init_pools"),
                now=datetime.now(UTC),  # noqa: TID251 -- a command is an edge
                target=Ref(id=f"pool_{pool.pk}", label=f"the pool {prefix}"),
                details={"setting": name, "value": str(prefix)},
            )
        self.stdout.write(f"pool {prefix} made")
