"""Golden files, reviewed like code: equal bytes, and real programs accept them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from policies.compiler.nftables import ruleset, transaction
from policies.compiler.readback import ruleset_from_nft
from policies.compiler.snapshot import parse_snapshot
from policies.compiler.types import Facts
from policies.compiler.wireguard import with_private_key
from tests.policies.compiler.build import NOW, key, snapshot
from tests.policies.compiler.examples import company, hospital, office
from tests.policies.compiler.golden import FOLDER, GOLDEN
from tests.policies.compiler.kernel import Kernel

LISTING = FOLDER / "company_listing.json"
"""What nft 1.0.6 says of a kernel that loaded `company.nft`."""


def golden(name: str) -> str:
    return (FOLDER / name).read_text()


@pytest.mark.parametrize("name", GOLDEN)
def test_golden_files_are_what_the_compiler_writes(name: str) -> None:
    assert GOLDEN[name]() == golden(name)


@pytest.mark.parametrize(
    ("name", "policy"),
    [("company", company), ("office", office), ("hospital", hospital)],
    ids=["company", "office", "hospital"],
)
def test_the_golden_snapshot_is_read(name: str, policy: Callable[[], Facts]) -> None:
    data = golden(f"{name}_snapshot.json").encode()
    assert parse_snapshot(data) == snapshot(policy())


def test_the_golden_listing_is_the_ruleset() -> None:
    read = ruleset_from_nft(json.loads(LISTING.read_text()), interface="wg0", now=NOW)
    want = ruleset(snapshot(company()), interface="wg0")
    assert transaction(read, want, now=NOW) == ""
    assert read.chains == want.chains


@pytest.mark.netns
@pytest.mark.parametrize(
    "name", ["base.nft", "company.nft", "names.nft", "office.nft", "hospital.nft"]
)
def test_nft_accepts_a_first_load(kernel: Kernel, name: str) -> None:
    kernel.check(golden(name))


@pytest.mark.netns
@pytest.mark.parametrize(
    "name",
    ["lease.nft", "company_day.nft", "base.nft", "office.nft", "hospital.nft"],
)
def test_nft_accepts_a_change_of_what_is_loaded(kernel: Kernel, name: str) -> None:
    kernel.load(golden("company.nft"))
    kernel.check(golden(name))
    kernel.load(golden(name))


@pytest.mark.netns
def test_nft_accepts_other_answers(kernel: Kernel) -> None:
    kernel.load(golden("names.nft"))
    kernel.check(golden("names_change.nft"))
    kernel.load(golden("names_change.nft"))


@pytest.mark.netns
def test_wg_quick_accepts_a_configuration(kernel: Kernel, tmp_path: Path) -> None:
    path = tmp_path / "alice.conf"
    path.touch(mode=0o600)
    path.write_text(with_private_key(golden("alice.conf"), key(77)))
    stripped = kernel.run("wg-quick", "strip", str(path))
    assert f"PrivateKey = {key(77)}" in stripped
    assert "AllowedIPs = 10.0.0.0/8, fd20::/64" in stripped
    assert "Address" not in stripped
