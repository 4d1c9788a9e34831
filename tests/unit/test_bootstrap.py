"""What `make` says before it installs anything, on machines and Pythons of which this one is only one."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "scripts" / "bootstrap.py"


@pytest.fixture
def bootstrap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The script, looking at a project folder of its own."""
    spec = importlib.util.spec_from_file_location("bootstrap", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    (tmp_path / "requirements.lock").write_text("a==1 --hash=sha256:0\n")
    (tmp_path / "pyproject.toml").write_text("[project]\n")
    for name, path in {"ROOT": ".", "VENV": ".venv", "LOCK": "requirements.lock", "STAMP": ".venv/stamp"}.items():
        monkeypatch.setattr(module, name, str(tmp_path / path))
    return module


@pytest.mark.parametrize("version", [(3, 11), (3, 12)])
def test_these_pythons_are_used(bootstrap: ModuleType, version: tuple[int, int]) -> None:
    assert bootstrap.python_problem(version, "cpython") == ""


@pytest.mark.parametrize(
    ("version", "implementation"), [((3, 10), "cpython"), ((3, 13), "cpython"), ((4, 0), "cpython"), ((3, 11), "pypy")]
)
def test_other_pythons_are_refused_with_the_ones_that_work(
    bootstrap: ModuleType, version: tuple[int, int], implementation: str
) -> None:
    said = bootstrap.python_problem(version, implementation)
    assert "RocksDB" in said
    assert "CPython 3.11 or 3.12" in said


@pytest.mark.parametrize("machine", [("Linux", "x86_64"), ("Linux", "aarch64")])
def test_linux_needs_glibc(bootstrap: ModuleType, machine: tuple[str, str]) -> None:
    assert bootstrap.platform_problem(*machine, "glibc") == ""
    assert "musl" in bootstrap.platform_problem(*machine, "")


def test_a_machine_without_wheels_is_refused_with_those_that_have_some(bootstrap: ModuleType) -> None:
    assert bootstrap.platform_problem("Darwin", "arm64", "") == ""
    for system, machine in (("Windows", "AMD64"), ("Linux", "riscv64"), ("FreeBSD", "amd64")):
        said = bootstrap.platform_problem(system, machine, "glibc")
        assert f"{system} on {machine}" in said
        assert "Linux on x86_64, aarch64" in said


def python_named(folder: Path, name: str, prints: str) -> None:
    path = folder / name
    path.write_text(f"#!/bin/sh\necho {prints}\n")
    path.chmod(0o755)


def test_another_python_on_the_path_is_found(
    bootstrap: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert bootstrap.other_python() is None
    python_named(tmp_path, "python3.11", "3 11 cpython")
    assert bootstrap.other_python() == str(tmp_path / "python3.11")


def test_a_shim_without_a_python_behind_it_is_passed_over(
    bootstrap: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    python_named(tmp_path, "python3.12", "no such version; exit 127")
    python_named(tmp_path, "python3.11", "3 11 cpython")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert bootstrap.other_python() == str(tmp_path / "python3.11")


def test_an_unfit_python_without_another_ends_before_anything_is_made(
    bootstrap: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(bootstrap, "PYTHONS", ((2, 99),))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SystemExit) as ended:
        bootstrap.main()
    assert ended.value.code == 1
    assert "make PYTHON=" in capsys.readouterr().err
    assert not (tmp_path / ".venv").exists()


def test_a_current_venv_is_left_alone_and_a_changed_lock_is_not(
    bootstrap: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[str] = []
    monkeypatch.setattr(bootstrap, "make_venv", lambda: (tmp_path / ".venv").mkdir(exist_ok=True))
    monkeypatch.setattr(bootstrap, "install", lambda: made.append("installed"))
    bootstrap.main()
    bootstrap.main()
    assert made == ["installed"]
    (tmp_path / "requirements.lock").write_text("a==2 --hash=sha256:0\n")
    bootstrap.main()
    assert made == ["installed", "installed"]


def test_a_failed_installation_is_tried_again(bootstrap: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing() -> None:
        raise SystemExit(1)

    monkeypatch.setattr(bootstrap, "make_venv", lambda: None)
    monkeypatch.setattr(bootstrap, "install", failing)
    with pytest.raises(SystemExit):
        bootstrap.main()
    assert bootstrap.found_stamp() == ""


def test_a_full_disk_is_told_before_anything_is_made(
    bootstrap: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(bootstrap, "NEEDED_MB", 10**12)
    with pytest.raises(SystemExit):
        bootstrap.make_venv()
    assert "Make room" in capsys.readouterr().err
    assert not (tmp_path / ".venv").exists()


def test_the_lock_pins_everything_with_hashes_and_names_no_host() -> None:
    lines = (ROOT / "requirements.lock").read_text().splitlines()
    pins = [line for line in lines if line and not line.startswith((" ", "#"))]
    assert len(pins) > 50
    assert all("==" in pin and pin.endswith("\\") for pin in pins)
    assert not [line for line in lines if "://" in line or "index-url" in line]


def test_old_pythons_can_parse_the_script() -> None:
    check = f"import ast; ast.parse(open({str(SCRIPT)!r}).read(), feature_version=(3, 6))"
    assert subprocess.run([sys.executable, "-c", check], check=False).returncode == 0
