"""A company in which everything there is to do can be done once."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from audit.actor import SYSTEM, Ref
from audit.alarms.channels import ChannelInput, create_channel
from audit.alarms.models import ChannelKind
from audit.alarms.services import raise_findings
from audit.models import AuditEvent, Connection, Log
from audit.search.filters import Filter
from audit.search.saved import save_search
from audit.streams.checks import StreamInput
from audit.streams.models import StreamForm, StreamKind
from audit.streams.services import create_stream, disable_stream
from peers import services as peers_services
from peers.models import Gateway
from policies import services
from policies.destinations import DestinationInput
from policies.models import (
    AccessRequest,
    Application,
    Decision,
    GatewayRecovery,
    Revocation,
)
from portal import revocation
from portal.accounts.models import Role, User
from portal.accounts.services import assign_role
from tests.audit.alarms.makers import finding
from tests.browser.reviews import decided, started
from tests.browser.world import World, make_world

NOT_YET: Final = timedelta(minutes=5)


WEBHOOK: Final = "https://hooks.example.test/in"


@dataclass(frozen=True, slots=True, kw_only=True)
class Company:
    """Who and what there is, and the numbers that addresses need."""

    world: World
    owner: User
    auditor: User
    own_request: AccessRequest
    spare: Application
    porto: Gateway
    numbers: dict[str, Any]


def make_company(now: datetime) -> Company:
    """Make it; dave owns the portal, mallory was disabled, porto is described."""
    world = make_world(now)
    owner, auditor = world.people["dave"], world.people["carol"]
    assign_role(user=owner, role=Role.OWNER, actor=SYSTEM, now=now)
    gone = world.people["mallory"]
    done = revocation.revoke_user(
        user=gone, reason="left", actor=SYSTEM, requested_at=now, now=now
    )
    peers_services.approve_device(device=world.devices["desk"], actor=SYSTEM, now=now)
    own = services.request_access(
        application=world.applications["wiki"],
        requester=owner,
        reason="to see it",
        duration=timedelta(hours=4),
        actor=SYSTEM,
        now=now,
    )
    spare = services.create_application(
        name="Spare",
        destinations=[
            DestinationInput(prefix="10.20.8.0/24", protocol="tcp", port_first=443)
        ],
        gateways=[world.gateways["berlin"]],
        actor=SYSTEM,
        now=now,
    )
    porto = peers_services.create_gateway(
        name="porto",
        endpoint_host="porto.gw.example.test",
        endpoint_port=51820,
        actor=SYSTEM,
        now=now,
    )
    lisbon = world.gateways["lisbon"]
    Gateway.objects.filter(pk=lisbon.pk).update(quarantined_at=now)
    GatewayRecovery.objects.create(
        gateway=lisbon, epoch=1, generation=900, noticed_at=now
    )
    return Company(
        world=world,
        owner=owner,
        auditor=auditor,
        own_request=own,
        numbers=_numbers(world, done)
        | _watched(now, owner.ref)
        | _reviewed(world, now),
        spare=spare,
        porto=porto,
    )


def _watched(now: datetime, owner: Ref) -> dict[str, Any]:
    """Make an alarm, a channel, a search, and two streams, one of them stopped."""
    (alarm,) = raise_findings([finding(at=now)], now=now)
    channel, _ = create_channel(
        wanted=ChannelInput(name="desk", kind=ChannelKind.WEBHOOK, address=WEBHOOK),
        actor=SYSTEM,
        now=now,
    )
    flows, stopped = (
        create_stream(
            wanted=StreamInput(
                name=name,
                kind=StreamKind.WEBHOOK,
                address=WEBHOOK,
                form=StreamForm.NATIVE,
                logs=(Log.CONTROL,),
            ),
            from_beginning=False,
            actor=SYSTEM,
            now=now,
        )[0]
        for name in ("siem", "archive")
    )
    disable_stream(stream=stopped, reason="later", actor=SYSTEM, now=now)
    search = save_search(
        log=Log.CONTROL,
        name="nights",
        filters=Filter(),
        is_shared=True,
        owner=owner,
        actor=SYSTEM,
        now=now,
    )
    return {
        "search_id": search.pk,
        "log": Log.CONTROL.value,
        "alarm_id": alarm.pk,
        "channel_id": channel.pk,
        "stream_id": flows.pk,
        "stopped_id": stopped.pk,
    }


def _reviewed(world: World, now: datetime) -> dict[str, Any]:
    """Start two reviews; everything of the second one is decided."""
    alice = world.people["alice"]
    asked = started(world, "Wiki", [world.applications["wiki"]], now)
    answered = started(world, "Shop", [world.applications["database"]], now)
    everybody = [item.person for item in answered.items.select_related("person")]
    decided(world, answered, Decision.REMOVE, everybody)
    item = asked.items.filter(person=alice)[0]
    return {
        "campaign_id": asked.pk,
        "decided_id": answered.pk,
        "choice": f"{item.pk}.{item.revision}",
    }


def _numbers(world: World, done: Revocation) -> dict[str, Any]:
    """Return what stands for each parameter of an address."""
    return {
        "application_id": world.applications["wiki"].pk,
        "connection_id": Connection.objects.order_by("pk")[0].pk,
        "credential_id": world.credential.pk,
        "device_id": world.devices["laptop"].pk,
        "gateway_id": world.gateways["berlin"].pk,
        "grant_id": world.grants["own wiki"].pk,
        "kind": "user",
        "label_grant_id": world.label_grant.pk,
        "label_id": world.labels["staging"].pk,
        "lock_id": world.lock.pk,
        "request_id": world.requests["waiting"].pk,
        "revocation_id": done.pk,
        "tailnet": "-",
        "target_id": world.people["bob"].pk,
        "about": "person",
        "ref": world.people["alice"].ref.id,
        "uid": AuditEvent.objects.order_by("pk")[0].uid,
        "user_id": world.people["bob"].pk,
    }


def moment() -> datetime:
    """Return the time: pages are asked now."""
    return datetime.now(UTC)  # noqa: TID251 -- a test's edge


def nonce() -> str:
    """Return a public key that nobody has."""
    return base64.b64encode(bytes(31) + b"\x09").decode()
