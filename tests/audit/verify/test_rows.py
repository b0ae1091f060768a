"""A row that says otherwise than its leaf is named; what was forgotten is not asked."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from audit.claims import digest_of
from audit.leaves import event_shape, flow_shape
from audit.rows import rows_path
from audit.verify.__main__ import main
from tests.audit.verify.conftest import Verify
from tests.audit.verify.writing import VKEY, write, write_log

AT = "2026-11-23T12:00:00.000000Z"
SALT = bytes(range(32))
SALTS = {"us_7": base64.b64encode(SALT).decode()}
NONCE = base64.b64encode(bytes(16)).decode()
CODES = ("ID001", "DV004", "KY001")
Line = dict[str, Any]


def event(number: int) -> dict[str, Any]:
    """Return a row of the control log: sign-in, enrolment, key, and so on."""
    texts = (
        "actor_id actor_label actor_role actor_address request_id gateway_id"
        " gateway_label application_id application_label target_id target_label"
    )
    return {
        **dict.fromkeys(texts.split(), ""),
        "uid": f"00000000-0000-0000-0000-{number:012d}",
        "at": AT,
        "code": CODES[number % 3],
        "outcome": "I",
        "actor_kind": "command",
        "person_id": "us_7",
        "person_label": "Alice",
        "device_id": f"dv_{number // 3}",
        "device_label": "laptop",
        "reason": "",
        "details": {
            "sign_in": f"00000000-0000-0000-0000-{number - 1:012d}",
            "fingerprint": "ab",
        },
        "nonce": NONCE,
    }


def flow(number: int) -> dict[str, Any]:
    """Return a row of the connections log."""
    return {
        "gateway_id": "gw_1",
        "sequence": number + 1,
        "kind": "open",
        "at": AT,
        "received_at": AT,
        "flow": f"f{number}",
        "body": {"kind": "open"},
        "attribution": {
            "person_id": "us_7",
            "person_label": "Alice",
            "device_id": f"dv_{number}",
            "key_fingerprint": "ab",
            "enrolment": event(number * 3 + 1)["uid"],
        },
        "nonce": NONCE,
    }


def write_rows(place: Path, lines: list[Line]) -> None:
    for number in range(-(-len(lines) // 256)):
        part = lines[number * 256 : number * 256 + 256]
        text = "".join(f"{json.dumps(line)}\n" for line in part)
        write(place, rows_path(number), text.encode())


@pytest.fixture
def lines() -> list[Line]:
    """Return the rows of a control log as an export has them."""
    lines: list[Line] = [
        {"i": n, "row": event(n), "salts": dict(SALTS)} for n in range(300)
    ]
    # The last one forgets us_7, who was named in event 5, which is about somebody else.
    lines[5]["row"] |= {"person_id": "us_8", "reason": "as Alice said"}
    lines[5]["salts"] = {"us_8": SALTS["us_7"]}
    lines[299]["row"] |= {
        "code": "ID016",
        "details": {"whose": "us_7", "mentions_sha256": digest_of([event(5)["uid"]])},
    }
    return lines


@pytest.fixture
def export(tmp_path: Path, lines: list[Line]) -> Path:
    """Write both logs with their rows."""
    control = [
        event_shape(line["row"], open_details=line["row"]["details"]).leaf(
            {"us_7": SALT, "us_8": SALT}
        )
        for line in lines
    ]
    write_log(tmp_path / "control", control)
    write_rows(tmp_path / "control", lines)
    flows = [flow(number) for number in range(40)]
    write_log(
        tmp_path / "connections",
        [flow_shape(row).leaf({"us_7": SALT}) for row in flows],
        origin="audit.example/connections",
    )
    write_rows(
        tmp_path / "connections",
        [{"i": n, "row": row, "salts": SALTS} for n, row in enumerate(flows)],
    )
    return tmp_path


def test_rows_that_are_as_sealed_are_sound(export: Path, verify: Verify) -> None:
    assert verify("fsck", export / "control")[0] == 0


@pytest.mark.parametrize("index", [0, 255, 299])
@pytest.mark.parametrize(
    "change",
    [
        lambda row: row.update(person_label="Bob"),
        lambda row: row.update(outcome="W"),
        lambda row: row.update(reason="x"),
        lambda row: row["details"].update(more="x"),
        lambda row: row.pop("uid"),
        lambda row: row.update(nonce=base64.b64encode(bytes(15) + b"x").decode()),
    ],
)
def test_changed_row_is_named(
    change: Callable[[dict[str, Any]], object],
    index: int,
    export: Path,
    lines: list[Line],
    verify: Verify,
) -> None:
    change(lines[index]["row"])
    write_rows(export / "control", lines)
    code, report = verify("fsck", export / "control")
    assert (code, [fault["index"] for fault in report["faults"]]) == (1, [index])


def test_row_that_is_gone_is_incomplete(export: Path, verify: Verify) -> None:
    held = export / "control" / rows_path(0)
    text = held.read_text(encoding="utf-8").splitlines(keepends=True)
    held.write_text("".join(text[:7] + text[8:]), encoding="utf-8")
    code, report = verify("fsck", export / "control")
    assert code == 2
    assert report["faults"][0]["index"] == 7


def test_row_without_a_leaf_is_named(
    export: Path, lines: list[Line], verify: Verify
) -> None:
    lines.append({"i": 300, "row": event(300), "salts": SALTS})
    write_rows(export / "control", lines)
    code, report = verify("fsck", export / "control")
    assert (code, report["faults"][0]["index"]) == (1, 300)


def forget(lines: list[Line]) -> None:
    """Blank what names us_7, as forgetting does."""
    for line in lines:
        if line["i"] == 5:
            line["row"]["reason"] = ""
            line["salts"]["@us_7"] = None
        else:
            line["row"] |= {"person_label": "", "device_label": ""}
            line["salts"] = {"us_7": None}


def test_what_was_forgotten_is_not_asked_and_all_else_is(
    export: Path, lines: list[Line], verify: Verify
) -> None:
    forget(lines)
    write_rows(export / "control", lines)
    assert verify("fsck", export / "control")[0] == 0
    lines[9]["row"]["code"] = "DV012"
    write_rows(export / "control", lines)
    code, report = verify("fsck", export / "control")
    assert (code, report["faults"][0]["index"]) == (1, 9)


def test_what_others_said_in_an_event_of_theirs_is_asked_still(
    export: Path, lines: list[Line], verify: Verify
) -> None:
    forget(lines)
    lines[5]["salts"].pop("@us_7")
    write_rows(export / "control", lines)
    code, report = verify("fsck", export / "control")
    assert (code, report["faults"][0]["index"]) == (1, 5)


def test_a_text_that_no_leaf_of_forgetting_knows_is_told(
    export: Path, lines: list[Line], verify: Verify
) -> None:
    """Whoever blanks a reason may not lay it at the door of somebody forgotten."""
    forget(lines)
    lines[6]["salts"]["@us_7"] = None
    write_rows(export / "control", lines)
    code, report = verify("fsck", export / "control")
    assert code == 1
    assert "went from other events than was said" in report["faults"][0]["message"]


def test_a_salt_that_went_without_a_leaf_is_told(
    export: Path, lines: list[Line], verify: Verify
) -> None:
    forget(lines)
    lines[7]["row"] |= {"person_id": "us_9", "person_label": ""}
    lines[8]["salts"]["us_9"] = None
    write_rows(export / "control", lines)
    code, report = verify("fsck", export / "control")
    told = [fault["message"] for fault in report["faults"]]
    assert code == 1
    assert "us_9 has no salt, and no leaf here forgets them" in told


def test_connections_are_excused_by_the_other_log(
    export: Path, lines: list[Line], verify: Verify
) -> None:
    forget(lines)
    write_rows(export / "control", lines)
    flows = [flow(number) for number in range(40)]
    for row in flows:
        del row["attribution"]["person_label"]
    gone = [{"i": n, "row": r, "salts": {"us_7": None}} for n, r in enumerate(flows)]
    write_rows(export / "connections", gone)
    keys = [
        f"--key={(export / name / 'vkey').read_text(encoding='utf-8').strip()}"
        for name in ("control", "connections")
    ]
    assert main(["fsck", str(export), *keys]) == 0
    assert main(["fsck", str(export / "connections"), *keys]) == 2


def test_lines_that_are_no_rows_are_named(export: Path, verify: Verify) -> None:
    write(export / "control", rows_path(0), b'{"i":0}\nnot JSON\n')
    code, report = verify("fsck", export / "control")
    assert (code, report["faults"][0]["index"]) == (1, 0)


def test_receipt_is_made_from_an_export_and_checked_alone(
    export: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["receipt", str(export), "31"]) == 0
    text = capsys.readouterr().out
    (tmp_path / "receipt").write_text(text, encoding="utf-8")
    keys = [
        f"--key={(export / name / 'vkey').read_text(encoding='utf-8').strip()}"
        for name in ("control", "connections")
    ]
    assert main(["receipt", str(tmp_path / "receipt"), "--json", *keys]) == 0
    report = json.loads(capsys.readouterr().out)
    told = [(step["step"], step["index"]) for step in report["steps"]]
    assert told == [
        ("connection", 31),
        ("key", 95),
        ("enrolment", 94),
        ("sign_in", 93),
    ]


def test_no_receipt_is_made_from_one_log(export: Path) -> None:
    assert main(["receipt", str(export / "control"), "1", "--key", VKEY]) == 1
