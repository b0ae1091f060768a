"""A small real DNS server: answers over UDP from a table that a test may change."""

from __future__ import annotations

import socket
import threading
from collections import Counter
from dataclasses import dataclass, field

import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset


@dataclass(slots=True)
class NameServer:
    """Serve `addresses` by name, aliases of names, and note each question.

    A name that is not in the table does not exist. While `is_silent` nothing is
    answered, as when a server is down behind a firewall.
    """

    listener: socket.socket
    addresses: dict[str, list[str]] = field(default_factory=dict)
    aliases: dict[str, str] = field(default_factory=dict)
    ttl: int = 2
    is_silent: bool = False
    asked: Counter[tuple[str, str]] = field(default_factory=Counter)

    def start(self) -> None:
        """Answer in a thread, until the socket is closed."""
        threading.Thread(target=self._serve, daemon=True).start()

    def stop(self) -> None:
        """Close the socket."""
        self.listener.close()

    def _serve(self) -> None:
        while True:
            try:
                data, peer = self.listener.recvfrom(4096)
            except OSError:
                return
            query = dns.message.from_wire(data)
            question = query.question[0]
            kind = dns.rdatatype.to_text(question.rdtype)
            name = question.name.to_text().rstrip(".")
            self.asked[name, kind] += 1
            if not self.is_silent:
                self.listener.sendto(self._answer(query, name, kind), peer)

    def _answer(self, query: dns.message.Message, name: str, kind: str) -> bytes:
        answer = dns.message.make_response(query)
        answer.flags |= dns.flags.RA
        target = self.aliases.get(name, name)
        if target != name:
            answer.answer.append(self._records(name, "CNAME", [f"{target}."]))
        if target not in self.addresses:
            answer.set_rcode(dns.rcode.NXDOMAIN)
            return answer.to_wire()
        family = {"A": ".", "AAAA": ":"}[kind]
        if found := [a for a in self.addresses[target] if family in a]:
            answer.answer.append(self._records(target, kind, found))
        return answer.to_wire()

    def _records(self, name: str, kind: str, data: list[str]) -> dns.rrset.RRset:
        return dns.rrset.from_text(f"{name}.", self.ttl, "IN", kind, *data)
