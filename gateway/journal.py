"""The flows that are open, on disk, so that a restarted agent knows their names.

An append-only file of lines, one per open and one per close, without fsync: it must
outlive the agent, not the machine, whose reboot ends every flow. A line is written at
once: a record that is spooled and not noted here would be told again by the successor
of an agent that was killed. The file is written anew at each start and whenever most
of it is about flows that have ended.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
from collections.abc import Iterable
from datetime import datetime
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Final

from gateway.flows import OpenFlow, text_time, tuple_fields
from gateway.types import FlowTuple

FILE: Final = "flows.jsonl"
COMPACT_LINES: Final = 20_000


class Journal:
    """One file of open flows."""

    def __init__(self, directory: Path) -> None:
        """Keep the journal in `directory`."""
        self._path = directory / FILE
        self._pending: list[str] = []
        self._lines = 0
        self._file: int | None = None
        self._is_torn = False

    def read(self) -> list[OpenFlow]:
        """Return the flows that were open; a line that is torn is passed over."""
        found: dict[str, OpenFlow] = {}
        try:
            text = self._path.read_text(encoding="ascii", errors="replace")
        except FileNotFoundError:
            return []
        for line in text.splitlines():
            try:
                document = json.loads(line)
                if "closed" in document:
                    found.pop(document["closed"], None)
                else:
                    flow = _flow(document)
                    found[flow.flow] = flow
            except (ValueError, KeyError, TypeError):
                continue
        return list(found.values())

    def opened(self, flow: OpenFlow) -> None:
        """Note a flow that began."""
        self._note(_line(flow))

    def closed(self, flow: str) -> None:
        """Note a flow that ended, by its name."""
        self._note(json.dumps({"closed": flow}))

    def write(self, open_flows: Iterable[OpenFlow], *, count: int) -> None:
        """Write what could not be; write the file anew when it is mostly history.

        Raises:
            OSError: the disk refuses still.
        """
        if self._lines > COMPACT_LINES and self._lines > 4 * count:
            self.rewrite(open_flows)
        self._append()

    def rewrite(self, open_flows: Iterable[OpenFlow]) -> None:
        """Write the file anew with the flows that are open."""
        lines = [_line(flow) for flow in open_flows]
        temporary = self._path.with_suffix(".new")
        temporary.touch(mode=0o600)
        temporary.write_text("".join(f"{line}\n" for line in lines), encoding="ascii")
        temporary.replace(self._path)
        self.close()
        self._lines = len(lines)
        self._pending.clear()

    def close(self) -> None:
        """Let go of the file; it is opened again when there is something to note."""
        if self._file is not None:
            os.close(self._file)
        self._file, self._is_torn = None, False

    def _note(self, line: str) -> None:
        self._pending.append(line)
        # A disk that is full is heard of by `write`, which tries again.
        with contextlib.suppress(OSError):
            self._append()

    def _append(self) -> None:
        if not self._pending:
            return
        if self._file is None:
            flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
            self._file = os.open(self._path, flags, 0o600)
        torn = "\n" if self._is_torn else ""
        data = (torn + "".join(f"{line}\n" for line in self._pending)).encode("ascii")
        written = os.write(self._file, data)
        self._is_torn = 0 < written < len(data) or (self._is_torn and not written)
        if written < len(data):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self._lines += len(self._pending)
        self._pending.clear()


def _line(flow: OpenFlow) -> str:
    return json.dumps(
        {
            "flow": flow.flow,
            "device": flow.device,
            "opened_at": text_time(flow.opened_at),
            "icmp_id": flow.tuple.icmp_id,
            **tuple_fields(flow.tuple),
        }
    )


def _flow(document: dict[str, Any]) -> OpenFlow:
    return OpenFlow(
        flow=str(document["flow"]),
        device=int(document["device"]),
        opened_at=datetime.fromisoformat(document["opened_at"]),
        tuple=FlowTuple(
            protocol=int(document["protocol"]),
            source=ip_address(document["source"]),
            source_port=document["source_port"],
            destination=ip_address(document["destination"]),
            destination_port=document["destination_port"],
            icmp_id=document["icmp_id"],
        ),
    )
