"""The gateway's wheel: everything it needs, nothing of the portal, equal bytes."""

from __future__ import annotations

import base64
import hashlib
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

INFO = "peerage_gateway-0.1.0.dist-info"
LIBRARIES = ("cryptography", "cffi", "_cffi_backend*", "pycparser", "dns", "pyroute2")


def built(directory: Path) -> Path:
    """Build the wheel; return its path."""
    done = subprocess.run(
        [sys.executable, "deploy/wheel.py", str(directory)],
        capture_output=True,
        text=True,
        check=True,
    )
    return Path(done.stdout.strip())


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built once."""
    return built(tmp_path_factory.mktemp("wheel"))


def test_equal_sources_give_equal_bytes(wheel: Path, tmp_path: Path) -> None:
    assert built(tmp_path).read_bytes() == wheel.read_bytes()


def test_it_holds_the_agent_and_the_pure_packages_and_no_portal(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    modules = {n for n in names if n.endswith(".py")}
    assert {str(p) for p in Path("gateway").rglob("*.py")} <= modules
    assert {n.rsplit("/", 1)[0] for n in modules} == {
        *("gateway", "gateway/doctor", "policies", "policies/compiler"),
        *("audit", "audit/tlog"),
    }
    assert {n for n in modules if n.startswith(("policies/", "audit/"))} >= {
        "policies/__init__.py",
        "audit/__init__.py",
    }


def test_it_brings_units_and_switches_along(wheel: Path) -> None:
    names = " ".join(zipfile.ZipFile(wheel).namelist())
    for name in (
        "share/peerage-gateway/systemd/peerage-gateway.service",
        "share/peerage-gateway/systemd/peerage-gateway-boot.service",
        "share/peerage-gateway/systemd/peerage-wireguard@.service",
        "share/peerage-gateway/sysctl.d/60-peerage-gateway.conf",
        "share/peerage-gateway/modules-load.d/peerage-gateway.conf",
        "share/doc/peerage-gateway/gateway.md",
    ):
        assert name in names


def test_its_record_is_of_what_is_in_it(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        lines = archive.read(f"{INFO}/RECORD").decode().splitlines()
        entries = dict(line.split(",", 1) for line in lines)
        assert set(entries) == set(archive.namelist())
        for name, told in entries.items():
            data = archive.read(name)
            digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest())
            text = f"sha256={digest.decode().rstrip('=')},{len(data)}"
            assert told in {text, ","}, name


def test_it_asks_for_three_libraries_in_the_versions_that_are_tested(
    wheel: Path,
) -> None:
    text = zipfile.ZipFile(wheel).read(f"{INFO}/METADATA").decode()
    wanted = [w.split()[1] for w in text.splitlines() if w.startswith("Requires-Dist")]
    assert [w.split("==")[0] for w in wanted] == [
        "cryptography",
        "dnspython",
        "pyroute2",
    ]
    assert set(wanted) <= set(Path("requirements.txt").read_text().split())


def test_installed_apart_it_runs_with_its_libraries_alone(
    wheel: Path, tmp_path: Path
) -> None:
    target, libraries = tmp_path / "installed", tmp_path / "libraries"
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps"]
    subprocess.run(
        [*pip, "--disable-pip-version-check", "--target", str(target), str(wheel)],
        check=True,
        capture_output=True,
    )
    libraries.mkdir()
    site = Path(sysconfig.get_path("purelib"))
    for pattern in LIBRARIES:
        for found in site.glob(pattern):
            (libraries / found.name).symlink_to(found)
    code = (
        "import sys; sys.path[:0] = sys.argv[1:3]\n"
        "import gateway.running, gateway.doctor.gather\n"
        "from gateway.__main__ import main\n"
        "assert gateway.__file__.startswith(sys.argv[1]), gateway.__file__\n"
        "sys.exit(main(['status', '--state', '/nowhere']))"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", code, str(target), str(libraries)],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
    )
    assert (done.returncode, "holds no identity" in done.stderr) == (1, True), (
        done.stderr
    )
    script = target / "bin" / "peerage-gateway"
    assert script.exists()
