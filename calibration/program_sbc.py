"""Simulation-based calibration of a program of the ladder, in one call."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from dataclasses import replace
from typing import Any

from bayesexpr.errors import OptionError
from bayesexpr.models import registry
from bayesexpr.models.base import Model
from bayesexpr.models.negative_binomial_de import NegativeBinomialDE
from bayesexpr.models.priors import Prior, parse_prior
from bayesexpr.stan.settings import SamplerSettings

from .backend import Backend, ExactBackend
from .campaign import DRAWS_RANKED, Progress, run_campaign
from .de_scenario import BLOCKED_SETTINGS, DEBackend, DEQuantities, decide
from .de_scenario import SETTINGS as SETTINGS_DE
from .result import Campaign
from .scenarios import ModelScenario, Scenario
from .stan_backend import SETTINGS, StanBackend

# Iterations of the warm-up and after it, where those of `SETTINGS` are too few for what mixes slowly, or more than is
# needed of what is slow.
_ITERATIONS = {
    "hierarchical_expression": (500, 1500),
    "variance_components": (500, 3000),
    "zero_inflated_negative_binomial": (300, 600),
}
METHODS = ("nuts", "pathfinder", "laplace", "advi", "exact", "blocked")


def sbc(
    model: str | Model,
    *,
    simulations: int,
    scenario: Mapping[str, Any] | None = None,
    options: Mapping[str, str] | None = None,
    prior: Mapping[str, Prior | str] | None = None,
    method: str = "nuts",
    settings: SamplerSettings | None = None,
    seed: int = 1,
    L: int = DRAWS_RANKED,
    folder: str | os.PathLike[str] | None = None,
    workers: int = 1,
    executor: Executor | None = None,
    scheduler: str | None = None,
    progress: Callable[[Progress], None] | None = None,
) -> Campaign:
    """Check by simulation that a program's posteriors are calibrated.

    Parameters are drawn from the prior and data from the likelihood by NumPy code that is independent of the Stan
    program; each data set is fitted; the rank of every true value among its posterior draws must be uniform.

    Parameters
    ----------
    model
        Name of a program, or the program itself with its options and priors.
    simulations
        Number of simulated data sets: 20 find gross errors, 200 most, 1000 and more the subtle ones. The verdict says
        what its number would have caught.
    scenario
        What to simulate (sizes, designs, lengths); the program's own small scenario unless given.
    options, prior
        Structure and numbers of the program, if it is given by name.
    method
        ``nuts``; ``pathfinder``, ``laplace``, ``advi``; ``exact`` where there is a closed form; ``blocked``, the
        flagship's other sampler.
    settings
        Of the sampler.
    seed, L, folder, workers, executor, scheduler, progress
        See :func:`~bayesexpr.calibration.campaign.run_campaign`.

    Returns
    -------
    Campaign
        With its ``verdict``, tables and figures.

    Raises
    ------
    InputError
        If the program, an option, the scenario or the folder is wrong.
    ToolchainError
        If Stan cannot be built here.
    """
    what, how = plan(model, scenario=scenario, options=options, prior=prior, method=method, settings=settings)
    return run_campaign(
        what,
        how,
        simulations=simulations,
        seed=seed,
        L=L,
        folder=folder,
        workers=workers,
        executor=executor,
        scheduler=scheduler,
        progress=progress,
    )


def plan(
    model: str | Model,
    *,
    scenario: Mapping[str, Any] | None = None,
    options: Mapping[str, str] | None = None,
    prior: Mapping[str, Prior | str] | None = None,
    method: str = "nuts",
    settings: SamplerSettings | None = None,
) -> tuple[Scenario, Backend]:
    """Return the scenario and the backend that :func:`sbc` runs."""
    if method not in METHODS:
        raise OptionError(f"a method is one of {', '.join(METHODS)}; it is {method!r}.")
    chosen = _model(model, options, prior)
    given = dict(scenario or {})
    if isinstance(chosen, NegativeBinomialDE):
        what = ModelScenario(chosen, given, quantities=DEQuantities(chosen), deciding=decide)
        if method not in ("nuts", "blocked"):
            raise OptionError(f"{chosen.NAME} is calibrated by nuts or blocked; the method given is {method!r}.")
        own = SETTINGS_DE if method == "nuts" else BLOCKED_SETTINGS
        return what, DEBackend(chosen, settings or own, method)
    if method == "blocked":
        raise OptionError(f"the blocked sampler is one of negative_binomial_de; {chosen.NAME} has nuts.")
    what = ModelScenario(chosen, given)
    if method == "exact":
        return what, ExactBackend(chosen)
    if settings is None:
        warmup, draws = _ITERATIONS.get(chosen.NAME, (SETTINGS.warmup, SETTINGS.draws))
        settings = replace(SETTINGS, warmup=warmup, draws=draws, adapt_delta=chosen.ADAPT_DELTA)
    return what, StanBackend(chosen, settings, method)


def _model(model: str | Model, options: Mapping[str, str] | None, prior: Mapping[str, Prior | str] | None) -> Model:
    if isinstance(model, Model):
        if options or prior:
            raise OptionError("options and priors are given with a program's name; this program has its own already.")
        return model
    priors = {name: parse_prior(p) if isinstance(p, str) else p for name, p in (prior or {}).items()}
    return registry.get(model)(options=options or {}, priors=priors)
