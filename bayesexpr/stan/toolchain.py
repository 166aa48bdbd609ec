"""Which Stan this machine uses: an installed CmdStan, or else the one that bayesexpr builds in its cache."""

from __future__ import annotations

import hashlib
import os
import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from bayesexpr.errors import ToolchainError
from bayesexpr.stan import embedded
from bayesexpr.stan.cache import Progress

OLDEST = (2, 36)  # the first CmdStan with sum_to_zero_vector, which the programs use
_VERSION = re.compile(r"^CMDSTAN_VERSION\s*:?=\s*(\d+)\.(\d+)\.(\d+)", re.MULTILINE)


@dataclass(frozen=True)
class Toolchain:
    """A folder laid out as CmdStan's home.

    Attributes
    ----------
    home : pathlib.Path
        The folder, with ``makefile`` and ``bin/stanc``.
    version : str
        Version of Stan, as ``2.39.0``.
    kind : str
        ``installed`` (CmdStan) or ``embedded`` (built by bayesexpr, which writes draws in binary form too).
    """

    home: Path
    version: str
    kind: str

    @property
    def binary_output(self) -> bool:
        """Whether its programs know ``output binary=1``."""
        return self.kind == "embedded"

    @cached_property
    def key(self) -> str:
        """Digest of what it adds to a compiled program: its place, version, stanc and settings."""
        digest = hashlib.sha256(f"{self.home}\n{self.version}\n{self.kind}\n".encode())
        for name in ("bin/stanc", "makefile", "make/local"):
            file = self.home / name
            digest.update(file.read_bytes() if file.is_file() else b"-")
        return digest.hexdigest()


def find(home: str | os.PathLike[str] | None = None) -> Toolchain | None:
    """Return the tool chain that is ready on this machine; None where one must be built first.

    Looked for in this order: ``home``, the environment variable ``CMDSTAN``, the newest CmdStan in
    cmdstanpy's own folder (``~/.cmdstan``), the embedded tool chain in the cache.

    Raises
    ------
    ToolchainError
        ``home`` or ``CMDSTAN`` names a folder that is no usable CmdStan.
    """
    if home is not None:
        return _open(Path(home).expanduser().absolute(), "the argument")
    named = os.environ.get("CMDSTAN")
    if named:
        return _open(Path(named).expanduser().absolute(), "the environment variable CMDSTAN")
    return _default_installation() or _embedded(embedded.find())


def ensure(home: str | os.PathLike[str] | None = None, *, progress: Progress | None = None) -> Toolchain:
    """Return a tool chain, building the embedded one where none is ready.

    Parameters
    ----------
    home : path, optional
        Folder of a CmdStan to use.
    progress : callable, optional
        Told one line of text about every second while something is built.

    Raises
    ------
    ToolchainError
        None is ready and none can be built; the message says what is missing and the remedy.
    """
    ready = find(home)
    if ready is not None:
        return ready
    built = _embedded(embedded.build(progress=progress))
    if built is None:
        raise ToolchainError("the embedded tool chain was removed while it was used. Run the command again.")
    return built


def _open(home: Path, where: str) -> Toolchain:
    version = _read_version(home)
    remedy = (
        "Name the folder of a built CmdStan (the one that holds `makefile` and `bin`), or unset CMDSTAN "
        "to use the "
        "Stan that bayesexpr builds itself"
    )
    if version is None:
        raise ToolchainError(f"{where} names {str(home)!r}, which is not a CmdStan folder. {remedy}.")
    if version[:2] < OLDEST:
        text = ".".join(map(str, version))
        raise ToolchainError(
            f"CmdStan {OLDEST[0]}.{OLDEST[1]} or newer is needed; {where} names {str(home)!r}, version "
            f"{text}. {remedy}."
        )
    if not (home / "bin" / "stanc").is_file():
        raise ToolchainError(f"{where} names {str(home)!r}, which has no bin/stanc: it was not built. {remedy}.")
    kind = "embedded" if (home / "frontend").is_dir() else "installed"
    return Toolchain(home, ".".join(map(str, version)), kind)


def _read_version(home: Path) -> tuple[int, int, int] | None:
    try:
        found = _VERSION.search((home / "makefile").read_text(errors="replace"))
    except OSError:
        return None
    return (int(found[1]), int(found[2]), int(found[3])) if found else None


def _default_installation() -> Toolchain | None:
    """Newest usable CmdStan of the folder where cmdstanpy installs; one that is too old is no obstacle."""
    versions = []
    for folder in Path("~/.cmdstan").expanduser().glob("cmdstan-*"):
        version = _read_version(folder)
        if version is not None and version[:2] >= OLDEST and (folder / "bin" / "stanc").is_file():
            versions.append((version, folder))
    if not versions:
        return None
    version, folder = max(versions)
    return Toolchain(folder, ".".join(map(str, version)), "installed")


def _embedded(home: Path | None) -> Toolchain | None:
    version = _read_version(home) if home is not None else None
    if home is None or version is None:
        return None
    return Toolchain(home, ".".join(map(str, version)), "embedded")
