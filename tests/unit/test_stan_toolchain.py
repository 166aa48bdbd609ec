"""Finding a tool chain, what doctor says, and every way in which the embedded one cannot be had."""

from __future__ import annotations

import hashlib
import zipfile
from pathlib import Path

import pytest

from bayesexpr.errors import ToolchainError
from bayesexpr.stan import build_tools, embedded, toolchain
from bayesexpr.stan.doctor import doctor

MAKEFILE = b"""CMDSTAN_VERSION := 2.39.0
build:
\t@echo x >> builds
\t@test -x bin/stanc && test -f include/stan/version.hpp && test -f frontend/main.cpp
\t@if grep -q BROKEN frontend/main.cpp; then echo "main.cpp:1: error: broken" >&2; exit 1; fi
"""


@pytest.fixture(autouse=True)
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine of its own: empty home and cache, a small wheel for the platform, a small front end."""
    wheel = tmp_path / "httpstan.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("httpstan/include/stan/version.hpp", "")
        archive.writestr("httpstan/lib/libtbb.so", "")
        archive.writestr("httpstan/stanc", "#!/bin/sh\n")
        archive.writestr("httpstan/app.py", "")
        archive.writestr("httpstan/include/../../escaped", "")
    pinned = embedded.Wheel("any", hashlib.sha256(wheel.read_bytes()).hexdigest())
    monkeypatch.setattr(embedded, "wheel", lambda: pinned)
    monkeypatch.setattr(embedded, "frontend_files", lambda: (("main.cpp", b""), ("makefile", MAKEFILE)))
    monkeypatch.setenv("BAYESEXPR_HTTPSTAN_WHEEL", str(wheel))
    monkeypatch.setenv("BAYESEXPR_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for name in ("CMDSTAN", "CXX", "MAKE"):
        monkeypatch.delenv(name, raising=False)
    build_tools._version.cache_clear()
    return tmp_path


def cmdstan(folder: Path, version: str, *, built: bool = True) -> Path:
    (folder / "bin").mkdir(parents=True)
    (folder / "makefile").write_text(f"# CmdStan\nCMDSTAN_VERSION := {version}\n")
    if built:
        (folder / "bin" / "stanc").touch()
    return folder


def hide_tools(monkeypatch: pytest.MonkeyPatch, machine: Path) -> None:
    (machine / "empty").mkdir()
    monkeypatch.setenv("PATH", str(machine / "empty"))
    build_tools._version.cache_clear()


needs_tools = pytest.mark.skipif(
    build_tools.find_compiler() is None or build_tools.find_make() is None, reason="needs a C++ compiler and make"
)


def test_nothing_is_found_on_an_empty_machine() -> None:
    assert toolchain.find() is None


def test_an_argument_goes_before_the_environment_and_that_before_the_default(
    machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    default = machine / "home" / ".cmdstan"
    cmdstan(default / "cmdstan-2.36.0", "2.36.0")
    cmdstan(default / "cmdstan-2.38.0", "2.38.0")
    cmdstan(default / "cmdstan-2.40.0", "2.40.0", built=False)
    cmdstan(default / "cmdstan-2.30.0", "2.30.0")
    found = toolchain.find()
    assert found is not None
    assert (found.version, found.kind) == ("2.38.0", "installed")
    assert not found.binary_output
    monkeypatch.setenv("CMDSTAN", str(cmdstan(machine / "named", "2.37.1")))
    found = toolchain.find()
    assert found is not None
    assert found.version == "2.37.1"
    found = toolchain.find(cmdstan(machine / "given", "2.36.9"))
    assert found is not None
    assert found.version == "2.36.9"


def test_a_default_that_is_too_old_is_passed_over(machine: Path) -> None:
    cmdstan(machine / "home" / ".cmdstan" / "cmdstan-2.30.0", "2.30.0")
    assert toolchain.find() is None


def test_a_named_folder_that_is_no_cmdstan_is_an_error(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CMDSTAN", str(machine / "absent"))
    with pytest.raises(ToolchainError, match=r"CMDSTAN names .*not a CmdStan folder.*unset CMDSTAN"):
        toolchain.find()
    with pytest.raises(ToolchainError, match=r"the argument names .*version 2\.30\.0"):
        toolchain.find(cmdstan(machine / "old", "2.30.0"))
    with pytest.raises(ToolchainError, match="it was not built"):
        toolchain.find(cmdstan(machine / "source", "2.38.0", built=False))


@needs_tools
def test_the_embedded_tool_chain_is_built_once(machine: Path) -> None:
    told: list[str] = []
    first = toolchain.ensure(progress=told.append)
    assert (first.version, first.kind, first.binary_output) == ("2.39.0", "embedded", True)
    assert any(text.startswith("compiling Stan, once for this machine (0 s)") for text in told)
    assert toolchain.ensure() == first
    assert toolchain.find() == first
    assert (first.home / "builds").read_text() == "x\n"
    assert not (first.home / "app.py").exists()
    assert not list(machine.rglob("escaped"))
    report = doctor()
    assert report["cmdstan"] == {"path": str(first.home), "version": "2.39.0", "kind": "embedded", "built": True}
    assert report["problems"] == []


@needs_tools
def test_another_front_end_is_another_tool_chain(monkeypatch: pytest.MonkeyPatch) -> None:
    first = toolchain.ensure()
    monkeypatch.setattr(embedded, "frontend_files", lambda: (("main.cpp", b"//"), ("makefile", MAKEFILE)))
    assert toolchain.ensure().home != first.home


@needs_tools
def test_a_front_end_that_does_not_compile_leaves_nothing(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded, "frontend_files", lambda: (("main.cpp", b"BROKEN"), ("makefile", MAKEFILE)))
    with pytest.raises(ToolchainError, match=r"(?s)did not compile.*error: broken.*C\+\+17"):
        toolchain.ensure()
    assert list((machine / "cache" / "stan" / "toolchains").iterdir()) == []
    assert toolchain.find() is None


@needs_tools
def test_another_file_than_the_pinned_wheel_is_refused(machine: Path) -> None:
    (machine / "httpstan.whl").write_bytes(b"something else")
    with pytest.raises(ToolchainError, match=r"SHA-256 .*BAYESEXPR_HTTPSTAN_WHEEL"):
        toolchain.ensure()


@needs_tools
def test_a_wheel_that_is_not_there_is_said(machine: Path) -> None:
    (machine / "httpstan.whl").unlink()
    assert "which is not a file" in doctor()["problems"][0]["what"]
    with pytest.raises(ToolchainError, match=r"is not a file\. Without a network: .* -m pip download"):
        toolchain.ensure()


@needs_tools
def test_without_a_network_the_remedy_is_the_carried_wheel(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BAYESEXPR_HTTPSTAN_WHEEL")
    monkeypatch.setattr(embedded, "PACKAGE", "no-such-package-of-bayesexpr")
    for name in ("PIP_EXTRA_INDEX_URL", "PIP_FIND_LINKS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    with pytest.raises(ToolchainError, match=r"(?s)pip could not fetch.*copy the file over"):
        toolchain.ensure()


@needs_tools
def test_without_pip_the_remedy_is_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BAYESEXPR_HTTPSTAN_WHEEL")
    monkeypatch.setattr(embedded.build_tools, "run", lambda *a, **k: (1, "/usr/bin/python: No module named pip"))
    with pytest.raises(ToolchainError, match="ensurepip"):
        toolchain.ensure()


@needs_tools
def test_a_full_disk_is_said_before_anything_is_written(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded, "BYTES_NEEDED", 10**18)
    with pytest.raises(ToolchainError, match=r"GB free\. Free some space"):
        toolchain.ensure()
    assert "GB free" in doctor()["problems"][0]["what"]


def test_a_platform_without_a_wheel_is_told_to_install_cmdstan(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded, "wheel", lambda: None)
    with pytest.raises(ToolchainError, match=r"Install CmdStan.*CMDSTAN"):
        toolchain.ensure()
    problem = doctor()["problems"][-1]
    assert "there is no CmdStan" in problem["what"]
    assert "CMDSTAN" in problem["remedy"]


def test_the_pinned_wheels_are_for_the_platforms_that_are_named() -> None:
    assert set(embedded.WHEELS) == {("Linux", "x86_64"), ("Darwin", "arm64")}
    assert all(len(wheel.sha256) == 64 for wheel in embedded.WHEELS.values())


def test_without_compiler_and_make_doctor_says_the_remedy(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hide_tools(monkeypatch, machine)
    report = doctor()
    assert report["cxx"] is None
    assert report["make"] is None
    assert [problem["what"] for problem in report["problems"]][:2] == [
        "there is no C++ compiler",
        "there is no make",
    ]
    assert "apt-get install g++ make" in report["problems"][0]["remedy"]
    with pytest.raises(ToolchainError, match=r"C\+\+ compiler.*apt-get install g\+\+ make"):
        toolchain.ensure()


@needs_tools
def test_a_compiler_that_does_not_run_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "false --really")
    assert "'false --really' of CXX does not run" in doctor()["problems"][0]["what"]
    with pytest.raises(ToolchainError, match="false --really was not found or does not run"):
        build_tools.require_compiler()


@needs_tools
def test_doctor_on_a_sound_machine_finds_nothing_and_builds_nothing(machine: Path) -> None:
    report = doctor()
    assert report["problems"] == []
    assert report["cmdstan"]["kind"] == "embedded"
    assert report["cmdstan"]["built"] is False
    assert report["cores"] >= 1
    assert not Path(report["cmdstan"]["path"]).exists()


def test_doctor_tells_of_a_bad_cmdstan_and_a_bad_cache(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CMDSTAN", str(machine / "absent"))
    monkeypatch.setenv("BAYESEXPR_CACHE_DIR", str(machine / "a b"))
    whats = " | ".join(problem["what"] for problem in doctor()["problems"])
    assert "CMDSTAN names" in whats
    assert "the path of the cache" in whats
    assert all(problem["remedy"] for problem in doctor()["problems"])
