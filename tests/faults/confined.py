"""The agent as its unit confines it, as far as that goes without systemd.

An account of its own, CAP_NET_ADMIN and no other right, no new privileges, no memory
that is written and executed, a read-only system with the state directory in it, its
own few devices, read-only /proc/sys. What is missing: the filter of system calls.
"""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
from pathlib import Path
from typing import Final

ACCOUNT: Final = 65534
RIGHTS: Final = (
    *(f"--reuid={ACCOUNT}", f"--regid={ACCOUNT}", "--clear-groups"),
    "--bounding-set=-all,+net_admin",
    "--inh-caps=-all,+net_admin",
    "--ambient-caps=-all,+net_admin",
    "--no-new-privs",
)
DEVICES: Final = {"null": (1, 3), "zero": (1, 5), "random": (1, 8), "urandom": (1, 9)}
SET_MDWE: Final = 65  # prctl(2): PR_SET_MDWE, PR_MDWE_REFUSE_EXEC_GAIN
REFUSE_EXEC_GAIN: Final = 1
CLONE_NEWNS: Final = 0x00020000
LIBC: Final = ctypes.CDLL(None, use_errno=True)


def main(arguments: list[str]) -> None:
    """Become the confined agent."""
    own = [arguments[arguments.index(w) + 1] for w in ("--state", "--runtime")]
    assert LIBC.unshare(CLONE_NEWNS) == 0
    mount("--make-rprivate", "/")
    _own_devices()
    for path in ("/proc/sys", "/run", *own):
        mount("--rbind", path, path)
    for path in ("/", "/run", "/proc/sys"):
        mount("-o", "remount,bind,ro", path)
    for path in own:
        mount("-o", "remount,bind,rw", path)
    assert LIBC.prctl(SET_MDWE, REFUSE_EXEC_GAIN, 0, 0, 0) == 0
    os.umask(0o077)
    words = ["setpriv", *RIGHTS, sys.executable, "-m", "gateway", *arguments]
    os.execvp(words[0], words)  # noqa: S606 -- it becomes the program


def mount(*words: str) -> None:
    """Mount something."""
    subprocess.run(["mount", *words], check=True)


def _own_devices() -> None:
    mount("-t", "tmpfs", "-o", "mode=755", "tmpfs", "/dev")
    for name, (major, minor) in DEVICES.items():
        path = Path("/dev") / name
        os.mknod(path, 0o020666, os.makedev(major, minor))
        path.chmod(0o666)


if __name__ == "__main__":
    main(sys.argv[1:])
