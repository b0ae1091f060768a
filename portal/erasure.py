"""Forget a person everywhere, in one transaction (ADR 0029).

What stays is who did what as a number: the log and its tree, grants, devices, keys.
What goes for good is the salt of their commitments and every copy of their names: in
both logs, in alarms, in what people typed about them, in their own row. A backup, a
stream's receiver and a file that somebody exported are out of reach.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from django.apps import apps
from django.db import transaction

from audit.alarms.forgetting import forget_in_alarms
from audit.errors import ForgettingError
from audit.models import LegalHold
from audit.retention import forgetting
from audit.retention.blanking import Names, is_telling, words_of
from audit.retention.mentions import mentions, replace_mentions
from peers.services import forgetting as peers_forgetting
from policies.services import forgetting as policies_forgetting
from portal.accounts import forgetting as accounts_forgetting
from portal.accounts.models import User

if TYPE_CHECKING:
    from collections.abc import Collection
    from datetime import datetime

    from audit.actor import Actor
    from audit.retention.forgetting import Forgotten

# Names of things, by which people and providers find them: told, and left.
NAMES_OF_THINGS: Final = (
    "accounts.Group",
    "alarms.AlarmChannel",
    "audit.Witness",
    "peers.Gateway",
    "policies.Application",
    "policies.ApplicationDestination",
    "policies.Label",
    "socialaccount.SocialApp",
    "streams.Stream",
)
# Signed, and of machine ids only.
SIGNED: Final = ("audit.SealerState", "policies.Snapshot")


@dataclass(frozen=True, slots=True, kw_only=True)
class Erasure:
    """What was forgotten; `stays` are things that bear their name."""

    person: str
    log: Forgotten
    devices: int
    alarms: int
    other_rows: int
    stays: tuple[str, ...]


@transaction.atomic
def erase_person(
    *,
    user: User,
    reason: str,
    actor: Actor,
    now: datetime,
    ordinary: Collection[str] = (),
) -> Erasure:
    """Forget a person who is gone, for good. Again: what was written meanwhile, too.

    `ordinary` are names that stay in what others wrote (`names_of`).

    Raises:
        ForgettingError: they are active, have a live device or grant, or are under
            legal hold; or the reason names them.
    """
    held = User.objects.select_for_update().get(pk=user.pk)
    check_may_go(held, now=now)
    names = names_of(held, ordinary=ordinary)
    if names.are_in(reason) or not reason.strip():
        raise ForgettingError("say why, without naming them: the reason stays")
    person = names.person
    forgetting.forget_salt(person, now=now)
    log = forgetting.blank_log(names)
    forgetting.forget_searches(names)
    alarms = forget_in_alarms(names)
    LegalHold.objects.filter(person_id=person).update(reason=policies_forgetting.GONE)
    policies_forgetting.forget_in_policy(held, names)
    devices = peers_forgetting.forget_devices(held)
    accounts_forgetting.forget_user(held)
    other_rows = replace_mentions(names, spared=(*NAMES_OF_THINGS, *SIGNED))
    forgetting.record_forgotten(
        log, person=person, other_rows=other_rows, reason=reason, actor=actor, now=now
    )
    return Erasure(
        person=person,
        log=log,
        devices=devices,
        alarms=alarms,
        other_rows=other_rows,
        stays=tuple(mentions(names, among=NAMES_OF_THINGS)),
    )


def check_may_go(user: User, *, now: datetime) -> None:
    """Accept that a person is gone, and nothing needs their name any more.

    Raises:
        ForgettingError: says what stands against it.
    """
    against = ["is active: revoke them first"] if user.is_active else []
    if devices := peers_forgetting.live_devices(user):
        against.append(f"has live devices: {', '.join(devices)}")
    if grants := policies_forgetting.live_grants(user, now=now):
        against.append(f"has live grants: {', '.join(grants)}")
    if against:
        raise ForgettingError(f"{user.ref.id} {'; '.join(against)}")
    forgetting.check_may_be_forgotten(user.ref.id)


def names_of(user: User, *, ordinary: Collection[str] = ()) -> Names:
    """Return what a person and their devices are called.

    Nobody chooses a name by which evidence about others goes: short words, names of
    things, and devices that are not called after their owner are `own` and stay in
    what others wrote. `ordinary` are words of which the caller says the same.
    """
    devices, same = peers_forgetting.device_names(user)
    labels = forgetting.labels_of(user.ref.id)
    personal, shared = accounts_forgetting.names_of(user, labels)
    # Whoever was forgotten before is called by a number already.
    numbers = {user.ref.id, f"forgotten-{user.pk}"}
    numbers |= {device.ref.id for device in user.devices.all()}
    theirs = set[str]().union(*map(words_of, personal))
    after_them = {name for name in devices if words_of(name) & theirs}
    taken = {word.casefold() for word in ordinary} | _names_of_things()
    certain = {
        name
        for name in {*personal, *after_them} - numbers
        if is_telling(name) and name.casefold() not in taken
    }
    own = {*personal, *shared, *devices, *same} - numbers - certain
    return Names(
        person=user.ref.id, certain=tuple(sorted(certain)), own=tuple(sorted(own))
    )


def _names_of_things() -> set[str]:
    """Return the names of things that are one word, in small letters."""
    models = [apps.get_model(label) for label in NAMES_OF_THINGS]
    named = [
        model
        for model in models
        if any(field.name == "name" for field in model._meta.concrete_fields)
    ]
    return {
        name.casefold()
        for model in named
        for name in model._default_manager.values_list("name", flat=True)
        if "@" not in name and len(name.split()) == 1
    }
