"""Differential expression from counts to posterior: the one place where data, model, sampler and diagnostics meet."""

from __future__ import annotations

import hashlib
import platform
import shutil
import tempfile
import time
import weakref
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bayesexpr.data.counts import CountData
from bayesexpr.data.design import Design, build_design
from bayesexpr.data.lengths import log_offset
from bayesexpr.data.size_factors import size_factors as robust_size_factors
from bayesexpr.de_cluster import on_cluster
from bayesexpr.de_digest import digest
from bayesexpr.de_eb import learn_hyperparameters, sample_approximately
from bayesexpr.de_fit import DEFit
from bayesexpr.de_folder import KIND
from bayesexpr.de_sampling import (
    Built,
    DESettings,
    Method,
    Sample,
    build,
    choose_method,
    sample_blocked,
    sample_nuts,
)
from bayesexpr.empirical_bayes.importance import MORE
from bayesexpr.empirical_bayes.laplace import Study
from bayesexpr.empirical_bayes.whitening import warm_start
from bayesexpr.errors import InputError, OptionError
from bayesexpr.models.negative_binomial_de import NegativeBinomialDE
from bayesexpr.models.priors import Prior
from bayesexpr.names import STARTS
from bayesexpr.posterior.verdict import Verdict
from bayesexpr.progress import Progress, Silent

if TYPE_CHECKING:
    import pandas as pd

FloatArray = np.ndarray[Any, np.dtype[np.float64]]


def fit_de(
    data: CountData,
    design: str,
    *,
    tested: str | None = None,
    size_factors: str | FloatArray = "median_of_ratios",
    options: Mapping[str, str] | None = None,
    prior: Mapping[str, Prior] | None = None,
    method: str = "auto",
    settings: DESettings | None = None,
    seed: int | None = None,
    cores: int | None = None,
    scheduler: str | None = None,
    progress: Progress | None = None,
    folder: str | Path | None = None,
) -> DEFit:
    """Fit ``negative_binomial_de`` to a study.

    Parameters
    ----------
    data
        Counts, samples, and effective lengths where there are any.
    design
        Formula such as ``~ cell + dex``; it is parsed, never evaluated.
    tested
        Term of the formula whose effect may be exactly zero; by default the last one. Contrasts of other terms can be
        asked for, too: their effects have a normal prior.
    size_factors
        Method, or one factor per sample; the model estimates the factors around them.
    options, prior
        Structure and numbers of the program: see ``bayesexpr models``.
    method
        ``nuts``: Stan's. ``blocked``: genes and hyperparameters in turn, the same posterior in less time.
        ``eb``: empirical Bayes, an approximation: hyperparameters by marginal likelihood, then every gene by
        importance sampling; `draws` of the settings are all the draws that are kept.
        ``auto``: NUTS up to 5,000 genes, and wherever the program has no kernel (density=stan); eb above 2 million
        counts (genes times samples), else blocked.
    settings
        Chains, iterations, seed and cores; `seed` and `cores` are short for those of its fields.
    scheduler
        Address of a Dask scheduler whose workers are to sample the genes; for eb only. The numbers are the same.
    folder
        Where to keep the posterior; by default a temporary folder that goes with the fit.

    Returns
    -------
    DEFit

    Raises
    ------
    InputError
        The study, the design or an option breaks a rule.
    ToolchainError, SamplingError
        Stan cannot be built here, or a chain failed.
    """
    settings = settings or DESettings()
    settings = settings if seed is None else replace(settings, seed=seed)
    settings = settings if cores is None else replace(settings, cores=cores)
    news = progress or Silent()
    model = NegativeBinomialDE(options=options or {}, priors=prior or {})
    plan = build_design(design, data.sample_table, tested)
    expressed = data.expressed
    if not expressed.any():
        raise InputError("no gene has a count: there is nothing to fit.")
    factors = _factors(data, size_factors)
    fitted = data.subset_genes(expressed)
    inputs = _model_data(model, fitted, plan, factors)
    full = model.complete(inputs)
    clock = {"start": time.monotonic()}

    news.say(
        f"{full['G']} expressed genes of {len(data.genes)}, {full['S']} samples, {plan.formula}; "
        f"tested term: {plan.tested}"
    )
    chosen = choose_method(method, model, full["G"], full["S"])
    news.say(f"method {chosen.name}: {chosen.reason}")
    if scheduler is not None and chosen.name != "eb":
        raise OptionError(f"a scheduler serves method eb only; the method here is {chosen.name}, {chosen.reason}.")
    if settings.starts != STARTS[0] and chosen.name == "eb":
        raise OptionError(f"chains start somewhere, and method eb has none; the method here is eb, {chosen.reason}.")
    built = build(model, chosen.name, news)
    clock["compiled"] = time.monotonic()
    home = Path(folder) if folder is not None else Path(tempfile.mkdtemp(prefix="bayesexpr-"))
    home.mkdir(parents=True, exist_ok=True)
    keeper = _Keeper(home) if folder is None else None
    scratch = Path(tempfile.mkdtemp(prefix="chains-", dir=home))
    job = _Job(model, inputs, full, data, plan, built, settings, news, clock)
    try:
        if chosen.name == "eb":
            genes, diagnostics, verdict, used = _approximate(job, home, scheduler)
        else:
            sample = sample_blocked if chosen.name == "blocked" else sample_nuts
            genes, diagnostics, verdict, used = _by_chains(job, chosen.name, sample, home, scratch)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    clock["done"] = time.monotonic()
    return DEFit(
        folder=home,
        data=data,
        design=plan,
        genes=genes,
        verdict=verdict,
        diagnostics=diagnostics,
        record=_record(job, chosen, used, size_factors),
        warnings=plan.notes,
        keeper=keeper,
    )


@dataclass(frozen=True)
class _Job:
    """A fit that is under way."""

    model: NegativeBinomialDE
    inputs: Mapping[str, Any]
    full: Mapping[str, Any]
    data: CountData
    plan: Design
    built: Built
    settings: DESettings
    news: Progress
    clock: dict[str, float]


Answer = tuple["pd.DataFrame", dict[str, Any], Verdict, dict[str, Any]]


def _by_chains(job: _Job, method: str, sample: Sample, home: Path, scratch: Path) -> Answer:
    """Sample the joint posterior; returns genes, diagnostics, verdict and the sampler's settings."""
    settings, full, clock = job.settings, job.full, job.clock
    warm = warm_start(job.model, full, np.random.default_rng([settings.seed, 1]), job.built.library)
    clock["warm"] = time.monotonic()
    thin = settings.thin_for(method, full["G"])
    threads = job.built.threads(settings, full["G"])
    job.news.say(
        f"starting values and scales: {clock['warm'] - clock['compiled']:.0f} s; {settings.chains} chains x "
        f"({settings.warmup} warm-up + {settings.draws} draws{f', each of {thin} iterations' if thin > 1 else ''})"
        f"{f', {threads} threads each' if threads > 1 else ''}"
    )
    chains, used = sample(job.model, job.inputs, warm, job.built, settings, scratch, job.news)
    clock["sampled"] = time.monotonic()
    job.news.close()
    job.news.say("posterior of every gene and diagnostics")
    study = Study.of(job.model, full, job.built.library)
    return *digest(chains, warm.whitening, study, job.data, job.plan, used, home, threads=threads), asdict(used)


def _approximate(job: _Job, home: Path, scheduler: str | None) -> Answer:
    """Approximate the posterior by empirical Bayes; returns what :func:`_by_chains` does."""
    settings, clock = job.settings, job.clock
    study, hyper = learn_hyperparameters(job.model, job.full, job.built.library, settings.seed, settings.cores)
    clock["warm"] = time.monotonic()
    job.news.say(f"hyperparameters: {clock['warm'] - clock['compiled']:.0f} s; {settings.draws} draws of every gene")
    found = sample_approximately(
        study,
        hyper,
        job.data,
        job.plan,
        home,
        draws=settings.draws,
        seed=settings.seed,
        threads=settings.cores,
        spread=None if scheduler is None else on_cluster(scheduler, job.model),
    )
    clock["sampled"] = time.monotonic()
    return *found, {"draws": settings.draws, "proposals_per_draw": [1, MORE], "scheduler": scheduler}


class _Keeper:
    """Removes a temporary folder with the last fit that uses it."""

    def __init__(self, folder: Path) -> None:
        self._finalizer = weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)


def _factors(data: CountData, chosen: str | FloatArray) -> FloatArray:
    if isinstance(chosen, str):
        offset = None if data.lengths is None else log_offset(data.lengths)
        return robust_size_factors(data.counts, chosen, log_offset=offset)
    factors = np.asarray(chosen, dtype=float)
    if factors.shape != (len(data.samples),) or not (np.isfinite(factors).all() and (factors > 0).all()):
        raise InputError(f"size factors are one positive number per sample ({len(data.samples)}); they are {factors}.")
    return np.asarray(factors / np.exp(np.log(factors).mean()))


def _model_data(model: NegativeBinomialDE, data: CountData, plan: Design, factors: FloatArray) -> dict[str, Any]:
    inputs: dict[str, Any] = {
        "count": data.counts,
        "design": plan.matrix[:, plan.tested_columns],
        "nuisance_design": plan.matrix[:, plan.nuisance_columns],
        "nuisance_term": plan.nuisance_term_index,
        "log_size_factor": np.log(factors),
    }
    if model.options["effects"] == "spike_slab":
        inputs["component"] = plan.partitions().projectors
    if data.lengths is not None:
        inputs["effective_length"] = data.lengths
    return inputs


def _record(job: _Job, method: Method, sampler: Mapping[str, Any], size_factors: str | FloatArray) -> dict[str, Any]:
    model, data, plan, built, clock = job.model, job.data, job.plan, job.built, job.clock
    packages = ("bayesexpr", "numpy", "scipy", "pandas", "xarray", "zarr")
    seal = hashlib.sha256(np.ascontiguousarray(data.counts).tobytes())
    seal.update("\0".join([*data.genes, *data.samples]).encode())
    return {
        "kind": KIND,
        "program": model.NAME,
        "program_digest": built.digest,
        "options": dict(model.options),
        "priors": {name: str(model.prior(name)) for name in model.PRIORS},
        "design": plan.formula,
        "tested": plan.tested,
        "size_factors": size_factors if isinstance(size_factors, str) else "given",
        "method": method.name,
        "method_reason": method.reason,
        "settings": asdict(job.settings),
        "sampler": dict(sampler),
        "inputs_digest": seal.hexdigest(),
        "genes": len(data.genes),
        "genes_fitted": int(data.expressed.sum()),
        "samples": len(data.samples),
        "versions": {
            "python": platform.python_version(),
            **built.versions,
            **{name: metadata.version(name) for name in packages},
        },
        "seconds": {
            "compile": clock["compiled"] - clock["start"],
            "starting_values": clock["warm"] - clock["compiled"],
            "sampling": clock["sampled"] - clock["warm"],
            "posterior": clock["done"] - clock["sampled"],
        },
        "status": "done",
    }
