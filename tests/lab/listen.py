"""Open listening sockets in this namespace, then become another program.

`python -m tests.lab.listen ADDRESS:PORT … -- COMMAND …`: `{fds}` in COMMAND turns into
the numbers of the sockets, each after the option that stood before it. `fd:N` is a
socket that was handed down already.
"""

from __future__ import annotations

import os
import socket
import sys


def main(arguments: list[str]) -> None:
    """Bind, listen, execute."""
    split = arguments.index("--")
    numbers = [_listening(place) for place in arguments[:split]]
    command = expanded(arguments[split + 1 :], numbers)
    os.execvp(command[0], command)  # noqa: S606 -- that is the point


def expanded(command: list[str], numbers: list[int]) -> list[str]:
    """Return the command with `--fd {fds}` repeated for each number."""
    if "{fds}" not in command:
        return command
    at = command.index("{fds}")
    option = command[at - 1 : at] if command[at - 1].startswith("--") else []
    head = command[: at - len(option)]
    repeated = [word for number in numbers for word in (*option, str(number))]
    return [*head, *repeated, *command[at + 1 :]]


def _listening(place: str) -> int:
    host, _, port = place.rpartition(":")
    if host == "fd":
        return int(port)
    server = socket.create_server((host, int(port)), backlog=128)
    os.set_inheritable(server.fileno(), True)
    return server.detach()


if __name__ == "__main__":
    main(sys.argv[1:])
