"""Nobody excuses missing entries by an entry that is not proved."""

from __future__ import annotations

from pathlib import Path

import pytest

from audit.tlog.merkle import leaf_hash, root
from audit.tlog.note import Checkpoint, sign_note
from audit.tlog.tiles import bundle, bundle_path
from audit.verify.__main__ import main
from tests.audit.witness.log import MemoryLog

HASH = "00" * 32
FORGED = {
    "too little": '{"to":1000000}',
    "no root": '{"log":"control","to":1000000,"root":"","frontier":[]}',
    "no hashes": '{"log":"control","to":512,"root":"zz","frontier":["xy",1]}',
    "a root of its own": f'{{"log":"control","to":512,"root":"{HASH}",'
    f'"frontier":["{HASH}"]}}',
    "of another log": f'{{"log":"connections","to":512,"root":"{HASH}",'
    f'"frontier":["{HASH}"]}}',
}


@pytest.mark.parametrize("told", FORGED)
def test_a_copy_of_forged_entries_is_not_excused_by_a_forged_prune(
    told: str, tmp_path: Path
) -> None:
    forged = b'{"code":"AU005","details":%s,"v":1}' % FORGED[told].encode()
    log = MemoryLog()
    hashes = [leaf_hash(b"%d" % number) for number in range(600)]
    said = Checkpoint(origin=log.origin, size=600, root=root(hashes))
    note = sign_note(said.text(), name=log.origin, key=log.key)
    (tmp_path / "checkpoint").write_text(str(note), encoding="utf-8")
    place = tmp_path / bundle_path(2, 88)
    place.parent.mkdir(parents=True)
    place.write_bytes(bundle([b"forged"] * 87 + [forged]))
    assert main(["fsck", str(tmp_path), "--key", str(log.verifier)]) != 0
