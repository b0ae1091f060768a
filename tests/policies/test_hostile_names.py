"""Attack D04: whatever people, groups, applications and devices are called.

nft(8) refuses `fwd`, `drop`, `1x` and the like as names, and one bad name fails a whole
transaction: everybody's revocation. So no name gets near a ruleset or a configuration.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import pytest

from audit.actor import SYSTEM
from peers import errors as peers_errors
from peers import services as peers_services
from peers.models import Device, Gateway
from policies import services
from policies.compiler.nftables import ruleset, transaction
from policies.compiler.snapshot import snapshot_bytes
from policies.compiler.types import Snapshot
from policies.errors import InvalidNameError
from policies.models import Application, Grant
from policies.selectors import client_config
from portal.accounts.errors import InvalidIdentityError
from portal.accounts.models import Group, User
from portal.accounts.services import provision_user
from tests.peers.makers import Machine
from tests.policies.compiler.kernel import Kernel
from tests.policies.makers import NOW, content, make_grant, publish, web

pytestmark = pytest.mark.django_db

WORDS: Final = (
    *("fwd", "drop", "accept", "ip", "meta", "1x", "a b", "inet", "table", "live"),
    *("@who_gr_1", "gr_1", "app_1", "$x", "*", "0", "-", "}", "{", ";", "#", "\\"),
    *('"', "'", 'a" accept', "a; flush ruleset", "a } ; add rule inet x y accept #"),
    *("[Peer]", "PostUp = touch pwned", "$(id)", "`id`", "{{7*7}}", "%s", "é", "名"),
)
UNSEEN: Final = (
    *("a\nadd rule inet x y accept", "x\nPostUp = touch pwned", "\n", "a\r", "\x00"),
    *("a\u2028b", "a\u202eb", "a\x1b[2J", "a\u200bb"),
)
"""What nobody may be called at all."""


@pytest.fixture(scope="module")
def shared() -> Iterator[Kernel]:
    """Lend one namespace to all names; each begins with an empty ruleset."""
    with Kernel() as lent:
        yield lent


@pytest.fixture
def laptop(alice: User, pools: None) -> Device:
    """Alice's laptop."""
    return Machine().enroll(alice)


@pytest.fixture
def granted(wiki: Application, alices_grant: Grant, engineering: Group) -> Application:
    """The wiki, granted to alice and to her group."""
    assert alices_grant.pk
    make_grant(wiki, group=engineering)
    return wiki


def call_everything(name: str, application: Application, device: Device) -> None:
    """Give one name to all that has one, past every check that would refuse it."""
    User.objects.filter(pk=device.owner_id).update(name=name, username=name)
    Group.objects.update(name=name)
    Application.objects.filter(pk=application.pk).update(name=name, description=name)
    Device.objects.filter(pk=device.pk).update(name=name, platform=name[:32])
    Gateway.objects.update(name=name)
    Grant.objects.update(reason=name)


def compiled(gateway: Gateway) -> Snapshot:
    publish()
    return content(gateway)


@pytest.mark.netns
@pytest.mark.parametrize("name", [*WORDS, *UNSEEN], ids=ascii)
def test_no_name_gets_into_a_ruleset(
    name: str, granted: Application, laptop: Device, gw1: Gateway, shared: Kernel
) -> None:
    """Attack D04: the same bytes as under any other name, and the kernel takes them."""
    plain, config = compiled(gw1), client_config(laptop, now=NOW)
    call_everything(name, granted, laptop)
    named = compiled(gw1)
    assert snapshot_bytes(named) == snapshot_bytes(plain)
    assert client_config(laptop, now=NOW) == config
    want = ruleset(named, interface="wg0")
    shared.load("flush ruleset\n" + transaction(None, want, now=NOW))
    assert transaction(shared.ruleset(), want, now=NOW) == ""
    assert {g.subject.ref for g in named.grants} == {
        laptop.owner.ref.id,
        Group.objects.get().ref.id,
    }


@pytest.mark.parametrize("name", WORDS, ids=ascii)
@pytest.mark.usefixtures("wiki")
def test_what_can_be_seen_may_be_a_name(
    name: str, laptop: Device, gw1: Gateway
) -> None:
    """Attack D04: names are people's own; nobody needs to know what nft(8) minds."""
    made = describe(name, gw1)
    peers_services.rename_device(device=laptop, name=name, actor=SYSTEM, now=NOW)
    person = signed_in(name)
    assert (made.name, laptop.name, person.name) == (name, name, name)
    assert [group.name for group in person.groups.all()] == [name]


@pytest.mark.parametrize("name", UNSEEN, ids=ascii)
def test_what_cannot_be_seen_is_nobodys_name(
    name: str, laptop: Device, gw1: Gateway
) -> None:
    """Attack D04, line feeds and other characters that nobody sees."""
    with pytest.raises(InvalidNameError):
        describe(name, gw1)
    with pytest.raises(peers_errors.InvalidNameError):
        peers_services.rename_device(device=laptop, name=name, actor=SYSTEM, now=NOW)
    with pytest.raises(InvalidIdentityError):
        signed_in(name)
    assert not Application.objects.exists()
    assert not User.objects.filter(subject="eve").exists()


def describe(name: str, gateway: Gateway) -> Application:
    return services.create_application(
        name=name,
        description=name,
        destinations=[web("10.9.0.0/24")],
        gateways=[gateway],
        actor=SYSTEM,
        now=NOW,
    )


def signed_in(name: str) -> User:
    """Return somebody of that name, in a group of that name."""
    return provision_user(
        issuer="https://idp.example.test",
        subject="eve",
        name=name,
        email="eve@example.test",
        groups=[name],
        role=None,
        actor=SYSTEM,
        now=NOW,
    )
