"""The tool chain of this machine: found again, and sound."""

from __future__ import annotations

import os
import subprocess

import pytest

from bayesexpr.errors import ToolchainError
from bayesexpr.stan.doctor import doctor
from bayesexpr.stan.toolchain import OLDEST, Toolchain, find


def test_it_is_found_again(toolchain: Toolchain) -> None:
    assert find() == toolchain
    report = doctor()
    assert report["cmdstan"] == {
        "path": str(toolchain.home),
        "version": toolchain.version,
        "kind": toolchain.kind,
        "built": True,
    }
    assert report["problems"] == []


def test_stanc_is_of_its_version(toolchain: Toolchain) -> None:
    stanc = toolchain.home / "bin" / "stanc"
    done = subprocess.run([stanc, "--version"], capture_output=True, text=True, check=True)
    assert f"v{toolchain.version}" in done.stdout
    assert tuple(int(part) for part in toolchain.version.split(".")[:2]) >= OLDEST


def test_cmdstanpy_takes_its_home(toolchain: Toolchain, monkeypatch: pytest.MonkeyPatch) -> None:
    import cmdstanpy

    monkeypatch.setenv("CMDSTAN", "")
    cmdstanpy.set_cmdstan_path(str(toolchain.home))
    assert cmdstanpy.cmdstan_path() == str(toolchain.home)
    assert ".".join(map(str, cmdstanpy.cmdstan_version() or ())) == toolchain.version.rsplit(".", 1)[0]
    assert find() == toolchain


def test_a_home_without_stanc_is_refused(toolchain: Toolchain, tmp_path: os.PathLike[str]) -> None:
    with pytest.raises(ToolchainError, match="not a CmdStan folder"):
        find(tmp_path)
