"""What is wrong with a gateway, judged from what was observed. Pure.

Every check is a function from facts to findings. A finding that is not `ok` says how
to mend it, in one line. What could not be found out is a warning, never `ok`.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Final

from gateway.clock import NEAR
from gateway.config import VERSION
from gateway.doctor.facts import Observed
from gateway.doctor.finding import Finding, failure, ok, warning
from gateway.netfilter import SWITCHES
from gateway.store import IDENTITY

NET_ADMIN: Final = 1 << 12  # capability.h: CAP_NET_ADMIN
EVERYTHING: Final = 0o077
WIREGUARD_IPV6: Final = 80
"""What WireGuard adds to a packet over IPv6: 40 + 8 + 32 (over IPv4: 60)."""
WIREGUARD_IPV4: Final = 60
LEAST_BYTES: Final = 64 << 20
FEW_BYTES: Final = 512 << 20
FEW_INODES: Final = 1000
ALARM: Final = 0.8
"""Of the connection table: beyond its maximum new connections are dropped."""
FEW_CONNECTIONS: Final = 65536
CERTIFICATE_DAYS: Final = 14
STRICT: Final = "1"


def findings(seen: Observed) -> tuple[Finding, ...]:
    """Return everything that was found, in the order in which one would mend it."""
    checks = (
        _rights,
        _state,
        _disk,
        _nftables,
        _kernel_parts,
        _wireguard,
        _switches,
        _routing,
        _connections,
        _others,
        _clock,
        _portal,
        _mtu,
        _port,
        _resolver,
        _agent,
        _version,
    )
    return tuple(finding for check in checks for finding in check(seen))


def _rights(seen: Observed) -> Iterator[Finding]:
    if seen.capabilities & NET_ADMIN:
        yield ok("capabilities", "CAP_NET_ADMIN is held")
    else:
        yield failure(
            "capabilities",
            "CAP_NET_ADMIN is not held; what needs it could not be checked",
            "run it as root, or with AmbientCapabilities=CAP_NET_ADMIN",
        )


def _state(seen: Observed) -> Iterator[Finding]:
    state = seen.state
    if state.problem:
        yield failure(
            "state",
            f"{state.directory}: {state.problem}",
            "enrol: peerage-gateway enroll --portal URL --token-file FILE",
        )
        return
    # The directory guards what is in it; the keys are guarded twice.
    guarded = {state.directory, state.directory / IDENTITY}
    open_files = [f for f in state.files if f.path in guarded and f.mode & EVERYTHING]
    for file in open_files:
        yield failure(
            "state",
            f"{file.path} may be used by others (mode {file.mode:o})",
            f"chmod go= {file.path}",
        )
    foreign = [f for f in state.files if f.owner != state.owner]
    for file in foreign:
        yield failure(
            "state",
            f"{file.path} belongs to account {file.owner}, the directory to"
            f" {state.owner}: the agent may not read it",
            f"chown {state.owner} {file.path}",
        )
    if not open_files and not foreign:
        yield ok("state", f"{state.directory} is enrolled and for its owner only")


def _disk(seen: Observed) -> Iterator[Finding]:
    state = seen.state
    if state.problem:
        return
    free = f"{state.free_bytes >> 20} MiB are free for evidence"
    fix = f"make room on the file system of {state.directory}, or move it with --state"
    if state.free_bytes < LEAST_BYTES or not state.free_inodes:
        yield failure("disk", f"{free}: without evidence the gate closes", fix)
    elif state.free_bytes < FEW_BYTES or state.free_inodes < FEW_INODES:
        yield warning("disk", f"{free}, {state.free_inodes} files", fix)
    else:
        yield ok("disk", free)


def _nftables(seen: Observed) -> Iterator[Finding]:
    if "libnftables" in seen.kernel.nftables:
        yield failure("nftables", seen.kernel.nftables, "apt-get install libnftables1")
    elif seen.kernel.nftables:
        yield failure(
            "nftables",
            f"the kernel takes no inet table: {seen.kernel.nftables}",
            "modprobe nf_tables nft_ct nft_log; a kernel with CONFIG_NF_TABLES_INET",
        )
    else:
        yield ok("nftables", "tables of family inet, ct and log work")
    if not seen.kernel.has_table:
        yield warning(
            "table",
            f"the table of {seen.interface.name} does not stand: nothing guards it",
            "systemctl enable --now peerage-gateway-boot peerage-gateway",
        )
    else:
        yield ok("table", f"the table of {seen.interface.name} stands")


def _kernel_parts(seen: Observed) -> Iterator[Finding]:
    if seen.kernel.has_conntrack:
        yield ok("conntrack", "connection tracking is loaded")
    else:
        yield failure(
            "conntrack",
            "connection tracking is not loaded: its switches do not exist",
            "modprobe nf_conntrack; echo nf_conntrack >"
            " /etc/modules-load.d/peerage-gateway.conf",
        )
    if seen.kernel.has_nflog:
        yield ok("nflog", "packets can be logged to the agent")
    else:
        yield failure(
            "nflog",
            "nfnetlink_log is not there: no connection can be recorded",
            "modprobe nfnetlink_log",
        )


def _wireguard(seen: Observed) -> Iterator[Finding]:
    if seen.kernel.has_wireguard:
        yield ok("wireguard", "the kernel has WireGuard")
    elif seen.kernel.has_wireguard_go:
        yield ok("wireguard", "wireguard-go stands in for the kernel")
    else:
        yield failure(
            "wireguard",
            "neither the kernel nor wireguard-go provides WireGuard",
            "modprobe wireguard, or apt-get install wireguard-go",
        )


def _switches(seen: Observed) -> Iterator[Finding]:
    wrong = False
    for name, wanted in SWITCHES:
        found = seen.kernel.switches.get(name)
        if found is None or found == wanted:
            continue
        wrong = True
        key = name.replace("/", ".")
        yield failure("switches", f"{key} is {found}", f"sysctl -w {key}={wanted}")
    if not wrong:
        yield ok("switches", "forwarding and connection tracking are set")


def _routing(seen: Observed) -> Iterator[Finding]:
    switches = seen.kernel.switches
    everywhere = switches.get("net/ipv4/conf/all/rp_filter", "0")
    is_good = True
    for name in filter(None, (seen.interface.name, seen.interface.uplink)):
        key = f"net/ipv4/conf/{name}/rp_filter"
        # ip-sysctl: the larger of `all` and the interface's own counts.
        if max(everywhere, switches.get(key, "0")) == STRICT:
            is_good = False
            yield warning(
                "rp_filter",
                f"rp_filter is strict on {name}: packets whose way back is another"
                " are dropped unsaid",
                f"sysctl -w {key.replace('/', '.')}=2",
            )
    for family in ("ipv4", "ipv6"):
        key = f"net/{family}/conf/all/accept_redirects"
        if switches.get(key, "0") != "0":
            is_good = False
            yield warning(
                "redirects",
                f"this router lets others change its routes ({family} redirects)",
                f"sysctl -w {key.replace('/', '.')}=0",
            )
    if is_good:
        yield ok("routing", "no strict rp_filter, no redirects")


def _connections(seen: Observed) -> Iterator[Finding]:
    table = seen.kernel.connections
    if table is None:
        return
    says = f"{table.entries} of {table.most} connections are in the table"
    fix = f"sysctl -w net.netfilter.nf_conntrack_max={table.most * 4}"
    if table.entries >= table.most:
        yield failure("connections", f"{says}: new ones are dropped", fix)
    elif table.entries >= ALARM * table.most or table.most < FEW_CONNECTIONS:
        yield warning("connections", says, fix)
    else:
        yield ok("connections", says)


def _others(seen: Observed) -> Iterator[Finding]:
    others = seen.others
    for chain in others.chains:
        where = f"chain {chain.name} of table {chain.table} ({chain.hook})"
        if chain.drops:
            yield warning(
                "firewall",
                f"{where} may drop what is granted here",
                f"nft delete table {chain.table}, or accept tunnel traffic in it",
            )
    for name in others.legacy_tables:
        yield warning(
            "firewall",
            f"iptables-legacy has a table {name}; nft does not show it",
            f"iptables-legacy -t {name} -F, and use iptables-nft",
        )
    for name in others.services:
        yield warning(
            "firewall",
            f"{name} is active and may flush the ruleset; the agent closes the gate"
            " and starts anew whenever it does",
            f"systemctl disable --now {name}",
        )
    drops = any(chain.drops for chain in others.chains)
    if not (drops or others.legacy_tables or others.services):
        yield ok("firewall", "nobody else filters what is forwarded")


def _clock(seen: Observed) -> Iterator[Finding]:
    fix = "timedatectl set-ntp true (or chrony)"
    offset, source = _offset(seen)
    if offset is not None:
        says = f"this clock is {offset.total_seconds():+.1f} s from {source}"
        yield failure("clock", says, fix) if abs(offset) > NEAR else ok("clock", says)
    if seen.is_synchronised is None:
        yield warning("ntp", "the kernel does not say whether a clock is kept", fix)
    elif not seen.is_synchronised:
        yield warning("ntp", "nothing keeps this clock right", fix)
    else:
        yield ok("ntp", "the clock is kept by NTP")


def _offset(seen: Observed) -> tuple[timedelta | None, str]:
    """Return how far this clock is ahead, by the best witness there is."""
    told = seen.report["clock_offset_seconds"] if seen.report else None
    if told is not None:
        return timedelta(seconds=float(told)), "the time the portal signed"
    portal = seen.portal
    if portal is None or portal.date is None or portal.date_asked is None:
        return None, ""
    return portal.date_asked - portal.date, "the portal's Date"


STAGES: Final = {
    "name": "look at /etc/resolv.conf and at the portal's name: getent hosts {host}",
    "tcp": "open the way to the portal: firewalls, proxies, routes",
    "tls": "the portal needs TLS 1.3 and a certificate this host trusts (--ca-file)",
    "http": "look at the portal and at the proxy before it",
}


def _portal(seen: Observed) -> Iterator[Finding]:
    portal = seen.portal
    if portal is None:
        return
    if portal.problem:
        fix = STAGES[portal.stage].format(host=portal.host)
        says = f"{portal.url} is not reached ({portal.stage}): {portal.problem}"
        yield failure("portal", says, fix)
        return
    if portal.status != 200:  # noqa: PLR2004 -- HTTP's OK
        says = f"{portal.url}/healthz answers {portal.status}"
        yield failure("portal", says, STAGES["http"])
    else:
        yield ok("portal", f"{portal.url} answers, {portal.tls or 'without TLS'}")
    if not portal.tls:
        yield warning("tls", "plain HTTP: for trials only", "enrol with https://")
    if portal.certificate_ends is not None:
        left = portal.certificate_ends - seen.now
        says = f"the portal's certificate ends in {left.days} days"
        if left < timedelta(days=CERTIFICATE_DAYS):
            yield warning("tls", says, "renew it: without it every gateway closes")
        else:
            yield ok("tls", says)


def _mtu(seen: Observed) -> Iterator[Finding]:
    link = seen.interface
    below = min(m for m in (link.uplink_mtu, link.path_mtu, 1 << 16) if m)
    if not link.exists or below == 1 << 16:
        return
    says = f"MTU {link.mtu} in packets of {below} ({link.uplink or 'the path'})"
    fix = f"ip link set {link.name} mtu {below - WIREGUARD_IPV6}"
    if link.mtu > below - WIREGUARD_IPV4:
        yield failure("mtu", f"{says}: full packets do not fit", fix)
    elif link.mtu > below - WIREGUARD_IPV6:
        yield warning("mtu", f"{says}: over IPv6 full packets do not fit", fix)
    else:
        yield ok("mtu", says)


def _port(seen: Observed) -> Iterator[Finding]:
    link = seen.interface
    if link.port_problem:
        yield failure(
            "port",
            f"UDP {link.wanted_port} cannot be listened on: {link.port_problem}",
            f"ss -ulpn 'sport = {link.wanted_port}' says who does; stop it",
        )
    elif link.exists and link.listen_port:
        yield ok("port", f"UDP {link.listen_port} is listened on")
    else:
        yield warning(
            "port",
            "nothing listens for tunnels yet",
            "start the agent: systemctl start peerage-gateway",
        )


def _resolver(seen: Observed) -> Iterator[Finding]:
    if not seen.nameservers:
        yield warning(
            "resolver",
            "no name server is configured: host names stand for nothing",
            "name one in /etc/resolv.conf, or with --resolver",
        )
    else:
        yield ok("resolver", f"asks {', '.join(seen.nameservers)}")
    names = seen.report["names"] if seen.report else {}
    empty = sorted(host for host, addresses in names.items() if not addresses)
    if empty:
        yield warning(
            "names",
            f"{len(empty)} host names stand for nothing: {', '.join(empty[:3])}",
            f"dig {empty[0]}; its addresses must lie within the policy's bounds",
        )


def _agent(seen: Observed) -> Iterator[Finding]:
    if seen.agent != "running" or seen.report is None:
        yield failure(
            "agent",
            "the agent hangs or cannot tell"
            if seen.agent == "silent"
            else "the agent does not run: the gateway is closed within a minute",
            "systemctl restart peerage-gateway; journalctl -u peerage-gateway",
        )
        return
    gate, last = seen.report["gate"], seen.report["last"]
    if gate["is_open"]:
        yield ok("gate", f"open, generation {seen.report['generation']} in force")
    else:
        yield failure(
            "gate",
            f"closing: {gate['reason']}",
            "see the other findings; journalctl -u peerage-gateway",
        )
    for name in ("poll", "apply", "acknowledgement", "upload"):
        if error := last[f"{name}_error"]:
            yield warning(name, error, "journalctl -u peerage-gateway says since when")


def _version(seen: Observed) -> Iterator[Finding]:
    """Compare the agent that runs with what is installed and what the portal says."""
    if seen.agent != "running" or seen.report is None:
        return
    running, told = seen.report["version"], seen.report["portal_agent"]
    if running != VERSION:
        yield warning(
            "version",
            f"agent {running} runs, and {VERSION} is installed",
            "systemctl restart peerage-gateway",
        )
    if told is None:
        yield warning(
            "version",
            f"agent {running} runs; the portal does not say which it needs",
            "upgrade the portal, or wait for its first answer",
        )
        return
    fix = f"install peerage-gateway {told['version']}, then restart the agent"
    if _numbers(running) < _numbers(told["least"]):
        yield failure(
            "version",
            f"agent {running} is older than {told['least']}, the oldest that reads"
            " what the portal signs",
            fix,
        )
    elif _numbers(running) < _numbers(told["version"]):
        says = f"agent {running} is older than the portal's, {told['version']}"
        yield warning("version", says, fix)
    elif running == VERSION:
        yield ok("version", f"agent {running}; the portal's is {told['version']}")


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".") if part.isdecimal())
