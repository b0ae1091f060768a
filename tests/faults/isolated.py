"""A test that runs in network, mount and process namespaces of its own.

`@isolated` makes pytest start `unshare … python -m tests.faults.isolated MODULE TEST`,
which calls the same function there. Whatever that starts ends with it, also the
daemons (wireguard-go), because it is process 1 of its namespace. An assertion that
fails arrives with the values around it.
"""

from __future__ import annotations

import functools
import importlib
import json
import subprocess
import sys
import traceback
from collections.abc import Callable
from typing import Final

import pytest

SPACES: Final = (
    *("unshare", "--net", "--mount", "--pid", "--fork", "--kill-child"),
    "--mount-proc",
)

LONGEST_LINE: Final = 300

Test = Callable[..., None]


def isolated(*, seconds: float = 60) -> Callable[[Test], Test]:
    """Run a test function in namespaces of its own, `seconds` at most.

    Its arguments may be parameters (JSON values), not fixtures.
    """

    def decorate(test: Test) -> Test:
        @functools.wraps(test)
        def outside(**parameters: object) -> None:
            done = subprocess.run(
                [
                    *SPACES,
                    *(sys.executable, "-m", "tests.faults.isolated"),
                    *(test.__module__, test.__name__, json.dumps(parameters)),
                ],
                capture_output=True,
                text=True,
                timeout=seconds,
                check=False,
            )
            if done.returncode:
                pytest.fail(f"{done.stdout}{done.stderr}", pytrace=False)

        return pytest.mark.netns(outside)

    return decorate


def main(module: str, name: str, parameters: str) -> int:
    """Call the test here; return the exit status."""
    outside = getattr(importlib.import_module(module), name)
    test: Test = outside.__wrapped__
    try:
        test(**json.loads(parameters))
    except BaseException as exc:  # noqa: BLE001 -- told to the test run outside
        told = traceback.TracebackException.from_exception(exc, capture_locals=True)
        lines = "".join(told.format()).splitlines()
        sys.stderr.write("\n".join(line[:LONGEST_LINE] for line in lines))
        return 1
    return 0


if __name__ == "__main__":
    status = main(*sys.argv[1:])
    sys.stdout.flush()
    sys.stderr.flush()
    sys.exit(status)
