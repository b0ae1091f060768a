"""The ACL API against files that are too much: refused, in bounded memory."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import pytest
from django.core.cache import cache
from django.test import Client

from audit.models import AuditEvent
from policies.dialect.hujson import MAX_BYTES
from policies.models import PolicyVersion
from portal.accounts.models import User
from tests.portal.credentials import MakeKey, make_key, with_key

__all__ = ["make_key"]
pytestmark = pytest.mark.django_db
ACL: Final = "/api/v2/tailnet/-/acl"
PATHS: Final = ("", "/validate", "/preview?type=user&previewFor=x")
MEBIBYTE: Final = 2**20


@pytest.fixture
def program(dave: User, make_key: MakeKey) -> Client:
    """A pipeline that may read and write, and has called before."""
    cache.clear()
    client = with_key(make_key(dave)[1])
    assert client.get(ACL).status_code == 200
    return client


@contextmanager
def at_most(mebibytes: int) -> Iterator[None]:
    """Demand that no more memory is held at any moment than said."""
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < mebibytes * MEBIBYTE
    finally:
        tracemalloc.stop()


def send(program: Client, body: bytes, path: str) -> tuple[int, str]:
    """Post a file; return the status and the message."""
    answer = program.post(ACL + path, body, content_type="application/hujson")
    return answer.status_code, answer.json()["message"]


@pytest.mark.parametrize("path", PATHS)
def test_ten_megabytes_are_refused_unread(path: str, program: Client) -> None:
    body = b" " * (10 * MEBIBYTE)
    # The test's client copies what it sends once; nothing comes on top.
    with at_most(24):
        status, message = send(program, body, path)
    assert (status, message) == (
        413,
        f"line 1, column 1: the policy is longer than {MAX_BYTES} bytes",
    )
    assert not PolicyVersion.objects.exists()


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"[" * 10_000, id="lists"),
        pytest.param(b'{"groups":' * 10_000, id="objects"),
        pytest.param(b'{"grants": ' + b"[" * 10_000 + b"]" * 10_000 + b"}", id="shut"),
    ],
)
def test_nesting_of_ten_thousand_is_refused(
    body: bytes, path: str, program: Client
) -> None:
    with at_most(16):
        status, message = send(program, body, path)
    assert status == (200 if path == "/validate" else 400)
    assert message.endswith("values are nested more than 100 deep")
    assert not PolicyVersion.objects.exists()


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"[" + b"0," * (MAX_BYTES // 2 - 2) + b"]", id="values"),
        pytest.param(b'{"hosts": {"' + b"\\n" * (MAX_BYTES // 2 - 20), id="string"),
        pytest.param(b"/*" + b"*" * (MAX_BYTES - 2), id="comment"),
        pytest.param(b"\n" * (MAX_BYTES - 2) + b"{", id="lines"),
    ],
)
def test_what_fills_the_limit_is_refused_in_bounded_memory(
    body: bytes, program: Client
) -> None:
    with at_most(256):
        status, message = send(program, body, "")
    assert status == 400
    assert message.startswith("line ")
    assert AuditEvent.objects.latest("pk").outcome == "W"


@pytest.mark.parametrize("length", ["-1", "x", "1e9", "9" * 30])
def test_a_length_that_is_none_is_refused(length: str, program: Client) -> None:
    answer = program.generic(
        "POST", ACL, b"{}", content_type="text/plain", CONTENT_LENGTH=length
    )
    assert answer.status_code == 413
    assert not PolicyVersion.objects.exists()


def test_a_chunked_body_that_came_to_nothing_denies_nobody(program: Client) -> None:
    answer = program.generic("POST", ACL, b"", headers={"Transfer-Encoding": "chunked"})
    assert answer.status_code == 400
    assert "Content-Length: 0" in answer.json()["message"]
    assert not PolicyVersion.objects.exists()
