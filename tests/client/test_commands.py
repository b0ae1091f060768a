"""The command line against a real portal and a real identity provider."""

from __future__ import annotations

import re
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from django.core.cache import cache
from pytest_django.live_server_helper import LiveServer

from audit.actor import Actor
from client import commands, files, keys
from client.errors import ClientError
from peers import services as peers_services
from peers.models import AddressPool, Device, DeviceKey
from portal.accounts.models import User
from tests.conftest import NOW
from tests.idp.running import TOKEN, Browser

pytestmark = pytest.mark.django_db(transaction=True)

CODE = re.compile(r"[B-Z]{4}-[B-Z]{4}")
Enrol = Callable[[str], Path]


@pytest.fixture
def portal(live_server: LiveServer, single_sign_on: str) -> str:
    """Return the address of a running portal that trusts the running provider."""
    assert single_sign_on
    cache.clear()
    for prefix in ("100.64.0.0/16", "fd5e:e4a6:e000::/64"):
        AddressPool.objects.create(prefix=prefix)
    return str(live_server.url).replace("localhost", "127.0.0.1")


@pytest.fixture
def alices_browser(portal: str) -> Iterator[httpx.Client]:
    """Sign alice in at the running portal, through the running provider."""
    with httpx.Client(base_url=portal, timeout=60) as http, Browser() as elsewhere:
        page = http.get("/accounts/login/")
        leaving = submit(http, page, {"next": "/accounts/sessions/"}, "sso/login/")
        back = http.get(elsewhere.answer(leaving.headers["location"], "alice"))
        assert back.headers["location"] == "/accounts/sessions/"
        assert http.get("/accounts/sessions/").status_code == 200
        yield http


def submit(
    http: httpx.Client, page: httpx.Response, form: dict[str, str], path: str = ""
) -> httpx.Response:
    """Submit a form of a page with its token."""
    found = TOKEN.search(page.text)
    assert found, page.text
    target = f"/accounts/{path}" if path else page.url
    return http.post(target, data=form | {"csrfmiddlewaretoken": found[1]})


def agree(http: httpx.Client, code: str) -> None:
    """Type the code and agree."""
    page = http.get("/identity/o/device")
    page = submit(http, page, {"code": code})
    assert "enrol your devices" in page.text
    assert "Connected" in submit(http, page, {"code": code, "action": "confirm"}).text


@pytest.fixture
def enrol(portal: str, alices_browser: httpx.Client, tmp_path: Path) -> Enrol:
    """Enrol a machine as alice; the sleep is when she agrees."""

    def run(name: str) -> Path:
        said: list[str] = []
        output = tmp_path / "laptop.conf"

        def agree_once(_seconds: float) -> None:
            (code,) = CODE.findall("\n".join(said))
            agree(alices_browser, code)

        commands.enroll(
            url=portal, name=name, output=output, say=said.append, sleep=agree_once
        )
        return output

    return run


def fail(_seconds: float) -> None:
    """Stand for nobody being there."""
    pytest.fail("the person was asked again")


def test_enrolment_writes_a_configuration_wg_quick_accepts(enrol: Enrol) -> None:
    config = enrol("laptop")
    stripped = subprocess.run(
        ["wg-quick", "strip", str(config)], capture_output=True, text=True, check=True
    )
    assert "PrivateKey" in stripped.stdout
    assert stat.S_IMODE(config.stat().st_mode) == 0o600


def test_portal_holds_the_public_key_and_nothing_of_the_private(enrol: Enrol) -> None:
    private = files.private_key_in(enrol("laptop"))
    device = Device.objects.get()
    assert (device.name, device.owner.subject) == ("laptop", "alice")
    assert DeviceKey.objects.get().public_key == keys.public_of(private)


def test_status_and_sync_need_nobody_again(enrol: Enrol) -> None:
    config = enrol("laptop")
    said: list[str] = []
    assert commands.status(config=config, say=said.append, sleep=fail)
    assert "laptop: active" in said[0]
    before = config.read_text()
    assert not commands.sync(config=config, say=said.append, sleep=fail)
    assert config.read_text() == before


def test_sync_keeps_the_key_and_mends_the_rest(enrol: Enrol) -> None:
    config = enrol("laptop")
    before = config.read_text()
    config.write_text(before.replace("100.64.0.", "100.99.0."))
    assert commands.sync(config=config, say=list[str]().append, sleep=fail)
    assert config.read_text() == before


def test_status_tells_that_a_device_was_revoked(enrol: Enrol, actor: Actor) -> None:
    config = enrol("laptop")
    device = Device.objects.get()
    peers_services.revoke_device(device=device, reason="lost", actor=actor, now=NOW)
    assert not commands.status(config=config, say=list[str]().append, sleep=fail)


def test_enrolment_overwrites_nothing(portal: str, tmp_path: Path) -> None:
    config = tmp_path / "laptop.conf"
    config.write_text("precious")
    with pytest.raises(ClientError, match="exists"):
        commands.enroll(url=portal, name="laptop", output=config, say=print, sleep=fail)
    assert config.read_text() == "precious"


def test_refused_name_leaves_no_file(enrol: Enrol, tmp_path: Path) -> None:
    with pytest.raises(ClientError):
        enrol("lap\ntop")
    assert list(tmp_path.iterdir()) == []
    assert Device.objects.count() == 0


def test_program_says_in_one_line_what_is_wrong(tmp_path: Path) -> None:
    done = subprocess.run(
        [
            *(sys.executable, "-m", "client", "enroll", "--name", "laptop"),
            *("--portal", "http://portal.example.test"),
            *("--output", str(tmp_path / "laptop.conf")),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr.startswith("peerage: http://portal.example.test is not encr")
    assert done.stderr.count("\n") == 1


def test_program_needs_no_django() -> None:
    code = "import sys, client.__main__; sys.exit('django' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_person_who_signed_in_is_the_one_at_the_provider(
    alices_browser: httpx.Client, single_sign_on: str
) -> None:
    assert alices_browser.cookies
    alice = User.objects.get()
    assert (alice.issuer, alice.subject) == (single_sign_on, "alice")
