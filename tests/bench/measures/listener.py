"""Runs beside a volley: reads and forgets, by the agent's own reader, until stopped."""

from __future__ import annotations

from gateway.events import EventReader


def main() -> None:
    """Read until terminated."""
    reader = EventReader()
    while True:
        for _ in reader.read(1):
            pass


if __name__ == "__main__":
    main()
