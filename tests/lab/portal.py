"""The portal and its identity provider, as one person's machine can run them.

Both listen on loopback of the host *and*, with a network, on loopback of the lab
and on the lab's internet, at the same ports: so one issuer and one address hold
for a browser on the host, for the portal itself and for the gateway.
"""

from __future__ import annotations

import secrets
import socket
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import httpx

from tests.lab.network import PORTAL_ADDRESS, Network
from tests.lab.processes import PYTHON, Processes

ROOT: Final = Path(__file__).parents[2]
LOOPBACK: Final = "127.0.0.1"


class Portal:
    """Portal and identity provider of one lab."""

    def __init__(
        self,
        processes: Processes,
        folder: Path,
        *,
        network: Network | None,
        port: int = 0,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        """Take the ports; nothing runs yet."""
        self._processes = processes
        self._network = network
        self._folder = folder
        self._socket = _listening(port)
        self._idp_socket = _listening(0)
        self.port: int = self._socket.getsockname()[1]
        idp_port = self._idp_socket.getsockname()[1]
        self.url = f"http://{LOOPBACK}:{self.port}"
        self.inner_url = f"http://{PORTAL_ADDRESS}:{self.port}"
        self.issuer = f"http://{LOOPBACK}:{idp_port}"
        self._idp_port: int = idp_port
        self._environment = {**self._settings(), **(environment or {})}

    def start(self) -> None:
        """Start both and wait until they answer."""
        self._start_identity_provider()
        self.manage("init")
        self._start_portal()
        self._processes.wait_for(
            "identity",
            lambda: _answers(f"{self.issuer}/.well-known/openid-configuration"),
            what="the identity provider",
        )

    def crash(self) -> None:
        """Kill the portal as a fault would; its state stays."""
        self._processes.stop("portal", kill=True)

    def resume(self) -> None:
        """Start the portal again, at the port where everybody looks for it."""
        self._socket = socket.create_server((LOOPBACK, self.port), backlog=128)
        self._start_portal()

    def _start_portal(self) -> None:
        command = [PYTHON, "manage.py", "runportal", "--fd", "{fds}"]
        self._serve("portal", self._socket, self.port, command, self._environment)
        self._processes.wait_for(
            "portal", lambda: _answers(f"{self.url}/healthz"), what="the portal"
        )

    def manage(self, *words: str) -> None:
        """Run a management command to its end.

        Raises:
            LabError: it failed; its log is named.
        """
        self.run(f"manage-{words[0]}", "manage.py", *words)

    def run(self, name: str, *words: str) -> None:
        """Run a Python program in the portal's environment to its end.

        Raises:
            LabError: it failed; its log is named.
        """
        self._processes.run_to_end(name, [PYTHON, *words], self._environment)

    def _start_identity_provider(self) -> None:
        environment = {
            "IDP_ISSUER": self.issuer,
            "IDP_DATABASE": str(self._folder / "idp.sqlite3"),
            "IDP_REDIRECT_URIS": f"{self.url}/accounts/sso/login/callback/",
            "IDP_CLIENT_ID": "portal",
            "IDP_CLIENT_SECRET": self._environment["PEERAGE_OIDC_CLIENT_SECRET"],
            "DJANGO_SETTINGS_MODULE": "tests.idp.settings",
        }
        command = [PYTHON, "-m", "tests.lab.identity", "{fds}"]
        self._serve("identity", self._idp_socket, self._idp_port, command, environment)

    def _serve(
        self,
        name: str,
        outer: socket.socket,
        port: int,
        command: Sequence[str],
        environment: Mapping[str, str],
    ) -> None:
        """Run a server on the host's socket and, in the lab, on sockets of its own."""
        places = [] if self._network is None else [LOOPBACK, PORTAL_ADDRESS]
        listen = [
            *(PYTHON, "-m", "tests.lab.listen", f"fd:{outer.fileno()}"),
            *(f"{place}:{port}" for place in places),
            *("--", *command),
        ]
        if self._network is not None:
            listen = self._network.inside(None, listen)
        self._processes.start(
            name, listen, environment=environment, descriptors=(outer.fileno(),)
        )
        outer.close()

    def _settings(self) -> dict[str, str]:
        state = self._folder / "portal"
        return {
            "DJANGO_SETTINGS_MODULE": "portal.settings",
            "PEERAGE_SECRET_KEY": secrets.token_urlsafe(48),
            "PEERAGE_STATE_DIR": str(state),
            "PEERAGE_DATABASE_URL": f"sqlite:///{state}/peerage.sqlite3",
            "PEERAGE_REDIS_URL": "",
            "PEERAGE_BASE_URL": self.url,
            "PEERAGE_ALLOWED_HOSTS": f"{LOOPBACK},localhost,{PORTAL_ADDRESS}",
            "PEERAGE_INSECURE_HTTP": "1",
            "PEERAGE_MAIL_CONSOLE": "1",
            "PEERAGE_OIDC_ISSUER": self.issuer,
            "PEERAGE_OIDC_CLIENT_ID": "portal",
            "PEERAGE_OIDC_CLIENT_SECRET": secrets.token_urlsafe(24),
            "PEERAGE_OIDC_NAME": "the demo's sign-in",
            "PEERAGE_OIDC_SCOPES": "openid,profile,email,groups",
            "PEERAGE_ROLE_GROUP_AUDITOR": "peerage-auditors",
            "PEERAGE_ROLE_GROUP_ADMINISTRATOR": "peerage-administrators",
            "PEERAGE_ROLE_GROUP_OWNER": "peerage-owners",
            "PEERAGE_DEVICE_CODE_INTERVAL": "1",
        }


def _listening(port: int) -> socket.socket:
    """Listen on the host's loopback: at `port`, or where it is free."""
    try:
        return socket.create_server((LOOPBACK, port), backlog=128)
    except OSError:
        return socket.create_server((LOOPBACK, 0), backlog=128)


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=2, trust_env=False).status_code == 200
    except httpx.HTTPError:
        return False
