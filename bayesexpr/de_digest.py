"""From chains to answers: the posterior on disk, every gene's diagnostics and status, and the verdict on the fit."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bayesexpr.data.counts import CountData
from bayesexpr.data.design import Design
from bayesexpr.empirical_bayes.gene_integration import Hyper
from bayesexpr.empirical_bayes.laplace import Study
from bayesexpr.empirical_bayes.outlying import confirmed_tails, outlying
from bayesexpr.models.de_layout import Whitening
from bayesexpr.names import GENE, SAMPLE
from bayesexpr.posterior import store
from bayesexpr.posterior.de_draws import (
    ChainArrays,
    GeneBlock,
    average_effect,
    gene_block,
    gene_slices,
    linear_predictor,
)
from bayesexpr.posterior.diagnostics import convergence, count_divergences, count_saturated, ebfmi
from bayesexpr.posterior.gene_convergence import gene_convergence
from bayesexpr.posterior.predictive import tail_probability
from bayesexpr.posterior.verdict import Verdict, gene_status, judge
from bayesexpr.stan.output import ChainDraws
from bayesexpr.stan.settings import SamplerSettings

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd

Float = NDArray[np.float64]

SAMPLER_LABELS = ("lp", "acceptance_rate", "step_size", "tree_depth", "n_steps", "diverging", "energy")
LARGEST_LOG_MEAN = 300.0
"""Of a draw far out, where counts near 2^31 tell nothing of a dispersion: what lies above is as improbable."""

SCREEN_DRAWS = 10
"""Draws from which every count's tail probability is computed: genes with a small one are looked at again."""


def digest(
    chains: tuple[ChainDraws, ...],
    whitening: Whitening,
    study: Study,
    data: CountData,
    plan: Design,
    sampler: SamplerSettings,
    folder: Path,
    *,
    threads: int,
) -> tuple[pd.DataFrame, dict[str, Any], Verdict]:
    """Go through the chains once.

    Parameters
    ----------
    study
        The model's layout and completed data, of the fitted genes.
    data
        The whole study.
    folder
        Where the posterior goes.
    threads
        Threads that each chain ran with.

    Returns
    -------
    genes, diagnostics, verdict
        One row per gene of the study; numbers; words.
    """
    import pandas as pd

    at, full = study.at, study.full
    arrays = ChainArrays.find(chains[0].names, [c.draws for c in chains], (at.H, full["G"], at.P))
    theta = whitening.theta(arrays.zeta)
    hyper = at.hyper(theta, full["log_size_factor"])
    stats = np.stack([c.sampler for c in chains])
    columns = dict(zip(SAMPLER_LABELS, np.moveaxis(stats, -1, 0), strict=True))
    path = folder / store.POSTERIOR
    kept = {**columns, "diverging": columns["diverging"].astype(bool)}
    store.create(path, hyper, kept, coords(full, data, plan, stats.shape), full["count"], constant(full))

    found = {name: np.empty(full["G"]) for name in ("dispersion", "rhat", "ess_bulk", "ess_tail")}
    tails, writing = np.empty(full["count"].shape), Lock()

    def work(genes: slice) -> None:
        block = gene_block(arrays, whitening, at, full, theta, hyper, genes)
        with writing:
            store.write_block(path, block)
        effect = average_effect(block, full["component"])
        chained = gene_convergence(block.alpha, effect, block.log_phi if at.trend else None)
        for name, values in vars(chained).items():
            found[name][genes] = values
        found["dispersion"][genes] = np.exp(-block.log_phi.astype(float)).mean(axis=(0, 1))
        tails[:, genes] = screened_tails(block, hyper, full)

    with ThreadPoolExecutor(max_workers=sampler.cores) as pool:
        list(pool.map(work, gene_slices(full["G"])))
    few = Hyper.of(at, theta.reshape(-1, at.H), full["log_size_factor"], full["G"])
    tails = confirmed_tails(study, few, tails, sampler.cores)
    far = outlying(tails)
    genes = _gene_table(data, found, far, np.exp(hyper["log_f"]).mean(axis=(0, 1)), stats.shape)

    shared = convergence(theta)
    table = pd.DataFrame(
        {"mean": theta.mean(axis=(0, 1)), "sd": theta.std(axis=(0, 1)), **vars(shared)}, index=at.names()
    )
    chains_, draws = stats.shape[:2]
    saturated, divergences = count_saturated(columns["tree_depth"], sampler.max_treedepth), columns["diverging"]
    energies = None if np.isnan(columns["energy"]).all() else ebfmi(columns["energy"])
    verdict = judge(
        status=genes["status"].to_numpy(),
        hyperparameters=table,
        divergences=count_divergences(divergences),
        ebfmi=energies,
        saturated=saturated,
        n_chains=chains_,
        n_draws=draws,
    )
    diagnostics = {
        "divergences": count_divergences(divergences),
        "ebfmi": energies,
        "saturated": saturated,
        "iterations": int(columns["n_steps"].size * sampler.thin),
        # NUTS writes what it keeps, and nothing of the iterations in between
        "iterations_watched": int(columns["n_steps"].size * (sampler.thin if energies is None else 1)),
        "leapfrogs_per_draw": float(columns["n_steps"].mean()),
        "mean_tree_depth": float(columns["tree_depth"].mean()),
        "step_size": columns["step_size"][:, -1],
        "threads_per_chain": threads,
        "seconds": [{"warmup": c.warmup_seconds, "sampling": c.sampling_seconds} for c in chains],
        "max_rhat": extreme(np.max, found["rhat"]),
        "min_ess_bulk": extreme(np.min, found["ess_bulk"]),
        "min_ess_tail": extreme(np.min, found["ess_tail"]),
        "outlying_counts": outlying_cells(far, tails, full, data),
        "hyperparameters": table.to_dict(orient="index"),
    }
    return genes, diagnostics, verdict


def extreme(function: Callable[..., Any], values: Float) -> float:
    """Largest or smallest of the values that there are; NaN where there is none."""
    known = values[~np.isnan(values)]
    return float(function(known)) if known.size else float("nan")


def screened_tails(block: GeneBlock, hyper: Mapping[str, Float], full: Mapping[str, Any]) -> Float:
    """Tail probability [sample, gene] of every count, each predicted from the others of its gene in a few draws."""
    cut = {name: full[name][:, block.genes] for name in ("count", "log_length")}
    here = {**{name: full[name] for name in ("nuisance_design", "component_design")}, **cut}
    chains, draws = block.alpha.shape[:2]
    every = max(1, chains * draws // SCREEN_DRAWS)
    thin = replace(block.thin(every), genes=slice(None))
    eta = linear_predictor(thin, hyper["log_f"][:, ::every], here)
    mu = np.exp(np.minimum(eta.reshape(-1, *eta.shape[2:]), LARGEST_LOG_MEAN))
    phi = np.exp(thin.log_phi.astype(float)).reshape(-1, thin.log_phi.shape[2])
    probability = thin.probability.astype(float).reshape(-1, *thin.probability.shape[2:])
    return tail_probability(here["count"], mu, phi, probability)


def outlying_cells(far: NDArray[np.bool_], tails: Float, full: Mapping[str, Any], data: CountData) -> list[Any]:
    """List the outlying counts by gene and sample."""
    names = np.asarray(data.genes, dtype=object)[data.expressed]
    return [
        {"gene": names[g], "sample": data.samples[s], "count": full["count"][s, g], "tail_probability": tails[s, g]}
        for s, g in np.argwhere(far)
    ]


def _gene_table(
    data: CountData, fitted: Mapping[str, Float], far: NDArray[np.bool_], factors: Float, shape: tuple[int, ...]
) -> pd.DataFrame:
    import pandas as pd

    where = data.expressed
    columns: dict[str, Any] = {"gene": list(data.genes), "baseMean": (data.counts / factors[:, None]).mean(axis=0)}
    for name, values in fitted.items():
        columns[name] = np.full(len(where), np.nan)
        columns[name][where] = values
    outlier = np.zeros(len(where), dtype=bool)
    outlier[where] = far.any(axis=0)
    columns["status"] = gene_status(
        all_zero=~where,
        rhat=columns["rhat"],
        ess_bulk=columns["ess_bulk"],
        ess_tail=columns["ess_tail"],
        n_chains=shape[0],
        n_draws=shape[1],
        outlier=outlier,
    )
    columns["fitted"] = where
    return pd.DataFrame(columns)


def coords(full: Mapping[str, Any], data: CountData, plan: Design, shape: tuple[int, ...]) -> dict[str, Any]:
    """Labels of the posterior's dimensions; `shape` starts with the numbers of chains and draws."""
    names = np.asarray(plan.column_names, dtype=object)
    spike = full["C"] > 1
    return {
        "chain": np.arange(shape[0]),
        "draw": np.arange(shape[1]),
        GENE: np.asarray(data.genes, dtype=object)[data.expressed],
        SAMPLE: list(data.samples),
        store.TESTED: list(names[plan.tested_columns]),
        store.OTHER: list(names[plan.nuisance_columns]),
        store.COMPONENT: list(plan.partitions().labels) if spike else ["changed"],
        "other_term": list(plan.nuisance_terms),
    }


def constant(full: Mapping[str, Any]) -> dict[str, tuple[tuple[str, ...], Any]]:
    """Return what a fit is conditional on, with its dimensions."""
    return {
        "projector": ((store.COMPONENT, store.TESTED, "tested_coefficient_in"), full["component"]),
        "log_size_factor": ((SAMPLE,), full["log_size_factor"]),
        "design": ((SAMPLE, store.TESTED), full["design"]),
    }
