"""While a change is judged nothing is locked: whoever must be cut off is."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from ipaddress import ip_address
from typing import Any

import pytest
from django.db import close_old_connections, connection

from audit.actor import SYSTEM
from audit.models import AuditEvent
from peers.models import Device, Gateway
from peers.services import revoke_device
from policies import services, trials, whatif
from policies.compiler.explanation import Question
from policies.models import Application, Grant, RevocationNotice
from policies.policy_files import applying
from policies.policy_files.supposing import answer_supposing
from policies.whatif import UnconfirmedError, carry_out, outlook
from portal.accounts.models import User
from tests.peers.makers import Machine
from tests.policies.makers import NOW, make_application, make_grant, web

pytestmark = pytest.mark.django_db(transaction=True)
LATER = NOW + timedelta(hours=1)
SECONDS = 20


@pytest.fixture
def wiki(gw1: Gateway) -> Application:
    """An application of gw1."""
    return make_application("wiki", "10.1.0.0/24", gateways=[gw1])


@pytest.fixture
def grant(alice: User, pools: None, wiki: Application) -> Grant:
    """Alice reaches the wiki with her laptop."""
    Machine().enroll(alice)
    return make_grant(wiki, user=alice)


@pytest.fixture
def stolen(bob: User, pools: None) -> Device:
    """A device that is to be revoked."""
    return Machine().enroll(bob)


def elsewhere(work: Callable[[], object]) -> None:
    """Do something in a thread of its own, with its own connection."""
    raised: list[BaseException] = []

    def run() -> None:
        close_old_connections()
        try:
            work()
        except BaseException as exc:  # noqa: BLE001 -- handed to the test
            raised.append(exc)
        finally:
            connection.close()

    thread = threading.Thread(target=run)
    thread.start()
    thread.join(SECONDS)
    assert not thread.is_alive(), "it waits for who compiles"
    assert raised == []


@contextmanager
def meanwhile(
    monkeypatch: pytest.MonkeyPatch,
    module: Any,  # noqa: ANN401 -- any module
    name: str,
    works: list[Callable[[], object]],
) -> Iterator[None]:
    """Do each work once while a function is called, the next at the next call."""
    real = getattr(module, name)

    def call(*args: Any, **named: Any) -> Any:  # noqa: ANN401 -- the real one's
        if works:
            elsewhere(works.pop(0))
        return real(*args, **named)

    with monkeypatch.context() as patched:
        patched.setattr(module, name, call)
        yield
    assert works == []


def revoking(device: Device) -> Callable[[], object]:
    return partial(revoke_device, device=device, reason="lost", actor=SYSTEM, now=LATER)


def ending(grant: Grant) -> Callable[[], object]:
    return partial(services.end_grant, grant=grant, actor=SYSTEM, now=LATER)


def carry(change: Callable[[], Any], **named: Any) -> Any:  # noqa: ANN401 -- the real one's
    terms = {"digest": None, "is_confirmed": True, "title": "End", **named}
    return carry_out(change, actor=SYSTEM, now=LATER, **terms)


def test_a_revocation_commits_while_a_change_is_judged_and_both_are_kept(
    grant: Grant, stolen: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    with meanwhile(monkeypatch, whatif, "compile_snapshot", [revoking(stolen)]):
        carry(ending(grant))
    grant.refresh_from_db()
    stolen.refresh_from_db()
    assert grant.ended_at == LATER
    assert not stolen.is_active
    assert RevocationNotice.objects.count() == 1
    assert AuditEvent.objects.filter(code="PL006").count() == 1


def test_a_revocation_commits_while_a_change_is_only_looked_at(
    grant: Grant, stolen: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    with meanwhile(monkeypatch, whatif, "compile_snapshot", [revoking(stolen)]):
        outlook(ending(grant), now=LATER)
    stolen.refresh_from_db()
    assert not stolen.is_active


def test_what_changes_while_it_is_judged_is_not_confirmed_unseen(
    grant: Grant, wiki: Application, bob: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    Machine().enroll(bob)
    lock = partial(
        services.create_lock, target=wiki, message="no", actor=SYSTEM, now=LATER
    )
    seen = outlook(lock, now=LATER).digest
    granting = partial(make_grant, wiki, user=bob)
    with (
        meanwhile(monkeypatch, whatif, "compile_snapshot", [granting]),
        pytest.raises(UnconfirmedError) as raised,
    ):
        carry(lock, digest=seen)
    assert raised.value.is_stale
    assert not wiki.locks.exists()
    assert grant.pk


def test_a_change_is_made_though_somebody_else_changes_policies_all_the_time(
    grant: Grant, gw1: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(whatif, "PATIENT_ATTEMPTS", 1)
    works: list[Callable[[], object]] = [
        partial(make_application, name, "10.7.0.0/24", gateways=[gw1])
        for name in ("one", "two")
    ]
    monkeypatch.setattr(services.publishing, "_publish_stale", lambda *_, **__: None)
    real = trials.tried

    def tried(*args: Any, **named: Any) -> Any:  # noqa: ANN401 -- the real one's
        found = real(*args, **named)
        elsewhere(works.pop(0))
        return found

    monkeypatch.setattr(whatif, "tried", tried)
    carry(ending(grant))
    grant.refresh_from_db()
    assert grant.ended_at == LATER
    assert works == []


def test_what_was_tried_is_not_found_in_the_rows_that_were_given(
    wiki: Application, gw1: Gateway
) -> None:
    before = AuditEvent.objects.filter(code="PL002").count()
    made = carry(
        partial(
            services.update_application,
            application=wiki,
            name="handbook",
            description="",
            destinations=[web("10.1.0.0/24")],
            gateways=[gw1],
            actor=SYSTEM,
            now=LATER,
        )
    )
    assert made.name == "handbook"
    assert wiki.name == "wiki"
    wiki.refresh_from_db()
    assert wiki.name == "handbook"
    assert AuditEvent.objects.filter(code="PL002").count() == before + 1


def test_a_revocation_commits_while_a_file_is_supposed(
    grant: Grant, alice: User, stolen: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    question = Question(
        destination=ip_address("10.1.0.7"), protocol=6, port=443, at=LATER
    )
    with meanwhile(monkeypatch, applying, "plan_policy", [revoking(stolen)]):
        found = answer_supposing(
            '{"acls": []}', alice, None, question, actor=SYSTEM, now=LATER
        )
    assert not found.is_allowed
    stolen.refresh_from_db()
    assert not stolen.is_active
    grant.refresh_from_db()
    assert grant.ended_at is None
