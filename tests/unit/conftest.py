"""Fixtures of the tests that need no Stan."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Import a script of the benchmarks, which are no package."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))

    def load(name: str) -> ModuleType:
        return importlib.import_module(name)

    return load


@pytest.fixture(scope="session")
def fake_executable(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A program that behaves like a compiled Stan program, for tests of what surrounds one."""
    script = Path(__file__).with_name("fake_chain.py")
    executable = tmp_path_factory.mktemp("fake") / "model"
    executable.write_text(f'#!/bin/sh\nexec "{sys.executable}" -S -E "{script}" "$@"\n')
    executable.chmod(0o755)
    return executable
