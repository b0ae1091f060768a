"""One line for each command of `manage.py`: how it is run, or why it is not.

A command of ours without a line makes the walk red, and so does one that a library
brings along.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeAlias

from audit.models import Prune
from tests.walks.company import Company

Words: TypeAlias = Callable[[Company, Path], Sequence[str]]
POLICY: Final = '{"hosts": {"wiki": "10.1.0.0/24"}, "grants": []}'


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """A command with its words; `must_change` says that a table has to differ."""

    name: str
    words: Words
    must_change: bool = False


def _policy(action: str, *more: str) -> Words:
    def words(_company: Company, folder: Path) -> Sequence[str]:
        (folder / "policy.hujson").write_text(POLICY, encoding="utf-8")
        return [action, str(folder / "policy.hujson"), *more]

    return words


def _people(_company: Company, folder: Path) -> Sequence[str]:
    (folder / "people").write_text("alice\nbob\n", encoding="utf-8")
    return [str(folder / "people"), "--reason", "a walk", "--people", "2"]


def _approval(company: Company, _folder: Path) -> Sequence[str]:
    """Let a prune wait, as if somebody had proposed it; walks have no 256 leaves."""
    made = Prune.objects.create(
        log="control",
        begin=0,
        below=256,
        root=bytes(32),
        hashes=bytes(32),
        proposer_id="us_0",
        proposed_at=company.owner.created_at,
    )
    return ["control", "--withdraw", made.ref.id, "--reason", "a walk"]


def _nothing(_company: Company, _folder: Path) -> Sequence[str]:
    return []


RUNS: Final = (
    Run(name="init_keys", words=_nothing),
    Run(name="init_pools", words=_nothing, must_change=True),
    Run(
        name="create_gateway",
        words=lambda *_: ["edge", "--endpoint", "edge.example.test:51820"],
        must_change=True,
    ),
    Run(
        name="explain",
        words=lambda company, _: [
            company.world.people["alice"].ref.id,
            "10.20.1.8",
            "--port",
            "443",
        ],
    ),
    Run(name="policy", words=_policy("fmt")),
    Run(name="policy", words=_policy("test")),
    Run(name="policy", words=_policy("plan")),
    Run(name="policy", words=lambda *_: ["export"]),
    Run(name="policy", words=_policy("apply", "--confirm"), must_change=True),
    Run(
        name="revoke_user",
        words=lambda *_: ["alice", "--reason", "a walk"],
        must_change=True,
    ),
    Run(name="revoke_users", words=_people, must_change=True),
    Run(name="recover_gateways", words=_nothing, must_change=True),
    Run(name="assign_role", words=lambda *_: ["alice", "owner"], must_change=True),
    Run(
        name="reactivate_user",
        words=lambda *_: ["mallory", "--reason", "a walk"],
        must_change=True,
    ),
    Run(
        name="erase_person",
        words=lambda company, _: [
            "mallory",
            *("--reason", "a walk"),
            *("--confirm", company.world.people["mallory"].ref.id),
        ],
        must_change=True,
    ),
    Run(
        name="legal_hold",
        words=lambda *_: ["place", "us_1", "--reason", "a walk"],
        must_change=True,
    ),
    Run(name="legal_hold", words=lambda *_: ["list"]),
    Run(name="prune_log", words=lambda *_: ["control"]),
    Run(name="prune_log", words=_approval, must_change=True),
    Run(name="rebuild_connections", words=_nothing),
    Run(
        name="evidence_pack",
        words=lambda _, folder: [
            str(folder / "pack"),
            *("--since", "2026-11-01", "--until", "2026-11-02"),
        ],
    ),
)

SERVES: Final = "it serves; what is asked of it is what the other walks ask"
READS: Final = "it reads, or writes source files"
SCHEMA: Final = "it changes the shape of tables, not what they say"
REFUSED: Final = "manage.py refuses it: it writes past the log"
RECORDED: Final = "manage.py records that it was opened: AU012"
CLEANS: Final = "it removes what is over by itself"
NOT_RUN: Final = {
    "runportal": SERVES,
    "verify_log": "it reads the sealed log and compares",
    "export_log": "it copies the sealed log into files: AU002, AU013",
    "sealer": "it seals what the log holds",
    "deliver_streams": "it sends what the log holds; that it stops is AU033",
    "init": "it runs migrate, createcachetable, init_keys and init_pools",
    "runserver": SERVES,
    "test": "it makes a database of its own",
    "testserver": REFUSED,
    "flush": REFUSED,
    "loaddata": REFUSED,
    "createsuperuser": REFUSED,
    "changepassword": REFUSED,
    "account_unsetmultipleprimaryemails": REFUSED,
    "remove_stale_contenttypes": REFUSED,
    "shell": RECORDED,
    "dbshell": RECORDED,
    "migrate": SCHEMA,
    "createcachetable": SCHEMA,
    "clearsessions": CLEANS,
    "oidc_cleartokens": CLEANS,
    "collectstatic": "it copies files",
    "sendtestemail": "it sends a mail",
    **dict.fromkeys(
        (
            "check",
            "compilemessages",
            "diffsettings",
            "dumpdata",
            "findstatic",
            "generateschema",
            "inspectdb",
            "makemessages",
            "makemigrations",
            "optimizemigration",
            "showmigrations",
            "sqlflush",
            "sqlmigrate",
            "sqlsequencereset",
            "squashmigrations",
            "startapp",
            "startproject",
        ),
        READS,
    ),
}
