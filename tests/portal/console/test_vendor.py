"""What others wrote is what we took: checksums, licences, nothing loaded from afar."""

from __future__ import annotations

import hashlib
import re

from django.conf import settings

VENDOR = settings.BASE_DIR / "static" / "vendor"


def recorded() -> dict[str, str]:
    lines = (VENDOR / "CHECKSUMS").read_text().splitlines()
    return {name: digest for digest, name in (line.split("  ") for line in lines)}


def test_every_vendored_file_has_its_recorded_checksum() -> None:
    found = {
        str(path.relative_to(VENDOR)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in VENDOR.glob("*/*")
    }
    assert found == recorded()


def test_every_vendored_package_has_its_licence() -> None:
    packages = {name.split("/")[0] for name in recorded()}
    assert all((VENDOR / package / "LICENSE").is_file() for package in packages)


def test_vendored_styles_load_nothing_from_elsewhere() -> None:
    css = (VENDOR / "tabler" / "tabler.min.css").read_text()
    assert "@import" not in css
    assert not re.findall(r"url\(\s*['\"]?(?!['\"]?data:)", css)


def test_our_scripts_evaluate_no_text() -> None:
    for path in (settings.BASE_DIR / "static" / "js").glob("*.js"):
        source = path.read_text()
        for word in ("eval(", "new Function", "innerHTML", "document.write"):
            assert word not in source, (path.name, word)


def test_no_script_imports_one_that_a_page_loads() -> None:
    # Under its hashed and its plain name a module would run twice.
    loaded = {
        name
        for path in (settings.BASE_DIR / "templates").rglob("*.html")
        for name in re.findall(r"{% static 'js/([a-z0-9]+\.js)' %}", path.read_text())
    }
    imported = {
        name
        for path in (settings.BASE_DIR / "static" / "js").glob("*.js")
        for name in re.findall(r'from "\./([a-z0-9]+\.js)"', path.read_text())
    }
    assert loaded
    assert not loaded & imported
