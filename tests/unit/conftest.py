"""Fixtures of the tests that need no Stan."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def fake_executable(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A program that behaves like a compiled Stan program, for tests of what surrounds one."""
    script = Path(__file__).with_name("fake_chain.py")
    executable = tmp_path_factory.mktemp("fake") / "model"
    executable.write_text(f'#!/bin/sh\nexec "{sys.executable}" -S -E "{script}" "$@"\n')
    executable.chmod(0o755)
    return executable
