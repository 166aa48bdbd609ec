"""A Dask cluster that is there already: reaching it, and telling whether its workers have this very package."""

from __future__ import annotations

import contextlib
import hashlib
import importlib
from collections.abc import Iterator
from functools import lru_cache
from importlib import resources
from typing import Any

from bayesexpr.errors import InputError, OptionError

PATIENCE = 30
"""Seconds to wait for the scheduler, and for a first worker."""


def require_distributed() -> Any:
    """Import Dask's distributed.

    Raises
    ------
    OptionError
        It is not installed.
    """
    try:
        return importlib.import_module("distributed")
    except ImportError:
        raise OptionError(
            "a scheduler needs Dask's distributed, which is not installed. Run `pip install 'bayesexpr[cluster]'`."
        ) from None


@contextlib.contextmanager
def connect(dask: Any, address: str) -> Iterator[Any]:
    """Give a client of the scheduler at `address`, once it has a worker.

    Raises
    ------
    InputError
        No scheduler answers, or it has no workers.
    """
    try:
        client = dask.Client(address, timeout=PATIENCE, set_as_default=False)
    except (OSError, ValueError) as error:
        raise InputError(
            f"no Dask scheduler answers at {address!r} ({type(error).__name__}). Start one (`dask scheduler`), or give "
            "its address as it prints it."
        ) from None
    with client:
        try:
            client.wait_for_workers(1, timeout=PATIENCE)
        except TimeoutError:
            raise InputError(
                f"the scheduler at {address} has no workers. Start some: `dask worker {address}`."
            ) from None
        yield client


def check_package(expected: str) -> None:
    """Refuse to work, on a worker, for a process with another version of the package.

    Parameters
    ----------
    expected
        What :func:`package_digest` gave there.
    """
    if package_digest() != expected:
        raise InputError("a worker has another version of bayesexpr than this process. Install the same on all.")


@lru_cache(maxsize=1)
def package_digest() -> str:
    """SHA-256 (hex) of the package's own code and programs."""
    digest = hashlib.sha256()
    for package in ("bayesexpr", "bayesexpr.calibration", "bayesexpr.stan_models"):
        _add(digest, resources.files(package), package)
    return digest.hexdigest()


def _add(digest: Any, folder: Any, name: str) -> None:
    for entry in sorted(folder.iterdir(), key=lambda e: str(e.name)):
        path = f"{name}/{entry.name}"
        if entry.is_dir():
            _add(digest, entry, path)
        elif entry.name.endswith((".py", ".stan", ".stanfunctions", ".hpp", ".cpp")):
            digest.update(path.encode() + b"\0" + entry.read_bytes() + b"\0")
