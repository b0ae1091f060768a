# ruff: noqa: INP001 -- a script that needs nothing but the standard library
"""Builds the gateway's wheel: the agent, the pure packages it imports, its units.

* Nothing of the portal is in it; what it needs besides are three libraries, in the
  very versions of requirements.txt.
* Equal sources give equal bytes: files are sorted and bear one date, so that whoever
  builds it can compare it with what is offered.
* Standard library only: a wheel is an archive with a list (binary distribution format,
  packaging.python.org).
"""

from __future__ import annotations

import base64
import hashlib
import re
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parent.parent
NAME: Final = "peerage_gateway"
PACKAGES: Final = ("gateway", "policies/compiler", "audit/tlog")
MARKERS: Final = ("policies/__init__.py", "audit/__init__.py")
LIBRARIES: Final = ("cryptography", "dnspython", "pyroute2")
SHARED: Final = {
    "LICENSE": "share/doc/peerage-gateway/LICENSE",
    "docs/gateway.md": "share/doc/peerage-gateway/gateway.md",
    "deploy/sysctl.d/60-peerage-gateway.conf": "share/peerage-gateway/sysctl.d/",
    "deploy/modules-load.d/peerage-gateway.conf": (
        "share/peerage-gateway/modules-load.d/"
    ),
    "deploy/systemd/peerage-gateway.service": "share/peerage-gateway/systemd/",
    "deploy/systemd/peerage-gateway-boot.service": "share/peerage-gateway/systemd/",
    "deploy/systemd/peerage-wireguard@.service": "share/peerage-gateway/systemd/",
}
DATE: Final = (2026, 1, 1, 0, 0, 0)
WHEEL: Final = """\
Wheel-Version: 1.0
Generator: peerage
Root-Is-Purelib: true
Tag: py3-none-any
"""
ENTRY: Final = "[console_scripts]\npeerage-gateway = gateway.__main__:program\n"


def main(directory: Path) -> Path:
    """Build the wheel into `directory`; return its path."""
    version = _version()
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / f"{NAME}-{version}-py3-none-any.whl"
    info = f"{NAME}-{version}.dist-info"
    files = dict(sorted(_files(version, info)))
    record = "".join(f"{name},{_digest(data)}\n" for name, data in files.items())
    files[f"{info}/RECORD"] = f"{record}{info}/RECORD,,\n".encode()
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            entry = zipfile.ZipInfo(name, DATE)
            entry.external_attr = 0o100644 << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, data)
    return path


def _files(version: str, info: str) -> Iterator[tuple[str, bytes]]:
    """Yield what is in the wheel, by name."""
    for package in PACKAGES:
        for source in (ROOT / package).rglob("*.py"):
            yield str(source.relative_to(ROOT)), source.read_bytes()
    for marker in MARKERS:
        yield marker, (ROOT / marker).read_bytes()
    for name, place in SHARED.items():
        target = f"{place}{Path(name).name}" if place.endswith("/") else place
        yield f"{NAME}-{version}.data/data/{target}", (ROOT / name).read_bytes()
    yield f"{info}/METADATA", _metadata(version).encode()
    yield f"{info}/WHEEL", WHEEL.encode()
    yield f"{info}/entry_points.txt", ENTRY.encode()


def _metadata(version: str) -> str:
    pins = (ROOT / "requirements.txt").read_text(encoding="utf-8")
    needed = [
        f"Requires-Dist: {found[0]}"
        for library in LIBRARIES
        if (found := re.search(rf"^{library}==[\w.]+", pins, re.MULTILINE))
    ]
    lines = [
        "Metadata-Version: 2.1",
        "Name: peerage-gateway",
        f"Version: {version}",
        "Summary: The gateway agent of Peerage: enforces signed snapshots.",
        "License: Apache-2.0",
        "Requires-Python: >=3.11",
        *needed,
    ]
    return "\n".join(lines) + "\n"


def _version() -> str:
    text = (ROOT / "gateway/config.py").read_text(encoding="utf-8")
    found = re.search(r'^VERSION: Final = "([\w.]+)"$', text, re.MULTILINE)
    if found is None:
        raise SystemExit("gateway/config.py names no version")
    return found[1]


def _digest(data: bytes) -> str:
    text = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).decode()
    return f"sha256={text.rstrip('=')},{len(data)}"


if __name__ == "__main__":
    sys.stdout.write(f"{main(Path(sys.argv[1]))}\n")
