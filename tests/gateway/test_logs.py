"""What the agent says: one event a line, and never a secret."""

from __future__ import annotations

import ast
import io
import json
import logging
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.logs import Log, LogFormat, default_format, set_up

MODULES = sorted(Path("gateway").rglob("*.py"))
NAME = re.compile(r"[a-z][a-z_]*(\.[a-z][a-z_]*)+\Z")
LEVELS = {"debug", "info", "warning", "error"}


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    """A stream that everything is said to, in the format a test asks for."""
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    yield io.StringIO()
    root.handlers[:] = before
    root.setLevel(level)


def said(stream: io.StringIO) -> dict[str, object]:
    """Return the one line that was said in JSON."""
    [line] = stream.getvalue().splitlines()
    document: dict[str, object] = json.loads(line)
    return document


def test_an_event_is_one_json_object_with_its_facts(stream: io.StringIO) -> None:
    set_up(LogFormat.JSON, stream=stream, level=logging.INFO)
    Log("gateway.agent").info("gate.opened", generation=7, names=["a", "b"])
    line = said(stream)
    assert re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z\Z", str(line.pop("time")))
    assert line == {
        "level": "info",
        "event": "gate.opened",
        "module": "gateway.agent",
        "thread": "MainThread",
        "generation": 7,
        "names": ["a", "b"],
    }


@pytest.mark.parametrize("style", list(LogFormat))
def test_control_characters_never_reach_the_terminal(
    stream: io.StringIO, style: LogFormat
) -> None:
    set_up(style, stream=stream, level=logging.INFO)
    Log("x").warning("poll.failed", error="a\x1b[2J\nfake line\u2028\x00")
    text = stream.getvalue()
    assert text.count("\n") == 1
    assert all(c.isascii() and c.isprintable() for c in text.rstrip("\n"))
    assert r"\u001b[2J\nfake line" in text


def test_a_fact_does_not_take_the_place_of_the_frame(stream: io.StringIO) -> None:
    set_up(LogFormat.JSON, stream=stream, level=logging.INFO)
    Log("x").error("poll.failed", level="info", time="never")
    assert said(stream)["level"] == "error"


def test_percent_signs_in_an_event_mean_nothing(stream: io.StringIO) -> None:
    set_up(LogFormat.TEXT, stream=stream, level=logging.INFO)
    Log("x").info("poll.failed", error="100 %s %d")
    assert stream.getvalue().endswith(' poll.failed error="100 %s %d"\n')


def test_a_library_speaks_in_the_same_form(stream: io.StringIO) -> None:
    set_up(LogFormat.JSON, stream=stream, level=logging.INFO)
    try:
        int("why")
    except ValueError:
        logging.getLogger("lib").exception("it %s", "broke")
    line = said(stream)
    assert (line["event"], line["text"]) == ("message", "it broke")
    assert "ValueError: invalid literal" in str(line["exception"])


def test_below_the_level_nothing_is_said(stream: io.StringIO) -> None:
    set_up(LogFormat.JSON, stream=stream, level=logging.INFO)
    Log("x").debug("poll.sent")
    assert not stream.getvalue()
    set_up(LogFormat.JSON, stream=stream, level=logging.DEBUG)
    Log("x").debug("poll.sent")
    assert said(stream)["level"] == "debug"


def test_a_file_gets_json_and_a_terminal_text() -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    assert default_format(io.StringIO()) is LogFormat.JSON
    assert default_format(Terminal()) is LogFormat.TEXT


def events(path: Path) -> Iterator[tuple[int, str]]:
    """Yield every event a module says, with its line."""
    for node in ast.walk(ast.parse(path.read_text())):
        match node:
            case ast.Call(
                func=ast.Attribute(value=ast.Name(id="log"), attr=level), args=args
            ) if level in LEVELS:
                [name] = args
                assert isinstance(name, ast.Constant), (path, node.lineno)
                yield node.lineno, str(name.value)
            case _:
                pass


def test_every_event_of_the_agent_is_named_by_the_grammar() -> None:
    named = {(p.name, *event) for p in MODULES for event in events(p)}
    assert len(named) > 15
    assert [event for event in named if not NAME.match(event[2])] == []


def test_only_the_log_module_uses_the_library() -> None:
    users = [p.name for p in MODULES if "logging.getLogger" in p.read_text()]
    assert users == ["logs.py"]


def test_every_event_is_documented() -> None:
    page = Path("docs/operations.md").read_text()
    named = {name for path in MODULES for _, name in events(path)}
    assert sorted(name for name in named if f"`{name}`" not in page) == []
