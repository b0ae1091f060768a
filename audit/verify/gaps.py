"""`gaps`: what the log itself says is missing, and where it was silent.

A gateway numbers what it records; the portal tells as GW008 how much of it was lost.
Numbers that no connection has belong to other records, so that they are a fact and no
fault; a number that comes again or late is one.
"""

from __future__ import annotations

from collections import defaultdict
from datetime import datetime
from itertools import pairwise
from typing import TYPE_CHECKING, Final

from audit.tlog.report import INCOMPLETE, TAMPERED, Report
from audit.tlog.whole import HISTORY, parsed_entries

if TYPE_CHECKING:
    from audit.tlog.policy import Policy
    from audit.tlog.whole import Files

LOG_GAP: Final = "GW008"
SILENCE_SECONDS: Final = 60


def gaps(files: Files, policy: Policy, report: Report) -> None:
    """Add every gap that the log tells or shows to the report."""
    size = policy.check(files.read("checkpoint")).checkpoint.size
    last: defaultdict[str, int] = defaultdict(int)
    unused: defaultdict[str, int] = defaultdict(int)
    for index, leaf in parsed_entries(files, size):
        match leaf:
            case {"code": str(code), "details": {"lost": lost, **details}} if (
                code == LOG_GAP
            ):
                gateway = leaf.get("gateway", {}).get("id", "a gateway")
                told = f"{gateway} lost {lost} records: {details.get('source')}"
                report.add(INCOMPLETE, files.name, index, told)
            case {"gateway": str(gateway), "seq": str(number)}:
                sequence, before = int(number), last[gateway]
                if sequence <= before:
                    told = f"record {sequence} of {gateway} comes after {before}"
                    report.add(TAMPERED, files.name, index, told)
                else:
                    unused[gateway] += sequence - before - 1 if before else 0
                    last[gateway] = sequence
    report.facts.setdefault("numbers of other records", {}).update(unused)
    for one, other in pairwise(files.lines(HISTORY)):
        begun, ended = (datetime.fromisoformat(line["at"]) for line in (one, other))
        seconds = (ended - begun).total_seconds()
        if not 0 <= seconds <= SILENCE_SECONDS:
            told = f"no checkpoint for {seconds:.0f} s after {one['at']}"
            report.add(INCOMPLETE, files.name, one["size"], told)
