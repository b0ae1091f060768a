"""What is said to the kernel directly. What it makes of it: `netns`. Pure."""

from __future__ import annotations

from datetime import timedelta

import pytest

from gateway.elements import (
    AT_ONCE,
    DELETE_ELEMENTS,
    MOST,
    NEW_ELEMENTS,
    is_plain,
    requests,
)
from policies.compiler.delta import ElementChange
from policies.compiler.tables import Element, NamedSet, named_set
from policies.compiler.types import NEVER
from tests.gateway.world import NOW

MARKS = named_set("who_gr_4", "mark")
TIMED = named_set("who_gt_9", "mark", "timeout")
ADDRESSES = named_set("device4", "ipv4_addr", "timeout", data_type="mark")


def change(
    named: NamedSet, *, removed: tuple[str, ...] = (), added: tuple[str, ...] = ()
) -> ElementChange:
    return ElementChange(
        named=named,
        removed=tuple(Element(key, "", NEVER) for key in removed),
        added=tuple(Element(key, "", NEVER) for key in added),
    )


def kinds(*changes: ElementChange) -> list[tuple[int, str]]:
    batch = requests(changes, interface="wg0", now=NOW)
    return [(request.kind, request.what) for request in batch]


@pytest.mark.parametrize(
    ("named", "expected"),
    [
        (MARKS, True),
        (TIMED, True),
        (ADDRESSES, True),
        (named_set("device6", "ipv6_addr", "timeout", data_type="mark"), True),
        (named_set("open_gt_9", "ifname", "timeout"), True),
        (named_set("proto4", "ipv4_addr . inet_proto"), False),
        (named_set("spans", "ipv4_addr", "interval"), False),
        (named_set("name4", "ipv4_addr", "timeout", data_type="verdict"), False),
        (named_set("odd", "inet_service"), False),
    ],
    ids=lambda value: value.name if isinstance(value, NamedSet) else "",
)
def test_only_plain_hash_sets_are_changed_directly(
    named: NamedSet, *, expected: bool
) -> None:
    assert is_plain((change(MARKS), change(named, removed=("1",)))) is expected


def test_a_load_is_not_for_this_way() -> None:
    keys = tuple(str(number) for number in range(MOST))
    assert is_plain([change(MARKS, added=keys)])
    assert not is_plain([change(MARKS, added=keys), change(MARKS, removed=("1",))])
    assert not is_plain([change(TIMED, removed=keys[: MOST // 2 + 1])])


def test_everything_is_taken_before_anything_is_given() -> None:
    assert kinds(
        change(MARKS, added=("1",)), change(MARKS, removed=("2", "3"), added=("4",))
    ) == [
        (DELETE_ELEMENTS, "delete 2 of who_gr_4"),
        (NEW_ELEMENTS, "add 1 of who_gr_4"),
        (NEW_ELEMENTS, "add 1 of who_gr_4"),
    ]


def test_what_may_have_ended_is_added_before_it_is_deleted() -> None:
    assert kinds(change(TIMED, removed=("2",))) == [
        (NEW_ELEMENTS, "add 1 of who_gt_9"),
        (DELETE_ELEMENTS, "delete 1 of who_gt_9"),
    ]


def test_what_has_ended_is_not_added() -> None:
    ended = Element("1", "", NOW + timedelta(microseconds=999))
    stays = Element("2", "", NOW + timedelta(milliseconds=1))
    for added, expected in (((ended,), 0), ((ended, stays), 1)):
        one = ElementChange(named=TIMED, removed=(), added=added)
        assert len(kinds(one)) == expected


def test_a_long_list_is_several_messages() -> None:
    keys = tuple(str(number) for number in range(AT_ONCE + 1))
    batch = requests([change(MARKS, added=keys)], interface="wg0", now=NOW)
    assert [r.what for r in batch] == ["add 500 of who_gr_4", "add 1 of who_gr_4"]
    assert all(len(request.payload) < 65_535 for request in batch)


def test_a_message_is_laid_out_as_the_kernel_reads_it() -> None:
    element = Element("100.64.0.7", "7", NOW + timedelta(seconds=2))
    given = ElementChange(named=ADDRESSES, removed=(), added=(element,))
    (request,) = requests([given], interface="wg0", now=NOW)
    assert request.payload.hex(" ", 4) == (
        "01000000 10000100 70656572 6167655f 77673000"  # inet, peerage_wg0
        " 0c000200 64657669 63653400"  # device4
        " 2c000380 28000180"  # the list, its one element
        " 0c000180 08000100 64400007"  # key
        " 0c000280 08000100 07000000"  # data: a mark, in this machine's order
        " 0c000400 00000000 000007d0"  # timeout in milliseconds
    )


def test_an_interface_is_its_name_padded() -> None:
    opened = named_set("open_gt_9", "ifname", "timeout")
    given = change(opened, added=('"wg0"',))
    (request,) = requests([given], interface="wg0", now=NOW)
    assert request.payload.endswith(b"wg0".ljust(16, b"\0"))
