"""Model fields that keep a rule: canonical keys, canonical prefixes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.core.exceptions import ValidationError
from django.db import models

from peers.errors import InvalidKeyError
from peers.keys import parse_public_key
from policies.compiler.errors import InvalidValueError
from policies.compiler.types import network

if TYPE_CHECKING:
    _Text = models.CharField[Any, Any]
else:
    _Text = models.CharField


def validate_public_key(value: str) -> None:
    """Refuse what `peers.keys.parse_public_key` refuses."""
    try:
        parse_public_key(value)
    except InvalidKeyError as exc:
        raise ValidationError(str(exc)) from exc


def validate_cidr(value: str) -> None:
    """Refuse a prefix that is not canonical, naming the one meant."""
    try:
        parsed = network(value)
    except InvalidValueError as exc:
        raise ValidationError(str(exc)) from exc
    if str(parsed) != value:
        msg = f"write {parsed}"
        raise ValidationError(msg)


class PublicKeyField(_Text):
    """A Curve25519 public key as canonical base64 (44 characters)."""

    default_validators = [validate_public_key]

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 -- Django's signature
        """Fix the length."""
        kwargs["max_length"] = 44
        super().__init__(*args, **kwargs)


class CidrField(_Text):
    """An IPv4 or IPv6 prefix in canonical text, without host bits."""

    default_validators = [validate_cidr]

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 -- Django's signature
        """Fix the length: an IPv6 prefix has at most 43 characters."""
        kwargs["max_length"] = 43
        super().__init__(*args, **kwargs)
