"""A whole lab: wires, applications, portal, gateway, people; built and torn down."""

from __future__ import annotations

import html
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from tests.lab.applications import Applications
from tests.lab.gateway import GatewayHost
from tests.lab.machines import Machine
from tests.lab.network import (
    APPS,
    GATEWAY_ADDRESS,
    PEOPLE,
    WIREGUARD_PORT,
    AppHost,
    Network,
)
from tests.lab.portal import Portal
from tests.lab.processes import LabError, Processes, wait_until
from tests.lab.visitor import Enrolled, Visitor

TOKEN: Final = re.compile(r"--token ([\w-]+)")
NUMBER: Final = re.compile(r"/(\d+)/")
APPLICATION_NAMES: Final = {"app1": "Wiki", "app2": "Payroll"}


@dataclass(slots=True, kw_only=True)
class Lab:
    """Everything there is, by its part."""

    folder: Path
    processes: Processes
    network: Network
    applications: Applications
    portal: Portal
    gateway: GatewayHost
    machines: Mapping[str, Machine]
    visitors: dict[str, Visitor] = field(default_factory=dict)
    devices: dict[str, Enrolled] = field(default_factory=dict)

    def visitor(self, username: str) -> Visitor:
        """Return somebody's window at the portal, signed in."""
        if username not in self.visitors:
            self.visitors[username] = Visitor(self.portal.url, username)
            self.visitors[username].sign_in()
        return self.visitors[username]

    def describe_gateway(self, administrator: Visitor) -> str:
        """Describe the gateway in the portal and return its enrolment token."""
        answer = administrator.submit(
            "/manage/gateways/add/",
            {
                "name": "gateway-1",
                "endpoint_host": GATEWAY_ADDRESS,
                "endpoint_port": str(WIREGUARD_PORT),
            },
        )
        return token_in(answer.text)

    def describe_application(self, administrator: Visitor, app: AppHost) -> None:
        """Describe an application's web server, both families, in the portal."""
        administrator.submit(
            "/manage/applications/add/",
            {
                "name": APPLICATION_NAMES[app.name],
                "destinations": f"{app.address4}/32 tcp/80\n{app.address6}/128 tcp/80",
                "gateways": [self.choice(administrator, "gateways", "gateway-1")],
            },
        )

    def grant(
        self, administrator: Visitor, app: AppHost, *, group: str = "", person: str = ""
    ) -> None:
        """Grant an application to a group or a person in the portal."""
        name = APPLICATION_NAMES[app.name]
        fields = {"application": self.choice(administrator, "applications", name)}
        if group:
            page = administrator.page("/manage/grants/add/")
            fields["group"] = _option(page, group)
        if person:
            fields["person"] = person
        administrator.submit("/manage/grants/add/", fields)

    def choice(self, reader: Visitor, kind: str, name: str) -> str:
        """Return the number of the thing of that name in a list of the portal."""
        page = reader.page(f"/manage/{kind}/")
        found = re.search(
            rf'href="/manage/{kind}/(\d+)/"[^>]*>\s*{re.escape(name)}\s*<', page
        )
        if found is None:
            msg = f"{name} is not among the portal's {kind}"
            raise LabError(msg)
        return found[1]

    def wait_for_generation(self, reader: Visitor, *, seconds: float = 20) -> None:
        """Wait until the gateway enforces what the portal published."""
        number = self.choice(reader, "gateways", "gateway-1")
        wait_until(
            lambda: "in force" in reader.page(f"/manage/gateways/{number}/").lower(),
            what="the gateway enforcing the newest snapshot",
            seconds=seconds,
        )


@contextmanager
def lab(
    *, port: int = 0, keep: bool = False, environment: Mapping[str, str] | None = None
) -> Iterator[Lab]:
    """Build a lab with running applications and portal; end all of it afterwards.

    The folder with the logs stays when `keep` is true or something went wrong.
    """
    folder = Path(tempfile.mkdtemp(prefix="peerage-lab-"))
    processes = Processes(folder)
    made: Lab | None = None
    try:
        network = Network(processes)
        portal = Portal(
            processes, folder, network=network, port=port, environment=environment
        )
        portal.start()
        made = Lab(
            folder=folder,
            processes=processes,
            network=network,
            applications=Applications(network, processes),
            portal=portal,
            gateway=GatewayHost(network, processes, folder),
            machines={
                name: Machine(name, network, processes, folder) for name in PEOPLE
            },
        )
        yield made
    except Exception as exc:
        keep = True
        exc.add_note(f"the logs of this lab: {folder}")
        raise
    finally:
        for visitor in made.visitors.values() if made else ():
            visitor.close()
        processes.stop_all()
        if not keep:
            shutil.rmtree(folder, ignore_errors=True)


def prepare(made: Lab) -> None:
    """Let dave describe gateway and applications; let the gateway enrol and open."""
    dave = made.visitor("dave")
    token = made.describe_gateway(dave)
    made.gateway.enroll(made.portal.inner_url, token)
    for app in APPS:
        made.describe_application(dave, app)
    made.gateway.start()


def token_in(page: str) -> str:
    """Return the enrolment token that a page shows."""
    found = TOKEN.search(html.unescape(page))
    if found is None:
        msg = "the portal showed no enrolment token"
        raise LabError(msg)
    return found[1]


def _option(page: str, label: str) -> str:
    found = re.search(rf'<option value="(\d+)"[^>]*>\s*{re.escape(label)}\s*<', page)
    if found is None:
        msg = f"the form offers no {label}"
        raise LabError(msg)
    return found[1]
