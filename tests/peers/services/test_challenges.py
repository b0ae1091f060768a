"""Challenges: one answer, ten minutes, one person."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

import pytest

from peers import services
from peers.errors import InvalidKeyError, PossessionError
from peers.models import EnrolmentChallenge
from peers.services.challenges import OPEN_CHALLENGES
from portal.accounts.models import User
from tests.peers.makers import NOW, Machine


def prove(
    user: User, machine: Machine, challenge: EnrolmentChallenge, **changed: object
) -> None:
    """Answer a challenge, right unless something is changed."""
    services.prove_possession(
        **{  # type: ignore[arg-type]
            "user": user,
            "challenge_id": challenge.pk,
            "public_key": machine.public_key,
            "proof": machine.proof(challenge),
            "now": NOW,
            **changed,
        }
    )


def test_the_holder_of_the_key_passes(alice: User) -> None:
    prove(alice, Machine(), services.create_challenge(user=alice, now=NOW))


def test_every_challenge_is_another(alice: User) -> None:
    one, two = (services.create_challenge(user=alice, now=NOW) for _ in range(2))
    assert one.pk != two.pk
    assert one.nonce != two.nonce
    assert one.ephemeral_key != two.ephemeral_key


def test_a_challenge_serves_once(alice: User) -> None:
    machine, challenge = Machine(), services.create_challenge(user=alice, now=NOW)
    proof = machine.proof(challenge)
    prove(alice, machine, challenge, proof=proof)
    with pytest.raises(PossessionError, match="used"):
        prove(alice, machine, challenge, proof=proof)


def test_a_wrong_proof_uses_the_challenge_up(alice: User) -> None:
    machine, challenge = Machine(), services.create_challenge(user=alice, now=NOW)
    with pytest.raises(PossessionError, match="private key"):
        prove(alice, machine, challenge, proof=Machine().proof(challenge))
    assert not EnrolmentChallenge.objects.exists()


def test_a_malformed_key_leaves_the_challenge(alice: User) -> None:
    challenge = services.create_challenge(user=alice, now=NOW)
    with pytest.raises(InvalidKeyError):
        prove(alice, Machine(), challenge, public_key="nonsense")
    assert EnrolmentChallenge.objects.exists()


def test_an_old_challenge_is_refused(alice: User) -> None:
    machine, challenge = Machine(), services.create_challenge(user=alice, now=NOW)
    with pytest.raises(PossessionError, match="too old"):
        prove(alice, machine, challenge, now=NOW + timedelta(minutes=10))


def test_an_unknown_challenge_is_refused(alice: User) -> None:
    challenge = services.create_challenge(user=alice, now=NOW)
    with pytest.raises(PossessionError, match="unknown"):
        prove(alice, Machine(), challenge, challenge_id=UUID(int=1))


def test_the_challenge_of_another_person_is_refused_and_stays(
    alice: User, mallory: User
) -> None:
    machine, challenge = Machine(), services.create_challenge(user=alice, now=NOW)
    with pytest.raises(PossessionError, match="unknown"):
        prove(mallory, machine, challenge)
    prove(alice, machine, challenge)


def test_person_holds_so_many_challenges_and_no_more(alice: User, bob: User) -> None:
    services.create_challenge(user=bob, now=NOW)
    made = [
        services.create_challenge(user=alice, now=NOW + timedelta(seconds=number))
        for number in range(OPEN_CHALLENGES + 5)
    ]
    kept = EnrolmentChallenge.objects.filter(user=alice)
    assert {item.pk for item in kept} == {item.pk for item in made[5:]}
    assert EnrolmentChallenge.objects.filter(user=bob).exists()
