"""How soon a change reaches gateways that wait on one portal process, and its memory.

Everything is a process of its own: PostgreSQL, Redis, the portal as it is served, the
gateways. `script/bench longpoll [--gateways N] [--rounds N]`.
"""

from __future__ import annotations

import os
import runpy
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

import django

from tests.lab.lone import LonePortal, free_environment
from tests.lab.postgresql import postgresql
from tests.lab.processes import LabError, Processes

if __name__ == "__main__":
    with ExitStack() as closing:
        folder = Path(closing.enter_context(tempfile.TemporaryDirectory()))
        url = closing.enter_context(postgresql())
        processes = Processes(folder)
        closing.callback(processes.stop_all)
        os.environ.update(free_environment(folder, database=url))
        LonePortal(processes, os.environ).manage("init")
        # Models can be imported only after this.
        django.setup()
        try:
            runpy.run_module(
                "tests.bench.measures.longpoll",
                init_globals={"FOLDER": folder, "PROCESSES": processes},
                run_name="__main__",
            )
        except LabError as exc:
            sys.exit(f"script/bench longpoll: {exc}")
