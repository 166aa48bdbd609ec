"""Differential expression from counts to posterior: the one place where data, model, sampler and diagnostics meet."""

from __future__ import annotations

import hashlib
import platform
import shutil
import tempfile
import time
import weakref
from collections.abc import Mapping
from dataclasses import asdict, replace
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from bayesexpr.data.counts import CountData
from bayesexpr.data.design import Design, build_design
from bayesexpr.data.lengths import log_offset
from bayesexpr.data.size_factors import size_factors as robust_size_factors
from bayesexpr.de_digest import digest
from bayesexpr.de_fit import KIND, DEFit
from bayesexpr.de_sampling import Built, DESettings, build, choose_method, sample_blocked, sample_nuts
from bayesexpr.empirical_bayes.whitening import warm_start
from bayesexpr.errors import InputError
from bayesexpr.models.negative_binomial_de import NegativeBinomialDE
from bayesexpr.models.priors import Prior
from bayesexpr.progress import Progress, Silent
from bayesexpr.stan.settings import SamplerSettings

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
        ``auto``: NUTS up to 5,000 genes, and wherever the program has no kernel, else blocked.
    settings
        Chains, iterations, seed and cores; `seed` and `cores` are short for those of its fields.
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
    settings = replace(settings, **{k: v for k, v in {"seed": seed, "cores": cores}.items() if v is not None})
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
    chosen = choose_method(method, model, full["G"])
    news.say(f"method {chosen.name}: {chosen.reason}")
    built = build(model, chosen.name, news)
    clock["compiled"] = time.monotonic()
    warm = warm_start(model, full, np.random.default_rng([settings.seed, 1]), built.library)
    clock["warm"] = time.monotonic()
    thin = settings.thin_for(chosen.name, full["G"])
    news.say(
        f"starting values and scales: {clock['warm'] - clock['compiled']:.0f} s; {settings.chains} chains x "
        f"({settings.warmup} warm-up + {settings.draws} draws{f', each of {thin} iterations' if thin > 1 else ''})"
    )

    home = Path(folder) if folder is not None else Path(tempfile.mkdtemp(prefix="bayesexpr-"))
    home.mkdir(parents=True, exist_ok=True)
    keeper = _Keeper(home) if folder is None else None
    scratch = Path(tempfile.mkdtemp(prefix="chains-", dir=home))
    try:
        sample = sample_blocked if chosen.name == "blocked" else sample_nuts
        chains, used = sample(model, inputs, warm, built, settings, scratch, news)
        clock["sampled"] = time.monotonic()
        news.close()
        news.say("posterior of every gene and diagnostics")
        genes, diagnostics, verdict = digest(chains, warm.whitening, model.layout(full), full, data, plan, used, home)
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
        record=_record(model, data, plan, chosen.name, built, settings, used, clock, size_factors),
        warnings=plan.notes,
        keeper=keeper,
    )


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


def _record(
    model: NegativeBinomialDE,
    data: CountData,
    plan: Design,
    method: str,
    built: Built,
    settings: DESettings,
    sampler: SamplerSettings,
    clock: Mapping[str, float],
    size_factors: str | FloatArray,
) -> dict[str, Any]:
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
        "method": method,
        "settings": asdict(settings),
        "sampler": asdict(sampler),
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
