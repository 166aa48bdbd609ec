"""The cache of executables, with a tool chain whose `make` only counts: each program is compiled once."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from bayesexpr.errors import CompilationError, ToolchainError
from bayesexpr.stan import build_tools, cache, kernels
from bayesexpr.stan.compiler import compile_program, has_threads
from bayesexpr.stan.program import StanProgram
from bayesexpr.stan.toolchain import Toolchain, ensure

MAKEFILE = """CMDSTAN_VERSION := 2.39.0
.SUFFIXES:
%: %.stan
\t@echo "$(STANCFLAGS) $(notdir $(USER_HEADER)) $(notdir $(EXTRA_OBJECTS)) $(CXXFLAGS)" >> $(CURDIR)/compiled
\t@$(CURDIR)/bin/stanc $<
\t@sleep 0.2
\t@if grep -q CRASHES $<; then echo "exit 1" > $@; else echo "echo stan_version_major = 2" > $@; fi
\t@if grep -q CXXERROR $<; then echo "x.hpp:3: error: no member named y" >&2; exit 1; fi
\t@chmod +x $@ && sed -i "1i #!/bin/sh" $@
"""
STANC = """#!/bin/sh
for last; do :; done
for name; do case "$name" in *.stan) file="$name";; esac; done
if grep -q WRONG "$file"; then
  echo "Semantic error in '$file', line 3, column 2 to column 7:" >&2
  echo "Identifier 'sigma' not in scope." >&2
  exit 1
fi
"""
PROGRAM = StanProgram(name="toy", code="parameters { real x; }")


@pytest.fixture
def toolchain(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Toolchain:
    if build_tools.find_make() is None:
        pytest.skip("make is not installed")
    home = tmp_path / "home"
    (home / "bin").mkdir(parents=True)
    (home / "frontend").mkdir()
    (home / "makefile").write_text(MAKEFILE)
    for name, text in (("bin/stanc", STANC), ("cxx", CXX)):
        (home / name).write_text(text)
        (home / name).chmod(0o755)
    monkeypatch.setenv("BAYESEXPR_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("CMDSTAN", str(home))
    monkeypatch.setenv("CXX", str(home / "cxx"))
    build_tools._version.cache_clear()
    return ensure()


CXX = """#!/bin/sh
if [ "$1" = --version ]; then echo "toy c++ 1.0"; exit 0; fi
echo "$*" >> "$(dirname "$0")/objects"
case "$*" in *-march=native*) [ -e "$(dirname "$0")/old" ] && exit 1;; esac
while [ "$1" != -o ]; do shift; done
echo object > "$2"
"""


def compiled(toolchain: Toolchain) -> list[str]:
    log = toolchain.home / "compiled"
    return [" ".join(line.split()) for line in log.read_text().splitlines()] if log.exists() else []


def test_a_program_is_compiled_once(toolchain: Toolchain) -> None:
    first = compile_program(PROGRAM, toolchain)
    again = compile_program(PROGRAM, toolchain)
    assert first == again
    assert os.access(first, os.X_OK)
    assert len(compiled(toolchain)) == 1
    os.utime(first.with_suffix(".stan"), (2e9, 2e9))
    compile_program(PROGRAM, toolchain)
    assert len(compiled(toolchain)) == 1


def test_force_compiles_again(toolchain: Toolchain) -> None:
    compile_program(PROGRAM, toolchain)
    compile_program(PROGRAM, toolchain, force=True)
    assert len(compiled(toolchain)) == 2


START = """
from bayesexpr.stan.compiler import compile_program
from bayesexpr.stan.program import StanProgram
from bayesexpr.stan.toolchain import ensure
print(compile_program(StanProgram(name="toy", code="parameters { real x; }"), ensure()))
"""


def test_sixteen_processes_started_at_once_compile_once(toolchain: Toolchain) -> None:
    started = [subprocess.Popen([sys.executable, "-c", START], stdout=subprocess.PIPE, text=True) for _ in range(16)]
    paths = {process.communicate(timeout=120)[0] for process in started}
    assert {process.returncode for process in started} == {0}
    assert len(paths) == 1
    assert len(compiled(toolchain)) == 1


def test_threads_of_one_process_compile_once(toolchain: Toolchain) -> None:
    with ThreadPoolExecutor(8) as pool:
        paths = set(pool.map(lambda _: compile_program(PROGRAM, toolchain), range(8)))
    assert len(paths) == 1
    assert len(compiled(toolchain)) == 1


def test_whatever_changes_the_executable_gives_another(toolchain: Toolchain, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = {compile_program(PROGRAM, toolchain)}
    paths.add(compile_program(replace(PROGRAM, code="parameters { real y; }"), toolchain))
    kernel = {"k.hpp": "// header", "k.cpp": "// core"}
    with_kernel = replace(PROGRAM, kernel="k", sources=kernel)
    paths.add(compile_program(with_kernel, toolchain))
    paths.add(compile_program(replace(with_kernel, sources=kernel | {"k.cpp": "// other"}), toolchain))
    monkeypatch.setattr(kernels, "FLAGS", (*kernels.FLAGS, "-g"))
    paths.add(compile_program(with_kernel, toolchain))
    monkeypatch.setattr(build_tools, "cpu_key", lambda: "another processor")
    paths.add(compile_program(with_kernel, toolchain))
    stanc = toolchain.home / "bin" / "stanc"
    stanc.write_text(stanc.read_text() + "# newer\n")
    paths.add(compile_program(PROGRAM, ensure()))
    cxx = toolchain.home / "cxx"
    cxx.write_text(CXX.replace("1.0", "1.1"))
    build_tools._version.cache_clear()
    paths.add(compile_program(PROGRAM, ensure()))
    assert len(paths) == 8


def test_a_kernel_is_an_object_with_flags_of_its_own(toolchain: Toolchain) -> None:
    program = replace(PROGRAM, kernel="k", sources={"k.hpp": "", "k.cpp": ""})
    compile_program(program, toolchain)
    assert compiled(toolchain) == ["--allow-undefined k.hpp k.o"]
    assert "-O3" in (toolchain.home / "objects").read_text()
    assert "-march=native" in (toolchain.home / "objects").read_text()


def test_a_compiler_that_refuses_the_processor_still_builds_the_kernel(toolchain: Toolchain) -> None:
    (toolchain.home / "old").touch()
    compile_program(replace(PROGRAM, kernel="k", sources={"k.hpp": "", "k.cpp": ""}), toolchain)
    objects = (toolchain.home / "objects").read_text().splitlines()
    assert len(objects) == 2
    assert "-march=native" not in objects[1]


def test_an_installed_cmdstan_gets_the_core_inside_the_header(toolchain: Toolchain) -> None:
    installed = replace(toolchain, kind="installed")
    program = replace(PROGRAM, kernel="k", sources={"k.hpp": "", "k.cpp": ""})
    executable = compile_program(program, installed)
    assert compiled(toolchain) == ["--allow-undefined k_inline.hpp"]
    assert "BAYESEXPR_KERNEL_INLINE" in (executable.parent / "kernel" / "k_inline.hpp").read_text()


def test_flags_of_the_environment_do_not_leak_in(toolchain: Toolchain, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXXFLAGS", "-march=other")
    monkeypatch.setenv("MAKEFLAGS", "-n")
    compile_program(PROGRAM, toolchain)
    assert compiled(toolchain) == [""]


@pytest.mark.parametrize("damage", ["cut", "flip", "delete", "manifest", "marker"])
def test_a_damaged_executable_is_compiled_again(toolchain: Toolchain, damage: str) -> None:
    executable = compile_program(PROGRAM, toolchain)
    whole = executable.read_bytes()
    if damage == "cut":
        executable.write_bytes(whole[:-5])
    elif damage == "flip":
        executable.write_bytes(whole[:-2] + b"3\n")
    elif damage == "delete":
        executable.unlink()
    else:
        (executable.parent / {"manifest": "manifest.json", "marker": cache.MARKER}[damage]).unlink()
    assert compile_program(PROGRAM, toolchain).read_bytes() == whole
    assert len(compiled(toolchain)) == 2


def test_an_executable_that_never_runs_is_an_error_and_leaves_nothing(toolchain: Toolchain) -> None:
    program = replace(PROGRAM, code="// CRASHES")
    with pytest.raises(CompilationError, match="does not run"):
        compile_program(program, toolchain)
    assert list((cache.root() / "models").iterdir()) == []


def test_what_stanc_refuses_is_said_in_its_words(toolchain: Toolchain) -> None:
    with pytest.raises(CompilationError, match=r"(?s)toy; correct these lines.*'toy\.stan', line 3.*'sigma'"):
        compile_program(replace(PROGRAM, code="// WRONG"), toolchain)
    assert list((cache.root() / "models").iterdir()) == []


def test_what_the_compiler_refuses_is_said_in_its_words(toolchain: Toolchain) -> None:
    with pytest.raises(CompilationError, match="no member named y"):
        compile_program(replace(PROGRAM, code="// CXXERROR"), toolchain)


def test_leftovers_of_a_killed_build_are_removed(toolchain: Toolchain) -> None:
    executable = compile_program(PROGRAM, toolchain)
    stale = executable.parent.with_name(f".{executable.parent.name}-abc")
    stale.mkdir()
    shutil.rmtree(executable.parent)
    compile_program(PROGRAM, toolchain)
    assert not stale.exists()


def test_the_manifest_tells_what_was_built(toolchain: Toolchain) -> None:
    manifest = json.loads((compile_program(PROGRAM, toolchain).parent / "manifest.json").read_text())
    assert manifest["program"] == PROGRAM.digest
    assert manifest["stan"] == "2.39.0"
    assert manifest["compiler"] == "toy c++ 1.0"


def test_the_cache_is_closed_to_others(toolchain: Toolchain) -> None:
    compile_program(PROGRAM, toolchain)
    assert cache.root().stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("name", ["with space", "a$b", "a#b", "a,b", "new\nline"])
def test_a_cache_that_make_cannot_name_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv("BAYESEXPR_CACHE_DIR", str(tmp_path / name))
    with pytest.raises(ToolchainError, match="BAYESEXPR_CACHE_DIR"):
        cache.root()
    assert not (tmp_path / name).exists()


def test_a_cache_that_cannot_be_made_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("BAYESEXPR_CACHE_DIR", str(tmp_path / "file" / "cache"))
    with pytest.raises(ToolchainError, match=r"cannot be written.*BAYESEXPR_CACHE_DIR"):
        cache.root()


@pytest.mark.parametrize(
    ("kind", "says", "expected"),
    [
        ("embedded", "STAN_THREADS=false", True),  # compiled for threads whatever was asked for, which is what it tells
        ("installed", "STAN_THREADS=true", True),
        ("installed", "STAN_THREADS=false", False),
        ("installed", "STAN_THREADS=true; exit 1", False),
    ],
)
def test_a_program_has_threads_where_it_is_compiled_for_them(
    tmp_path: Path, kind: str, says: str, expected: bool
) -> None:
    executable = tmp_path / "model"
    executable.write_text(f"#!/bin/sh\necho {says}\n")
    executable.chmod(0o755)
    assert has_threads(executable, Toolchain(tmp_path, "2.39.0", kind)) is expected
