"""What the command line does: enrol, sync, status."""

from __future__ import annotations

import platform
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from client import files, keys, login
from client.errors import PortalError
from client.http import Portal, plain
from policies.compiler.wireguard import with_private_key

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

    Say = Callable[[str], None]
    Sleep = Callable[[float], None]

BAD_REQUEST, UNAUTHORIZED = 400, 401


def enroll(*, url: str, name: str, output: Path, say: Say, sleep: Sleep) -> None:
    """Make a key, have the portal accept it, and write the configuration.

    The person agrees in their browser first; then the key is made. It goes into
    the configuration and nowhere else.

    Raises:
        ClientError: anything was refused; no file was written then.
    """
    files.refuse_occupied(output)
    portal = Portal(url)
    tokens = _sign_in(portal, say=say, sleep=sleep)
    portal.token = tokens.access
    key = keys.make_key()
    answer = _register(portal, key, name=name)
    config = files.checked_config(str(answer["config"]))
    files.write_private(output, with_private_key(config, keys.private_text(key)))
    device = answer["device"]
    memory = files.Memory(
        portal=url,
        device=int(device["id"]),
        name=name,
        refresh_token=tokens.refresh,
    )
    files.write_memory(output, memory)
    say(f"Enrolled {plain(name)} as {', '.join(map(plain, device['addresses']))}.")
    say(f"Key {keys.fingerprint(keys.public_text(key))[:16]}…")
    say(f"Configuration: {output} (start it with: wg-quick up {output.resolve()})")


def sync(*, config: Path, say: Say, sleep: Sleep) -> bool:
    """Fetch the configuration again, keep the key; return whether it changed."""
    private = files.private_key_in(config)
    portal, memory = _returning(config, say=say, sleep=sleep)
    answer = portal.get(f"/api/v1/devices/{memory.device}/config/")
    text = files.checked_config(str(answer["config"]))
    whole = with_private_key(text, private)
    if config.read_text(encoding="utf-8") == whole:
        say(f"{config} is up to date.")
        return False
    files.write_private(config, whole)
    say(f"{config} was updated (apply it with: wg-quick down, then up).")
    return True


def status(*, config: Path, say: Say, sleep: Sleep) -> bool:
    """Say what the portal holds of this device; return whether it is active."""
    public = keys.public_of(files.private_key_in(config))
    portal, memory = _returning(config, say=say, sleep=sleep)
    listed = portal.get("/api/v1/devices/")["devices"]
    device = next((item for item in listed if item["id"] == memory.device), None)
    if device is None:
        say(f"{plain(memory.name)}: the portal does not know this device (any more).")
        return False
    state = str(device.get("state", "active"))
    same = device.get("fingerprint") == keys.fingerprint(public)
    say(f"{plain(device['name'])}: {plain(state)}")
    say(f"  portal     {memory.portal}")
    say(f"  addresses  {', '.join(map(plain, device['addresses'])) or 'none'}")
    say(f"  key        {keys.fingerprint(public)[:16]}… {_known(same=same)}")
    return state == "active" and same


def _known(*, same: bool) -> str:
    return "(known to the portal)" if same else "(not the key the portal knows)"


def _sign_in(portal: Portal, *, say: Say, sleep: Sleep) -> login.Tokens:
    invitation = login.invite(portal)
    say("To let this machine in, open")
    say(f"    {plain(invitation.address)}")
    say("and type the code")
    say(f"    {plain(invitation.user_code)}")
    say("Waiting…")
    return login.wait_for_consent(portal, invitation, sleep=sleep)


def _register(portal: Portal, key: X25519PrivateKey, *, name: str) -> dict[str, Any]:
    challenge = portal.post("/api/v1/challenges/", {})
    proof = keys.possession_proof(
        key,
        challenge=challenge["challenge"],
        nonce=challenge["nonce"],
        portal_key=challenge["public_key"],
    )
    return portal.post(
        "/api/v1/devices/",
        {
            "name": name,
            "platform": platform.system().lower(),
            "public_key": keys.public_text(key),
            "challenge": challenge["challenge"],
            "proof": proof,
        },
    )


def _returning(config: Path, *, say: Say, sleep: Sleep) -> tuple[Portal, files.Memory]:
    """Return the portal with a fresh token, asking the person only when needed."""
    memory = files.read_memory(config)
    portal = Portal(memory.portal)
    tokens = _refreshed(portal, memory) or _sign_in(portal, say=say, sleep=sleep)
    memory = replace(memory, refresh_token=tokens.refresh)
    files.write_memory(config, memory)
    portal.token = tokens.access
    return portal, memory


def _refreshed(portal: Portal, memory: files.Memory) -> login.Tokens | None:
    if not memory.refresh_token:
        return None
    try:
        return login.refresh(portal, memory.refresh_token)
    except PortalError as exc:
        if exc.status not in {BAD_REQUEST, UNAUTHORIZED}:
            raise
        return None
