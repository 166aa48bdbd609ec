"""Every count predicted from all the others: integrated leave-one-out, with a Pareto k-hat of each.

Plain importance sampling from the posterior's draws fails for models with parameters of each gene: a count is one of
the few that its gene's parameters are learned from, and without it the posterior lies elsewhere. Here those parameters
are integrated out (:mod:`.gene_integration`), so that only the hyperparameters, which thousands of genes inform, are
reweighted. Vehtari, Mononen, Tolvanen, Sivula and Winther (2016, J Mach Learn Res 17:103) compare such integrals.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray
from scipy.special import betainc

from bayesexpr.distributions import Float
from bayesexpr.empirical_bayes.blocks import gene_ranges, in_threads
from bayesexpr.empirical_bayes.gene_integration import (
    Hyper,
    Weighted,
    approximate,
    hyper_without_sample,
    points,
    proposals,
    weigh,
    without_sample,
)
from bayesexpr.empirical_bayes.laplace import GenePosterior, Study
from bayesexpr.posterior.importance import reliable_k, smoothed_weights

Genes = NDArray[np.int64]

POINTS, POINTS_AGAIN = 128, 256
"""Points of each component of each gene, at first, and from each proposal for counts that need their own."""

CELLS_AT_ONCE = 2**22
"""Elements of the largest array: a few of them are held at a time."""

GENES_AT_ONCE = 256
"""Genes at most that share a thread's task."""

COUNTS_AT_ONCE = 32
"""Counts left out together: their weights stay near the processor."""

PREDICTED = 64
"""Draws of a count's predictive distribution from which its PIT is computed."""

SUSPECT = 0.02
"""Tail probability from those draws below which it is computed from all points."""

LEAST_HYPER = 0.3
"""Least effective share of the draws of the hyperparameters; a count below that decides them alone."""


@dataclass(frozen=True)
class LeftOut:
    """What the other counts predict for every count; arrays are [sample, gene], missing where it was not asked for.

    Attributes
    ----------
    elpd
        Log predictive density of the count, given all others.
    pareto_k
        Shape of the tail of the weights behind it; infinite where one count decides the hyperparameters.
    threshold
        Largest k-hat to be trusted.
    below, mass
        P(new count < count) and P(new count = count).
    tail
        Twice the smaller of P(new count <= count) and P(new count >= count), at most 1.
    expected
        Geometric mean of the predicted mean count.
    variance
        Of `elpd`, from the finite number of points.
    again
        Number of counts that needed points of their own.
    """

    elpd: Float
    pareto_k: Float
    threshold: float
    below: Float
    mass: Float
    tail: Float
    expected: Float
    variance: Float
    again: int

    @property
    def error(self) -> float:
        """Standard error of the sum of `elpd` from the finite number of points, at most.

        The counts of a gene share their points; this is the error if theirs go fully together.
        """
        return float(np.sqrt(len(self.variance) * self.variance.sum()))

    @property
    def unreliable(self) -> float:
        """Share of counts with a k-hat above the threshold."""
        return float(np.mean(self.pareto_k > self.threshold))

    def pit(self, rng: np.random.Generator) -> Float:
        """Randomised probability integral transform: uniform where the model is right."""
        return np.asarray(self.below + rng.random(self.below.shape) * self.mass)


def leave_one_out(
    study: Study,
    hyper: Hyper,
    seed: int,
    *,
    genes: NDArray[np.int64] | None = None,
    cells: NDArray[np.bool_] | None = None,
    number: int = POINTS,
    again_below: float = 1.0,
    threads: int = 1,
    progress: Callable[[str], None] | None = None,
) -> LeftOut:
    """Predict counts of a study from all the others.

    Parameters
    ----------
    study
        Counts and designs.
    hyper
        Draws of the hyperparameters from their posterior, given all counts.
    seed
        Of the integration points: those of a gene follow from it and from the gene's number.
    genes
        Numbers of the study's genes where it is a part of a larger one; 0, 1, ... unless given.
    cells
        [sample, gene] whether to predict a count; all unless given.
    number
        Points of each component of each gene.
    again_below
        Counts with a larger tail probability get no points of their own, and may have a k-hat above the threshold.
    threads
        Blocks of genes worked on at once.
    progress
        Told what is done.
    """
    S, G = study.full["S"], study.full["G"]
    name_of = np.arange(G) if genes is None else genes
    tell = progress or (lambda text: None)
    found = approximate(study, hyper.centre)
    asked = np.ones((S, G), dtype=bool) if cells is None else cells
    out = {
        name: np.full((S, G), np.nan) for name in ("elpd", "pareto_k", "below", "mass", "tail", "expected", "variance")
    }
    size = min(max(1, CELLS_AT_ONCE // (S * hyper.size * number * study.at.C)), GENES_AT_ONCE)

    def together(block: Genes) -> Genes:
        part, rng = study.subset(block), np.random.default_rng([seed, 0, block[0]])
        drawn = points(
            [[one] for one in proposals(part, hyper.centre, _cut(found, block))],
            number,
            np.random.default_rng([seed, 1]),
            name_of[block],
        )
        samples, places = np.nonzero(asked[:, block])
        _write(out, weigh(part, hyper, drawn), study.full["count"], (samples, places), block, rng)
        return block

    def alone(s: int, block: Genes) -> None:
        both = _around_the_rest(
            study.subset(block), hyper, _cut(found, block), s, np.random.default_rng([seed, 2, s]), name_of[block]
        )
        where = np.full(len(block), s), np.arange(len(block))
        _write(out, both, study.full["count"], where, block, np.random.default_rng([seed, 3, s, block[0]]))

    for block in in_threads(together, gene_ranges(G, size), threads):
        tell(f"leave-one-out: {block[-1] + 1} of {G} genes")
    limit = reliable_k(number * study.at.C)
    wrong = (out["pareto_k"] > limit) & (out["tail"] <= again_below)
    for s in range(S if S > 1 else 0):
        chosen = np.flatnonzero(wrong[s])
        blocks = (chosen[some] for some in gene_ranges(len(chosen), max(1, size // 4)))
        for _ in in_threads(partial(alone, s), blocks, threads):
            pass
        tell(f"leave-one-out: sample {s + 1} of {S}, {len(chosen)} counts with points of their own")
    return LeftOut(**out, threshold=limit, again=int(wrong.sum()))


def leave_out(log_weight: Float, log_lik: Float) -> tuple[Float, Float, Float]:
    """Leave counts out.

    Parameters
    ----------
    log_weight, log_lik
        [M, I, n] log weights of the points that the n counts' genes have, and the counts' log likelihoods there.

    Returns
    -------
    elpd, pareto_k, weight
        [n], [n], and the weights [M, I, n] of the points without the count, normalised for each count.
    """
    weight = log_weight - log_lik
    top = weight.max(axis=(0, 1))
    weight -= top
    np.exp(weight, out=weight)
    total = weight.sum(axis=(0, 1))
    elpd = np.log(len(weight)) - np.log(total) - top
    weight /= total
    of_hyper = weight.sum(axis=1)
    # points are judged as if each draw of the hyperparameters counted alike: what reweights those is judged beside
    with np.errstate(divide="ignore"):
        of_points = np.log((weight / of_hyper[:, None]).sum(axis=0))
    k = np.nan_to_num(smoothed_weights(of_points.T)[1], nan=np.inf)
    effective = 1.0 / (of_hyper**2).sum(axis=0) / len(of_hyper)
    return elpd, np.where(effective < LEAST_HYPER, np.inf, k), weight


def _write(
    out: dict[str, Float],
    weighted: Weighted,
    count: NDArray[np.int64],
    where: tuple[Genes, Genes],
    genes: Genes,
    rng: np.random.Generator,
) -> None:
    """Leave some counts out and write what the others say of them.

    Parameters
    ----------
    count
        [S, G] of the study.
    where
        Samples and genes of those counts, the latter as places in `weighted`.
    genes
        The places of its genes in the study.
    """
    whole = np.exp(weighted.log_weight).mean(axis=0)
    for some in gene_ranges(len(where[0]), COUNTS_AT_ONCE):
        s, g = (places[some] for places in where)
        place = s, genes[g]
        for name, values in _predict(weighted, whole[:, g], s, g, count[place], rng).items():
            out[name][place] = values


def _predict(
    weighted: Weighted, whole: Float, s: Genes, g: Genes, y: NDArray[np.int64], rng: np.random.Generator
) -> dict[str, Float]:
    """Predict the counts y [n] of samples `s` and genes `g`; `whole` [I, n] are the points' weights with the count."""
    elpd, k, weight = leave_out(weighted.log_weight[:, :, g], np.moveaxis(weighted.log_lik[s, :, :, g], 0, -1))
    # the delta method for a ratio of two means over the same points
    moved = whole - weight.sum(axis=0)
    # one draw of the hyperparameters to each point: their spread is in the points as a whole
    M, I = weight.shape[:2]  # noqa: E741
    point = np.arange(I)
    turn = point % M
    single = weight[turn, point]
    single = single / single.sum(axis=0)
    each = turn[:, None], point[:, None], g
    log_mean, log_phi = weighted.log_mean[(s, *each)], weighted.log_phi[each]
    at_most, at_least = _tails(y, *_resample(single, log_mean, log_phi, rng))
    suspect = np.minimum(at_most, at_least) < SUSPECT
    if suspect.any():
        full = _tails(y[suspect], log_mean[:, suspect], log_phi[:, suspect], single[:, suspect])
        at_most[suspect], at_least[suspect] = full
    return {
        "elpd": elpd,
        "pareto_k": k,
        "variance": (moved**2).sum(axis=0),
        "below": np.clip(1.0 - at_least, 0.0, 1.0),
        "mass": np.clip(at_most + at_least - 1.0, 0.0, 1.0),
        "tail": np.minimum(2.0 * np.minimum(at_most, at_least), 1.0),
        "expected": np.exp((single * log_mean).sum(axis=0)),
    }


def _resample(
    weight: Float, log_mean: Float, log_phi: Float, rng: np.random.Generator
) -> tuple[Float, Float, Float | None]:
    """Draw `PREDICTED` points of each count by their weights (systematic resampling)."""
    I, n = weight.shape  # noqa: E741
    reach = np.cumsum(weight, axis=0)
    until = np.floor(PREDICTED * reach - rng.random(n)).astype(np.int64) + 1
    until[-1] = PREDICTED
    until = np.clip(until, 0, PREDICTED)
    copies: NDArray[np.int64] = until - np.concatenate([np.zeros((1, n), dtype=np.int64), until[:-1]])
    chosen = np.repeat(np.tile(np.arange(I), n), copies.T.ravel()).reshape(n, PREDICTED).T
    return np.take_along_axis(log_mean, chosen, 0), np.take_along_axis(log_phi, chosen, 0), None


def _tails(y: NDArray[np.int64], log_mean: Float, log_phi: Float, weight: Float | None = None) -> tuple[Float, Float]:
    """P(new count <= y) and P(new count >= y), [g], of mixtures of negative binomials [I, g]."""
    phi, success = np.exp(log_phi), 1.0 / (1.0 + np.exp(np.clip(log_mean - log_phi, -700.0, 700.0)))
    count = y.astype(np.float64)
    at_most = betainc(phi, count + 1.0, success)
    at_least = np.where(count > 0, betainc(np.maximum(count, 1.0), phi, 1.0 - success), 1.0)
    if weight is None:
        return at_most.mean(axis=0), at_least.mean(axis=0)
    return (weight * at_most).sum(axis=0), (weight * at_least).sum(axis=0)


def _around_the_rest(
    study: Study, hyper: Hyper, found: list[GenePosterior], s: int, rng: np.random.Generator, genes: Genes
) -> Weighted:
    """Weigh points around the mode without sample s, and around the mode with it, as one mixture."""
    rest = approximate(without_sample(study, s), hyper_without_sample(hyper.centre, s), [one.mode for one in found])
    both = (proposals(study, hyper.centre, one) for one in (found, rest))
    mixture = [list(pair) for pair in zip(*both, strict=True)]
    return weigh(study, hyper, points(mixture, POINTS_AGAIN, rng, genes))


def _cut(found: list[GenePosterior], genes: Genes) -> list[GenePosterior]:
    names = ("mode", "precision", "mean", "variance", "log_marginal")
    return [GenePosterior(*(getattr(one, name)[genes] for name in names)) for one in found]
