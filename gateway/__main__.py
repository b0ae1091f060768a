"""The command line, `peerage-gateway` or `python -m gateway`."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from gateway import acceptance, boot, config, enrollment, running, status
from gateway.agent import SystemClock
from gateway.config import (
    AcceptCommand,
    BootCommand,
    DoctorCommand,
    EnrollCommand,
    RunCommand,
    StatusCommand,
)
from gateway.doctor import gather, telling
from gateway.doctor.findings import findings
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
            case AcceptCommand(state=state):
                for line in acceptance.accept(state, now=SystemClock().now()):
                    _say(line)
            case BootCommand(interface=interface):
                boot.close(interface)
            case StatusCommand():
                for line in status.lines(command, now=SystemClock().now()):
                    _say(line)
            case DoctorCommand():
                return _examine(command)
    except GatewayError as exc:
        sys.stderr.write(f"peerage-gateway: {exc}\n")
        return 1
    return 0


def _examine(command: DoctorCommand) -> int:
    """Say what is wrong; return 0 for nothing, 1 for warnings, 2 for failures."""
    found = findings(gather.observe(command, now=SystemClock().now()))
    for line in (telling.document(found),) if command.is_json else telling.lines(found):
        _say(line)
    return telling.exit_status(found)


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")


def program() -> None:
    """Be the console script `peerage-gateway`."""
    sys.exit(main())


if __name__ == "__main__":
    program()
