"""Links and routes by rtnetlink(7): an interface up, the tunnel pools routed to it."""

from __future__ import annotations

import fcntl
import socket
import struct
from typing import Final

from gateway.errors import KernelError
from gateway.netlink import (
    NETLINK_ROUTE,
    NLM_F_CREATE,
    NLM_F_REPLACE,
    NetlinkSocket,
    attribute,
)
from policies.compiler.types import IPNetwork

RTM_NEWLINK: Final = 16
RTM_NEWROUTE: Final = 24
IFINFOMSG: Final = struct.Struct("=BxHiII")
RTMSG: Final = struct.Struct("=BBBBBBBBI")
IFF_UP: Final = 1
IFREQ: Final = struct.Struct("=16sH22x")  # netdevice(7)
SIOCGIFFLAGS: Final = 0x8913
RTA_DST: Final = 1
RTA_OIF: Final = 4
RT_TABLE_MAIN: Final = 254
RTPROT_STATIC: Final = 4
RT_SCOPE_LINK: Final = 253
RTN_UNICAST: Final = 1


def is_up(interface: str) -> bool:
    """Return whether there is an interface of that name, and it is up."""
    request = IFREQ.pack(interface.encode("ascii"), 0)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as any_:
        try:
            answer = fcntl.ioctl(any_, SIOCGIFFLAGS, request)
        except OSError:
            return False
    return bool(IFREQ.unpack(answer)[1] & IFF_UP)


def exists(interface: str) -> bool:
    """Return whether the kernel has an interface of that name."""
    return any(name == interface for _, name in socket.if_nameindex())


def set_up(interface: str) -> None:
    """Bring the interface up.

    Raises:
        KernelError: there is no such interface, or it does not come up.
    """
    payload = IFINFOMSG.pack(0, 0, index(interface), IFF_UP, IFF_UP)
    with NetlinkSocket(NETLINK_ROUTE) as netlink:
        netlink.request(RTM_NEWLINK, 0, payload, what=f"{interface} up")


def add_route(interface: str, prefix: IPNetwork) -> None:
    """Route `prefix` to the interface, replacing a route to the same prefix.

    Raises:
        KernelError: there is no such interface, or the route is refused.
    """
    family = socket.AF_INET if prefix.version == 4 else socket.AF_INET6  # noqa: PLR2004 -- the IP version
    message = RTMSG.pack(
        family,
        prefix.prefixlen,
        0,
        0,
        RT_TABLE_MAIN,
        RTPROT_STATIC,
        RT_SCOPE_LINK,
        RTN_UNICAST,
        0,
    )
    payload = (
        message
        + attribute(RTA_DST, prefix.network_address.packed)
        + attribute(RTA_OIF, struct.pack("=I", index(interface)))
    )
    with NetlinkSocket(NETLINK_ROUTE) as netlink:
        netlink.request(
            RTM_NEWROUTE,
            NLM_F_CREATE | NLM_F_REPLACE,
            payload,
            what=f"route {prefix} dev {interface}",
        )


def index(interface: str) -> int:
    """Return the number the kernel gave the interface.

    Raises:
        KernelError: there is none of that name.
    """
    try:
        return socket.if_nametoindex(interface)
    except OSError as exc:
        raise KernelError(f"there is no interface {interface}") from exc
