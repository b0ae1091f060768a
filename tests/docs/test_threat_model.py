"""What is not ours to prevent is said (attack E08)."""

from __future__ import annotations

from pathlib import Path

THREAT_MODEL = Path(__file__).parents[2] / "THREAT_MODEL.md"


def test_e08_routes_that_divert_a_device_are_named_with_what_helps() -> None:
    text = THREAT_MODEL.read_text(encoding="utf-8")
    for word in ("CVE-2024-3661", "option 121", "full tunnel", "host firewall"):
        assert word in text
