"""The embedded tool chain: Stan's headers, libraries and stanc from one wheel, and our own front end.

CmdStan is in no package registry, but the wheel of httpstan carries everything of Stan except CmdStan's
front end. Its headers and stanc do not depend on the Python that runs, so one pinned wheel serves every
Python: pip fetches that file (nothing of it is installed), what is needed is unpacked into the cache beside
the sources of ``frontend/``, and ``make build`` compiles these once.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import platform
import shutil
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from pathlib import Path, PurePosixPath

from bayesexpr.errors import ToolchainError
from bayesexpr.stan import build_tools, cache
from bayesexpr.stan.cache import Progress

PACKAGE = "httpstan"
PACKAGE_VERSION = "4.17.0"
STAN_VERSION = "2.39.0"
BYTES_NEEDED = 1_500_000_000  # headers, libraries, the precompiled header and the compiled front end
_KIND = "toolchains"
_WHEEL_VARIABLE = "BAYESEXPR_HTTPSTAN_WHEEL"
_MORE_DISK = "Free some space, or set BAYESEXPR_CACHE_DIR to a folder on another disk"


@dataclass(frozen=True)
class Wheel:
    """One file of the registry: the platform tag it is asked for by, and its SHA-256."""

    platform_tag: str
    sha256: str


WHEELS = {
    ("Linux", "x86_64"): Wheel(
        "manylinux2014_x86_64", "7f73e29a415718ddc45e4703c0253a9d4adc6a21aa7110ccf36821a0f94202cd"
    ),
    ("Darwin", "arm64"): Wheel("macosx_14_0_arm64", "ce276d71c7bfe82f1c3f84f19a472dbccbbd3f23b265f7d09b68dd611457fad3"),
}


def wheel() -> Wheel | None:
    """Return the wheel of this platform; None where there is none."""
    return WHEELS.get((platform.system(), platform.machine()))


def download_command(folder: str, tag: str) -> list[str]:
    """Arguments of Python that fetch the wheel for the platform ``tag`` into ``folder``."""
    return [
        "-m",
        "pip",
        "download",
        "--no-deps",
        "--only-binary=:all:",
        "--python-version=3.12",
        "--implementation=cp",
        f"--platform={tag}",
        f"--dest={folder}",
        f"{PACKAGE}=={PACKAGE_VERSION}",
    ]


def home() -> Path | None:
    """Where the embedded tool chain is, or would be; None where this machine cannot have one."""
    chosen, compiler = wheel(), build_tools.find_compiler()
    if chosen is None or compiler is None:
        return None
    return cache.path(_KIND, _key(chosen, compiler))


def find() -> Path | None:
    """Return the home of the embedded tool chain if it was built."""
    folder = home()
    return folder if folder is not None and cache.is_complete(folder) else None


def obstacles() -> list[dict[str, str]]:
    """Say what would keep the embedded tool chain from being built, apart from compiler and make."""
    found = []
    chosen = wheel()
    given = os.environ.get(_WHEEL_VARIABLE)
    if chosen is not None and given and not Path(given).expanduser().is_file():
        found.append({"what": f"{_WHEEL_VARIABLE} names {given!r}, which is not a file", "remedy": _offline(chosen)})
    if chosen is not None and not given and importlib.util.find_spec("pip") is None:
        found.append({"what": f"{sys.executable} has no pip to fetch Stan's headers", "remedy": _offline(chosen)})
    free = shutil.disk_usage(cache.root()).free
    if free < BYTES_NEEDED:
        found.append({"what": _short_of_disk(free), "remedy": _MORE_DISK})
    return found


def build(*, progress: Progress | None = None) -> Path:
    """Build the embedded tool chain, unless that was done, and return its home.

    Raises
    ------
    ToolchainError
        The platform has no wheel, a tool is missing, the wheel cannot be had or is not the pinned one, or the
        front end does not compile. Each with its remedy.
    """
    chosen = wheel()
    if chosen is None:
        raise ToolchainError(
            "the Stan that bayesexpr builds itself is for Linux x86-64 and macOS arm64; this is "
            f"{platform.system()} {platform.machine()}. Install CmdStan and name its folder in the "
            "environment "
            "variable CMDSTAN."
        )
    compiler, make = build_tools.require_compiler(), build_tools.require_make()
    key = _key(chosen, compiler)

    def assemble(folder: Path) -> None:
        _assemble(folder, chosen, compiler, make, progress)

    # In place: the linker writes the path of the libraries into the programs.
    return cache.build_once(_KIND, key, assemble, in_place=True, progress=progress)


def _key(chosen: Wheel, compiler: build_tools.Compiler) -> str:
    digest = hashlib.sha256(f"{chosen.sha256}\n{compiler.key}\n".encode())
    for name, content in frontend_files():
        digest.update(f"{name} {len(content)}\n".encode())
        digest.update(content)
    return f"stan-{STAN_VERSION}-{digest.hexdigest()[:24]}"


@lru_cache(maxsize=1)
def frontend_files() -> tuple[tuple[str, bytes], ...]:
    """Name and content of each file of our front end, sorted by name."""
    folder = resources.files("bayesexpr.stan").joinpath("frontend")
    files = [f for f in folder.iterdir() if f.is_file() and not f.name.startswith(".")]
    return tuple(sorted((f.name, f.read_bytes()) for f in files))


def _short_of_disk(free: int) -> str:
    needed = f"building Stan needs {BYTES_NEEDED / 1e9:.1f} GB of disk"
    return f"{needed}; the cache {str(cache.root())!r} has {free / 1e9:.1f} GB free"


def _assemble(
    folder: Path, chosen: Wheel, compiler: build_tools.Compiler, make: str, progress: Progress | None
) -> None:
    free = shutil.disk_usage(folder).free
    if free < BYTES_NEEDED:
        raise ToolchainError(f"{_short_of_disk(free)}. {_MORE_DISK}.")
    with tempfile.TemporaryDirectory(prefix="bayesexpr-wheel-") as scratch:
        file = _wheel_file(chosen, Path(scratch), progress)
        if progress is not None:
            progress("unpacking Stan's headers and libraries")
        _unpack(file, folder)
    for name, content in frontend_files():
        target = folder / "makefile" if name == "makefile" else folder / "frontend" / name
        target.parent.mkdir(exist_ok=True)
        target.write_bytes(content)
    command = [make, "-j2", f"CXX={' '.join(compiler.command)}", "build"]
    code, log = build_tools.run(
        command, folder=folder, label="compiling Stan, once for this machine", progress=progress
    )
    if code != 0:
        raise ToolchainError(
            f"Stan's front end did not compile with {compiler.version!r}:\n{_tail(log)}\n"
            f"A C++17 compiler and about 2 GB of memory are needed. {build_tools.INSTALL_COMPILER}."
        )


def _wheel_file(chosen: Wheel, scratch: Path, progress: Progress | None) -> Path:
    """Return the wheel: the file that BAYESEXPR_HTTPSTAN_WHEEL names, or else through pip; hash checked."""
    given = os.environ.get(_WHEEL_VARIABLE)
    if given:
        file = Path(given).expanduser()
        if not file.is_file():
            raise ToolchainError(
                f"BAYESEXPR_HTTPSTAN_WHEEL names {str(file)!r}, which is not a file. {_offline(chosen)}."
            )
    else:
        file = _download(chosen, scratch, progress)
    found = cache.digest_of(file)
    if found != chosen.sha256:
        raise ToolchainError(
            f"{file.name} is not the pinned {PACKAGE} {PACKAGE_VERSION} for this platform: its SHA-256 is "
            f"{found}, not {chosen.sha256}. {_offline(chosen)}."
        )
    return file


def _download(chosen: Wheel, scratch: Path, progress: Progress | None) -> Path:
    arguments = download_command(str(scratch), chosen.platform_tag)
    code, log = build_tools.run(
        [sys.executable, *arguments],
        folder=scratch,
        label=f"fetching Stan's headers ({PACKAGE} {PACKAGE_VERSION}, 35 MB)",
        progress=progress,
        environment={"PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_NO_INPUT": "1"},
    )
    files = list(scratch.glob("*.whl"))
    if code != 0 or not files:
        if "No module named pip" in log:
            raise ToolchainError(
                f"Stan's headers are fetched by pip, which {sys.executable} does not have. Install it "
                "(`python -m ensurepip`, or `pip install 'bayesexpr[stan]'` from elsewhere). "
                f"{_offline(chosen)}."
            )
        raise ToolchainError(
            f"pip could not fetch {PACKAGE} {PACKAGE_VERSION}:\n{_tail(log, 6)}\n"
            f"Check the network and pip's index. {_offline(chosen)}."
        )
    return files[0]


def _offline(chosen: Wheel) -> str:
    command = " ".join(["python", *download_command(".", chosen.platform_tag)])
    return (
        f"Without a network: on a machine that has one run `{command}`, copy the file over and name it "
        "in the "
        "environment variable BAYESEXPR_HTTPSTAN_WHEEL"
    )


def _unpack(file: Path, folder: Path) -> None:
    """Unpack headers, libraries and stanc; the rest of the wheel is a web server that nothing here needs."""
    prefixes = (f"{PACKAGE}/include/", f"{PACKAGE}/lib/")
    try:
        with zipfile.ZipFile(file) as archive:
            for entry in archive.infolist():
                parts = PurePosixPath(entry.filename).parts
                if entry.is_dir() or ".." in parts:
                    continue
                if entry.filename == f"{PACKAGE}/stanc":
                    target = folder / "bin" / "stanc"
                elif entry.filename.startswith(prefixes):
                    target = folder.joinpath(*parts[1:])
                else:
                    continue
                target.parent.mkdir(parents=True, exist_ok=True)
                with archive.open(entry) as source, target.open("wb") as copy:
                    shutil.copyfileobj(source, copy)
    except zipfile.BadZipFile as error:
        raise ToolchainError(f"{file} is not a whole wheel: {error}. Fetch it again.") from None
    (folder / "bin" / "stanc").chmod(0o755)  # wheels do not keep the execute bit of data files


def _tail(log: str, lines: int = 20) -> str:
    return "\n".join(log.strip().splitlines()[-lines:])
