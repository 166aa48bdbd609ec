"""Simulation-based calibration of a program of the ladder, or of the design of a finished fit, in one call."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from dataclasses import replace
from typing import Any

import numpy as np

from bayesexpr.de_fit import DEFit
from bayesexpr.errors import OptionError
from bayesexpr.models import registry
from bayesexpr.models.base import Model
from bayesexpr.models.negative_binomial_de import NegativeBinomialDE
from bayesexpr.models.priors import Prior, parse_prior
from bayesexpr.program_fit import Fit
from bayesexpr.stan.settings import SamplerSettings

from .backend import Backend, ExactBackend
from .campaign import DRAWS_RANKED, Progress, run_campaign
from .de_scenario import BLOCKED_SETTINGS, DEBackend, DEQuantities, decide
from .de_scenario import SETTINGS as SETTINGS_DE
from .fit_scenario import FitScenario, program_and_design
from .quantities import ModelQuantities
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
STUDY_SETTINGS = replace(SETTINGS_DE, warmup=500, draws=2000, adapt_delta=0.95)
"""Of NUTS on studies of a fit's design: scales of few donors or batches mix more slowly, and in narrower places, than
anything in the program's own scenario."""
METHODS = ("nuts", "pathfinder", "laplace", "advi", "exact", "blocked")


def sbc(
    model: str | Model | Fit | DEFit,
    *,
    simulations: int,
    scenario: Mapping[str, Any] | None = None,
    options: Mapping[str, str] | None = None,
    prior: Mapping[str, Prior | str] | None = None,
    method: str | None = None,
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
        Name of a program, or the program itself with its options and priors; or a finished fit, whose program, options,
        priors and design are then taken: samples, covariates, size factors, lengths, and at most 50 of genes that are
        replicates of each other (:data:`~bayesexpr.calibration.fit_scenario.GENES`). ``fit.check(campaign=...)`` shows
        such a campaign in the certificate.
    simulations
        Number of simulated data sets: 20 find gross errors, 200 most, 1000 and more the subtle ones. The verdict says
        what its number would have caught.
    scenario
        What to simulate (sizes, designs, lengths); the program's own small scenario unless given. Not with a fit.
    options, prior
        Structure and numbers of the program, if it is given by name.
    method
        ``nuts``; ``pathfinder``, ``laplace``, ``advi``; ``exact`` where there is a closed form; ``blocked``, the
        flagship's other sampler. By default that of the fit, or nuts.
    settings
        Of the sampler; short ones of the campaign's own unless given, for a fit, too.
    seed, L, folder, workers, executor, scheduler, progress
        See :func:`~bayesexpr.calibration.campaign.run_campaign`.

    Returns
    -------
    Campaign
        With its ``verdict``, tables and figures.

    Raises
    ------
    InputError
        If the program, an option, the scenario or the folder is wrong, or a fit cannot be simulated.
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
    model: str | Model | Fit | DEFit,
    *,
    scenario: Mapping[str, Any] | None = None,
    options: Mapping[str, str] | None = None,
    prior: Mapping[str, Prior | str] | None = None,
    method: str | None = None,
    settings: SamplerSettings | None = None,
) -> tuple[Scenario, Backend]:
    """Return the scenario and the backend that :func:`sbc` runs."""
    if isinstance(model, Fit | DEFit):
        if scenario or options or prior:
            raise OptionError(
                "a fit has a design, options and priors already: scenario, options and prior are not given."
            )
        chosen, given = program_and_design(model)
        by = method or _method_of(model)
        usual = STUDY_SETTINGS if isinstance(chosen, NegativeBinomialDE) and by == "nuts" else None
        how = _backend(chosen, by, settings or usual)
        return FitScenario(chosen, given, **_measured(chosen, given)), how
    chosen, given = _model(model, options, prior), dict(scenario or {})
    return ModelScenario(chosen, given, **_measured(chosen, given)), _backend(chosen, method or "nuts", settings)


def _measured(model: Model, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return test quantities and decisions, where they are not the default.

    The density of a beta or gamma with a shape below one is infinite at zero, where draws are that are too small for a
    number: it cannot be ranked. A program's own scenario has one such parameter, and then no log prior.
    """
    if isinstance(model, NegativeBinomialDE):
        return {"quantities": DEQuantities(model), "deciding": decide}
    if given and any(_is_infinite_at_an_edge(model.prior(name)) for name in model.PRIORS if name in model.PARAMETERS):
        return {"quantities": ModelQuantities(model, leave_out=("log_prior",))}
    return {}


def _is_infinite_at_an_edge(prior: Prior) -> bool:
    with np.errstate(all="ignore"):
        try:
            return bool(np.isposinf(prior.logpdf(np.array([0.0, 1.0]))).any())
        except NotImplementedError:  # a distribution over vectors
            return False


def _backend(model: Model, method: str, settings: SamplerSettings | None) -> Backend:
    if method not in METHODS:
        raise OptionError(f"a method is one of {', '.join(METHODS)}; it is {method!r}.")
    if isinstance(model, NegativeBinomialDE):
        if method not in ("nuts", "blocked"):
            raise OptionError(f"{model.NAME} is calibrated by nuts or blocked; the method given is {method!r}.")
        own = SETTINGS_DE if method == "nuts" else BLOCKED_SETTINGS
        return DEBackend(model, settings or own, method)
    if method == "blocked":
        raise OptionError(f"the blocked sampler is one of negative_binomial_de; {model.NAME} has nuts.")
    if method == "exact":
        return ExactBackend(model)
    if settings is None:
        warmup, draws = _ITERATIONS.get(model.NAME, (SETTINGS.warmup, SETTINGS.draws))
        settings = replace(SETTINGS, warmup=warmup, draws=draws, adapt_delta=model.ADAPT_DELTA)
    return StanBackend(model, settings, method)


def _method_of(fit: Fit | DEFit) -> str:
    method = str(fit.record["method"])
    if method == "eb":
        raise OptionError(
            "the fit is by eb, which learns from all genes at once: a campaign of fifty would neither vouch for it nor "
            "speak against it. Say --method nuts or blocked: the campaign then tries the program and its priors for "
            "this design, and the certificate says that it does not try eb."
        )
    return method


def _model(model: str | Model, options: Mapping[str, str] | None, prior: Mapping[str, Prior | str] | None) -> Model:
    if isinstance(model, Model):
        if options or prior:
            raise OptionError("options and priors are given with a program's name; this program has its own already.")
        return model
    priors = {name: parse_prior(p) if isinstance(p, str) else p for name, p in (prior or {}).items()}
    return registry.get(model)(options=options or {}, priors=priors)
