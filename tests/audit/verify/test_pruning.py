"""Nobody excuses missing entries by an entry that is not proved."""

from __future__ import annotations

from pathlib import Path

from audit.tlog.merkle import leaf_hash, root
from audit.tlog.note import Checkpoint, sign_note
from audit.tlog.tiles import bundle, bundle_path
from audit.verify.__main__ import main
from tests.audit.witness.log import MemoryLog

FORGED = b'{"code":"AU005","details":{"to":1000000},"v":1}'


def test_a_copy_of_forged_entries_is_not_excused_by_a_forged_prune(
    tmp_path: Path,
) -> None:
    log = MemoryLog()
    hashes = [leaf_hash(b"%d" % number) for number in range(600)]
    said = Checkpoint(origin=log.origin, size=600, root=root(hashes))
    note = sign_note(said.text(), name=log.origin, key=log.key)
    (tmp_path / "checkpoint").write_text(str(note), encoding="utf-8")
    place = tmp_path / bundle_path(2, 88)
    place.parent.mkdir(parents=True)
    place.write_bytes(bundle([b"forged"] * 87 + [FORGED]))
    assert main(["fsck", str(tmp_path), "--key", str(log.verifier)]) != 0
