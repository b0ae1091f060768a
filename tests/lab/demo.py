"""`script/demo`: the whole product on one machine, told step by step.

    script/demo [--once] [--port N]     everything, in network namespaces (root)
    script/demo --portal-only           the portal and its sign-in alone

Exit status 0 only if every step held.
"""

from __future__ import annotations

import argparse
import contextlib
import shutil
import signal
import sys
import tempfile
import traceback
from pathlib import Path
from types import FrameType
from typing import Final

import httpx

from tests.idp.cast import CAST
from tests.lab import requirements, scenes
from tests.lab.lab import lab
from tests.lab.portal import Portal
from tests.lab.processes import LabError, Processes
from tests.lab.story import Story
from tests.lab.visitor import Visitor

PORT: Final = 8080


def main(arguments: list[str] | None = None) -> int:
    """Tell the story the command line asks for; return the exit status."""
    options = _options(arguments)
    signal.signal(signal.SIGTERM, _interrupt)
    if options.portal_only:
        return _portal_only(port=options.port, once=options.once)
    lacks = requirements.missing()
    if lacks:
        print("The demonstration needs what this machine does not offer:")
        for item in lacks:
            print(f"  * {item}")
        print("\nWithout it you can still look at the portal:")
        print("  script/demo --portal-only")
        return 1
    return _everything(port=options.port, once=options.once)


def _everything(*, port: int, once: bool) -> int:
    story = Story()
    print("Peerage, all of it, on this machine: private namespaces, real packets.")
    try:
        with contextlib.ExitStack() as stack:
            with story.step("Build the lab: internet, gateway, applications, portal"):
                made = stack.enter_context(lab(port=port))
                scenes.introduce(story, made)
            scenes.tell(story, made)
            story.conclude()
            if not once:
                _leave_running(made.portal)
    except KeyboardInterrupt:
        print("\nstopped")
    except (LabError, httpx.HTTPError) as exc:
        return _explain(exc)
    return 0


def _portal_only(*, port: int, once: bool) -> int:
    folder = Path(tempfile.mkdtemp(prefix="peerage-portal-"))
    processes = Processes(folder)
    try:
        print("Starting the identity provider and the portal …")
        portal = Portal(processes, folder, network=None, port=port)
        portal.start()
        visitor = Visitor(portal.url, "alice")
        visitor.sign_in()
        visitor.close()
        print("  alice could sign in")
        if not once:
            _leave_running(portal)
    except KeyboardInterrupt:
        print("\nstopped")
    except (LabError, httpx.HTTPError) as exc:
        exc.add_note(f"its logs: {folder}")
        return _explain(exc)
    finally:
        processes.stop_all()
    shutil.rmtree(folder, ignore_errors=True)
    return 0


def _leave_running(portal: Portal) -> None:
    print(f"\nThe portal keeps running at {portal.url}/ until Ctrl-C. Sign in as")
    for person in CAST:
        groups = ", ".join(person.groups) or "no groups"
        print(f"  {person.username:8} password {person.password:13} {groups}")
    sys.stdout.flush()
    while True:
        signal.pause()


def _explain(error: Exception) -> int:
    """Say what went wrong in words; where it happened goes to a file."""
    print(f"\nscript/demo: {error}", file=sys.stderr)
    for note in getattr(error, "__notes__", ()):
        print(f"script/demo: {note}", file=sys.stderr)
    with tempfile.NamedTemporaryFile(
        "w", prefix="peerage-demo-", suffix=".log", delete=False
    ) as file:
        traceback.print_exception(error, file=file)
    print(f"script/demo: where it happened: {file.name}", file=sys.stderr)
    return 1


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="script/demo", description=__doc__)
    parser.add_argument("--once", action="store_true", help="exit when told")
    parser.add_argument("--portal-only", action="store_true", help="needs no root")
    parser.add_argument("--port", type=int, default=PORT, help="of the portal")
    return parser.parse_args(arguments)


def _interrupt(_signal: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
