"""The one way out by HTTP: whatever the portal sends to an address somebody entered.

Such an address is a lever on the network the portal stands in, so (attack: server-side
request forgery):

* https only, unless PEERAGE_OUTBOUND_HTTP allows http; no user, no fragment.
* The name is resolved here, once. Every address it has must be public, or inside
  PEERAGE_OUTBOUND_NETWORKS; the connection goes to an address that was judged, so
  that a second answer of the name server (rebinding) changes nothing.
* No redirect is followed, and no proxy of the environment is used.
* Connecting, the TLS handshake and the exchange have a limit each, whatever the other
  side drips; of an answer at most `ANSWER_LIMIT` octets are read.

A request may be signed: HMAC-SHA256 over the time and the body, so that a receiver
knows who sent it and that it is no old copy (`signed_headers`). The messages of
`OutboundError` hold neither secrets nor words of the receiver.
"""

from __future__ import annotations

import hashlib
import hmac
import http.client
import socket
import ssl
import threading
from contextlib import closing, suppress
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from typing import TYPE_CHECKING, Final, TypeAlias
from urllib.parse import SplitResult, urlsplit

from django.conf import settings

from audit.errors import AuditError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

IPAddress: TypeAlias = IPv4Address | IPv6Address

SECONDS: Final = 8.0
"""For connecting, for the handshake and for the exchange, each."""
ANSWER_LIMIT: Final = 64 * 1024
URL_LENGTH: Final = 2000
TRIES: Final = 3
"""Addresses of one name that are tried."""
GLOBAL_UNICAST: Final = IPv6Network("2000::/3")
NAT64: Final = IPv6Network("64:ff9b::/96")


class OutboundError(AuditError):
    """Nothing was sent, or no answer came, and why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What the other side said; the body ends after `ANSWER_LIMIT` octets."""

    status: int
    body: bytes

    @property
    def is_success(self) -> bool:
        """Whether the other side has taken it (RFC 9110 §15.3)."""
        return 200 <= self.status < 300  # noqa: PLR2004 -- the same


def checked_url(url: str) -> str:
    """Return an address that may be entered; what its name stands for is seen later.

    Raises:
        OutboundError: it can never be sent to.
    """
    _parts(url)
    return url


def post(
    url: str,
    body: bytes,
    *,
    headers: Mapping[str, str],
    trusted: str = "",
) -> Answer:
    """Send a body and return the answer, whatever its status; redirects stay unread.

    `trusted` are PEM certificates that are trusted instead of the system's.

    Raises:
        OutboundError: the address is not allowed, or nobody answered in time.
    """
    parts = _parts(url)
    host, port = _party(parts)
    target = parts._replace(scheme="", netloc="").geturl() or "/"
    try:
        channel = _channel(parts.scheme, host, port, trusted)
    except ssl.SSLCertVerificationError as exc:
        msg = f"the receiver's certificate is not accepted: {exc.verify_message}"
        raise OutboundError(msg) from exc
    except OSError as exc:
        raise OutboundError(f"the connection failed: {_reason(exc)}") from exc
    with closing(channel):
        return _exchange(channel, parts, target, body, headers)


def connect(host: str, port: int) -> socket.socket:
    """Return a TCP connection to a party that may be spoken to, with a timeout.

    Raises:
        OutboundError: the name has no address, or one that is not allowed.
        OSError: nobody took the connection.
    """
    addresses = _resolved(host, port)
    failure: OSError | None = None
    for address in addresses[:TRIES]:
        try:
            return socket.create_connection((str(address), port), timeout=SECONDS)
        except OSError as exc:
            failure = exc
    raise failure or OutboundError(f"{host} has no address")


def is_allowed(address: IPAddress) -> bool:
    """Return whether the portal may connect to an address.

    An address that carries another one inside (IPv4-mapped, NAT64) is judged by that
    one; forms that lead through strangers' relays (6to4, Teredo) are never public.
    """
    inner = _embedded(address)
    allowed = settings.PEERAGE_OUTBOUND_NETWORKS
    return _is_public(inner) or any(inner in network for network in allowed)


def signed_headers(secret: str, body: bytes, *, now: datetime) -> dict[str, str]:
    """Return the headers that say when a body was sent, and by whom.

    The signature is over the decimal time, a full stop and the body.
    """
    at = str(int(now.timestamp()))
    return {
        "X-Peerage-Timestamp": at,
        "X-Peerage-Signature": f"v1={signature(secret, body, at=at)}",
    }


def signature(secret: str, body: bytes, *, at: str) -> str:
    """Return the HMAC-SHA256 of a body sent at a time, in hexadecimal."""
    return hmac.new(
        secret.encode(), at.encode("ascii") + b"." + body, hashlib.sha256
    ).hexdigest()


def _parts(url: str) -> SplitResult:
    if not url.isascii() or not url.isprintable() or " " in url:
        raise OutboundError("an address is printable ASCII without blanks")
    if len(url) > URL_LENGTH:
        raise OutboundError(f"an address has at most {URL_LENGTH} characters")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as exc:
        raise OutboundError("this is no address") from exc
    schemes = {"https", "http"} if settings.PEERAGE_OUTBOUND_HTTP else {"https"}
    if parts.scheme not in schemes:
        raise OutboundError(f"an address begins with {' or '.join(sorted(schemes))}")
    if not parts.hostname or port == 0:
        raise OutboundError("an address names a host")
    if "@" in parts.netloc or parts.fragment:
        raise OutboundError("an address holds no user and no fragment")
    return parts


def _party(parts: SplitResult) -> tuple[str, int]:
    default = 443 if parts.scheme == "https" else 80
    return parts.hostname or "", parts.port or default


def _resolved(host: str, port: int) -> list[IPAddress]:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    # UnicodeError: a label of the name is empty or too long.
    except (OSError, UnicodeError) as exc:
        raise OutboundError(f"the name {host} has no address") from exc
    addresses = [ip_address(str(entry[4][0])) for entry in found]
    for address in addresses:
        if not is_allowed(address):
            msg = f"{host} stands for {address}, which the portal may not connect to"
            raise OutboundError(msg)
    return addresses


def _embedded(address: IPAddress) -> IPAddress:
    if isinstance(address, IPv4Address):
        return address
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address in NAT64:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return address


def _is_public(address: IPAddress) -> bool:
    if not address.is_global or address.is_multicast or address.is_reserved:
        return False
    if isinstance(address, IPv4Address):
        return True
    relayed = address.sixtofour is not None or address.teredo is not None
    return address in GLOBAL_UNICAST and not relayed


def _channel(scheme: str, host: str, port: int, trusted: str) -> socket.socket:
    plain = connect(host, port)
    if scheme == "http":
        return plain
    try:
        context = ssl.create_default_context(cadata=trusted or None)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        # The handshake as a whole has the socket's timeout.
        return context.wrap_socket(plain, server_hostname=host)
    except BaseException:
        plain.close()
        raise


def _exchange(
    channel: socket.socket,
    parts: SplitResult,
    target: str,
    body: bytes,
    headers: Mapping[str, str],
) -> Answer:
    """Send and receive on a channel that is cut when the time is over."""
    late = threading.Event()

    def cut() -> None:
        late.set()
        # Below TLS, which another thread may be inside of.
        with suppress(OSError):
            socket.socket.shutdown(channel, socket.SHUT_RDWR)

    secure = parts.scheme == "https"
    kind = http.client.HTTPSConnection if secure else http.client.HTTPConnection
    connection = kind(*_party(parts), timeout=SECONDS)
    # The channel that was judged, and never another one.
    connection.sock = channel
    connection.auto_open = 0
    timer = threading.Timer(SECONDS, cut)
    timer.start()
    try:
        connection.request("POST", target, body, {**headers, "User-Agent": "peerage"})
        response = connection.getresponse()
        answer = Answer(status=response.status, body=response.read(ANSWER_LIMIT))
    except (OSError, http.client.HTTPException, ValueError) as exc:
        if late.is_set():
            raise OutboundError("the receiver did not answer in time") from exc
        raise OutboundError(f"no answer: {_reason(exc)}") from exc
    finally:
        timer.cancel()
    if late.is_set():
        raise OutboundError("the receiver did not answer in time")
    return answer


def _reason(exc: Exception) -> str:
    """Return what went wrong without a word of the other side's."""
    if isinstance(exc, TimeoutError):
        return "it took too long"
    if isinstance(exc, ssl.SSLError):
        return exc.reason or type(exc).__name__
    if isinstance(exc, OSError):
        return exc.strerror or type(exc).__name__
    return type(exc).__name__
