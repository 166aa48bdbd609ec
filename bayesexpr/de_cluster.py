"""The genes of an empirical-Bayes fit, sampled by the workers of a Dask cluster.

What a gene gets depends on its counts, the hyperparameters and its place in the study, so that the numbers are those of
one machine. Workers compile the kernel's core for themselves, each for its own processor.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import CancelledError
from dataclasses import dataclass, replace
from typing import Any

from bayesexpr.cluster import check_package, connect, package_digest, require_distributed
from bayesexpr.de_eb import GeneResult, Spread, work_on_genes
from bayesexpr.de_sampling import library_or_none
from bayesexpr.empirical_bayes.importance import GeneTask
from bayesexpr.errors import SamplingError
from bayesexpr.models.negative_binomial_de import NegativeBinomialDE
from bayesexpr.progress import Silent
from bayesexpr.stan.program import render

IN_FLIGHT = 2
"""Tasks sent for each thread of the cluster: one that is worked on, and one that waits for it."""


@dataclass(frozen=True)
class Errand:
    """What a worker is sent.

    Attributes
    ----------
    task
        Without a compiled core, which is the worker's own.
    options
        Of the program whose core that is; None to compute in NumPy.
    package
        Digest of the package that the fit was started with.
    """

    task: GeneTask
    options: dict[str, str] | None
    package: str

    def run(self) -> GeneResult:
        """Sample the genes, on the worker."""
        check_package(self.package)
        library = None
        if self.options is not None:
            library = library_or_none(render(NegativeBinomialDE.NAME, self.options), Silent())
        return work_on_genes(replace(self.task, study=replace(self.task.study, library=library)))


def on_cluster(address: str, model: NegativeBinomialDE) -> Spread:
    """Return a function that samples genes on the workers of the scheduler at `address`.

    It raises

    OptionError
        if Dask's ``distributed`` is not installed,
    InputError
        if no scheduler answers, it has no workers, or they have another version of the package,
    SamplingError
        if the cluster went away.
    """
    dask = require_distributed()

    def spread(tasks: Iterable[GeneTask]) -> Iterator[GeneResult]:
        package, queue = package_digest(), iter(tasks)
        with connect(dask, address) as client:

            def submit(task: GeneTask) -> Any:
                options = None if task.study.library is None else dict(model.options)
                bare = replace(task, study=replace(task.study, library=None))
                return client.submit(Errand(bare, options, package).run, pure=False)

            slots = IN_FLIGHT * max(1, sum(client.nthreads().values()))
            going = deque(submit(task) for task in itertools.islice(queue, slots))
            while going:
                try:
                    result = going.popleft().result()
                except (CancelledError, OSError, dask.scheduler.KilledWorker) as error:
                    raise SamplingError(
                        f"the cluster at {address} went away ({type(error).__name__}). Run the fit again."
                    ) from None
                yield result
                going.extend(submit(task) for task in itertools.islice(queue, 1))

    return spread
