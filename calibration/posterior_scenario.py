"""Simulation-based calibration where the data are: the prior is replaced by the posterior of a real data set.

True parameters are drawn from the posterior given the observed data, data are replicated from them, and the fit sees
observed and replicated data together; the rank of the truth must then be uniform (Säilynoja, Schmitt, Bürkner and
Vehtari 2025). It says whether the computation can be trusted for data like these, where prior simulations may hardly
ever go; it does not say whether the model fits them.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bayesexpr.errors import InputError, OptionError
from bayesexpr.models.base import Model
from bayesexpr.models.priors import Prior
from bayesexpr.stan.settings import SamplerSettings

from .backend import Backend
from .campaign import DRAWS_RANKED, Progress, run_campaign
from .digests import digest_of, methods
from .program_sbc import plan
from .quantities import Quantity
from .result import Campaign
from .scenarios import Scenario
from .simulate import FIT, fit_seed

_STAGE = 2  # of the seeds: beside those of the campaign (0) and its replication (1)
_CHAINS = 4
_DESIGNS = ("design", "nuisance_design")  # [sample, ...], though no dimension of an outcome
Augment = Callable[[Mapping[str, Any], Mapping[str, Any], np.random.Generator], tuple[dict[str, Any], dict[str, Any]]]


@dataclass(frozen=True, eq=False)
class PosteriorScenario:
    """Truths from the posterior of observed data, which every fit sees together with data replicated from the truth.

    Attributes
    ----------
    base
        Whose test quantities are measured.
    observed
        The real data.
    draws
        Parameter to [draw, ...]: from the posterior given the observed data.
    augment
        Given one draw of the parameters, the observed data and a generator, returns the parameters and the data of the
        fit: observed and replicated, with the parameters as such data have them.
    """

    base: Scenario
    observed: Mapping[str, Any]
    draws: Mapping[str, NDArray[Any]] = field(repr=False)
    augment: Augment

    @property
    def name(self) -> str:
        """Name, for records."""
        return f"{self.base.name}-posterior"

    def simulate(self, rng: np.random.Generator) -> tuple[dict[str, Any], dict[str, Any]]:
        """Draw parameters from the posterior, and data to go with those observed."""
        which = int(rng.integers(len(next(iter(self.draws.values())))))
        return self.augment({name: values[which] for name, values in self.draws.items()}, self.observed, rng)

    def measure(self, draws: Mapping[str, Any], data: Mapping[str, Any]) -> list[Quantity]:
        """Measure the test quantities of the program."""
        return self.base.measure(draws, data)

    def implausible(self, data: Mapping[str, Any]) -> str | None:
        """Take data like the observed ones for plausible."""
        return None

    def digest(self) -> str:
        """Digest of the program's scenario, the observed data, the draws and the replication."""
        code = self.augment if isinstance(self.augment, type(digest_of)) else type(self.augment)
        return digest_of(
            *methods(type(self), "simulate"), code, self.base.digest(), dict(self.observed), dict(self.draws)
        )


@dataclass(frozen=True)
class MoreSamples:
    """Replicated samples beside the observed ones, of the same designs and size factors."""

    model: Model

    def __call__(
        self, parameters: Mapping[str, Any], observed: Mapping[str, Any], rng: np.random.Generator
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return the parameters, those of samples twice, and the data of all samples."""
        full = self.model.complete(observed)
        outcome = self.model.OUTCOME
        samples = np.shape(full[outcome])[0]
        data = dict(observed)
        data[outcome] = np.concatenate([np.asarray(observed[outcome]), self.model.replicate(parameters, full, rng)])
        for key in data:
            if key != outcome and self._is_of_samples(key, np.asarray(observed[key]), samples):
                data[key] = np.concatenate([np.asarray(observed[key])] * 2)
        p = {k: np.concatenate([v, v]) if k in self.of_samples() else v for k, v in parameters.items()}
        return p, data

    def of_samples(self) -> tuple[str, ...]:
        """Names of the parameters that belong to samples."""
        dims = self.model.DIMS
        first = dims[self.model.OUTCOME][0]
        return tuple(name for name in self.model.PARAMETERS if first in dims.get(name, ()))

    def _is_of_samples(self, key: str, value: NDArray[Any], samples: int) -> bool:
        dims = self.model.DIMS
        if key in dims:
            return dims[key][0] == dims[self.model.OUTCOME][0]
        return key in _DESIGNS or (key == "effective_length" and value.ndim == 2 and len(value) == samples)


def posterior_sbc(
    model: str | Model,
    data: Mapping[str, Any],
    *,
    simulations: int = 500,
    options: Mapping[str, str] | None = None,
    prior: Mapping[str, Prior | str] | None = None,
    settings: SamplerSettings | None = None,
    seed: int = 1,
    L: int = DRAWS_RANKED,
    folder: str | os.PathLike[str] | None = None,
    workers: int = 1,
    executor: Executor | None = None,
    scheduler: str | None = None,
    progress: Callable[[Progress], None] | None = None,
) -> Campaign:
    """Check that a program's posteriors are calibrated for data like these.

    Parameters
    ----------
    model
        Name of a program, or the program itself, whose data are samples that share all its parameters: size factors
        are to be fixed, since those of replicated samples would be parameters of their own.
    data
        The observed data, as for a fit.
    simulations
        Number of fits of observed and replicated data together; 500 as published.
    options, prior, settings, seed, L, folder, workers, executor, scheduler, progress
        See :func:`~bayesexpr.calibration.program_sbc.sbc`.

    Returns
    -------
    Campaign
        With its ``verdict``, tables and figures.

    Raises
    ------
    OptionError
        If single samples have parameters of their own.
    InputError
        If the data break a rule of the program.
    SamplingError
        If the observed data cannot be fitted.
    """
    base, backend = plan(model, scenario=dict(data), options=options, prior=prior, settings=settings)
    chosen: Model = base.model  # type: ignore[attr-defined]
    augment = MoreSamples(chosen)
    ready = backend.prepare()
    draws = posterior_draws(ready, data, seed)
    own = [name for name in augment.of_samples() if name in draws and np.ptp(draws[name], axis=0).max() > 0]
    if own:
        raise OptionError(
            f"{chosen.NAME} estimates {', '.join(own)} of every sample, so that replicated samples would have others "
            "than those observed. Fix what belongs to samples (size_factors = fixed), or choose another program."
        )
    return run_campaign(
        PosteriorScenario(base, data, draws, augment),
        ready,
        simulations=simulations,
        seed=seed,
        L=L,
        folder=folder,
        workers=workers,
        executor=executor,
        scheduler=scheduler,
        progress=progress,
    )


def posterior_draws(backend: Backend, data: Mapping[str, Any], seed: int) -> dict[str, NDArray[Any]]:
    """Fit the observed data, with four chains where the backend has chains, and return its draws in one row.

    Raises
    ------
    InputError
        If the backend gives fewer than 400 draws.
    """
    settings = getattr(backend, "settings", None)
    if isinstance(settings, SamplerSettings):
        backend = replace(backend, settings=replace(settings, chains=_CHAINS))  # type: ignore[type-var]
    found = backend.fit(data, fit_seed(seed, _STAGE, FIT)).draws
    draws = {name: np.asarray(values).reshape(-1, *np.shape(values)[2:]) for name, values in found.items()}
    size = len(next(iter(draws.values())))
    if size < 4 * DRAWS_RANKED:
        raise InputError(f"true values are drawn from at least {4 * DRAWS_RANKED} draws; the backend gives {size}.")
    return draws
