"""The C++ compiler and ``make`` of this machine, and running them."""

from __future__ import annotations

import hashlib
import os
import platform
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from bayesexpr.errors import ToolchainError
from bayesexpr.stan import processes
from bayesexpr.stan.cache import Progress

INSTALL_COMPILER = (
    "Install it: `apt-get install g++ make` (Debian, Ubuntu), `dnf install gcc-c++ make` (Fedora, RHEL), "
    "`xcode-select --install` (macOS), `module load gcc` (many clusters), or `conda install -c conda-forge "
    "cxx-compiler make`"
)
_ERROR = re.compile(r"(error:|undefined reference|undefined symbol|Error \d|Killed|No such file)")
_TICK = 1.0  # seconds between two progress messages
# make takes its variables from the environment: options of a `make` further up would reach into ours, and
# flags that differ between the front end and a model (-march above all) make programs that crash.
_MAKE_VARIABLES = frozenset(
    {
        "MAKEFLAGS",
        "MFLAGS",
        "MAKELEVEL",
        "GNUMAKEFLAGS",
        "MAKEFILES",
        "MAKEOVERRIDES",
        "STANCFLAGS",
        "USER_HEADER",
        "EXTRA_OBJECTS",
        "CXXFLAGS",
        "CPPFLAGS",
        "LDFLAGS",
        "LDLIBS",
        "STAN_THREADS",
        "STAN_MPI",
        "STAN_OPENCL",
    }
)


@dataclass(frozen=True)
class Compiler:
    """A C++ compiler: its command, and the first line of what ``--version`` prints."""

    command: tuple[str, ...]
    version: str

    @property
    def key(self) -> str:
        """What tells one compiler's objects from another's: target, version and command."""
        return f"{platform.system()}-{platform.machine()} {self.version} {shlex.join(self.command)}"


def find_compiler() -> Compiler | None:
    """Return the compiler of ``CXX``, or else g++, clang++ or c++; None where there is none."""
    chosen = os.environ.get("CXX", "").strip()
    candidates = [tuple(shlex.split(chosen))] if chosen else [("g++",), ("clang++",), ("c++",)]
    for command in candidates:
        found = shutil.which(command[0])
        version = _version((found, *command[1:])) if found else None
        if version is not None:
            return Compiler(command, version)
    return None


def find_make() -> str | None:
    """Return the command of GNU make (``MAKE`` names another than ``make``); None where there is none."""
    for name in (os.environ.get("MAKE", "").strip(), "make", "gmake"):
        if name and shutil.which(name):
            return name
    return None


def require_compiler() -> Compiler:
    """Return the compiler, or say how to get one."""
    compiler = find_compiler()
    if compiler is None:
        wanted = os.environ.get("CXX") or "g++ or clang++"
        raise ToolchainError(f"Stan needs a C++ compiler; {wanted} was not found or does not run. {INSTALL_COMPILER}.")
    return compiler


def require_make() -> str:
    """Return the command of make, or say how to get it."""
    make = find_make()
    if make is None:
        raise ToolchainError(f"Stan needs make, which was not found. {INSTALL_COMPILER}.")
    return make


@lru_cache(maxsize=8)
def _version(command: tuple[str, ...]) -> str | None:
    try:
        done = subprocess.run([*command, "--version"], capture_output=True, text=True, timeout=60, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    lines = done.stdout.splitlines()
    return lines[0] if done.returncode == 0 and lines else None


@lru_cache(maxsize=1)
def cpu_key() -> str:
    """Digest of what ``-march=native`` depends on: the processor's model and its instruction sets."""
    lines: list[str] = [platform.machine()]
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        wanted = ("model name", "flags", "Features", "CPU part", "cpu family", "model\t")
        first = cpuinfo.read_text(errors="replace").split("\n\n")[0]
        lines += [line for line in first.splitlines() if line.startswith(wanted)]
    elif sys.platform == "darwin":
        command = ["sysctl", "-n", "machdep.cpu.brand_string"]
        lines.append(subprocess.run(command, capture_output=True, text=True, check=False).stdout)
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def cores() -> int:
    """Return the number of processors that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def run(
    command: Sequence[str],
    *,
    folder: Path,
    label: str,
    progress: Progress | None = None,
    environment: Mapping[str, str] | None = None,
) -> tuple[int, str]:
    """Run a tool to its end, telling ``progress`` the seconds that have passed.

    The tool runs in a process group of its own, which ends with an interrupted caller.

    Returns
    -------
    tuple[int, str]
        Exit code, and standard output and error together.
    """
    start = time.monotonic()
    variables = {k: v for k, v in os.environ.items() if k not in _MAKE_VARIABLES}
    variables |= {"LC_ALL": "C", **(environment or {})}
    with tempfile.TemporaryFile() as log, processes.sigterm_raises():
        # make passes SIGTERM on to the compilers that it runs.
        process = processes.start(
            command, folder=folder, environment=variables, output=log, at_parents_death=signal.SIGTERM
        )
        try:
            while True:
                if progress is not None:
                    progress(f"{label} ({time.monotonic() - start:.0f} s)")
                try:
                    code = process.wait(timeout=_TICK)
                    break
                except subprocess.TimeoutExpired:
                    continue
        except BaseException:
            processes.end([process])
            raise
        log.seek(0)
        return code, log.read().decode(errors="replace")


def errors_of(log: str, most: int = 20) -> str:
    """Lines of a compiler's log that say what is wrong, or else its last lines."""
    lines = [line[:500] for line in log.splitlines()]
    telling = [line for line in lines if _ERROR.search(line)]
    return "\n".join(telling[:most] or lines[-most:])
