"""Compiling: a rendered program becomes an executable, once.

The cache's key covers everything that goes into the executable, so a change of an option, a kernel, a flag,
stanc or the compiler gives another entry, and nothing depends on file times. An executable that no longer
runs (damaged, or of another machine on a shared disk) is built again.
"""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
from pathlib import Path

from bayesexpr.errors import CompilationError
from bayesexpr.stan import build_tools, cache
from bayesexpr.stan.cache import Progress
from bayesexpr.stan.program import StanProgram
from bayesexpr.stan.toolchain import Toolchain

KERNEL_FLAGS = ("-std=c++17", "-O3", "-ffast-math", "-fno-math-errno")
NATIVE_FLAG = "-march=native"
_KIND = "models"
_MANIFEST = "manifest.json"
_CXX_ERROR = re.compile(r"(error:|undefined reference|undefined symbol|Error \d|Killed|No such file)")


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


def cache_key(program: StanProgram, toolchain: Toolchain, compiler: build_tools.Compiler) -> str:
    """SHA-256 (hex) of everything that goes into the executable."""
    parts = [program.digest, toolchain.key, compiler.key]
    if _kernel_body(program) is not None:
        parts += [*KERNEL_FLAGS, NATIVE_FLAG, build_tools.cpu_key()]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def _kernel_body(program: StanProgram) -> str | None:
    name = f"{program.kernel}.cpp"
    return name if name in program.sources else None


def _build(
    folder: Path,
    program: StanProgram,
    toolchain: Toolchain,
    compiler: build_tools.Compiler,
    make: str,
    progress: Progress | None,
) -> None:
    (folder / f"{program.name}.stan").write_text(program.code, encoding="utf-8")
    for name, text in program.sources.items():
        (folder / name).write_text(text, encoding="utf-8")
    label = f"compiling {program.name}"
    command = [make]
    if toolchain.kind == "embedded":
        command.append(f"CXX={' '.join(compiler.command)}")
    if program.kernel is not None:
        command.append("STANCFLAGS+=--allow-undefined")
        command += _kernel_arguments(folder, program, toolchain, compiler, f"{label} (kernel)", progress)
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
        "executable_sha256": _sha256(executable),
    }
    (folder / _MANIFEST).write_text(json.dumps(manifest, indent=1))


def _kernel_arguments(
    folder: Path,
    program: StanProgram,
    toolchain: Toolchain,
    compiler: build_tools.Compiler,
    label: str,
    progress: Progress | None,
) -> list[str]:
    """Arguments of make that bring in the kernel: its header, and its own object or source.

    CmdStan's makefile has no place for one more object, so with it the header includes the source, which is
    then compiled with the flags of the model.
    """
    header, body = folder / f"{program.kernel}.hpp", _kernel_body(program)
    if body is None:
        return [f"USER_HEADER={header}"]
    if toolchain.kind != "embedded":
        both = folder / f"{program.kernel}_whole.hpp"
        both.write_text(f'#include "{header.name}"\n#include "{body}"\n')
        return [f"USER_HEADER={both}"]
    target = folder / f"{program.kernel}.o"
    plain = [*compiler.command, *KERNEL_FLAGS, "-c", body, "-o", target.name]
    code, log = build_tools.run([*plain, NATIVE_FLAG], folder=folder, label=label, progress=progress)
    if code != 0:  # a compiler that does not know this processor still builds the plain object
        code, log = build_tools.run(plain, folder=folder, label=label, progress=progress)
    if code != 0:
        raise CompilationError(f"the kernel {body} does not compile with {compiler.version!r}:\n{_cxx_errors(log)}")
    return [f"USER_HEADER={header}", f"EXTRA_OBJECTS={target}"]


def _explain(folder: Path, program: StanProgram, toolchain: Toolchain, log: str) -> str:
    """Say why make failed: in stanc's words if the program is at fault, else in the compiler's."""
    source = folder / f"{program.name}.stan"
    command = [str(toolchain.home / "bin" / "stanc"), "--o=/dev/null", source.name]
    if program.kernel is not None:
        command.append("--allow-undefined")
    code, words = build_tools.run(command, folder=folder, label="stanc")
    if code != 0:
        return f"stanc refuses the program {program.name}; correct these lines:\n{words.strip()}"
    return f"the program {program.name} does not compile:\n{_cxx_errors(log)}\nRun `bayesexpr doctor`."


def _cxx_errors(log: str, most: int = 20) -> str:
    """Lines of a compiler's log that say what is wrong, or else its last lines."""
    lines = [line[:500] for line in log.splitlines()]
    telling = [line for line in lines if _CXX_ERROR.search(line)]
    return "\n".join(telling[:most] or lines[-most:])


def _is_intact(folder: Path, name: str) -> bool:
    executable = folder / name
    try:
        manifest = json.loads((folder / _MANIFEST).read_text())
        whole = manifest["executable_sha256"] == _sha256(executable)
    except (OSError, ValueError, KeyError):
        return False
    return whole and runs(executable)


def runs(executable: Path) -> bool:
    """Whether a compiled program starts and tells about itself."""
    try:
        done = subprocess.run(
            [executable, "info"], stdin=subprocess.DEVNULL, capture_output=True, timeout=120, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0 and b"stan_version_major" in done.stdout


def _sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
