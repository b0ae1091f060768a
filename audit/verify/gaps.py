"""`gaps`: what the log itself says is missing, and where it was silent.

A gateway numbers what it records; the portal tells as GW008 how much of it was lost.
Numbers that no connection has belong to other records, so that they are a fact and no
fault; a number that comes again or late is one.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Final

from audit.dates import Waits, silences
from audit.tlog.report import INCOMPLETE, TAMPERED, Report
from audit.tlog.whole import HISTORY, parsed_entries

if TYPE_CHECKING:
    from audit.tlog.policy import Policy
    from audit.tlog.whole import Files

LOG_GAP: Final = "GW008"
WAIT_SECONDS: Final = 600


def gaps(files: Files, policy: Policy, report: Report) -> None:
    """Add every gap that the log tells or shows to the report."""
    size = policy.check(files.read("checkpoint")).checkpoint.size
    last: defaultdict[str, int] = defaultdict(int)
    unused: defaultdict[str, int] = defaultdict(int)
    history = files.lines(HISTORY)
    waits = Waits(history)
    for index, leaf in parsed_entries(files, size):
        if (waited := waits.hear(index, leaf)) > WAIT_SECONDS:
            told = f"no checkpoint that was kept until {waited:.0f} s after this"
            report.add(INCOMPLETE, files.name, index, told)
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
    report.faults += silences(files.name, history)
