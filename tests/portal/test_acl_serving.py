"""The ACL API on the real server: chunked bodies, as gitops-pusher sends files."""

from __future__ import annotations

import http.client
import json
import subprocess
import sys
from collections.abc import Iterator
from hashlib import sha256

import pytest

from policies.dialect.formatting import fmt
from policies.dialect.hujson import MAX_BYTES
from tests.portal.credentials import basic
from tests.portal.test_serving import ROOT, PortalProcess

MAKE_KEY = """
from datetime import UTC, datetime, timedelta
from audit.actor import SYSTEM
from portal.accounts.credentials import create_credential
from portal.accounts.models import CredentialKind, Role, Scope, User
now = datetime.now(UTC)
dave = User.objects.create(issuer="x", subject="dave", username="dave", name="Dave",
    role=Role.ADMINISTRATOR, created_at=now)
_, secret = create_credential(kind=CredentialKind.API_KEY, name="pipeline",
    scopes=[Scope.POLICY_WRITE], expires_at=now + timedelta(days=1), creator=dave,
    actor=SYSTEM, now=now)
print(secret)
"""
FILE = b'// sent in pieces\n{"hosts": {"git": "10.2.0.5"}, "grants": []}\n'


@pytest.fixture(scope="module")
def portal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PortalProcess]:
    """A portal that runs."""
    running = PortalProcess(tmp_path_factory.mktemp("portal"))
    running.manage("migrate")
    running.manage("init_keys")
    running.start()
    yield running
    running.stop()


@pytest.fixture(scope="module")
def key(portal: PortalProcess) -> str:
    """An API key of that portal."""
    done = subprocess.run(
        [sys.executable, "manage.py", "shell", "-v", "0", "-c", MAKE_KEY],
        cwd=ROOT,
        env=portal.environment,
        check=True,
        capture_output=True,
        text=True,
    )
    return done.stdout.strip().splitlines()[-1]


def ask(
    portal: PortalProcess,
    key: str,
    method: str,
    body: Iterator[bytes] | None = None,
    **headers: str,
) -> tuple[int, dict[str, str], bytes]:
    """Ask the portal; a body goes out chunked, without a length."""
    connection = http.client.HTTPConnection("127.0.0.1", portal.ports[0], timeout=60)
    try:
        connection.request(
            method,
            "/api/v2/tailnet/-/acl",
            body=body,
            headers={
                "Authorization": basic(key),
                "Accept": "application/hujson",
                **headers,
            },
            encode_chunked=body is not None,
        )
        answer = connection.getresponse()
        found = {name.lower(): value for name, value in answer.getheaders()}
        return answer.status, found, answer.read()
    finally:
        connection.close()


def test_a_file_in_chunks_becomes_the_policy(portal: PortalProcess, key: str) -> None:
    status, headers, _ = ask(portal, key, "GET")
    assert status == 200
    pieces = iter([FILE[:5], FILE[5:]])
    seen = headers["etag"]
    status, headers, body = ask(portal, key, "POST", pieces, **{"If-Match": seen})
    assert (status, body) == (200, FILE)
    wanted = sha256(fmt(FILE).encode()).hexdigest()
    assert headers["etag"] == f'"{wanted}"'
    assert ask(portal, key, "GET")[2] == FILE
    status, _, body = ask(portal, key, "POST", iter([FILE]), **{"If-Match": seen})
    assert (status, list(json.loads(body))) == (412, ["message"])


def test_endless_chunks_are_refused(portal: PortalProcess, key: str) -> None:
    piece = b" " * 2**20
    status, _, body = ask(portal, key, "POST", iter([piece] * 10))
    assert status == 413
    assert f"longer than {MAX_BYTES} bytes" in json.loads(body)["message"]


def test_empty_chunks_deny_nobody(portal: PortalProcess, key: str) -> None:
    status, _, body = ask(portal, key, "POST", iter([]))
    assert status == 400
    assert "Content-Length: 0" in json.loads(body)["message"]
