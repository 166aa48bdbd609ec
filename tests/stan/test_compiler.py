"""Compiling real programs: one compile for many processes, stanc's words, kernels with and without their own object."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bayesexpr.errors import CompilationError
from bayesexpr.stan import cache
from bayesexpr.stan.compiler import compile_program, runs
from bayesexpr.stan.methods import log_prob
from bayesexpr.stan.program import StanProgram
from bayesexpr.stan.toolchain import Toolchain

CODE = "parameters { real x; } model { x ~ normal(1, 2); }"

START = """
import sys
from bayesexpr.stan.compiler import compile_program
from bayesexpr.stan.program import StanProgram
from bayesexpr.stan.toolchain import ensure
told = []
program = StanProgram(name="together", code=sys.argv[1])
path = compile_program(program, ensure(sys.argv[2]), progress=told.append)
print(path, any(text.startswith("compiling") for text in told))
"""


@pytest.fixture
def own_cache(toolchain: Toolchain, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache; to be asked for after the tool chain, which stays where it is."""
    monkeypatch.setenv("BAYESEXPR_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_sixteen_processes_started_at_once_compile_once(toolchain: Toolchain, own_cache: Path) -> None:
    objects = {file: file.stat().st_mtime_ns for file in (toolchain.home / "build").glob("*.o")}
    command = [sys.executable, "-c", START, CODE, str(toolchain.home)]
    started = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(16)]
    said = [process.communicate(timeout=300)[0].split() for process in started]
    assert {process.returncode for process in started} == {0}
    assert len({path for path, _ in said}) == 1
    assert sum(compiled == "True" for _, compiled in said) == 1
    executable = Path(said[0][0])
    assert own_cache in executable.parents
    assert runs(executable)

    # Nothing of the tool chain was built again, whatever its files' times.
    assert {file: file.stat().st_mtime_ns for file in (toolchain.home / "build").glob("*.o")} == objects

    # A damaged executable is found out and made again; a sound one is not.
    whole = executable.stat().st_size
    executable.write_bytes(executable.read_bytes()[: whole // 2])
    assert not runs(executable)
    told: list[str] = []
    program = StanProgram(name="together", code=CODE)
    assert compile_program(program, toolchain, progress=told.append) == executable
    assert any(text.startswith("compiling") for text in told)
    assert runs(executable)
    told.clear()
    compile_program(program, toolchain, progress=told.append)
    assert told == []


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("parameters { real x; } model { x ~ normal(0, sigma); }", 'Identifier "sigma" not in scope'),
        ("parameters { real x } model { }", "Syntax error"),
        ("functions { real f(real x); } parameters { real x; } model { target += f(x); }", "is declared without"),
    ],
)
def test_what_stanc_refuses_is_said_in_its_words(toolchain: Toolchain, own_cache: Path, code: str, words: str) -> None:
    with pytest.raises(CompilationError, match=words) as caught:
        compile_program(StanProgram(name="wrong", code=code), toolchain)
    assert "line 1" in str(caught.value)
    assert not list((cache.root() / "models").iterdir())


HEADER = """#include <stan/model/model_header.hpp>
#ifdef BAYESEXPR_KERNEL_INLINE
#include "square.cpp"
#else
extern "C" double square_of(double x);
#endif
template <typename T>
T negative_half_square(const T& x, std::ostream*) {
  const double value = stan::math::value_of(x);
  const double result = -0.5 * square_of(value);
  if constexpr (stan::is_constant<T>::value) {
    return result;
  } else {
    return stan::math::make_callback_var(result, [x, value](auto& vi) { x.adj() -= vi.adj() * value; });
  }
}
"""
KERNEL = StanProgram(
    name="with_kernel",
    code="""functions { real negative_half_square(real x); }
parameters { real x; }
model { target += negative_half_square(x); }""",
    kernel="square",
    sources={"square.hpp": HEADER, "square.cpp": 'extern "C" double square_of(double x) { return x * x; }\n'},
)


@pytest.mark.parametrize("kind", ["embedded", "installed"])
def test_a_kernel_is_the_programs_density(toolchain: Toolchain, kind: str) -> None:
    if kind == "embedded" and toolchain.kind != kind:
        pytest.skip("an installed CmdStan takes no object")
    executable = compile_program(KERNEL, replace(toolchain, kind=kind))
    points = np.array([[0.0], [1.5], [-3.0]])
    density, gradient = log_prob(executable, {}, points)
    np.testing.assert_allclose(density, -0.5 * points[:, 0] ** 2, rtol=1e-14)
    np.testing.assert_allclose(gradient, -points, rtol=1e-14)


def test_a_kernel_that_does_not_compile_is_said_in_the_compilers_words(toolchain: Toolchain, own_cache: Path) -> None:
    broken = replace(KERNEL, sources={**KERNEL.sources, "square.cpp": "int main( {"})
    with pytest.raises(CompilationError, match=r"square\.cpp"):
        compile_program(broken, toolchain)
