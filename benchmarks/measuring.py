"""What a command takes, with all processes that it starts: wall time, processor time and memory."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Any

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results"
SHARED_DATA = HERE.parent.parent / "shared" / "data"

EVERY = 0.5
"""Seconds between two looks at the memory: walking a process's pages takes milliseconds for each gigabyte."""


@dataclass(frozen=True)
class Usage:
    """What a command took.

    Attributes
    ----------
    seconds, cpu_seconds
        On the wall, and of the processor (user and system), its finished children included.
    peak_memory_gb
        Largest sum over all its processes at a time, in GiB, a shared page counted once and mapped files counted where
        they are in memory; of the largest process alone where the system does not tell (macOS).
    children_cpu_seconds
        Of the processor, by its children alone, such as the chains of NUTS; None where the system does not tell.
    """

    seconds: float
    cpu_seconds: float
    peak_memory_gb: float
    children_cpu_seconds: float | None = None

    def record(self) -> dict[str, float]:
        """Return plain numbers for JSON."""
        return {name: short(value) for name, value in vars(self).items() if value is not None}


def measure(
    command: Sequence[str], *, environment: Mapping[str, str] | None = None, say: bool = True, every: float = EVERY
) -> Usage:
    """Run a command to its end.

    Raises
    ------
    subprocess.CalledProcessError
        It failed.
    """
    begun = monotonic()
    process = subprocess.Popen(
        command, env={**os.environ, **(environment or {})}, stdout=None if say else subprocess.DEVNULL
    )
    over, most = threading.Event(), [0.0]

    def watch() -> None:
        while not over.wait(every):
            most[0] = max(most[0], memory_of_tree(process.pid))

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        children = _children_seconds(process.pid)
        _, status, used = os.wait4(process.pid, 0)
    except BaseException:
        process.kill()
        raise
    finally:
        over.set()
        watcher.join()
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise subprocess.CalledProcessError(process.returncode, list(command))
    # the system's own number starts at the size of this process, which the child is forked from
    largest = used.ru_maxrss / (2**30 if sys.platform == "darwin" else 2**20)
    return Usage(monotonic() - begun, used.ru_utime + used.ru_stime, most[0] or largest, children)


def _children_seconds(process: int) -> float | None:
    """Wait for the end of a process, and read what its own children took before the system forgets it."""
    if not Path("/proc/self/stat").is_file():
        return None
    os.waitid(os.P_PID, process, os.WEXITED | os.WNOWAIT)
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    # the sixteenth and seventeenth of all fields, of which two are cut off: ticks of waited-for children
    return (int(fields[13]) + int(fields[14])) / os.sysconf("SC_CLK_TCK")


def memory_of_tree(root: int) -> float:
    """Memory of a process and its descendants in GiB, a shared page counted once; 0 where the system does not tell."""
    parents: dict[int, int] = {}
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            parents[int(status.parent.name)] = int(status.read_text().rpartition(")")[2].split()[1])
        except (OSError, IndexError, ValueError):  # it has ended meanwhile
            continue
    total = 0
    for process in parents:
        above = process
        while above in parents and above != root:
            above = parents[above]
        if above == root:
            total += _proportional_kib(process)
    return total / 2**20


def _proportional_kib(process: int) -> int:
    try:
        lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("Pss:")), 0)


def machine(cores: int) -> dict[str, Any]:
    """Return where something was measured."""
    names = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").is_file() else []
    model = next((line.partition(":")[2].strip() for line in names if line.startswith("model name")), "")
    return {"processor": model or platform.machine(), "cores": cores, "python": platform.python_version()}


def code_digest() -> str:
    """Digest of the package's sources: a record made by other code is made again."""
    root, digest = HERE.parent, hashlib.sha256()
    for folder, kinds in (("bayesexpr", ("*.py", "*.hpp", "*.cpp")), ("stan_models", ("*.stan*", "*.hpp", "*.cpp"))):
        for path in sorted(found for kind in kinds for found in (root / folder).rglob(kind)):
            digest.update(f"{path.relative_to(root)}\0".encode() + path.read_bytes())
    return digest.hexdigest()[:16]


def read(name: str, folder: Path = RESULTS) -> dict[str, Any] | None:
    """Return a committed record; None where there is none."""
    path = folder / f"{name}.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None


def write(name: str, record: Mapping[str, Any], folder: Path = RESULTS) -> Path:
    """Write a record, whole or not at all."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.json"
    part = path.with_name(f".{path.name}.part")
    part.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    part.replace(path)
    return path


def short(value: float) -> float:
    """Four digits of a number: more are noise."""
    return float(f"{value:.4g}")
