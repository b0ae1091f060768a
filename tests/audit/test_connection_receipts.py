"""A receipt proves a connection to whoever has the file and the log's public key."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import pytest

from audit import services
from audit.actor import Actor, ActorKind, Ref
from audit.connection_receipts import chain, connection_receipt
from audit.events import EventCode
from audit.models import AuditEvent, Connection, FlowKind, Log
from audit.receipts import check_receipt
from audit.tlog.policy import trusting
from audit.tlog.report import Report
from tests.audit.conftest import ALICE, GATEWAY, NOON, MakeFlow
from tests.audit.small_sealer import policy, seal

pytestmark = pytest.mark.django_db

ROOT: Final = Path(__file__).resolve().parents[2]
DEVICE: Final = Ref(id="dv_9", label="laptop")
WHO: Final = Actor(kind=ActorKind.USER, id=ALICE.id, label=ALICE.label)
Told = dict[str, Any]


@pytest.fixture
def connection(make_flow: MakeFlow) -> Connection:
    """Alice signs in, enrols her laptop and reaches something; all is sealed."""

    def told(code: EventCode, **details: str) -> AuditEvent:
        return services.record(
            code, actor=WHO, now=NOON, person=ALICE, device=DEVICE, details=details
        )

    for _ in range(3):
        sign_in = told(EventCode.USER_LOGIN)
    told(EventCode.DEVICE_ENROLL_COMPLETE, sign_in=str(sign_in.uid))
    told(EventCode.KEY_REGISTERED, fingerprint="ab" * 8)
    flows = [make_flow(FlowKind.OPEN, 1), make_flow(FlowKind.CLOSE, 2)]
    services.record_flows(gateway=GATEWAY, flows=flows, now=NOON)
    for log in Log:
        seal(log, NOON)
    return Connection.objects.get()


def checked(text: str) -> Report:
    report = Report()
    check_receipt(text, policy(), report)
    return report


def changed(text: str, change: Callable[[Told], object]) -> str:
    told = json.loads(text)
    change(told)
    return json.dumps(told)


def test_receipt_shows_the_chain_to_the_sign_in(connection: Connection) -> None:
    report = checked(connection_receipt(chain(connection), with_names=True))
    assert report.faults == []
    steps = report.facts["steps"]
    assert [step["step"] for step in steps] == [
        "connection",
        "connection",
        "key",
        "enrolment",
        "sign_in",
    ]
    assert steps[-1]["row"]["person_label"] == "Alice"


def test_receipt_without_names_proves_the_same_and_names_nobody(
    connection: Connection,
) -> None:
    text = connection_receipt(chain(connection), with_names=False)
    assert checked(text).faults == []
    for secret in ("Alice", ALICE.id, "laptop"):
        assert secret not in text
        for step in json.loads(text)["steps"]:
            assert secret not in str(checked(text).facts)
            assert step["row"] is None


def test_connection_that_waits_is_not_sealed(
    connection: Connection, make_flow: MakeFlow
) -> None:
    flow = make_flow(FlowKind.OPEN, 3, flow="f2")
    services.record_flows(gateway=GATEWAY, flows=[flow], now=NOON)
    made = chain(Connection.objects.exclude(pk=connection.pk).get())
    assert not made.is_sealed
    assert made.missing == ()


def test_step_that_no_event_tells_of_is_missing(
    connection: Connection, make_flow: MakeFlow
) -> None:
    flow = make_flow(FlowKind.OPEN, 3, flow="f2", device=Ref(id="dv_8"))
    services.record_flows(gateway=GATEWAY, flows=[flow], now=NOON)
    seal(Log.CONNECTIONS, NOON)
    made = chain(Connection.objects.exclude(pk=connection.pk).get())
    assert (made.is_sealed, made.missing) == (True, ("key", "enrolment", "sign_in"))
    report = checked(connection_receipt(made, with_names=True))
    assert report.exit_code() == 2


def test_invented_connection_has_no_receipt(connection: Connection) -> None:
    connection.pk, connection.flow = None, "f9"
    connection.save(force_insert=True)
    assert chain(connection).places == ()


CHANGES: Final[dict[str, Callable[[Told], object]]] = {
    "another person's name": lambda told: told["steps"][4]["row"].update(
        person_label="Bob"
    ),
    "another address": lambda told: told["steps"][0]["row"]["attribution"].update(
        destination="10.9.9.9"
    ),
    "another salt": lambda told: told["steps"][0]["salts"].update({ALICE.id: "AAAA"}),
    "another index": lambda told: told["steps"][2].update(
        proof=told["steps"][2]["proof"].replace("index 4", "index 3")
    ),
    "another step's proof": lambda told: told["steps"][3].update(
        proof=told["steps"][2]["proof"], row=None
    ),
    "another sign-in": lambda told: told["steps"][4].update(
        proof=told["steps"][3]["proof"], row=None
    ),
    "a key as sign-in": lambda told: told["steps"][4].update(
        {**told["steps"][2], "step": "sign_in"}
    ),
    "control for connections": lambda told: told["steps"][0].update(
        proof=told["steps"][3]["proof"], row=None
    ),
}


@pytest.mark.parametrize("name", CHANGES)
def test_changed_receipt_is_refused(name: str, connection: Connection) -> None:
    text = connection_receipt(chain(connection), with_names=True)
    assert checked(changed(text, CHANGES[name])).exit_code() == 1


def test_step_that_was_taken_out_is_missed(connection: Connection) -> None:
    text = connection_receipt(chain(connection), with_names=True)
    report = checked(changed(text, lambda told: told["steps"].pop()))
    assert report.exit_code() == 2
    assert "nothing proves the step sign_in" in report.faults[0].message


def test_receipt_of_a_stranger_is_refused(connection: Connection) -> None:
    text = connection_receipt(chain(connection), with_names=True)
    keys = [
        replace(key, public_key=policy().logs[1 - place].public_key)
        for place, key in enumerate(policy().logs)
    ]
    report = Report()
    check_receipt(text, trusting(*keys), report)
    assert report.exit_code() == 1


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"format":"peerage-receipt/2"}',
        '{"format":"peerage-receipt/1"}',
        '{"format":"peerage-receipt/1","steps":[{}]}',
        '{"format":"peerage-receipt/1","format":"peerage-receipt/1","steps":[]}',
    ],
)
def test_what_is_no_receipt_is_refused(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 -- of several parsers
        checked(text)


def test_receipt_is_checked_with_the_file_and_the_key_alone(
    connection: Connection, tmp_path: Path
) -> None:
    """In an empty directory, isolated, with a copy of the pure package."""
    package = tmp_path / "audit"
    for name in ("tlog", "verify"):
        shutil.copytree(ROOT / "audit" / name, package / name)
    alone = (
        *("__init__", "claims", "dates", "errors", "leaning", "leaves"),
        *("receipts", "rows"),
    )
    for name in alone:
        shutil.copy(ROOT / "audit" / f"{name}.py", package)
    text = connection_receipt(chain(connection), with_names=True)
    (tmp_path / "receipt.json").write_text(text, encoding="utf-8")
    keys = [word for key in policy().logs for word in ("--key", str(key))]
    program = (
        "import sys; sys.path.insert(0, '.')\n"
        "for name in ('django', 'rest_framework', 'celery'): sys.modules[name] = None\n"
        "from audit.verify.__main__ import main\n"
        "sys.exit(main(['receipt', 'receipt.json', *sys.argv[1:]]))"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-c", program, *keys],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "sign_in" in done.stdout
