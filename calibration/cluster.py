"""Running simulations on a Dask cluster that is there already.

A simulation's seeds follow from its number, so it is the same wherever it runs and however often: one that was lost
with its worker is run again elsewhere, to the same ranks. Workers compile for themselves, each into its own cache,
unless they share one; they must have this very package, which is checked before anything is fitted.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import itertools
import threading
from collections.abc import Iterable, Iterator
from concurrent.futures import CancelledError
from dataclasses import dataclass, replace
from functools import lru_cache
from importlib import resources
from typing import Any

from bayesexpr.errors import InputError, OptionError, SamplingError

from .pool import IN_FLIGHT, Row
from .simulation import Simulator

_PATIENCE = 30  # seconds to wait for the scheduler, and for a first worker
_preparing = threading.Lock()
_prepared: dict[str, Simulator] = {}


@dataclass(frozen=True)
class Errand:
    """What a worker is sent, beside the number of a simulation.

    Attributes
    ----------
    simulator
        Its backend not yet prepared: executables are the worker's own.
    key
        Of the prepared simulator, on the worker.
    package
        Digest of the package that the campaign was started with.
    """

    simulator: Simulator
    key: str
    package: str

    def run(self, stage: int, index: int) -> Row:
        """Run one simulation on the worker."""
        if package_digest() != self.package:
            raise InputError("a worker has another version of bayesexpr than this process. Install the same on all.")
        with _preparing:
            if self.key not in _prepared:
                _prepared[self.key] = replace(self.simulator, backend=self.simulator.backend.prepare())
        return _prepared[self.key].run(stage, index)


def run_on_cluster(address: str, simulator: Simulator, tasks: Iterable[tuple[int, int]], key: str) -> Iterator[Row]:
    """Run simulations on the workers of a Dask scheduler; rows come as they are finished.

    Parameters
    ----------
    address
        Of the scheduler, such as ``tcp://10.0.0.1:8786``.
    simulator
        With a backend that is not prepared.
    tasks
        Stage and index of each simulation.
    key
        Tells campaigns apart on the workers.

    Raises
    ------
    OptionError
        If Dask's ``distributed`` is not installed.
    InputError
        If no scheduler answers, it has no workers, or they have another version of the package.
    SamplingError
        If the cluster went away; what is finished is saved.
    """
    queue = iter(tasks)
    errand = Errand(simulator, key, package_digest())
    dask = _distributed()
    with _client(dask, address) as client:
        known: dict[str, tuple[int, int]] = {}

        def submit(stage: int, index: int) -> Any:
            future = client.submit(errand.run, stage, index, pure=False)
            known[future.key] = (stage, index)
            return future

        slots = sum(client.nthreads().values())
        going = dask.as_completed(
            [submit(*task) for task in itertools.islice(queue, IN_FLIGHT * slots)], loop=client.loop
        )
        for future in going:
            stage, index = known.pop(future.key)
            try:
                row = future.result()
            except dask.scheduler.KilledWorker:
                reason = "its worker died again and again (killed, or out of memory)"
                row = {"stage": stage, "index": index, "attempt": 0, "reason": reason, "seconds": 0.0}
            except (CancelledError, OSError) as error:
                raise SamplingError(
                    f"the cluster at {address} went away ({type(error).__name__}). Run the campaign again: it goes on "
                    "where it stopped."
                ) from None
            yield row
            for task in itertools.islice(queue, 1):
                going.add(submit(*task))


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


def _distributed() -> Any:
    try:
        return importlib.import_module("distributed")
    except ImportError:
        raise OptionError(
            "a scheduler needs Dask's distributed, which is not installed. Run `pip install 'bayesexpr[cluster]'`."
        ) from None


@contextlib.contextmanager
def _client(dask: Any, address: str) -> Iterator[Any]:
    try:
        client = dask.Client(address, timeout=_PATIENCE, set_as_default=False)
    except (OSError, ValueError) as error:
        raise InputError(
            f"no Dask scheduler answers at {address!r} ({type(error).__name__}). Start one (`dask scheduler`), or give "
            "its address as it prints it."
        ) from None
    with client:
        try:
            client.wait_for_workers(1, timeout=_PATIENCE)
        except TimeoutError:
            raise InputError(
                f"the scheduler at {address} has no workers. Start some: `dask worker {address}`."
            ) from None
        yield client
