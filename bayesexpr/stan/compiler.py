"""Compiling: a rendered program becomes an executable, once.

The cache's key covers everything that goes into the executable, so a change of an option, a kernel, a flag,
stanc or the compiler gives another entry, and nothing depends on file times. An executable that no longer
runs (damaged, or of another machine on a shared disk) is built again.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
from pathlib import Path

from bayesexpr.errors import CompilationError
from bayesexpr.stan import build_tools, cache, kernels
from bayesexpr.stan.cache import Progress
from bayesexpr.stan.program import StanProgram
from bayesexpr.stan.toolchain import Toolchain

_KIND = "models"
_MANIFEST = "manifest.json"
_KERNEL = "kernel"


def compile_program(
    program: StanProgram, toolchain: Toolchain, *, force: bool = False, progress: Progress | None = None
) -> Path:
    """Compile a program, unless that was done, and return its executable.

    Parameters
    ----------
    program : StanProgram
    toolchain : Toolchain
    force : bool
        Compile even if it was done.
    progress : callable, optional
        Told one line of text about every second.

    Raises
    ------
    CompilationError
        stanc or the C++ compiler refuses the program (the message has their words), or what they made does
        not run.
    """
    compiler, make = build_tools.require_compiler(), build_tools.require_make()
    key = f"{program.name}-{cache_key(program, toolchain, compiler)[:32]}"
    must = force

    def replace(folder: Path) -> bool:
        return must or not _is_intact(folder, program.name)

    def build(folder: Path) -> None:
        nonlocal must
        must = False
        _build(folder, program, toolchain, compiler, make, progress)

    return cache.build_once(_KIND, key, build, replace=replace, progress=progress) / program.name


def built_with(executable: Path) -> dict[str, str]:
    """Versions of Stan and of the compiler that made an executable; none if it was not made here."""
    try:
        manifest = json.loads((executable.parent / _MANIFEST).read_text())
    except (OSError, ValueError):
        return {}
    return {name: str(manifest[name]) for name in ("stan", "compiler") if name in manifest}


def cache_key(program: StanProgram, toolchain: Toolchain, compiler: build_tools.Compiler) -> str:
    """SHA-256 (hex) of everything that goes into the executable."""
    parts = [program.digest, toolchain.key, compiler.key, *kernels.key(program)]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def _build(
    folder: Path,
    program: StanProgram,
    toolchain: Toolchain,
    compiler: build_tools.Compiler,
    make: str,
    progress: Progress | None,
) -> None:
    (folder / f"{program.name}.stan").write_text(program.code, encoding="utf-8")
    sources = folder / _KERNEL  # apart: make writes MODEL.hpp and MODEL.o, and a kernel may bear its model's name
    sources.mkdir()
    kernels.write_sources(program.sources, sources)
    label = f"compiling {program.name}"
    command = [make]
    if toolchain.kind == "embedded":
        command.append(f"CXX={' '.join(compiler.command)}")
        # The front end is finished and its key says of what; make is not to judge it by file times.
        command += [f"--assume-old={file}" for file in sorted((toolchain.home / "build").glob("*.o"))]
    if program.kernel is not None:
        command.append("STANCFLAGS+=--allow-undefined")
        command += _kernel_arguments(sources, program, toolchain, progress)
    command.append(str(folder / program.name))
    code, log = build_tools.run(command, folder=toolchain.home, label=label, progress=progress)
    executable = folder / program.name
    if code != 0 or not executable.is_file():
        raise CompilationError(_explain(folder, program, toolchain, log))
    if not runs(executable):
        raise CompilationError(
            f"{program.name} compiled, but the executable does not run. Run `bayesexpr doctor`; if it "
            "finds nothing, "
            "the tool chain's libraries may be missing: remove the cache folder and try again."
        )
    for leftover in (f"{program.name}.hpp", f"{program.name}.o", f"{program.name}.d"):
        (folder / leftover).unlink(missing_ok=True)
    manifest = {
        "program": program.digest,
        "stan": toolchain.version,
        "compiler": compiler.version,
        "executable_sha256": cache.digest_of(executable),
    }
    (folder / _MANIFEST).write_text(json.dumps(manifest, indent=1))


def _kernel_arguments(folder: Path, program: StanProgram, toolchain: Toolchain, progress: Progress | None) -> list[str]:
    """Arguments of make that bring in the kernel: its header, and its core as an object or in the header.

    CmdStan's makefile has no place for one more object; there the header is asked to include the core, which
    is then compiled with the flags of the model.
    """
    header = folder / f"{program.kernel}.hpp"
    core = kernels.core_of(program)
    if core is None:
        return [f"USER_HEADER={header}"]
    if toolchain.kind != "embedded":
        both = folder / f"{program.kernel}_inline.hpp"
        both.write_text(f'#define BAYESEXPR_KERNEL_INLINE\n#include "{header.name}"\n')
        return [f"USER_HEADER={both}"]
    target = f"{program.kernel}.o"
    kernels.compile_core(folder, core, target, ("-c",), progress)
    return [f"USER_HEADER={header}", f"EXTRA_OBJECTS={folder / target}"]


def _explain(folder: Path, program: StanProgram, toolchain: Toolchain, log: str) -> str:
    """Say why make failed: in stanc's words if the program is at fault, else in the compiler's."""
    source = folder / f"{program.name}.stan"
    command = [str(toolchain.home / "bin" / "stanc"), "--o=/dev/null", source.name]
    if program.kernel is not None:
        command.append("--allow-undefined")
    code, words = build_tools.run(command, folder=folder, label="stanc")
    if code != 0:
        return f"stanc refuses the program {program.name}; correct these lines:\n{words.strip()}"
    return f"the program {program.name} does not compile:\n{build_tools.errors_of(log)}\nRun `bayesexpr doctor`."


def _is_intact(folder: Path, name: str) -> bool:
    executable = folder / name
    try:
        manifest = json.loads((folder / _MANIFEST).read_text())
        whole = manifest["executable_sha256"] == cache.digest_of(executable)
    except (OSError, ValueError, KeyError):
        return False
    return whole and runs(executable)


def runs(executable: Path) -> bool:
    """Whether a compiled program starts and tells about itself."""
    return b"stan_version_major" in _info(executable)


def has_threads(executable: Path, toolchain: Toolchain) -> bool:
    """Whether a compiled program's kernel may share its work among threads; those of the embedded tool chain all may.

    An installed CmdStan compiles for threads where its ``make/local`` asks for that.
    """
    return toolchain.kind == "embedded" or b"STAN_THREADS=true" in _info(executable)


def _info(executable: Path) -> bytes:
    """Return what a compiled program says of itself; nothing where it does not run."""
    try:
        done = subprocess.run(
            [executable, "info"], stdin=subprocess.DEVNULL, capture_output=True, timeout=120, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return b""
    return done.stdout if done.returncode == 0 else b""
