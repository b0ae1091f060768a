"""What changes people: provisioning, ending sessions, revoking tokens, disabling.

Each function is one transaction that changes rows, records the event beside the
change and, when memberships, the active flag or the latest proof of who somebody is
changed, says so once with `people_changed`. Sign-in is the only source of `idp`
groups; of local groups it touches none, people leave those by `remove_members`.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final

from allauth.idp.oidc.models import Token
from allauth.usersessions.models import UserSession
from django.db import transaction

from audit.actor import Ref
from audit.events import EventCode
from audit.parts import parts
from audit.retention.forgetting import is_forgotten
from audit.services import event, record, record_all
from portal.accounts.claims import (
    MAX_EMAIL,
    Proof,
    checked_groups,
    checked_proof,
    checked_text,
    username_for,
)
from portal.accounts.errors import (
    DeactivatedError,
    ForeignGroupError,
    ForgottenError,
    InvalidIdentityError,
)
from portal.accounts.models import (
    Authentication,
    Group,
    GroupSource,
    Membership,
    Role,
    User,
)
from portal.accounts.signals import people_changed

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from datetime import datetime

    from audit.actor import Actor
    from audit.models import AuditEvent
    from audit.services import Json

# An event must fit into a leaf of the log (64 KiB), whatever the names are like.
GROUPS_PER_EVENT: Final = 25
PEOPLE_AT_ONCE: Final = 500


@transaction.atomic
def provision_user(
    *,
    issuer: str,
    subject: str,
    name: str,
    email: str,
    groups: Collection[str],
    role: Role | None,
    actor: Actor,
    now: datetime,
) -> User:
    """Return the person of an identity, as the provider describes them now.

    Creates them at their first sign-in. Afterwards name, e-mail, groups of this
    issuer and role follow the provider, removal included. `role` None leaves the
    role alone. Never looks at the e-mail address to find a person (attack A01).

    Raises:
        InvalidIdentityError: a text is empty, too long, or has control characters.
        DeactivatedError: the person is disabled; nothing was changed.
    """
    facts = _facts(issuer=issuer, subject=subject, name=name, email=email)
    names = checked_groups(list(groups))
    user, created = User.objects.select_for_update().get_or_create(
        issuer=facts["issuer"],
        subject=facts["subject"],
        defaults={
            "username": username_for(issuer=issuer, subject=subject),
            "name": facts["name"],
            "email": facts["email"],
            "created_at": now,
            "password": _no_password(),
        },
    )
    if not user.is_active:
        raise DeactivatedError(user)
    if created:
        record(EventCode.USER_PROVISION, actor=actor, now=now, person=user.ref)
    else:
        _update_profile(user, facts, actor=actor, now=now)
    if role is not None:
        assign_role(user=user, role=role, actor=actor, now=now)
    user.authenticated_at = now
    user.save(update_fields=["authenticated_at"])
    _follow_groups(user, names, actor=actor, now=now)
    return user


@transaction.atomic
def keep_authentication(
    *, user: User, claims: Mapping[str, object], now: datetime
) -> Authentication:
    """Keep how a person proved who they are, unless an older proof comes late.

    A browser may bring a proof from a session at the identity provider that is older
    than what another browser brought already; the latest one counts. One without a
    time replaces what is there: nobody knows that it is older.

    The event is that of the sign-in, which the caller records in this transaction.
    """
    # Locked, so that of two sign-ins at once the second sees the first.
    User.objects.select_for_update(no_key=True).get(pk=user.pk)
    before = Authentication.objects.filter(user=user).first()
    proof = checked_proof(claims, now=now)
    if before and _is_not_news(before, proof):
        return before
    kept = Authentication(
        user=user,
        proven_at=proof.proven_at,
        amr=list(proof.amr),
        acr=proof.acr,
        received_at=now,
    )
    kept.save()
    people_changed.send(sender=User, user_ids=frozenset({user.pk}), is_proof=True)
    return kept


@transaction.atomic
def assign_role(*, user: User, role: Role, actor: Actor, now: datetime) -> User:
    """Give a person a role; the same role again changes nothing."""
    before = user.role
    if before == role:
        return user
    user.role = role
    user.save(update_fields=["role"])
    record(
        EventCode.ROLE_ASSIGN,
        actor=actor,
        now=now,
        person=user.ref,
        details={"before": str(before), "after": str(role)},
    )
    return user


@transaction.atomic
def end_sessions(
    *, users: Collection[User], actor: Actor, now: datetime
) -> Mapping[int, int]:
    """End every browser session of people at once; return how many each had.

    The password hash, which opens nothing, is also what Django binds a session
    to. Replacing it ends sessions that no list knows of, those included that are
    being created at this moment.
    """
    counts: Counter[int] = Counter()
    for session in UserSession.objects.filter(user__in=users):
        session.end()
        counts[session.user_id] += 1
    for user in users:
        user.password = _no_password()
    User.objects.bulk_update(users, ["password"], batch_size=PEOPLE_AT_ONCE)
    record_all(
        event(
            EventCode.USER_LOGOUT,
            actor=actor,
            now=now,
            person=user.ref,
            reason="all sessions ended",
            details={"sessions": counts[user.pk]},
        )
        for user in users
        if counts[user.pk]
    )
    return counts


@transaction.atomic
def revoke_tokens(*, users: Collection[User], now: datetime) -> Mapping[int, int]:  # noqa: ARG001 -- one shape with its siblings
    """Delete every access and refresh token of people; return how many each had."""
    tokens = Token.objects.filter(user__in=users)
    counts = Counter(tokens.values_list("user_id", flat=True))
    tokens.delete()
    return counts


@transaction.atomic
def deactivate_user(*, user: User, reason: str, actor: Actor, now: datetime) -> User:
    """Disable a person, as `deactivate_users` does."""
    deactivate_users(users=[user], reason=reason, actor=actor, now=now)
    user.refresh_from_db(fields=["is_active", "revoked_at"])
    return user


@transaction.atomic
def deactivate_users(
    *,
    users: Collection[User],
    reason: str,
    actor: Actor,
    now: datetime,
    is_told: bool = False,
) -> None:
    """Disable people: they are nobody from the next request on.

    Sessions, tokens and devices are ended by the composition root, which calls
    this together with `end_sessions`, `revoke_tokens` and peers' services in one
    transaction, and says `is_told` if it tells the gateways as well. Disabling a
    disabled person changes nothing.
    """
    active = User.objects.select_for_update(no_key=True).filter(
        pk__in=[user.pk for user in users], is_active=True
    )
    changed = [*active.order_by("pk")]
    if not changed:
        return
    ids = frozenset(user.pk for user in changed)
    User.objects.filter(pk__in=ids).update(is_active=False, revoked_at=now)
    record_all(
        event(
            EventCode.USER_DEACTIVATE,
            actor=actor,
            now=now,
            person=user.ref,
            reason=reason,
        )
        for user in changed
    )
    # Who is enabled again proves anew who they are.
    Authentication.objects.filter(user__in=ids).delete()
    people_changed.send(sender=User, user_ids=ids, is_told=is_told)


@transaction.atomic
def reactivate_user(*, user: User, reason: str, actor: Actor, now: datetime) -> User:
    """Enable a person again; what was revoked stays revoked, they enrol anew.

    A token that was being handed out at the moment they were disabled ends here.

    Raises:
        ForgottenError: they were forgotten.
    """
    if is_forgotten(user.ref.id):
        raise ForgottenError
    changed = User.objects.filter(pk=user.pk, is_active=False).update(
        is_active=True, revoked_at=None
    )
    user.refresh_from_db(fields=["is_active", "revoked_at"])
    if not changed:
        return user
    revoke_tokens(users=[user], now=now)
    record(
        EventCode.USER_REACTIVATE,
        actor=actor,
        now=now,
        person=user.ref,
        reason=reason,
    )
    people_changed.send(sender=User, user_ids=frozenset({user.pk}))
    return user


@transaction.atomic
def remove_members(
    *, group: Group, users: Collection[User], actor: Actor, now: datetime
) -> frozenset[int]:
    """Take people out of a local group; return who was in it, by id.

    Raises:
        ForeignGroupError: the identity provider says who is in the group, and would
            say it again.
    """
    if group.source != GroupSource.LOCAL:
        raise ForeignGroupError(group)
    held = Membership.objects.filter(group=group, user__in=users)
    gone = {row.user_id: row for row in held.select_for_update().order_by("pk")}
    if not gone:
        return frozenset()
    Membership.objects.filter(pk__in=[row.pk for row in gone.values()]).delete()
    record_all(
        _groups_event(user, [("removed", group)], actor=actor, now=now)
        for user in users
        if user.pk in gone
    )
    people_changed.send(sender=User, user_ids=frozenset(gone))
    return frozenset(gone)


def _is_not_news(before: Authentication, proof: Proof) -> bool:
    if (before.proven_at, tuple(before.amr), before.acr) == (
        proof.proven_at,
        proof.amr,
        proof.acr,
    ):
        return True
    if before.proven_at is None or proof.proven_at is None:
        return False
    return proof.proven_at < before.proven_at


def _facts(*, issuer: str, subject: str, name: str, email: str) -> dict[str, str]:
    facts = {
        "issuer": checked_text(issuer, what="an issuer"),
        "subject": checked_text(subject, what="a subject"),
        "name": checked_text(name, what="a name"),
        "email": checked_text(email, what="an e-mail address", limit=MAX_EMAIL),
    }
    # Stripping would make " alice" and "alice" one person.
    if (facts["issuer"], facts["subject"]) != (issuer, subject) or not subject:
        msg = "The identity provider sent a subject that is empty or padded."
        raise InvalidIdentityError(msg)
    return facts


def _no_password() -> str:
    user = User()
    user.set_unusable_password()
    return user.password


def _update_profile(
    user: User, facts: dict[str, str], *, actor: Actor, now: datetime
) -> None:
    changes: dict[str, Json] = {}
    for field in ("name", "email"):
        before, after = getattr(user, field), facts[field]
        if before != after:
            changes[field] = {"before": before, "after": after}
            setattr(user, field, after)
    if not changes:
        return
    user.save(update_fields=list(changes))
    record(
        EventCode.USER_UPDATE, actor=actor, now=now, person=user.ref, details=changes
    )


def _follow_groups(
    user: User, names: frozenset[str], *, actor: Actor, now: datetime
) -> None:
    memberships = list(
        Membership.objects.filter(
            user=user, group__source=GroupSource.IDP, group__issuer=user.issuer
        ).select_related("group")
    )
    removed = [item for item in memberships if item.group.name not in names]
    held = {item.group.name for item in memberships} & names
    added = [_join(user, name, now=now) for name in sorted(names) if name not in held]
    for membership in removed:
        membership.delete()
    if not added and not removed:
        return
    changes = [("added", group) for group in added]
    changes += [("removed", item.group) for item in removed]
    record_all(
        _groups_event(user, part, actor=actor, now=now)
        for part in parts(changes, GROUPS_PER_EVENT)
    )
    people_changed.send(sender=User, user_ids=frozenset({user.pk}))


def _groups_event(
    user: User, changes: list[tuple[str, Group]], *, actor: Actor, now: datetime
) -> AuditEvent:
    return event(
        EventCode.GROUP_MEMBERSHIP_CHANGE,
        actor=actor,
        now=now,
        person=user.ref,
        details={
            kind: [_described(group.ref) for how, group in changes if how == kind]
            for kind in ("added", "removed")
        },
    )


def _join(user: User, name: str, *, now: datetime) -> Group:
    group, _ = Group.objects.get_or_create(
        source=GroupSource.IDP,
        issuer=user.issuer,
        name=name,
        defaults={"created_at": now},
    )
    Membership.objects.get_or_create(user=user, group=group, defaults={"since": now})
    return group


def _described(ref: Ref) -> dict[str, Json]:
    return {"id": ref.id, "name": ref.label}
