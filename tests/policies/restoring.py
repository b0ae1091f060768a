"""A portal that loses its memory: what happens in the block never happened here."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.db import transaction

from peers.models import Gateway
from policies.api import polls
from policies.models import Publication, Snapshot


@dataclass(frozen=True, slots=True, kw_only=True)
class Remembered:
    """What a gateway holds of what the portal has forgotten."""

    epoch: int
    generation: int
    digest: str
    envelope: dict[str, Any]

    @property
    def poll(self) -> str:
        """The path of the gateway's poll."""
        holds = f"{self.epoch}.{self.generation}.{self.digest}"
        return f"snapshot?after={self.generation}&epoch={self.epoch}&holds={holds}"

    @property
    def shown(self) -> dict[str, Any]:
        """What the gateway shows when it is asked."""
        return {
            "snapshot": self.envelope,
            "notices": [],
            "floor": self.generation + 1,
        }


def in_one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let polls work in the test's own thread, and so in its transaction."""

    def here(function: Callable[..., object]) -> object:
        return sync_to_async(function, thread_sensitive=True)

    monkeypatch.setattr(polls, "in_pool", here)
    monkeypatch.setattr(polls, "in_first_pool", here)
    read = here(polls._answer_all)  # noqa: SLF001 -- made when imported
    monkeypatch.setattr(polls._answers, "_read", read)  # noqa: SLF001 -- the same


@contextmanager
def forgotten() -> Iterator[None]:
    """Undo, at the end, everything that was done to the database, as a backup does."""
    with transaction.atomic():
        yield
        transaction.set_rollback(True)


def remembered(gateway: Gateway) -> Remembered:
    """Return what the gateway was given last."""
    snapshot = Publication.objects.get(pk=gateway.pk).snapshot
    assert snapshot is not None
    return Remembered(
        epoch=snapshot.epoch,
        generation=snapshot.generation,
        digest=snapshot.digest,
        envelope=json.loads(snapshot.envelope),
    )


def newest(gateway: Gateway) -> Snapshot:
    """Return the newest snapshot of a gateway."""
    return Snapshot.objects.filter(gateway=gateway).order_by("-pk")[0]


def lost(gateway: Gateway, happens: Callable[[], object]) -> Remembered:
    """Let something happen and be published, then forget it; return what is held."""
    found: list[Remembered] = []
    with forgotten():
        happens()
        found.append(remembered(gateway))
    return found[0]
