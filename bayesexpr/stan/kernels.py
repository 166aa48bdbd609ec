"""Compiling the numerical core of a kernel, a C++ file with a plain C interface, for this processor.

Its flags are its own: an object whose interface passes no Eigen types may be built for this processor and
linked to programs that are not. The same source is also built as a library for Python to load.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

from bayesexpr.errors import CompilationError
from bayesexpr.stan import build_tools, cache
from bayesexpr.stan.cache import Progress
from bayesexpr.stan.program import StanProgram, library_sources

FLAGS = ("-std=c++17", "-O3", "-fno-math-errno", "-fPIC")
NATIVE_FLAG = "-march=native"
_KIND = "kernels"
_DIGEST = "sha256"


def core_of(program: StanProgram) -> str | None:
    """Name of the source of a program's numerical core; None where it has none."""
    name = f"{program.kernel}.cpp"
    return name if name in program.sources else None


def key(program: StanProgram) -> list[str]:
    """Return what a compiled core depends on, apart from its sources and the compiler."""
    return [*FLAGS, NATIVE_FLAG, build_tools.cpu_key()] if core_of(program) is not None else []


def write_sources(sources: Mapping[str, str], folder: Path) -> None:
    """Write C++ files, given by name and text, into ``folder``."""
    for name, text in sources.items():
        (folder / name).write_text(text, encoding="utf-8")


def compile_core(folder: Path, source: str, target: str, extra: tuple[str, ...], progress: Progress | None) -> None:
    """Compile ``folder/source``, a core or what includes it, into ``folder/target``.

    Raises
    ------
    CompilationError
        The compiler refuses it, with and without the flag that names this processor.
    """
    compiler = build_tools.require_compiler()
    plain = [*compiler.command, *FLAGS, *extra, source, "-o", target]
    label = f"compiling the kernel {source}"
    code, log = build_tools.run([*plain, NATIVE_FLAG], folder=folder, label=label, progress=progress)
    if code != 0:  # some compilers know no such flag, or not this processor
        code, log = build_tools.run(plain, folder=folder, label=label, progress=progress)
    if code != 0:
        errors = build_tools.errors_of(log)
        raise CompilationError(f"the kernel {source} does not compile with {compiler.version!r}:\n{errors}")


def shared_library(program: StanProgram, *, progress: Progress | None = None) -> Path:
    """Return the numerical core of a program's kernel as a library for Python, compiled at its first use.

    Parameters
    ----------
    program : StanProgram
        A program that has a kernel with a core.
    progress : callable, optional
        Told one line of text about every second.

    Raises
    ------
    ToolchainError
        There is no compiler, or it refuses the core.
    """
    compiler = build_tools.require_compiler()
    name, sources = f"{program.kernel}.so", library_sources(program)
    body = next(iter(sources))
    parts = [sorted(sources.items()), compiler.key, *key(program)]
    entry = f"{program.kernel}-{hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:32]}"

    def build(folder: Path) -> None:
        write_sources(sources, folder)
        compile_core(folder, body, name, ("-shared",), progress)
        (folder / _DIGEST).write_text(cache.digest_of(folder / name))

    def damaged(folder: Path) -> bool:
        try:
            return (folder / _DIGEST).read_text() != cache.digest_of(folder / name)
        except OSError:
            return True

    return cache.build_once(_KIND, entry, build, replace=damaged, progress=progress) / name
