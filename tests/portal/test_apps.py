"""Rules of the portal's start."""

from __future__ import annotations

import gc

from gateway import running
from portal.apps import COLLECT_AFTER


def test_the_garbage_collector_looks_as_often_as_the_benchmarks_say() -> None:
    assert gc.get_threshold()[0] == COLLECT_AFTER == running.COLLECT_AFTER
