"""Publishers at the same time never issue one generation twice, nor lose a change."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest
from django.db import close_old_connections, connection

from peers.models import Gateway
from policies.models import Application, Grant, Snapshot
from portal.accounts.models import User
from tests.policies.makers import content, make_grant, publish

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
