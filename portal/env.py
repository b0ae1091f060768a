"""Readers of the environment. Unreadable or missing means the portal does not start."""

from __future__ import annotations

import os
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qsl, unquote, urlsplit

from django.core.exceptions import ImproperlyConfigured

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

TRUE: Final = frozenset({"1", "true", "yes", "on"})
FALSE: Final = frozenset({"0", "false", "no", "off", ""})


def env_text(name: str, default: str | None = None) -> str:
    """Return a variable's text; without a default it must be set."""
    value = os.environ.get(name, default)
    if value is None:
        msg = f"{name} is not set"
        raise ImproperlyConfigured(msg)
    return value


def env_secret(name: str, default: str | None = None) -> str:
    """Return a secret from NAME, or from the file that NAME_FILE points to.

    A file that is named but cannot be read stops the start: falling back to a
    default would run with a secret everybody knows.
    """
    path = os.environ.get(f"{name}_FILE")
    if path is None:
        return env_text(name, default)
    try:
        return Path(path).read_text(encoding="utf-8").strip()
    except OSError as exc:
        msg = f"{name}_FILE: {path} cannot be read"
        raise ImproperlyConfigured(msg) from exc


def env_bool(name: str, *, default: bool = False) -> bool:
    """Return a switch; anything but a clear yes or no is an error."""
    value = os.environ.get(name)
    if value is None:
        return default
    text = value.strip().lower()
    if text in TRUE:
        return True
    if text in FALSE:
        return False
    msg = f"{name}={value!r}: write 1 or 0"
    raise ImproperlyConfigured(msg)


def env_int(
    name: str, default: int, *, minimum: int = 0, maximum: int | None = None
) -> int:
    """Return a whole number of at least `minimum`, and at most `maximum`."""
    value = os.environ.get(name)
    if value is None:
        return default
    try:
        number = int(value)
    except ValueError as exc:
        msg = f"{name}={value!r} is not a whole number"
        raise ImproperlyConfigured(msg) from exc
    if number < minimum:
        msg = f"{name}={number} is below {minimum}"
        raise ImproperlyConfigured(msg)
    if maximum is not None and number > maximum:
        msg = f"{name}={number} is above {maximum}"
        raise ImproperlyConfigured(msg)
    return number


def env_choice(name: str, default: str, choices: Collection[str]) -> str:
    """Return one of the words that are allowed."""
    value = env_text(name, default)
    if value not in choices:
        msg = f"{name}={value!r} is not one of {', '.join(sorted(choices))}"
        raise ImproperlyConfigured(msg)
    return value


def env_list(name: str, default: str = "") -> list[str]:
    """Return comma-separated words."""
    return [word.strip() for word in env_text(name, default).split(",") if word.strip()]


def env_choices(name: str, choices: Collection[str]) -> list[str]:
    """Return comma-separated words, each one of those that are allowed."""
    words = env_list(name)
    unknown = sorted(set(words) - set(choices))
    if unknown:
        known = ", ".join(sorted(choices))
        msg = f"{name}: {', '.join(unknown)} is not one of {known}"
        raise ImproperlyConfigured(msg)
    return words


def env_networks(name: str) -> tuple[IPv4Network | IPv6Network, ...]:
    """Return comma-separated prefixes, such as 10.0.0.0/8."""
    try:
        return tuple(map(ip_network, env_list(name)))
    except ValueError as exc:
        msg = f"{name}: {exc}"
        raise ImproperlyConfigured(msg) from exc


def database(url: str) -> dict[str, Any]:
    """Return Django's description of `sqlite:///path` or `postgresql://…`."""
    parts = urlsplit(url)
    if parts.scheme == "sqlite":
        return _sqlite(unquote(parts.path.removeprefix("/")) or ":memory:")
    if parts.scheme not in {"postgresql", "postgres"}:
        msg = f"the database URL begins with {parts.scheme!r}; use sqlite or postgresql"
        raise ImproperlyConfigured(msg)
    options: Mapping[str, str] = dict(parse_qsl(parts.query))
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": unquote(parts.path.removeprefix("/")),
        "USER": unquote(parts.username or ""),
        "PASSWORD": unquote(parts.password or ""),
        "HOST": options.get("host", parts.hostname or ""),
        "PORT": str(parts.port or ""),
        "OPTIONS": {key: value for key, value in options.items() if key != "host"},
        "CONN_HEALTH_CHECKS": True,
    }


def room_dir(described: Mapping[str, Any]) -> str:
    """Return the directory of an SQLite database; nothing for any other."""
    path = str(described["NAME"])
    if not described["ENGINE"].endswith("sqlite3") or path == ":memory:":
        return ""
    return str(Path(path).parent)


def origin(url: str) -> str:
    """Return scheme://host[:port] of a URL, as a CSP source or CSRF origin."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}" if parts.netloc else ""


def _sqlite(path: str) -> dict[str, Any]:
    if path != ":memory:":
        # SQLite makes its file readable for all, so the directory keeps them out.
        Path(path).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    # IMMEDIATE: two writers queue instead of one failing with "database is
    # locked" when it upgrades its read lock; WAL: readers never wait.
    return {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": path,
        "OPTIONS": {
            "transaction_mode": "IMMEDIATE",
            "timeout": 20,
            "init_command": "PRAGMA journal_mode=WAL;",
        },
    }
