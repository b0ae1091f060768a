"""Applications: described, changed, removed. A refusal changes nothing, is logged."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.db import IntegrityError, transaction

from audit.actor import Ref
from audit.events import EventCode, Outcome
from audit.services import NOBODY, Json, record
from policies.application_terms import check_terms
from policies.compiler.strictness import ORDINARY, Strictness
from policies.destinations import DestinationInput, label, parse_destinations
from policies.errors import (
    ApplicationInUseError,
    InvalidNameError,
    PolicyError,
)
from policies.models import Application, ApplicationDestination
from policies.names import clean_description, clean_name
from policies.services.labels import hold_bearing, label_application
from policies.services.publishing import publish_on_commit

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from audit.actor import Actor
    from peers.models import Gateway
    from policies.compiler.types import Destination
    from policies.models import Label


def create_application(
    *,
    name: str,
    description: str = "",
    destinations: Sequence[DestinationInput],
    gateways: Iterable[Gateway] = (),
    labels: Iterable[Label] = (),
    terms: Strictness = ORDINARY,
    actor: Actor,
    now: datetime,
) -> Application:
    """Describe an application; nobody reaches it until a grant says so.

    A label that it bears may be granted already.

    Raises:
        InvalidNameError: the name is empty, taken, too long, or not printable.
        InvalidDestinationError: a destination is malformed or two overlap.
        InvalidTermsError: its limit is no stricter than the lease.
        UnknownLabelError: a label was removed meanwhile.
    """
    try:
        with transaction.atomic():
            application = Application(
                name=clean_name(name),
                description=clean_description(description),
                created_at=now,
                **_stored(terms),
            )
            parsed = parse_destinations(destinations)
            _save(application)
            served = sorted(gateways, key=lambda gateway: gateway.pk)
            _write(application, parsed)
            application.gateways.set(served)
            record(
                EventCode.APPLICATION_CREATE,
                actor=actor,
                now=now,
                application=application.ref,
                details=_details(parsed, served, terms),
            )
            publish_on_commit(
                gateway_ids=[gateway.pk for gateway in served],
                cause="application.create",
                actor=actor,
                now=now,
            )
            label_application(
                application=application, labels=labels, actor=actor, now=now
            )
    except PolicyError as exc:
        _refused(EventCode.APPLICATION_CREATE, exc, Ref(id="", label=name), actor, now)
        raise
    return application


def update_application(
    *,
    application: Application,
    name: str,
    description: str,
    destinations: Sequence[DestinationInput],
    gateways: Iterable[Gateway],
    labels: Iterable[Label] | None = None,
    terms: Strictness | None = None,
    actor: Actor,
    now: datetime,
) -> Application:
    """Say anew what an application is and who serves it.

    Without `labels` it keeps those it bears, without `terms` those it has.

    Raises:
        InvalidNameError: the name is empty, taken, too long, or not printable.
        InvalidDestinationError: a destination is malformed or two overlap.
        InvalidTermsError: its limit is no stricter than the lease.
        UnknownLabelError: a label was removed meanwhile.
    """
    before = application.ref
    try:
        with transaction.atomic():
            application = _held(application, labels)
            application.name = clean_name(name)
            application.description = clean_description(description)
            if terms is not None:
                for column, value in _stored(terms).items():
                    setattr(application, column, value)
            parsed = parse_destinations(destinations)
            _save(application)
            served = sorted(gateways, key=lambda gateway: gateway.pk)
            # Those who served it until now must forget it, too.
            affected = {*application.gateways.values_list("pk", flat=True)}
            _write(application, parsed)
            application.gateways.set(served)
            record(
                EventCode.APPLICATION_UPDATE,
                actor=actor,
                now=now,
                application=application.ref,
                details={
                    "was": before.label,
                    **_details(parsed, served, application.strictness),
                },
            )
            publish_on_commit(
                gateway_ids=[*affected, *(gateway.pk for gateway in served)],
                cause="application.update",
                actor=actor,
                now=now,
            )
            if labels is not None:
                label_application(
                    application=application, labels=labels, actor=actor, now=now
                )
    except PolicyError as exc:
        _refused(EventCode.APPLICATION_UPDATE, exc, before, actor, now)
        raise
    return application


def delete_application(
    *, application: Application, actor: Actor, now: datetime
) -> None:
    """Remove an application that was never granted to anybody.

    Raises:
        ApplicationInUseError: a grant names it, even one that has ended, a request, a
            lock or an access review.
    """
    ref = application.ref
    try:
        with transaction.atomic():
            if application.grants.exists():
                msg = (
                    f"{application} was granted, and the log speaks of it; end its"
                    " grants and take it off its gateways instead"
                )
                raise ApplicationInUseError(msg)
            if application.requests.exists():
                msg = (
                    f"somebody asked for {application}, and the log speaks of it; take"
                    " it off its gateways instead"
                )
                raise ApplicationInUseError(msg)
            if application.locks.exists():
                msg = (
                    f"{application} was locked, and the log speaks of it; take it off"
                    " its gateways instead"
                )
                raise ApplicationInUseError(msg)
            if application.campaigns.exists():
                msg = (
                    f"{application} was reviewed, and the log speaks of it; take it off"
                    " its gateways instead"
                )
                raise ApplicationInUseError(msg)
            affected = [*application.gateways.values_list("pk", flat=True)]
            application.delete()
            record(EventCode.APPLICATION_DELETE, actor=actor, now=now, application=ref)
            publish_on_commit(
                gateway_ids=affected, cause="application.delete", actor=actor, now=now
            )
    except PolicyError as exc:
        _refused(EventCode.APPLICATION_DELETE, exc, ref, actor, now)
        raise


def _held(application: Application, labels: Iterable[Label] | None) -> Application:
    """Lock an application, and before it the labels that it bears or is to bear.

    In this order, because who grants a label holds it and then names applications. The
    key does not change: grants that name the application can be made meanwhile.
    """
    if labels is not None:
        hold_bearing([*labels, *application.labels.all()])
    rows = Application.objects.select_for_update(no_key=True)
    return rows.get(pk=application.pk)


def _save(application: Application) -> None:
    try:
        with transaction.atomic():
            application.save()
    except IntegrityError as exc:
        msg = f"there is an application called {application.name!r} already"
        raise InvalidNameError(msg) from exc


def _write(application: Application, parsed: Sequence[Destination]) -> None:
    application.destinations.all().delete()
    ApplicationDestination.objects.bulk_create(
        ApplicationDestination(
            application=application,
            host_name=destination.host,
            prefix=str(destination.prefix),
            protocol=destination.protocol.value,
            port_first=destination.ports.first if destination.ports else None,
            port_last=destination.ports.last if destination.ports else None,
        )
        for destination in parsed
    )


def _stored(terms: Strictness) -> dict[str, Any]:
    """Return terms as columns.

    Raises:
        InvalidTermsError: the limit is no stricter than the lease.
    """
    check_terms(terms)
    return {"max_staleness": terms.max_staleness, "evidence": terms.evidence.value}


def _details(
    parsed: Sequence[Destination], gateways: Sequence[Gateway], terms: Strictness
) -> dict[str, Json]:
    return {
        "destinations": [label(destination) for destination in parsed],
        "gateways": [gateway.ref.id for gateway in gateways],
        "max_staleness": terms.max_staleness,
        "evidence": terms.evidence.value,
    }


def _refused(
    code: EventCode, exc: PolicyError, application: Ref, actor: Actor, now: datetime
) -> None:
    record(
        code,
        actor=actor,
        now=now,
        outcome=Outcome.REFUSED,
        application=application if application.id else NOBODY,
        target=application,
        reason=str(exc),
    )
