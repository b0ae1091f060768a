"""What commands say about policy files, as values that JSON can carry."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from audit.services import Json
    from policies.policy_files.documents import PolicyFile


def report_output(found: PolicyFile) -> dict[str, Json]:
    """Return what the tests of a file said, and its warnings."""
    return {
        "warnings": [str(warning) for warning in found.warnings],
        "tests": len(found.reports),
        "failed": [
            {
                "src": report.test.source,
                "line": report.test.position.line,
                "problems": [str(item) for item in report.problems],
            }
            for report in found.failed
        ],
    }
