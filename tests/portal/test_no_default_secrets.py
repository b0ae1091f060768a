"""F01: no secret is in the repository, and none is made up where one is missing."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Final

import pytest

from audit.key_files import create_key_file

ROOT: Final = Path(__file__).parents[2]
HARMLESS: Final = frozenset({"static/vendor/CHECKSUMS"})
"""SHA-256 of files that are there to be checked."""
SECRETS: Final = {
    "a private key": re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY"),
    "32 bytes in base64": re.compile(
        r"(?<![A-Za-z0-9+/_-])[A-Za-z0-9+/]{43}=(?![A-Za-z0-9+/=])"
    ),
    "32 bytes in hexadecimal": re.compile(r"(?<![0-9a-f])[0-9a-f]{64}(?![0-9a-f])"),
    "a secret with a value": re.compile(
        r"(?i)\b(?:secret|password|passwd|token|api_?key|private_key)\w*"
        r"\s*[:=]\s*[\"'][^\"'<>{}$ ]{8,}[\"']"
    ),
    "a password in an address": re.compile(
        r"://[^/\s:@\"'`]+:(?!CHANGE-ME)[^/\s:@\"'`<>{}$]+@"
    ),
}


def found_in(text: str) -> list[str]:
    """Return what in a text looks like a secret, with the text."""
    return [
        f"{what}: {match[0][:60]}"
        for what, pattern in SECRETS.items()
        for match in pattern.finditer(text)
    ]


def shipped() -> list[Path]:
    """Return every file of the repository but the tests."""
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split("\0")
    names = [name for name in listed if name and not name.startswith("tests/")]
    return [ROOT / name for name in names if name not in HARMLESS]


@pytest.mark.parametrize(
    "planted",
    [
        "-----BEGIN OPENSSH PRIVATE KEY-----",
        "KEY = '" + "A" * 43 + "='",
        "f" * 64,
        'password = "correct-horse"',
        "API_KEY: 'sk_live_0123'",
        "postgresql://peerage:hunter2@db/peerage",
    ],
)
def test_f01_a_planted_secret_is_found(planted: str) -> None:
    """The control: this scan sees what it looks for."""
    assert found_in(planted)


def test_f01_no_secret_is_shipped() -> None:
    paths = shipped()
    assert len(paths) > 300
    found = {}
    for path in paths:
        try:
            found[str(path.relative_to(ROOT))] = found_in(path.read_text("utf-8"))
        except UnicodeDecodeError:
            continue
    assert {name: what for name, what in found.items() if what} == {}


def test_f01_every_portal_makes_a_signing_key_of_its_own(tmp_path: Path) -> None:
    paths = [tmp_path / "a", tmp_path / "b"]
    for path in paths:
        create_key_file(path)
    assert paths[0].read_bytes() != paths[1].read_bytes()
