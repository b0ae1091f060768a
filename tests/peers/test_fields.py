"""Model fields that keep a rule. No database."""

from __future__ import annotations

import base64

import pytest
from django.core.exceptions import ValidationError

from peers.fields import CidrField, PublicKeyField
from tests.peers.makers import Machine


def test_a_canonical_key_is_clean() -> None:
    key = Machine().public_key
    assert PublicKeyField().clean(key, None) == key


@pytest.mark.parametrize("key", ["x", base64.b64encode(bytes(32)).decode()])
def test_a_weak_or_malformed_key_is_not_clean(key: str) -> None:
    with pytest.raises(ValidationError):
        PublicKeyField().clean(key, None)


@pytest.mark.parametrize("prefix", ["10.0.0.0/8", "fd00::/64", "192.0.2.1/32"])
def test_a_canonical_prefix_is_clean(prefix: str) -> None:
    assert CidrField().clean(prefix, None) == prefix


@pytest.mark.parametrize(
    ("prefix", "meant"),
    [
        ("10.0.0.1/8", r"10\.0\.0\.0/8"),
        ("10.0.0.0/255.0.0.0", r"10\.0\.0\.0/8"),
        ("FD00::/64", "fd00::/64"),
        ("010.0.0.0/8", "not an IP prefix"),
        ("10.0.0.0/33", "not an IP prefix"),
        ("fe80::%eth0/64", "zone"),
        ("nonsense", "not an IP prefix"),
    ],
)
def test_another_prefix_is_not_clean_and_says_what_is_meant(
    prefix: str, meant: str
) -> None:
    with pytest.raises(ValidationError, match=meant):
        CidrField().clean(prefix, None)
