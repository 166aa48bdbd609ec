"""A compiled program and how it is run: once compiled, a campaign only starts chains."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from bayesexpr.errors import SamplingError
from bayesexpr.stan.compiler import built_with, compile_program
from bayesexpr.stan.methods import MethodDraws, run_method
from bayesexpr.stan.program import StanProgram
from bayesexpr.stan.settings import SamplerSettings
from bayesexpr.stan.toolchain import ensure


@dataclass(frozen=True)
class Compiled:
    """An executable.

    Attributes
    ----------
    path
        The file.
    binary
        Whether it can write draws in binary form, which is read ten times faster than text.
    """

    path: Path
    binary: bool

    def versions(self) -> dict[str, str]:
        """Versions of Stan and of the compiler."""
        return built_with(self.path)


def compiled(program: StanProgram) -> Compiled:
    """Compile a program, unless the cache has it."""
    toolchain = ensure()
    return Compiled(compile_program(program, toolchain), toolchain.binary_output)


def ready(program: Compiled | None) -> Compiled:
    """Return the executable of a backend that was prepared.

    Raises
    ------
    SamplingError
        If it was not.
    """
    if program is None:
        raise SamplingError("the program is not compiled: call prepare() and fit with what it returns.")
    return program


def run(
    program: Compiled | None, method: str, data: Mapping[str, Any], settings: SamplerSettings, seed: int
) -> MethodDraws:
    """Run a method on one data set, one chain after the other."""
    known = ready(program)
    return run_method(known.path, method, data, replace(settings, seed=seed, cores=1), binary=known.binary)
