"""All templates: they compile, and nothing in them would need a laxer CSP."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import pytest
from django.conf import settings
from django.template.loader import get_template

ROOT: Final = settings.BASE_DIR / "templates"
TEMPLATES: Final = sorted(ROOT.rglob("*.html"))
INLINE: Final = {
    "script": re.compile(r"<script(?![^>]*\bsrc=)"),
    "style element": re.compile(r"<style\b"),
    "style attribute": re.compile(r"\sstyle\s*="),
    "event handler": re.compile(r"<[^>]*\s(on[a-z]+|hx-on[:a-z-]*)\s*="),
    "script address": re.compile(r"javascript:", re.IGNORECASE),
    "other host": re.compile(r"(src|href)=\"(https?:)?//"),
    "filter that trusts": re.compile(r"\|\s*safe\b|autoescape\s+off"),
}


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", TEMPLATES, ids=name)
def test_every_template_compiles(path: Path) -> None:
    get_template(name(path))


@pytest.mark.parametrize("path", TEMPLATES, ids=name)
def test_no_template_has_inline_code_or_style(path: Path) -> None:
    source = path.read_text()
    found = [what for what, pattern in INLINE.items() if pattern.search(source)]
    assert not found


@pytest.mark.parametrize("path", TEMPLATES, ids=name)
def test_every_form_that_posts_carries_the_token(path: Path) -> None:
    for form in re.findall(r"<form\b.*?</form>", path.read_text(), re.DOTALL):
        if 'method="post"' in form:
            assert "{% csrf_token %}" in form


def test_templates_hold_no_logic_beyond_choices_and_loops() -> None:
    known = {"extends", "load", "block", "endblock", "include", "url", "static"}
    known |= {"if", "elif", "else", "endif", "for", "empty", "endfor", "with"}
    known |= {"endwith", "csrf_token", "querystring"}
    known |= {"icon", "nav_item", "moment", "badge", "outcome", "severity", "lasted"}
    used = {
        tag
        for path in TEMPLATES
        for tag in re.findall(r"{%\s*([a-z_]+)", path.read_text())
    }
    assert used <= known
