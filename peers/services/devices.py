"""Devices: enrolled once with a key nobody ever offered before, revoked for good."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final

from django.conf import settings
from django.db import IntegrityError, transaction

from audit.actor import Ref
from audit.events import EventCode, Outcome
from audit.selectors import latest_sign_in
from audit.services import record, record_all
from peers.errors import (
    DeviceLimitError,
    DeviceRevokedError,
    InvalidNameError,
    KeySeenError,
    OwnerInactiveError,
    PeerError,
)
from peers.keys import KEY_BYTES, decode_base64, fingerprint
from peers.models import (
    Device,
    DeviceKey,
    DeviceState,
    ForgottenKey,
    Gateway,
    KeyState,
)
from peers.names import valid_name, valid_platform
from peers.services.challenges import prove_possession
from peers.services.leases import lease_addresses
from peers.services.revoking import key_event
from peers.signals import peers_changed
from portal.accounts.models import User

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

    from audit.actor import Actor

ONE_DAY: Final = timedelta(days=1)
ENROLMENTS_A_DAY: Final = 3
"""So many times the device limit."""
KEY_SEEN: Final = "this key has been used before; make a new one"
NAME_TAKEN: Final = "another active device has this name"


def enroll_device(
    *,
    user: User,
    name: str,
    platform: str,
    public_key: str,
    challenge_id: UUID,
    proof: str,
    actor: Actor,
    now: datetime,
    sign_in: str = "",
) -> Device:
    """Enrol a device whose private key the person has proven to hold.

    `sign_in` is the uid of the sign-in of the session that asks; without one (a
    command line's token) the event names the person's last sign-in before.

    A refusal changes nothing but the challenge, which serves one answer, and
    records one event.

    Raises:
        InvalidNameError: the name or platform is malformed, or the name is taken.
        InvalidKeyError: the key is malformed or weak.
        PossessionError: the proof is wrong, or its challenge gone.
        KeySeenError: the key was seen before, whoever holds or held it.
        DeviceLimitError: the person has as many devices as are allowed.
        OwnerInactiveError: the person is disabled.
        PoolExhaustedError: no address is free.
    """
    try:
        device = Device(
            owner=user,
            name=valid_name(name),
            platform=valid_platform(platform),
            created_at=now,
        )
        prove_possession(
            user=user,
            challenge_id=challenge_id,
            public_key=public_key,
            proof=proof,
            now=now,
        )
        with transaction.atomic():
            return _enroll(device, public_key, actor, now, sign_in)
    except PeerError as exc:
        _record_refused(exc, user=user, public_key=public_key, actor=actor, now=now)
        raise


def rename_device(*, device: Device, name: str, actor: Actor, now: datetime) -> Device:
    """Give a device another name.

    Raises:
        DeviceRevokedError: the device was revoked.
        InvalidNameError: the name is malformed or taken.
    """
    try:
        _refuse_revoked(device)
        with transaction.atomic():
            return _rename(device, valid_name(name), actor, now)
    except PeerError as exc:
        record(
            EventCode.DEVICE_UPDATE,
            outcome=Outcome.REFUSED,
            actor=actor,
            now=now,
            person=device.owner.ref,
            device=device.ref,
            reason=str(exc),
        )
        raise


def record_config_issued(*, device: Device, actor: Actor, now: datetime) -> None:
    """Record that the owner was given the configuration of a device.

    Raises:
        DeviceRevokedError: the device was revoked; it has no configuration.
    """
    _refuse_revoked(device)
    record(
        EventCode.DEVICE_CONFIG_ISSUED,
        actor=actor,
        now=now,
        person=device.owner.ref,
        device=device.ref,
    )


def _enroll(
    device: Device, public_key: str, actor: Actor, now: datetime, sign_in: str
) -> Device:
    _lock_owner(device.owner_id)
    _refuse_seen(public_key)
    _refuse_beyond_limit(device.owner_id, now)
    _save_named(device)
    key = _register(device, public_key, now)
    leases = lease_addresses(device=device, now=now)
    person = device.owner.ref
    record(
        EventCode.DEVICE_ENROLL_COMPLETE,
        actor=actor,
        now=now,
        person=person,
        device=device.ref,
        details={
            "platform": device.platform,
            "addresses": [lease.address for lease in leases],
            **({"sign_in": sign_in} if sign_in else latest_sign_in(person.id)),
        },
    )
    record_all([key_event(EventCode.KEY_REGISTERED, key, actor=actor, now=now)])
    peers_changed.send(
        Device, user_ids=frozenset({device.owner_id}), gateway_ids=frozenset()
    )
    return device


def _refuse_revoked(device: Device) -> None:
    if not device.is_active:
        raise DeviceRevokedError(f"{device.name} was revoked; enrol a new device")


def _lock_owner(user_id: int) -> None:
    # A row lock, though elsewhere only addresses are worth one: the device limit
    # is a count, which no constraint can keep, and a revocation of the person
    # that runs at this moment must not miss this device.
    people = User.objects.select_for_update(no_key=True).filter(is_active=True)
    if people.filter(pk=user_id).first() is None:
        raise OwnerInactiveError("this person is disabled")


def _refuse_seen(public_key: str) -> None:
    if (
        DeviceKey.objects.filter(public_key=public_key).exists()
        or Gateway.objects.filter(public_key=public_key).exists()
        or ForgottenKey.objects.filter(public_key=public_key).exists()
    ):
        raise KeySeenError(KEY_SEEN)


def _refuse_beyond_limit(user_id: int, now: datetime) -> None:
    limit = settings.PEERAGE_DEVICE_LIMIT
    devices = Device.objects.filter(owner_id=user_id)
    if devices.filter(state=DeviceState.ACTIVE).count() >= limit:
        msg = f"you have {limit} devices, which is the limit; revoke one first"
        raise DeviceLimitError(msg)
    # Each enrolment takes an address that rests for months afterwards: one person
    # who enrols and revokes in a circle would leave none for the others.
    today = devices.filter(created_at__gt=now - ONE_DAY).count()
    if today >= ENROLMENTS_A_DAY * limit:
        msg = f"you enrolled {today} devices within a day; go on tomorrow"
        raise DeviceLimitError(msg)


def _save_named(device: Device) -> None:
    try:
        with transaction.atomic():
            device.save()
    except IntegrityError as exc:
        raise InvalidNameError(NAME_TAKEN) from exc


def _register(device: Device, public_key: str, now: datetime) -> DeviceKey:
    try:
        with transaction.atomic():
            return DeviceKey.objects.create(
                device=device,
                public_key=public_key,
                state=KeyState.ACTIVE,
                created_at=now,
            )
    except IntegrityError as exc:
        raise KeySeenError(KEY_SEEN) from exc


def _rename(device: Device, name: str, actor: Actor, now: datetime) -> Device:
    before = device.name
    try:
        with transaction.atomic():
            active = Device.objects.filter(pk=device.pk, state=DeviceState.ACTIVE)
            changed = active.update(name=name)
    except IntegrityError as exc:
        raise InvalidNameError(NAME_TAKEN) from exc
    if not changed:
        # Revoked since it was read; what it was called stays as it was.
        device.refresh_from_db(fields=("state",))
        _refuse_revoked(device)
    device.name = name
    record(
        EventCode.DEVICE_UPDATE,
        actor=actor,
        now=now,
        person=device.owner.ref,
        device=device.ref,
        details={"name_before": before},
    )
    return device


def _record_refused(
    exc: PeerError, *, user: User, public_key: str, actor: Actor, now: datetime
) -> None:
    details = {"error": type(exc).__name__}
    if decode_base64(public_key, length=KEY_BYTES) is not None:
        details["fingerprint"] = fingerprint(public_key)
    code = EventCode.DEVICE_ENROLL_REQUEST
    target = Ref(id="")
    if isinstance(exc, KeySeenError):
        code = EventCode.DEVICE_ENROLL_DUPLICATE_KEY
        target = _holder(public_key)
    elif isinstance(exc, DeviceLimitError):
        code = EventCode.DEVICE_LIMIT_EXCEEDED
    record(
        code,
        outcome=Outcome.REFUSED,
        actor=actor,
        now=now,
        person=user.ref,
        target=target,
        reason=str(exc),
        details=details,
    )


def _holder(public_key: str) -> Ref:
    # For the log's readers. The person who offered the key never learns it.
    key = DeviceKey.objects.filter(public_key=public_key).first()
    if key is not None:
        return key.device.ref
    gateway = Gateway.objects.filter(public_key=public_key).first()
    return gateway.ref if gateway is not None else Ref(id="")
