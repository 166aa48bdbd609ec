"""RUN folders: made beside their place, whole or not at all."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np

from bayesexpr.errors import InputError

RUN_RECORD = "run.json"
DIAGNOSTICS = "diagnostics.json"


@contextmanager
def write_run(target: Path) -> Iterator[Path]:
    """Give a temporary folder beside `target`, which takes its place when the block ends well.

    Raises
    ------
    InputError
        `target` holds something that is no run, or its place cannot be written.
    """
    check_replaceable(target)
    target = target.resolve()  # "." has no name to put a folder beside, and "absent/../mine" is "mine"
    check_replaceable(target)
    missing = [folder for folder in target.parents if not folder.exists()]
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        part = Path(tempfile.mkdtemp(prefix=f".{target.name[:100]}.", dir=target.parent))
    except OSError as error:
        raise InputError(f"a run cannot be written at {str(target)!r}: {error.strerror}. Choose another -o.") from None
    try:
        yield part
        part.chmod(0o755)
        replace_folder(part, target)
    finally:
        shutil.rmtree(part, ignore_errors=True)
        with suppress(OSError):  # not empty: the run is in it
            for folder in missing:
                folder.rmdir()


def check_replaceable(target: Path) -> None:
    """Refuse to replace anything but an earlier run or an empty folder."""
    if target.is_dir() and ((target / RUN_RECORD).is_file() or not any(target.iterdir())):
        return
    if target.exists() or target.is_symlink():
        raise InputError(
            f"{str(target)!r} exists and is not a run of bayesexpr; it is left as it is. Choose another folder."
        )


def replace_folder(part: Path, target: Path) -> None:
    """Put a finished folder in the place of `target`, which is moved aside first and removed last."""
    old = target.with_name(f".{target.name[:100]}.replaced")
    shutil.rmtree(old, ignore_errors=True)
    if target.exists():
        target.rename(old)
    part.rename(target)
    shutil.rmtree(old, ignore_errors=True)


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """Write JSON that others can read: no NaN, indented, ends with a newline."""
    path.write_text(json.dumps(_plain(value), indent=2, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8")


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple | np.ndarray):
        return [_plain(v) for v in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not np.isfinite(value):
        return None
    return value
