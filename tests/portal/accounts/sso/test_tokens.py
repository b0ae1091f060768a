"""Which id_tokens are believed (attack A10). No database, no network."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

from portal.accounts.sso.errors import SignInError
from portal.accounts.sso.tokens import check_freshness, verified_claims

ISSUER, CLIENT, NONCE = "https://idp.example.test", "portal", "n-0S6_WzA2Mj"
RSA_KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
OTHER_RSA_KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
EC_KEY = ec.generate_private_key(ec.SECP256R1())
ED_KEY = ed25519.Ed25519PrivateKey.generate()
KEYS = {
    "keys": [
        json.loads(RSAAlgorithm.to_jwk(RSA_KEY.public_key())) | {"kid": "rsa"},
        json.loads(ECAlgorithm.to_jwk(EC_KEY.public_key())) | {"kid": "ec"},
        json.loads(OKPAlgorithm.to_jwk(ED_KEY.public_key())) | {"kid": "ed"},
    ]
}
PEM = RSA_KEY.public_key().public_bytes(
    serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
)


def claims(**changes: Any) -> dict[str, Any]:  # noqa: ANN401 -- any claim
    """Return good claims, changed; None removes one."""
    now = datetime.now(UTC)  # noqa: TID251 -- the library reads the clock too
    good = {
        "iss": ISSUER,
        "sub": "alice",
        "aud": CLIENT,
        "iat": now,
        "exp": now + timedelta(minutes=5),
        "nonce": NONCE,
    }
    return {name: v for name, v in (good | changes).items() if v is not None}


def verify(token: object) -> dict[str, Any]:
    """Judge a token as the callback does."""
    return verified_claims(
        token, keys=KEYS, issuer=ISSUER, client_id=CLIENT, nonce=NONCE
    )


def signed(payload: dict[str, Any], key: Any = RSA_KEY, **kw: Any) -> str:  # noqa: ANN401 -- any key
    """Sign as the provider does."""
    kw = {"algorithm": "RS256", "headers": {"kid": "rsa"}} | kw
    return jwt.encode(payload, key, **kw)


@pytest.mark.parametrize(
    ("key", "algorithm", "kid"),
    [(RSA_KEY, "RS256", "rsa"), (EC_KEY, "ES256", "ec"), (ED_KEY, "EdDSA", "ed")],
    ids=["RS256", "ES256", "EdDSA"],
)
def test_good_token_is_believed(key: Any, algorithm: str, kid: str) -> None:  # noqa: ANN401 -- any key
    token = signed(claims(), key, algorithm=algorithm, headers={"kid": kid})
    assert verify(token)["sub"] == "alice"


def test_unsigned_token_is_refused() -> None:
    token = jwt.encode(claims(), "", algorithm="none", headers={"kid": "rsa"})
    with pytest.raises(SignInError, match="not allowed"):
        verify(token)


def test_token_signed_with_the_public_key_as_secret_is_refused() -> None:
    # PyJWT itself refuses to sign like this, so the forger does it by hand.
    head, body, _ = signed(claims()).split(".")
    head = jwt.utils.base64url_encode(b'{"alg":"HS256","kid":"rsa"}').decode()
    mac = jwt.algorithms.HMACAlgorithm(jwt.algorithms.HMACAlgorithm.SHA256)
    key = b"".join(PEM.splitlines()[1:-1])
    signature = mac.sign(f"{head}.{body}".encode(), key)
    forged = f"{head}.{body}.{jwt.utils.base64url_encode(signature).decode()}"
    with pytest.raises(SignInError, match="not allowed"):
        verify(forged)


@pytest.mark.parametrize("algorithm", ["RS384", "RS512", "PS256"])
def test_algorithm_outside_the_list_is_refused(algorithm: str) -> None:
    with pytest.raises(SignInError, match="not allowed"):
        verify(signed(claims(), algorithm=algorithm))


@pytest.mark.parametrize(
    ("key", "kid"),
    [(OTHER_RSA_KEY, "rsa"), (RSA_KEY, "unknown"), (RSA_KEY, "ec")],
    ids=["forged", "unknown key", "key of another type"],
)
def test_token_of_another_key_is_refused(key: Any, kid: str) -> None:  # noqa: ANN401 -- any key
    with pytest.raises(SignInError):
        verify(signed(claims(), key, headers={"kid": kid}))


@pytest.mark.parametrize(
    "changes",
    [
        {"iss": "https://evil.example.test"},
        {"aud": "another"},
        {"aud": ["portal", "another"]},
        {"azp": "another"},
        {"nonce": "another"},
        {"nonce": None},
        {"exp": 1},
        {"exp": None},
        {"sub": None},
        {"sub": 7},
        {"iat": None},
        {"iat": 4102444800},
    ],
    ids=str,
)
def test_token_for_another_purpose_is_refused(changes: dict[str, Any]) -> None:
    # Signed by hand: PyJWT would not encode a number as subject.
    payload = claims(**changes)
    for name in ("iat", "exp"):
        if isinstance(payload.get(name), datetime):
            payload[name] = int(payload[name].timestamp())
    token = jwt.api_jws.encode(
        json.dumps(payload).encode(), RSA_KEY, "RS256", headers={"kid": "rsa"}
    )
    with pytest.raises(SignInError):
        verify(token)


@pytest.mark.parametrize("token", [None, "", "a.b.c", 7])
def test_no_token_is_no_sign_in(token: object) -> None:
    with pytest.raises(SignInError):
        verify(token)


def test_sign_in_without_a_nonce_of_ours_is_refused() -> None:
    with pytest.raises(SignInError, match="nonce"):
        verified_claims(
            signed(claims()), keys=KEYS, issuer=ISSUER, client_id=CLIENT, nonce=""
        )


NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
AT = int(NOW.timestamp())


@pytest.mark.parametrize(
    ("auth_time", "max_age", "good"),
    [
        (AT, 0, True),
        (AT - 30, 0, True),
        (AT - 3600, 0, False),
        (AT - 3600, 7200, True),
        (AT - 3600, None, True),
        (None, None, True),
        (None, 0, False),
        ("yesterday", 0, False),
        (True, 0, False),
        (-(10**15), None, False),
        (AT + 3600, None, False),
    ],
)
def test_fresh_proof_must_be_fresh(
    auth_time: object,
    max_age: int | None,
    good: bool,
) -> None:
    found = {} if auth_time is None else {"auth_time": auth_time}
    if good:
        check_freshness(found, asked_at=AT, max_age=max_age, now=NOW)
        return
    with pytest.raises(SignInError):
        check_freshness(found, asked_at=AT, max_age=max_age, now=NOW)
