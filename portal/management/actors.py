"""Who acts when a command runs: the person at the terminal, as far as it is known."""

from __future__ import annotations

import getpass

from audit.actor import Actor, ActorKind


def command_actor(name: str) -> Actor:
    """Return the acting party of `manage.py NAME`."""
    try:
        login = getpass.getuser()
    except (KeyError, OSError):
        # A user id without a name, as in a container.
        login = "unknown"
    return Actor(kind=ActorKind.COMMAND, id=name, label=f"{login} (manage.py {name})")
