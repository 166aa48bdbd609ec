"""Differential expression from counts to posterior: the one place where data, model, sampler and diagnostics meet."""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import tempfile
import time
import weakref
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
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
from bayesexpr.empirical_bayes.whitening import WarmStart, starting_points, warm_start
from bayesexpr.errors import InputError
from bayesexpr.models.negative_binomial_de import NegativeBinomialDE
from bayesexpr.models.priors import Prior
from bayesexpr.progress import Progress, Silent
from bayesexpr.stan.output import ChainDraws, read_chains
from bayesexpr.stan.settings import SamplerSettings

ACCEPTANCE = 0.65
"""Target acceptance: the optimum of HMC in high dimension (Beskos et al. 2013, Bernoulli 19:1501). The coordinates are
whitened, so the step is limited by their number, not by a narrow place that a smaller step would have to find."""

STEP = 1.45
"""Step size times the fourth root of the number of coordinates, found stable from 2,000 to 200,000 of them: the scaling
of HMC on a product (same source). The adaptation starts there."""

MAX_TREEDEPTH = 8
"""Trajectories that mix take 31 or 63 steps; the bound keeps the adaptation from taking 1,023."""

MANY_GENES = 10_000
"""Above it two iterations are made for each draw kept. What all genes share (the slab's mean and scale, the weights)
waits for the doubtful genes to change their minds, so that an iteration is worth 6 to 10 % of an independent draw; and
the posterior of tens of thousands of genes is large enough on disk already."""

FloatArray = np.ndarray[Any, np.dtype[np.float64]]


@dataclass(frozen=True)
class DESettings:
    """How to fit, apart from what to fit.

    Attributes
    ----------
    chains, warmup, draws
        NUTS chains, and iterations of each. Chains start from an approximation of the posterior, so that the warm-up
        only has to find the step size and forget the start. `draws` are those that are kept.
    thin
        Iterations for each draw kept; by default 2 where more than 10,000 genes are fitted, else 1.
    seed
        Of everything random in the fit.
    cores
        Processes at once; all of the machine's by default.
    """

    chains: int = 4
    warmup: int = 200
    draws: int = 1000
    thin: int | None = None
    seed: int = 1
    cores: int = field(default_factory=lambda: len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1)

    def __post_init__(self) -> None:
        SamplerSettings(**{**asdict(self), "thin": self.thin_for(1)})  # checks them before anything is compiled

    def thin_for(self, genes: int) -> int:
        """Return the iterations for each draw kept, for a fit of so many genes."""
        return self.thin if self.thin is not None else 2 if genes > MANY_GENES else 1


def fit_de(
    data: CountData,
    design: str,
    *,
    tested: str | None = None,
    size_factors: str | FloatArray = "median_of_ratios",
    options: Mapping[str, str] | None = None,
    prior: Mapping[str, Prior] | None = None,
    settings: DESettings | None = None,
    seed: int | None = None,
    cores: int | None = None,
    progress: Progress | None = None,
    folder: str | Path | None = None,
) -> DEFit:
    """Fit ``negative_binomial_de`` to a study by NUTS.

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
    executable, library, program = _compile(model, news)
    clock["compiled"] = time.monotonic()
    warm = warm_start(model, full, np.random.default_rng([settings.seed, 1]), library)
    clock["warm"] = time.monotonic()
    news.say(
        f"starting values and scales: {clock['warm'] - clock['compiled']:.0f} s; {settings.chains} chains x "
        f"({settings.warmup} warm-up + {settings.draws} draws{_thinned(settings.thin_for(full['G']))})"
    )

    home = Path(folder) if folder is not None else Path(tempfile.mkdtemp(prefix="bayesexpr-"))
    home.mkdir(parents=True, exist_ok=True)
    keeper = _Keeper(home) if folder is None else None
    scratch = Path(tempfile.mkdtemp(prefix="chains-", dir=home))
    try:
        chains, used = _sample(model, inputs, warm, executable, program.binary, settings, scratch, news)
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
        record=_record(model, data, plan, program, settings, used, clock, size_factors),
        warnings=plan.notes,
        keeper=keeper,
    )


class _Keeper:
    """Removes a temporary folder with the last fit that uses it."""

    def __init__(self, folder: Path) -> None:
        self._finalizer = weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)


@dataclass(frozen=True)
class _Program:
    digest: str
    version: str
    kind: str
    binary: bool


def _thinned(every: int) -> str:
    return f", each of {every} iterations" if every > 1 else ""


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


def _compile(model: NegativeBinomialDE, news: Progress) -> tuple[Path, Path | None, _Program]:
    from bayesexpr.stan.compiler import compile_program
    from bayesexpr.stan.kernels import shared_library
    from bayesexpr.stan.program import render
    from bayesexpr.stan.toolchain import ensure

    toolchain = ensure(progress=news.say)
    program = render(model.NAME, model.options)
    executable = compile_program(program, toolchain, progress=news.say)
    library = shared_library(program, progress=news.say) if program.kernel else None
    return executable, library, _Program(program.digest, toolchain.version, toolchain.kind, toolchain.binary_output)


def _sample(
    model: NegativeBinomialDE,
    inputs: Mapping[str, Any],
    warm: WarmStart,
    executable: Path,
    binary: bool,
    settings: DESettings,
    scratch: Path,
    news: Progress,
) -> tuple[tuple[ChainDraws, ...], SamplerSettings]:
    from bayesexpr.stan.sampling import run_nuts

    thin = settings.thin_for(len(warm.whitening.center))
    sampler = SamplerSettings(
        chains=settings.chains,
        warmup=settings.warmup,
        draws=settings.draws * thin,
        thin=thin,
        seed=settings.seed,
        cores=settings.cores,
        metric="unit_e",  # the coordinates are whitened: variances estimated from a short warm-up would only add noise
        step_size=STEP * warm.whitening.center.size**-0.25,
        max_treedepth=MAX_TREEDEPTH,
        adapt_delta=ACCEPTANCE,
    )
    files = run_nuts(
        executable,
        model.stan_data(inputs, whitening=warm.whitening),
        sampler,
        output_dir=scratch,
        inits=starting_points(warm, settings.chains, np.random.default_rng([settings.seed, 2])),
        binary=binary,
        progress=news.sampling,
    )
    return read_chains(files), sampler


def _record(
    model: NegativeBinomialDE,
    data: CountData,
    plan: Design,
    program: _Program,
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
        "program_digest": program.digest,
        "options": dict(model.options),
        "priors": {name: str(model.prior(name)) for name in model.PRIORS},
        "design": plan.formula,
        "tested": plan.tested,
        "size_factors": size_factors if isinstance(size_factors, str) else "given",
        "method": "nuts",
        "settings": asdict(settings),
        "sampler": asdict(sampler),
        "inputs_digest": seal.hexdigest(),
        "genes": len(data.genes),
        "genes_fitted": int(data.expressed.sum()),
        "samples": len(data.samples),
        "versions": {
            "python": platform.python_version(),
            "stan": program.version,
            "tool_chain": program.kind,
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
