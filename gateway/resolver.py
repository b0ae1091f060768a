"""The configured resolver, asked for addresses.

* Names are absolute: no search list, no hosts file, no name service switch.
* The resolver follows aliases; the TTL is the shortest on the way.
* "There is no such name" is an answer without addresses; anything unclear is a failure.
"""

from __future__ import annotations

from ipaddress import ip_address
from typing import Final, Protocol

import dns.exception
import dns.name
import dns.nameserver
import dns.rdatatype
import dns.resolver

from gateway.config import Server
from gateway.errors import ResolverError
from gateway.names import Answer, Query

TRY_SECONDS: Final = 2.0
LIFETIME_SECONDS: Final = 4.0
NEGATIVE_TTL: Final = 30.0
"""How soon a name is asked again that has no address."""


class Resolver(Protocol):
    """Who can be asked. Safe to share between threads."""

    def ask(self, query: Query) -> Answer:
        """Return the answer.

        Raises:
            ResolverError: there is none.
        """


class DnsResolver:
    """Asks DNS servers: those configured, else those of this machine."""

    def __init__(self, servers: tuple[Server, ...]) -> None:
        """Ask `servers` in order; without any, what resolv.conf(5) says at the time."""
        self._servers = servers

    def ask(self, query: Query) -> Answer:
        """Return the addresses of one family that a name has.

        Raises:
            ResolverError: no server answered, or none could say.
        """
        record = {4: dns.rdatatype.A, 6: dns.rdatatype.AAAA}[query.family]
        try:
            found = self._resolver().resolve(
                dns.name.from_text(f"{query.host}."),
                record,
                raise_on_no_answer=False,
                search=False,
            )
        except dns.resolver.NXDOMAIN:
            return Answer(addresses=(), ttl=NEGATIVE_TTL)
        except (dns.exception.DNSException, OSError) as exc:
            raise ResolverError(f"{query.host}: {exc}") from exc
        if found.rrset is None:
            return Answer(addresses=(), ttl=NEGATIVE_TTL)
        return Answer(
            addresses=tuple(ip_address(entry.address) for entry in found.rrset),
            ttl=float(found.chaining_result.minimum_ttl),
        )

    def _resolver(self) -> dns.resolver.Resolver:
        """Return a resolver; resolv.conf(5) is read anew, as it changes."""
        resolver = dns.resolver.Resolver(configure=not self._servers)
        if self._servers:
            resolver.nameservers = [
                dns.nameserver.Do53Nameserver(str(server.address), server.port)
                for server in self._servers
            ]
        resolver.timeout, resolver.lifetime = TRY_SECONDS, LIFETIME_SECONDS
        return resolver
