"""The portal's half of a possession proof: made once, used once."""

from __future__ import annotations

import secrets
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from peers.errors import PossessionError
from peers.keys import parse_public_key
from peers.models import EnrolmentChallenge
from peers.possession import NONCE_BYTES, is_proof, possession_proof

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

    from portal.accounts.models import User

CHALLENGE_LIFETIME: Final = timedelta(minutes=10)
OPEN_CHALLENGES: Final = 20


def create_challenge(*, user: User, now: datetime) -> EnrolmentChallenge:
    """Return a new challenge for one enrolment by this person.

    Of those they have not answered the oldest are forgotten, so that nobody can fill
    the table.
    """
    own = EnrolmentChallenge.objects.filter(user=user)
    newest = own.order_by("-created_at", "pk").values_list("pk", flat=True)
    # By name what goes, not what stays: one made meanwhile is in neither list.
    own.filter(pk__in=list(newest[OPEN_CHALLENGES - 1 :])).delete()
    return EnrolmentChallenge.objects.create(
        user=user,
        ephemeral_key=X25519PrivateKey.generate().private_bytes_raw(),
        nonce=secrets.token_bytes(NONCE_BYTES),
        created_at=now,
        expires_at=now + CHALLENGE_LIFETIME,
    )


def prove_possession(
    *, user: User, challenge_id: UUID, public_key: str, proof: str, now: datetime
) -> None:
    """Check that who offers a key holds its private half.

    The challenge is gone afterwards, whether the proof was right or wrong: its
    ephemeral key serves one answer. Of two answers at once, one finds it.

    Raises:
        InvalidKeyError: the offered key is malformed or weak.
        PossessionError: the challenge is unknown, somebody else's, used or too old,
            or the proof is wrong.
    """
    offered = parse_public_key(public_key)
    challenge = EnrolmentChallenge.objects.filter(
        pk=challenge_id, user=user, expires_at__gt=now
    ).first()
    if challenge is None or not _take(challenge):
        raise PossessionError("the challenge is unknown, used or too old; ask again")
    expected = possession_proof(
        bytes(challenge.ephemeral_key),
        offered,
        challenge_id=challenge_id,
        nonce=bytes(challenge.nonce),
        public_key=public_key,
    )
    if not is_proof(proof, expected):
        raise PossessionError("the proof does not show that you hold the private key")


def _take(challenge: EnrolmentChallenge) -> bool:
    deleted, _ = EnrolmentChallenge.objects.filter(pk=challenge.pk).delete()
    return deleted == 1
