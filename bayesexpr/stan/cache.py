"""The user's cache: content-addressed folders, each built once, whole or absent.

An entry is built in a temporary sibling and renamed into place with a marker written last, under a file lock:
of many processes that start at once one builds and the others find it done. Nothing depends on file times.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from filelock import FileLock, Timeout

from bayesexpr.errors import ToolchainError

MARKER = "complete"
Progress = Callable[[str], None]
_PATIENCE = 1.0  # seconds between two messages of a process that waits for the lock
_SAFE = re.compile(r"[\w./+@~-]+")


def root() -> Path:
    """Folder of the cache, made with permissions 0700 where it is missing.

    ``BAYESEXPR_CACHE_DIR`` names another place than the user's cache folder.

    Raises
    ------
    ToolchainError
        The folder cannot be made, belongs to someone else, or has a name that ``make`` cannot handle.
    """
    chosen = os.environ.get("BAYESEXPR_CACHE_DIR")
    if chosen:
        base = Path(chosen).expanduser().absolute()
    else:
        import platformdirs

        base = Path(platformdirs.user_cache_dir("bayesexpr", appauthor=False))
    remedy = "Set BAYESEXPR_CACHE_DIR to a folder of yours"
    if not _SAFE.fullmatch(str(base)):
        raise ToolchainError(
            "the path of the cache has only letters, digits and . _ - + @ ~ (make cannot handle others); "
            "it is "
            f"{str(base)!r}. {remedy} with a plain name."
        )
    folder = base / "stan"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        status = folder.stat()
        if status.st_uid == os.getuid() and status.st_mode & 0o077:
            folder.chmod(0o700)
    except OSError as error:
        raise ToolchainError(
            f"the cache {folder} cannot be written: {error.strerror}. {remedy} that can be written."
        ) from None
    if status.st_uid != os.getuid():
        raise ToolchainError(
            f"the cache {folder} belongs to another user (uid {status.st_uid}), whose programs would be run. {remedy}."
        )
    return folder


def is_complete(folder: Path) -> bool:
    """Whether an entry was built to its end."""
    return (folder / MARKER).is_file()


def path(kind: str, key: str) -> Path:
    """Where the entry ``key`` of that kind is, built or not."""
    return root() / kind / key


def digest_of(file: Path) -> str:
    """SHA-256 (hex) of a file."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def build_once(
    kind: str,
    key: str,
    build: Callable[[Path], None],
    *,
    replace: Callable[[Path], bool] = lambda folder: False,
    in_place: bool = False,
    progress: Progress | None = None,
) -> Path:
    """Return the folder of an entry, built by the first process that asks for it.

    Parameters
    ----------
    kind, key : str
        Kind of entry and the digest of everything that goes into it.
    build : callable
        Fills the empty folder it is given; what it raises leaves no entry behind.
    replace : callable
        Given a complete entry, says whether it must be built again. It is asked under the lock, so that one
        process replaces an entry that many found broken.
    in_place : bool
        Build in the final folder instead of a temporary sibling: for programs that hold their own path.
        Until the marker is there the folder counts as absent.
    progress : callable, optional
        Told when another process is waited for.

    Returns
    -------
    pathlib.Path
        The complete folder.
    """
    folder = path(kind, key)
    if is_complete(folder) and not replace(folder):
        return folder
    locks = root() / "locks"
    try:
        folder.parent.mkdir(mode=0o700, exist_ok=True)
        locks.mkdir(mode=0o700, exist_ok=True)
        lock = FileLock(locks / f"{kind}-{key}.lock")
        _acquire(lock, kind, progress)
    except (OSError, NotImplementedError) as error:
        raise ToolchainError(
            f"the cache {folder.parent} cannot be locked: {error}. Set BAYESEXPR_CACHE_DIR to a folder on a local disk."
        ) from None
    try:
        if not is_complete(folder) or replace(folder):
            _build(folder, build, in_place)
    finally:
        lock.release()
    return folder


def _acquire(lock: FileLock, kind: str, progress: Progress | None) -> None:
    while True:
        try:
            lock.acquire(timeout=_PATIENCE)
            return
        except Timeout:
            if progress is not None:
                progress(f"waiting for another process that prepares {kind}")


def _build(folder: Path, build: Callable[[Path], None], in_place: bool) -> None:
    prefix = f".{folder.name}-"
    for stale in folder.parent.glob(prefix + "*"):  # left by a killed build; the lock says that none is running
        shutil.rmtree(stale, ignore_errors=True)
    if in_place:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(mode=0o700)
        work = folder
    else:
        work = Path(tempfile.mkdtemp(prefix=prefix, dir=folder.parent))
    try:
        build(work)
        _mark(work)
        if not in_place:
            _move(work, folder, prefix)
    except OSError as error:
        raise ToolchainError(
            f"{folder} cannot be built: {error.strerror}. Free some space, or set BAYESEXPR_CACHE_DIR."
        ) from error
    finally:
        if not is_complete(work):
            shutil.rmtree(work, ignore_errors=True)


def _mark(work: Path) -> None:
    with (work / MARKER).open("w") as marker:
        marker.write("complete\n")
        marker.flush()
        os.fsync(marker.fileno())


def _move(work: Path, folder: Path, prefix: str) -> None:
    """Rename a finished build into place; what was there is moved aside first, for it may be in use."""
    if not folder.exists():
        work.rename(folder)
        return
    aside = Path(tempfile.mkdtemp(prefix=prefix, dir=folder.parent))
    folder.rename(aside / "old")
    work.rename(folder)
    shutil.rmtree(aside, ignore_errors=True)
