"""When to believe an id_token (OpenID Connect Core §3.1.3.7).

Rules this module keeps:

* The algorithm comes from our list and from the key, never from the token alone:
  no `none`, no HMAC (attack A10).
* The key comes from the provider's key set: of the right type, for signing, and
  the only one that fits.
* Issuer, audience, expiry and nonce must be the ones of this sign-in.
* When a fresh proof was asked for, `auth_time` must say so.
"""

from __future__ import annotations

import hmac
from typing import TYPE_CHECKING, Any, Final

import jwt

from portal.accounts.sso.errors import SignInError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

KEY_TYPES: Final = {"RS256": "RSA", "ES256": "EC", "EdDSA": "OKP"}
REQUIRED: Final = ["iss", "sub", "aud", "exp", "iat", "nonce"]
SKEW_SECONDS: Final = 60

Claims = dict[str, Any]


def verified_claims(
    id_token: object,
    *,
    keys: Mapping[str, Any],
    issuer: str,
    client_id: str,
    nonce: str,
) -> Claims:
    """Return the claims of an id_token that belongs to this sign-in.

    Raises:
        SignInError: anything about it is missing, forged, old or for somebody else.
    """
    if not isinstance(id_token, str):
        msg = "the answer has no id_token"
        raise SignInError(msg)
    try:
        header = jwt.get_unverified_header(id_token)
        algorithm = header.get("alg")
        if algorithm not in KEY_TYPES:
            msg = "the id_token is signed with an algorithm that is not allowed"
            raise SignInError(msg)
        claims = jwt.decode(
            id_token,
            key=_key(keys, algorithm=algorithm, kid=header.get("kid")).key,
            algorithms=[algorithm],
            issuer=issuer,
            audience=client_id,
            leeway=SKEW_SECONDS,
            options={"require": REQUIRED},
        )
    except jwt.PyJWTError as exc:
        msg = f"the id_token is not valid: {type(exc).__name__}"
        raise SignInError(msg) from exc
    _check_party(claims, client_id=client_id)
    if not nonce or not hmac.compare_digest(
        str(claims["nonce"]).encode(), nonce.encode()
    ):
        msg = "the id_token belongs to another sign-in (nonce)"
        raise SignInError(msg)
    return claims


def check_freshness(
    claims: Mapping[str, Any], *, asked_at: int, max_age: int | None, now: datetime
) -> None:
    """Refuse a proof from the future, or one older than was asked for.

    Raises:
        SignInError: `auth_time` is wrong, or missing although it was demanded.
    """
    auth_time = claims.get("auth_time")
    if auth_time is None and max_age is None:
        return
    if type(auth_time) is not int or auth_time < 0:
        msg = "the identity provider does not say when you proved who you are"
        raise SignInError(msg)
    if auth_time > now.timestamp() + SKEW_SECONDS:
        msg = "the identity provider's clock is ahead"
        raise SignInError(msg)
    if max_age is not None and auth_time < asked_at - max_age - SKEW_SECONDS:
        msg = "the identity provider did not ask you to prove who you are again"
        raise SignInError(msg)


def _check_party(claims: Claims, *, client_id: str) -> None:
    audience = claims["aud"]
    several = isinstance(audience, list) and len(audience) > 1
    party = claims.get("azp")
    if (several and party is None) or (party is not None and party != client_id):
        msg = "the id_token was issued to another party"
        raise SignInError(msg)
    if not isinstance(claims["sub"], str):
        msg = "the id_token names no subject"
        raise SignInError(msg)


def _key(keys: Mapping[str, Any], *, algorithm: str, kid: str | None) -> jwt.PyJWK:
    listed = keys.get("keys")
    fitting = [
        key
        for key in (listed if isinstance(listed, list) else [])
        if isinstance(key, dict)
        and key.get("kty") == KEY_TYPES[algorithm]
        and key.get("use", "sig") == "sig"
        and key.get("alg", algorithm) == algorithm
        and (kid is None or key.get("kid") == kid)
    ]
    if len(fitting) != 1:
        msg = "the id_token is signed with a key the identity provider does not list"
        raise SignInError(msg)
    return jwt.PyJWK(fitting[0], algorithm=algorithm)
