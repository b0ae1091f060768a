"""Publishers at the same time never issue one generation twice, nor lose a change."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from django.db import close_old_connections, connection

from peers.models import Gateway
from policies import services
from policies.compiler.compile import compile_snapshot
from policies.models import Application, Grant, Publication, Snapshot
from policies.services import generations, publishing
from portal.accounts.models import User
from tests.policies.makers import NOW, content, make_application, make_grant, publish

pytestmark = pytest.mark.django_db(transaction=True)
THREADS = 4


def at_once(
    work: Callable[[int], object], *, threads: int = THREADS
) -> list[BaseException]:
    """Run `work` in several threads that start together; return what they raised."""
    barrier = threading.Barrier(threads)
    raised: list[BaseException] = []

    def run(number: int) -> None:
        close_old_connections()
        try:
            barrier.wait()
            work(number)
        except BaseException as exc:  # noqa: BLE001 -- handed to the test
            raised.append(exc)
        finally:
            connection.close()

    started = [threading.Thread(target=run, args=(n,)) for n in range(threads)]
    for thread in started:
        thread.start()
    for thread in started:
        thread.join()
    return raised


def test_publishers_at_once_issue_every_generation_once(
    gw1: Gateway, wiki: Application, alice: User
) -> None:
    for _ in range(3):
        # Not through the service: nobody has published it yet.
        Grant.objects.create(
            user=alice,
            application=wiki,
            not_before=wiki.created_at,
            created_at=wiki.created_at,
        )
        before = Snapshot.objects.count()
        assert at_once(lambda _number: publish()) == []
        assert Snapshot.objects.count() == before + 1
    found = list(Snapshot.objects.order_by("pk").values_list("generation", flat=True))
    assert found == list(range(1, len(found) + 1))
    assert len(content(gw1).grants) == 3


def test_no_change_is_lost_between_publishers(
    gw1: Gateway, wiki: Application, alice: User
) -> None:
    assert at_once(lambda _number: make_grant(wiki, user=alice)) == []
    assert len(content(gw1).grants) == THREADS
    assert gw1.publication.stale_since is None


def test_of_two_publishers_of_what_is_due_one_compiles(
    gw1: Gateway,
    wiki: Application,
    alice: User,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    compiled: list[int] = []

    def slowly(*args: Any, **named: Any) -> Any:  # noqa: ANN401 -- the real one's
        compiled.append(threading.get_ident())
        time.sleep(0.2)
        return compile_snapshot(*args, **named)

    publish()
    Grant.objects.create(
        user=alice,
        application=wiki,
        not_before=wiki.created_at,
        created_at=wiki.created_at,
    )
    Publication.objects.update(stale_since=NOW)
    monkeypatch.setattr(generations, "compile_snapshot", slowly)
    assert at_once(lambda _: services.republish_due_snapshots(now=NOW)) == []
    assert len(compiled) == 1
    assert len(content(gw1).grants) == 1


def test_change_for_many_gateways_is_answered_before_they_are_published(
    gw1: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    left: list[Callable[[], object]] = []
    monkeypatch.setattr(publishing, "later", left.append)
    with monkeypatch.context() as small:
        small.setattr(publishing, "LOT", 0)
        make_application("wiki", "10.1.0.0/24", gateways=[gw1])
    assert not Snapshot.objects.exists()
    for publish_all in left:
        publish_all()
    assert Snapshot.objects.get().gateway == gw1
