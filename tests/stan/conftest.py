"""Fixtures of the tests that compile and run Stan; its executables stay in the user's cache between runs."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from bayesexpr.errors import ToolchainError
from bayesexpr.stan.compiler import compile_program
from bayesexpr.stan.program import StanProgram
from bayesexpr.stan.toolchain import Toolchain, ensure


@pytest.fixture(scope="session")
def toolchain() -> Toolchain:
    """The tool chain of this machine; where there can be none the test skips, except in CI, where it fails."""
    try:
        return ensure()
    except ToolchainError as error:
        if os.environ.get("CI"):
            pytest.fail(f"CI must have a tool chain: {error}")
        pytest.skip(str(error))


CompileStan = Callable[..., Path]


@pytest.fixture(scope="session")
def compile_stan(toolchain: Toolchain) -> CompileStan:
    """A function that compiles a program's text, compile_stan(code, name="model"), through the cache."""

    def compile_text(code: str, name: str = "model") -> Path:
        return compile_program(StanProgram(name=name, code=code), toolchain)

    return compile_text
