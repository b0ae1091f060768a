"""Adding a device: the key is made in the page and leaves it only to its owner."""

from __future__ import annotations

import configparser
import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest
from playwright.sync_api import Dialog

from audit.events import EventCode
from audit.models import AuditEvent
from peers.models import Device, DeviceKey, Gateway
from portal.accounts.models import User
from tests.browser.conftest import Window
from tests.peers.makers import make_pools
from tests.policies.makers import make_application, make_grant

pytestmark = [pytest.mark.django_db(transaction=True)]
WindowOf = Callable[..., Window]

WITHOUT_X25519: Final = """
  const generate = crypto.subtle.generateKey.bind(crypto.subtle);
  crypto.subtle.generateKey = (algorithm, ...rest) =>
    algorithm.name === "X25519"
      ? Promise.reject(new DOMException("unknown", "NotSupportedError"))
      : generate(algorithm, ...rest);
"""
WITHOUT_WEBCRYPTO: Final = """
  Object.defineProperty(Crypto.prototype, "subtle", { value: undefined });
"""


def enroll(window: Window, name: str) -> None:
    window.open("/devices/add/")
    window.page.fill("[name=name]", name)
    window.page.select_option("[name=platform]", "linux")
    window.page.click("text=Make a key and add the device")


def download(window: Window, directory: Path) -> tuple[str, str]:
    """Return the name and the text of the configuration."""
    with window.page.expect_download() as waiting:
        window.page.click("#result-download")
    path = directory / waiting.value.suggested_filename
    waiting.value.save_as(path)
    return path.name, path.read_text()


@pytest.mark.parametrize(
    "script",
    ["", WITHOUT_X25519, WITHOUT_WEBCRYPTO],
    ids=["webcrypto", "older browser", "no secure context"],
)
def test_the_key_in_the_file_is_the_registered_one_and_was_never_sent(
    script: str, alice: User, gw1: Gateway, window_of: WindowOf, tmp_path: Path
) -> None:
    make_pools()
    make_grant(make_application("wiki", "10.1.0.0/24", gateways=[gw1]), user=alice)
    window = window_of(alice)
    window.page.add_init_script(script)
    enroll(window, "Größe & Ruhm, work laptop")
    name, text = download(window, tmp_path)
    config = configparser.ConfigParser()
    config.read_string(text)
    private = config["Interface"]["PrivateKey"]
    public = subprocess.run(
        ["wg", "pubkey"], input=private, capture_output=True, text=True, check=True
    ).stdout.strip()
    assert DeviceKey.objects.get().public_key == public
    assert name == "gro-e-ruhm-work.conf"
    assert config["Peer"]["AllowedIPs"] == "10.1.0.0/24"
    assert private not in "".join(window.posted)
    assert (window.problems, window.violations) == ([], [])


def test_only_name_kind_public_key_and_proof_are_sent(
    alice: User, window_of: WindowOf
) -> None:
    make_pools()
    window = window_of(alice)
    enroll(window, "laptop")
    window.page.wait_for_selector("text=laptop is added")
    bodies = [json.loads(body) for body in window.posted if body]
    assert [sorted(body) for body in bodies] == [
        [],
        ["challenge", "name", "platform", "proof", "public_key"],
    ]
    assert Device.objects.get().owner == alice


def test_the_code_for_phones_is_drawn(alice: User, window_of: WindowOf) -> None:
    make_pools()
    window = window_of(alice)
    enroll(window, "phone")
    window.page.wait_for_selector("text=phone is added")
    image = window.page.wait_for_selector("#result-qr")
    assert image is not None
    window.page.wait_for_function("document.getElementById('result-qr').complete")
    assert image.evaluate("image => image.naturalWidth") > 50
    assert str(image.get_attribute("src")).startswith("blob:")


def test_leaving_without_the_key_asks_first(
    alice: User, window_of: WindowOf, tmp_path: Path
) -> None:
    make_pools()
    window = window_of(alice)
    asked: list[str] = []

    def answer(dialog: Dialog) -> None:
        asked.append(dialog.type)
        dialog.dismiss()

    window.page.on("dialog", answer)
    enroll(window, "laptop")
    window.page.wait_for_selector("text=laptop is added")
    window.page.click("text=My access")
    window.page.wait_for_timeout(300)
    assert asked == ["beforeunload"]
    assert window.path == "/devices/add/"
    download(window, tmp_path)
    window.page.click("text=I have it, finish")
    window.page.wait_for_url(f"**/devices/{Device.objects.get().pk}/")
    assert asked == ["beforeunload"]


def test_coming_back_shows_no_key(
    alice: User, window_of: WindowOf, tmp_path: Path
) -> None:
    make_pools()
    window = window_of(alice)
    enroll(window, "laptop")
    download(window, tmp_path)
    window.page.click("text=I have it, finish")
    window.page.wait_for_selector("text=What it reaches")
    window.page.go_back()
    window.page.wait_for_selector("text=Make a key and add the device")
    assert window.page.get_attribute("#result-download", "href") == "#"


def test_a_refusal_is_shown_in_words_and_enrols_nothing(
    alice: User, window_of: WindowOf
) -> None:
    make_pools()
    window = window_of(alice)
    enroll(window, "lap\u202etop")
    window.page.wait_for_selector("text=U+202E")
    assert not Device.objects.exists()
    event = AuditEvent.objects.get(code=EventCode.DEVICE_ENROLL_REQUEST)
    assert event.person_label == "Alice"
