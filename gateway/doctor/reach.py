"""How far a conversation with the portal gets: name, TCP, TLS, HTTP; each may end it.

Certificates are checked as the agent checks them. Nothing is signed and no sequence
number is used: the request is for `/healthz`, which anybody may ask.
"""

from __future__ import annotations

import contextlib
import http.client
import socket
import ssl
from dataclasses import replace
from datetime import UTC, datetime
from typing import Final
from urllib.parse import urlsplit

from gateway.answers import http_date
from gateway.client import tls_context
from gateway.doctor.facts import Portal
from gateway.errors import ConfigError
from gateway.store import Identity

SECONDS: Final = 5.0
PORTS: Final = {"https": 443, "http": 80}


def reach(identity: Identity, *, now: datetime) -> Portal:
    """Return how far it got."""
    host, port = endpoint(identity.portal)
    portal = Portal(url=identity.portal, host=host, stage="name", date_asked=now)
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError as exc:
        return replace(portal, problem=_said(exc))
    addresses = tuple(dict.fromkeys(str(entry[4][0]) for entry in found))
    portal = replace(portal, addresses=addresses, stage="tcp")
    try:
        connection = socket.create_connection((host, port), timeout=SECONDS)
    except OSError as exc:
        return replace(portal, problem=_said(exc))
    with contextlib.closing(connection):
        if not identity.portal.startswith("https:"):
            return _ask(portal, connection)
        return _over_tls(replace(portal, stage="tls"), connection, identity)


def endpoint(url: str) -> tuple[str, int]:
    """Return the host and the port of a base URL."""
    parts = urlsplit(url)
    return parts.hostname or "", parts.port or PORTS[parts.scheme]


def _over_tls(portal: Portal, connection: socket.socket, identity: Identity) -> Portal:
    try:
        context = tls_context(identity.ca_file)
        secure = context.wrap_socket(connection, server_hostname=portal.host)
    except (OSError, ConfigError) as exc:
        return replace(portal, problem=_said(exc))
    with contextlib.closing(secure):
        certificate = secure.getpeercert() or {}
        ends = ssl.cert_time_to_seconds(str(certificate["notAfter"]))
        portal = replace(
            portal,
            tls=secure.version() or "",
            certificate_ends=datetime.fromtimestamp(ends, UTC),
        )
        return _ask(portal, secure)


def _ask(portal: Portal, connection: socket.socket) -> Portal:
    portal = replace(portal, stage="http")
    asked = http.client.HTTPConnection(portal.host, timeout=SECONDS)
    asked.sock = connection
    try:
        asked.putrequest("GET", "/healthz", skip_host=True)
        asked.putheader("Host", urlsplit(portal.url).netloc)
        asked.endheaders()
        answer = asked.getresponse()
        answer.read(1 << 16)
    except (OSError, http.client.HTTPException) as exc:
        return replace(portal, problem=_said(exc))
    date = http_date(answer.getheader("Date") or "")
    return replace(portal, status=answer.status, date=date)


def _said(exc: Exception) -> str:
    text = (isinstance(exc, OSError) and exc.strerror) or str(exc)
    return "".join(c for c in text or type(exc).__name__ if c.isprintable())
