"""Differential expression by empirical Bayes: hyperparameters from all genes at once, then each gene by itself.

The result is an approximation of the joint posterior, in the same store and tables as one by Markov chains: draws of
the hyperparameters from their marginal posterior, taken as normal, and for each of them a draw of every gene given it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bayesexpr.data.counts import CountData
from bayesexpr.data.design import Design
from bayesexpr.de_digest import constant, coords, extreme, outlying_cells, screened_tails
from bayesexpr.distributions import Float
from bayesexpr.empirical_bayes.blocks import gene_ranges, in_threads
from bayesexpr.empirical_bayes.gene_integration import Hyper
from bayesexpr.empirical_bayes.hyper import fit_hyper
from bayesexpr.empirical_bayes.hyperposterior import HyperPosterior, learn
from bayesexpr.empirical_bayes.importance import GeneSample, GeneTask, sample_genes
from bayesexpr.empirical_bayes.laplace import Study, start
from bayesexpr.empirical_bayes.outlying import confirmed_tails, outlying
from bayesexpr.empirical_bayes.whitening import PILOT_GENES, first_guess
from bayesexpr.errors import OptionError
from bayesexpr.models.negative_binomial_de import NegativeBinomialDE
from bayesexpr.posterior import store
from bayesexpr.posterior.approximation_verdict import approximation_status, judge_approximation
from bayesexpr.posterior.importance import reliable_k
from bayesexpr.posterior.verdict import Verdict

if TYPE_CHECKING:
    import pandas as pd

GENES_PER_TASK = 1024
"""Genes sampled together: enough of them that those left to Markov chains share the cost of a step."""

FEWEST_DRAWS = 100
"""Draws below which neither weights nor groups of chains can be judged."""


@dataclass(frozen=True)
class GeneResult:
    """What is kept of some genes beside their draws.

    Attributes
    ----------
    sample
        The draws and their diagnostics.
    dispersion
        [gene] posterior mean.
    tails
        [sample, gene] tail probability of every count in a few draws.
    """

    sample: GeneSample
    dispersion: Float
    tails: Float


Spread = Callable[[Iterable[GeneTask]], Iterator[GeneResult]]
"""Does :func:`work_on_genes` for every task, somewhere, and gives the results in order."""


def work_on_genes(task: GeneTask) -> GeneResult:
    """Sample some genes and hold their counts against what the sample predicts."""
    sample = sample_genes(task)
    block = replace(sample.block, genes=slice(0, len(task.genes)))
    hyper = task.study.at.hyper(task.theta[None], task.study.full["log_size_factor"])
    dispersion = np.exp(-block.log_phi.astype(float)).mean(axis=(0, 1))
    return GeneResult(sample, dispersion, screened_tails(block, hyper, task.study.full))


def learn_hyperparameters(
    model: NegativeBinomialDE, full: Mapping[str, Any], library: Path | None, seed: int, threads: int
) -> tuple[Study, HyperPosterior]:
    """Find the posterior of the hyperparameters: from a pilot of some genes by Laplace's method, then from all genes.

    Parameters
    ----------
    full
        The model's completed data.
    library
        The kernel's core as a shared library; None to compute in NumPy.
    """
    at = model.layout(full)
    study = Study.of(model, full, library)

    def log_prior(theta: Float) -> float:
        return model.hyper_log_density(at, theta, at.hyper(theta, full["log_size_factor"]))

    rng = np.random.default_rng([seed, 1])
    pilot = study
    if full["G"] > PILOT_GENES:
        pilot = study.subset(np.sort(rng.choice(full["G"], PILOT_GENES, replace=False)))
    rough, _ = fit_hyper(pilot, first_guess(model, at, pilot), [start(pilot)] * at.C, log_prior, enough=1.0)
    return study, learn(study, rough, log_prior, seed, threads)


def sample_approximately(
    study: Study,
    hyper: HyperPosterior,
    data: CountData,
    plan: Design,
    folder: Path,
    *,
    draws: int,
    seed: int,
    threads: int,
    spread: Spread | None = None,
) -> tuple[pd.DataFrame, dict[str, Any], Verdict]:
    """Sample every gene given draws of the hyperparameters, and keep the posterior.

    Parameters
    ----------
    data
        The whole study.
    folder
        Where the posterior goes.
    draws
        Draws to keep.
    threads
        Blocks of genes worked on at once.
    spread
        Who does the work on the genes; by default the threads of this process.

    Returns
    -------
    genes, diagnostics, verdict
        One row per gene of the study; numbers; words.
    """
    if draws < FEWEST_DRAWS:
        raise OptionError(f"method eb keeps at least {FEWEST_DRAWS} draws; {draws} were asked for.")
    full, G = study.full, study.full["G"]
    theta = hyper.draw(draws, np.random.default_rng([seed, 2]))
    natural = study.at.hyper(theta[None], full["log_size_factor"])
    path = folder / store.POSTERIOR
    store.create(path, natural, {}, coords(full, data, plan, (1, draws)), full["count"], constant(full))

    def tasks() -> Iterator[GeneTask]:
        for some in gene_ranges(G, GENES_PER_TASK):
            near = None if hyper.proposal is None else hyper.proposal.of(some)
            yield GeneTask(study.subset(some), some, hyper.center, theta, hyper.score[some], seed, near)

    names = ("k", "ess_bulk", "ess_tail", "rhat")
    found = {name: np.empty(G) for name in (*names, "dispersion")}
    moved, tails = np.empty(G, dtype=bool), np.empty(full["count"].shape)
    do = spread or (lambda work: in_threads(work_on_genes, work, threads))
    for result in do(tasks()):
        here = result.sample.block.genes
        store.write_block(path, result.sample.block)
        for name in names:
            found[name][here] = getattr(result.sample, name)
        moved[here], found["dispersion"][here], tails[:, here] = result.sample.moved, result.dispersion, result.tails
    few = Hyper.of(study.at, theta, full["log_size_factor"], G)
    tails = confirmed_tails(study, few, tails, threads)
    far = outlying(tails)
    genes = _gene_table(data, found, moved, far, np.exp(natural["log_f"]).mean(axis=(0, 1)), draws)
    limit, shared = reliable_k(draws), hyper_table(study, hyper)
    verdict = judge_approximation(
        status=genes["status"].to_numpy(),
        k=genes["k"].to_numpy(),
        moved=genes["moved"].to_numpy(),
        k_limit=limit,
        steps=hyper.steps,
        largest=hyper.largest,
        hyperparameters=shared,
    )
    fitted = np.asarray(data.genes, dtype=object)[data.expressed]
    diagnostics = {
        "k_limit": limit,
        "max_k": extreme(np.max, found["k"][~moved]),
        "sampled_by_chains": {str(fitted[g]): found["k"][g] for g in np.flatnonzero(moved)},
        "max_rhat": extreme(np.max, found["rhat"]),
        "min_ess_bulk": extreme(np.min, found["ess_bulk"]),
        "min_ess_tail": extreme(np.min, found["ess_tail"]),
        "steps_to_the_mean": list(hyper.steps),
        "largest_of_a_hyperparameter": list(hyper.largest),
        "outlying_counts": outlying_cells(far, tails, full, data),
        "hyperparameters": shared,
    }
    return genes, diagnostics, verdict


def _gene_table(
    data: CountData,
    found: Mapping[str, Float],
    moved: Any,
    far: Any,
    factors: Float,
    draws: int,
) -> pd.DataFrame:
    import pandas as pd

    where = data.expressed
    columns: dict[str, Any] = {"gene": list(data.genes), "baseMean": (data.counts / factors[:, None]).mean(axis=0)}
    for name, values in found.items():
        columns[name] = np.full(len(where), np.nan)
        columns[name][where] = values
    for name, flags in (("moved", moved), ("outlier", far.any(axis=0))):
        columns[name] = np.zeros(len(where), dtype=bool)
        columns[name][where] = flags
    judged = {name: columns[name] for name in ("k", "moved", "rhat", "ess_bulk", "ess_tail")}
    outlier = columns.pop("outlier")
    columns["status"] = approximation_status(all_zero=~where, **judged, n_draws=draws, outlier=outlier)
    columns["fitted"] = where
    return pd.DataFrame(columns)


def hyper_table(study: Study, hyper: HyperPosterior) -> dict[str, dict[str, float]]:
    """Posterior mean and standard deviation of every hyperparameter on the real line, by its name."""
    sd = np.sqrt(np.diag(hyper.covariance))
    return {
        name: {"mean": float(mean), "sd": float(spread)}
        for name, mean, spread in zip(study.at.names(), hyper.center, sd, strict=True)
    }
