"""Running simulations on a Dask cluster that is there already.

A simulation's seeds follow from its number, so it is the same wherever it runs and however often: one that was lost
with its worker is run again elsewhere, to the same ranks. Workers compile for themselves, each into its own cache,
unless they share one; they must have this very package, which is checked before anything is fitted.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterable, Iterator
from concurrent.futures import CancelledError
from dataclasses import dataclass, replace
from typing import Any

from bayesexpr.cluster import check_package, connect, package_digest, require_distributed
from bayesexpr.errors import SamplingError

from .pool import IN_FLIGHT, Row
from .simulation import Simulator

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
        check_package(self.package)
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
    dask = require_distributed()
    with connect(dask, address) as client:
        known: dict[str, tuple[int, int]] = {}

        def submit(stage: int, index: int) -> Any:
            future = client.submit(errand.run, stage, index, pure=False)
            known[future.key] = (stage, index)
            return future

        slots = sum(client.nthreads().values())
        going = dask.as_completed(
            [submit(*task) for task in itertools.islice(queue, IN_FLIGHT * slots)], loop=client.loop
        )
        suspects = []
        for future in going:
            task = known.pop(future.key)
            row = _result(future, address, dask.scheduler.KilledWorker)
            if row is None:
                suspects.append(task)
            else:
                yield row
            for following in itertools.islice(queue, 1):
                going.add(submit(*following))
        # What a worker had at hand when another simulation killed it is suspected too: each gets its workers to itself.
        for stage, index in suspects:
            row = _result(submit(stage, index), address, dask.scheduler.KilledWorker)
            reason = "its worker died again and again (killed, or out of memory)"
            yield row or {"stage": stage, "index": index, "attempt": 0, "reason": reason, "seconds": 0.0}


def _result(future: Any, address: str, killed: type[Exception]) -> Row | None:
    """Return the row of a simulation; None if workers died of it, or of one beside it."""
    try:
        row: Row = future.result()
    except killed:
        return None
    except (CancelledError, OSError) as error:
        raise SamplingError(
            f"the cluster at {address} went away ({type(error).__name__}). Run the campaign again: it goes on where it "
            "stopped."
        ) from None
    return row
