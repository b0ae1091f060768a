"""The command line, `peerage-gateway` or `python -m gateway`."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from gateway import boot, config, enrollment, running, status
from gateway.agent import SystemClock
from gateway.config import BootCommand, EnrollCommand, RunCommand, StatusCommand
from gateway.errors import GatewayError


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what the command line says; return the exit status."""
    try:
        command = config.parse(sys.argv[1:] if arguments is None else arguments)
        match command:
            case EnrollCommand():
                identity = enrollment.enroll(command)
                _say(f"{identity.gateway} joined {identity.deployment}")
                _say(f"signing key {enrollment.fingerprint(command.state)}")
            case RunCommand():
                running.run(command)
            case BootCommand(interface=interface):
                boot.close(interface)
            case StatusCommand():
                for line in status.lines(command, now=SystemClock().now()):
                    _say(line)
    except GatewayError as exc:
        sys.stderr.write(f"peerage-gateway: {exc}\n")
        return 1
    return 0


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")


if __name__ == "__main__":
    sys.exit(main())
