"""The command line: what it answers, by which exit code, and on whose word."""

from __future__ import annotations

import functools
import http.server
import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from audit.tlog.cosignature import WitnessKey, cosign
from audit.tlog.note import parse_note
from audit.verify.__main__ import main
from tests.audit.verify.conftest import ENTRIES, Verify
from tests.audit.verify.writing import VKEY, write, write_log

WITNESS_KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(2, 34)))
WITNESS = WitnessKey(
    name="witness.example", public_key=WITNESS_KEY.public_key().public_bytes_raw()
)
POLICY = f"log {VKEY}\nwitness w {WITNESS}\nquorum w\n"


def cosigned(note: bytes) -> bytes:
    """Return a checkpoint with the witness's line below it."""
    text = parse_note(note).text
    line = cosign(text, name=WITNESS.name, key=WITNESS_KEY, at=1_700_000_000)
    return note + line.line().encode()


def test_proof_of_an_entry_is_checked_from_the_file_alone(
    log: Path, tmp_path: Path, verify: Verify, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["prove", str(log), "300", "--key", VKEY]) == 0
    file = tmp_path / "300.tlog-proof"
    file.write_text(capsys.readouterr().out, encoding="utf-8")
    code, report = verify("check-proof", file)
    assert (code, report["proved"]["index"]) == (0, 300)
    assert report["proved"]["entry"] == '{"number":300}'


def test_changed_proof_is_refused(
    log: Path, tmp_path: Path, verify: Verify, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["prove", str(log), "300", "--key", VKEY])
    text = capsys.readouterr().out.replace("index 300", "index 301")
    (tmp_path / "proof").write_text(text, encoding="utf-8")
    assert verify("check-proof", tmp_path / "proof")[0] == 1


@pytest.mark.parametrize("index", [700, 2**62])
def test_no_proof_is_made_for_a_leaf_that_is_not_there(
    index: int, log: Path, verify: Verify
) -> None:
    assert verify("prove", log, index)[0] == 1


def test_no_proof_is_made_from_tiles_that_do_not_fit(log: Path) -> None:
    write(log, "tile/0/001", bytes(8192))
    for index, code in ((3, 0), (600, 0), (300, 1)):
        assert main(["prove", str(log), str(index), "--key", VKEY]) == code


def test_old_checkpoint_is_continued(log: Path, verify: Verify) -> None:
    write(log, "old", (log / "checkpoint").read_bytes())
    write_log(log, [*ENTRIES, b"more"])
    code, report = verify("consistency", log, log / "old")
    assert (code, report["sizes"]) == (0, [700, 701])


def test_witnesses_are_demanded_by_a_policy(
    log: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    policy = tmp_path / "policy"
    policy.write_text(POLICY, encoding="utf-8")
    command = ["fsck", str(log), "--policy", str(policy), "--json"]
    assert main(command) == 1
    assert "not reached" in capsys.readouterr().out
    write(log, "checkpoint", cosigned((log / "checkpoint").read_bytes()))
    assert main(command) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["audit.example/control"]["witnesses"] == {"w": 1_700_000_000}


def test_g03_stolen_key_that_rewrites_everything_is_caught_by_a_witness(
    log: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The witness keeps its own copy of what it signed; the thief cannot sign it."""
    policy = tmp_path / "policy"
    policy.write_text(POLICY, encoding="utf-8")
    seen = tmp_path / "seen"
    seen.write_bytes(cosigned((log / "checkpoint").read_bytes()))
    write_log(log, [b"{}", *ENTRIES[1:], b"more"])
    # By itself the forged log is faultless: every signature is the log's own.
    assert main(["fsck", str(log), "--key", VKEY, "--jobs", "1"]) == 0
    assert main(["fsck", str(log), "--policy", str(policy), "--jobs", "1"]) == 1
    write(log, "checkpoint", cosigned((log / "checkpoint").read_bytes()))
    assert main(["consistency", str(log), str(seen), "--policy", str(policy)]) == 1
    assert "another old root" in capsys.readouterr().out


def test_datas_own_word_for_its_key_is_taken_and_told(
    log: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["fsck", str(log), "--jobs", "1"]) == 0
    assert f"the key came with the data; compare it: {VKEY}" in capsys.readouterr().out


def test_both_logs_of_an_export_are_checked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_log(tmp_path / "control", ENTRIES[:3])
    write_log(tmp_path / "connections", ENTRIES[:9], origin="audit.example/connections")
    assert main(["fsck", str(tmp_path), "--json", "--jobs", "1"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["audit.example/control"]["size"] == 3
    assert report["audit.example/connections"]["size"] == 9


def test_one_log_of_an_export_is_chosen(tmp_path: Path, verify: Verify) -> None:
    write_log(tmp_path / "control", ENTRIES[:3])
    write_log(tmp_path / "connections", ENTRIES[:9], origin="audit.example/connections")
    assert main(["prove", str(tmp_path), "2", "--key", VKEY]) == 3
    assert verify("fsck", tmp_path, "--log", "control")[0] == 0


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["unknown"],
        ["fsck"],
        ["prove", "LOG", "-1"],
        ["prove", "LOG", "one"],
        ["prove", "LOG", "01"],
        ["fsck", "LOG", "--log", "third"],
    ],
)
def test_what_cannot_be_parsed_exits_with_3(arguments: list[str], log: Path) -> None:
    with pytest.raises(SystemExit) as stop:
        main([str(log) if word == "LOG" else word for word in arguments])
    assert stop.value.code == 3


@pytest.mark.parametrize(
    "arguments",
    [
        ["fsck", "NOWHERE"],
        ["check-proof", "NOWHERE", "--key", VKEY],
        ["check-proof", "LOG/checkpoint"],
        ["fsck", "LOG", "--policy", "LOG/checkpoint"],
        ["fsck", "LOG", "--policy", "NOWHERE"],
        ["fsck", "LOG", "--key", "nobody+00000000+AAAA"],
        ["consistency", "LOG", "NOWHERE"],
    ],
)
def test_what_cannot_be_meant_exits_with_3(
    arguments: list[str], log: Path, tmp_path: Path
) -> None:
    places = {"LOG": str(log), "NOWHERE": str(tmp_path / "nowhere")}
    words = []
    for word in arguments:
        for name, place in places.items():
            word = word.replace(name, place)  # noqa: PLW2901 -- both names
        words.append(word)
    assert main(words) == 3


class Quiet(http.server.SimpleHTTPRequestHandler):
    """Serve files without telling."""

    def log_message(self, *_arguments: object) -> None:
        """Say nothing."""


@pytest.fixture
def address(log: Path) -> Iterator[str]:
    """Serve the log's directory."""
    handler = functools.partial(Quiet, directory=str(log))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


def test_log_is_checked_over_the_web(address: str, log: Path, verify: Verify) -> None:
    assert verify("fsck", address)[0] == 0
    (log / "tile/entries/001").unlink()
    assert verify("fsck", f"{address}/")[0] == 2


def test_server_that_is_gone_is_incomplete(verify: Verify) -> None:
    assert verify("fsck", "http://127.0.0.1:1")[0] == 2
