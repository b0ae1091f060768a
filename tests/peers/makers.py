"""Small working parts of the other side: a person's machine, a gateway's agent."""

from __future__ import annotations

import base64
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from audit.actor import SYSTEM
from audit.models import AuditEvent
from peers import services
from peers.models import AddressPool
from peers.possession import possession_proof, public_key_of
from peers.services.gateways import PROOF_CONTEXT

if TYPE_CHECKING:
    from collections.abc import Mapping
    from uuid import UUID

    from peers.models import Device, EnrolmentChallenge, Gateway
    from portal.accounts.models import User

NOW: Final = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)


def make_pools(*prefixes: str) -> None:
    """Set up the pools devices lease from."""
    for prefix in prefixes or ("100.64.0.0/24", "fd5e:e4a6:e000::/64"):
        AddressPool.objects.create(prefix=prefix)


class Machine:
    """A person's machine: it holds the private key and proves that it does."""

    def __init__(self) -> None:
        """Make a key."""
        self.private = X25519PrivateKey.generate().private_bytes_raw()
        self.public_key = public_key_of(self.private)

    def proof(self, challenge: EnrolmentChallenge, *, public_key: str = "") -> str:
        """Answer a challenge with this machine's key."""
        return self.answer(
            challenge_id=challenge.pk,
            portal_key=public_key_of(bytes(challenge.ephemeral_key)),
            nonce=bytes(challenge.nonce),
            public_key=public_key,
        )

    def answer(
        self, *, challenge_id: UUID, portal_key: str, nonce: bytes, public_key: str = ""
    ) -> str:
        """Answer what the API asked."""
        return base64.b64encode(
            possession_proof(
                self.private,
                base64.b64decode(portal_key),
                challenge_id=challenge_id,
                nonce=nonce,
                public_key=public_key or self.public_key,
            )
        ).decode()

    def enroll(
        self,
        user: User,
        *,
        name: str = "laptop",
        platform: str = "linux",
        public_key: str = "",
        now: datetime = NOW,
    ) -> Device:
        """Enrol this machine, offering its own key or the given one."""
        challenge = services.create_challenge(user=user, now=now)
        return services.enroll_device(
            user=user,
            name=name,
            platform=platform,
            public_key=public_key or self.public_key,
            challenge_id=challenge.pk,
            proof=self.proof(challenge, public_key=public_key),
            actor=SYSTEM,
            now=now,
        )


class Agent:
    """A gateway's agent: two private keys and a token."""

    def __init__(self) -> None:
        """Make the keys."""
        self.signing = Ed25519PrivateKey.generate()
        self.signing_key = base64.b64encode(
            self.signing.public_key().public_bytes_raw()
        ).decode()
        self.wireguard_key = Machine().public_key

    def proof(self, token: str, *, wireguard_key: str = "") -> str:
        """Sign the enrolment."""
        key = (wireguard_key or self.wireguard_key).encode()
        message = PROOF_CONTEXT + token.encode() + b"\n" + key
        return base64.b64encode(self.signing.sign(message)).decode()

    def document(self, token: str) -> dict[str, str]:
        """Return what the agent posts to enrol."""
        return {
            "token": token,
            "signing_key": self.signing_key,
            "wireguard_key": self.wireguard_key,
            "agent_version": "0.1.0",
            "proof": self.proof(token),
        }

    def enroll(
        self,
        token: str,
        changed: Mapping[str, str] | None = None,
        *,
        now: datetime = NOW,
    ) -> Gateway:
        """Enrol with a token; `changed` replaces parts of the document."""
        changed = changed or {}
        wireguard_key = changed.get("wireguard_key", self.wireguard_key)
        proof = self.proof(token, wireguard_key=wireguard_key)
        document = {**self.document(token), "proof": proof, **changed}
        return services.enroll_gateway(**document, actor=SYSTEM, now=now)


def make_gateway(name: str = "edge", *, now: datetime = NOW) -> Gateway:
    """Describe a gateway that waits for its agent."""
    return services.create_gateway(
        name=name,
        endpoint_host=f"{name}.example.test",
        endpoint_port=51820,
        actor=SYSTEM,
        now=now,
    )


def codes() -> list[str]:
    """Return the codes of all events with their outcomes, oldest first."""
    return [str(event) for event in AuditEvent.objects.order_by("id")]
