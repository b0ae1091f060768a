"""Evidence becomes connections, whatever order and however often it arrives."""

from __future__ import annotations

from itertools import permutations
from typing import Any

import pytest
from django.db import connection as database
from django.db import transaction
from django.forms import model_to_dict
from django.test.utils import CaptureQueriesContext

from audit import services
from audit.actor import Ref
from audit.flows import AttributedFlow, stored_flow
from audit.models import Connection, FlowEvent, FlowKind, Verdict
from tests.audit.conftest import ALICE, GATEWAY, NOON, MakeFlow

pytestmark = pytest.mark.django_db

OPEN, CLOSE, DENY = FlowKind.OPEN, FlowKind.CLOSE, FlowKind.DENY


def store(*flows: AttributedFlow) -> int:
    return services.record_flows(gateway=GATEWAY, flows=flows, now=NOON)


def projection() -> list[dict[str, Any]]:
    rows = Connection.objects.order_by("gateway_id", "flow", "verdict")
    return [model_to_dict(row, exclude=["id"]) for row in rows]


def test_open_makes_a_live_connection_of_the_person(make_flow: MakeFlow) -> None:
    assert store(make_flow(OPEN, 1)) == 1
    found = Connection.objects.get()
    assert (found.person_id, found.person_label) == ("us_1", "Alice")
    assert (found.application_label, found.grant_id) == ("payroll", "gt_4")
    assert found.verdict == Verdict.ALLOWED
    assert (found.ended_at, found.bytes_up) == (None, None)


def test_close_completes_the_connection(make_flow: MakeFlow) -> None:
    store(make_flow(OPEN, 1))
    store(make_flow(CLOSE, 2))
    found = Connection.objects.get()
    assert (found.bytes_up, found.bytes_down) == (1000, 2000)
    assert found.ended_at is not None
    assert (found.end_reason, found.started_at) == ("closed", found.started_at)


def test_close_without_open_makes_the_connection(make_flow: MakeFlow) -> None:
    store(make_flow(CLOSE, 2, grant=Ref(id=""), generation=None))
    found = Connection.objects.get()
    assert (found.bytes_up, found.grant_id, found.started_at) == (1000, "", NOON)


def test_late_open_adds_what_only_it_knows(make_flow: MakeFlow) -> None:
    store(make_flow(CLOSE, 2, grant=Ref(id=""), generation=None))
    store(make_flow(OPEN, 3))
    found = Connection.objects.get()
    assert (found.grant_id, found.generation) == ("gt_4", 12)
    assert (found.bytes_up, found.end_reason) == (1000, "closed")


def test_deny_makes_a_denied_connection(make_flow: MakeFlow) -> None:
    store(make_flow(DENY, 1, reason="no_grant"))
    found = Connection.objects.get()
    assert (found.verdict, found.end_reason) == (Verdict.DENIED, "no_grant")
    assert found.ended_at is not None
    assert str(found) == "100.64.0.7 → 10.2.0.5 denied"


def test_denial_never_hides_behind_an_allowed_flow(make_flow: MakeFlow) -> None:
    store(make_flow(OPEN, 1), make_flow(DENY, 2, reason="not_live"))
    assert str(FlowEvent.objects.get(kind=DENY)) == "gw_1#2 deny"
    verdicts = set(Connection.objects.values_list("verdict", flat=True))
    assert verdicts == {Verdict.ALLOWED, Verdict.DENIED}


def test_repeated_denial_is_one_connection_that_ends_later(
    make_flow: MakeFlow,
) -> None:
    store(make_flow(DENY, 1, reason="no_grant"))
    store(make_flow(DENY, 2, reason="input"), make_flow(DENY, 3, reason="input"))
    found = Connection.objects.get()
    assert (found.started_at, found.end_reason) == (make_flow(DENY, 1).at, "no_grant")
    assert found.ended_at == make_flow(DENY, 3).at


def test_a_batch_sent_again_changes_nothing(make_flow: MakeFlow) -> None:
    batch = [make_flow(OPEN, 1), make_flow(CLOSE, 2)]
    assert store(*batch) == 2
    before = projection()
    assert store(*batch, make_flow(OPEN, 3, flow="f2")) == 1
    assert projection()[:1] == before
    assert FlowEvent.objects.count() == 3


def test_two_gateways_may_use_the_same_sequence_and_flow(make_flow: MakeFlow) -> None:
    store(make_flow(OPEN, 1))
    other = Ref(id="gw_2", label="paris")
    services.record_flows(gateway=other, flows=[make_flow(OPEN, 1)], now=NOON)
    assert Connection.objects.count() == 2


def test_flows_roll_back_with_their_caller(make_flow: MakeFlow) -> None:
    def change_and_fail() -> None:
        store(make_flow(OPEN, 1))
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        transaction.atomic(change_and_fail)()
    assert not FlowEvent.objects.exists()
    assert not Connection.objects.exists()


@pytest.mark.parametrize("order", [*permutations(range(4))])
@pytest.mark.parametrize("size", [1, 2, 4])
def test_batching_and_rebuilding_give_the_same_projection(
    make_flow: MakeFlow, order: tuple[int, ...], size: int
) -> None:
    kinds = [(OPEN, ALICE), (CLOSE, Ref(id="us_2")), (DENY, ALICE), (CLOSE, ALICE)]
    batch = [
        make_flow(kinds[kind][0], number, person=kinds[kind][1], bytes_up=kind)
        for number, kind in enumerate(order, 1)
    ]
    for start in range(0, len(batch), size):
        store(*batch[start : start + size])
    before = projection()
    assert services.rebuild_connections() == 2
    assert projection() == before


def test_stored_event_gives_the_flow_back(make_flow: MakeFlow) -> None:
    flow = make_flow(CLOSE, 7, body={"seq": 7, "kind": "close"})
    store(flow)
    assert stored_flow(FlowEvent.objects.get()) == (GATEWAY, flow)


def test_control_characters_in_labels_are_stored_visibly(make_flow: MakeFlow) -> None:
    store(
        make_flow(
            OPEN, 1, device=Ref(id="dv_9", label="a\x00b\n\u202e"), body={"x": "\0"}
        )
    )
    assert Connection.objects.get().device_label == r"a\x00b\x0a\u202e"
    assert FlowEvent.objects.get().body == {"x": r"\x00"}


def test_five_thousand_records_take_few_statements(make_flow: MakeFlow) -> None:
    batch = [
        make_flow((OPEN, CLOSE, DENY)[n % 3], n, flow=f"f{n // 3}") for n in range(5000)
    ]
    with CaptureQueriesContext(database) as queries:
        assert store(*batch) == 5000
    # SQLite binds at most 999 values to a statement; PostgreSQL needs eleven in all.
    limit = 11 if database.vendor == "postgresql" else 250
    assert len(queries) <= limit
