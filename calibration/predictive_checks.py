"""Posterior predictive checks of a differential-expression fit, streamed a block of genes at a time.

The same data made the posterior, so a p-value of such a check is conservative: small ones are rarer than they say.
Within genes, where a handful of counts decide a handful of parameters, that is most of the truth. There the p-values
are held against those of genes that were simulated from the fitted model and put through the same mill, which makes
them calibrated (Hjort, Dahl and Steinbakk 2006, J Am Stat Assoc 101:1157).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from bayesexpr.distributions import Float, nb2_rng
from bayesexpr.empirical_bayes.gene_integration import Hyper, Weighted, approximate, points, proposals, weigh
from bayesexpr.empirical_bayes.laplace import Study
from bayesexpr.errors import SamplingError
from bayesexpr.posterior.de_draws import GeneBlock, linear_predictor
from bayesexpr.posterior.predictive import TestQuantities, replicate_counts
from bayesexpr.posterior.verdict import Finding

from .fitted_study import FittedStudy, finite_genes, take_genes
from .measured import Measured

REPLICATES = 200
"""Replicated tables; p-values are resolved to twice their inverse."""

REFERENCE_GENES = 1000
"""Simulated genes that the p-values within genes are held against."""

WITHIN = ("zeros", "mean", "variance", "maximum")
"""Test quantities of one gene over its samples."""

BINS, LEAST_IN_BIN, MANY_BINS = 12, 20, 0.25
LEAST_MEAN = 1.0
"""Mean normalised count from which on the dispersion is checked by moments: a few single counts have none."""
_POINTS = 128

MATERIAL, MANY_GENES, MOST_GENES = 0.1, 0.03, 0.2
"""Relative difference of a test quantity, and shares of genes with a calibrated p-value below 0.01, that ask for care;
the last: not to be trusted."""

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class PredictiveChecks:
    """Tables of the checks; see :data:`.certificate.TABLES`.

    Attributes
    ----------
    samples, overall, trend, genes
        `trend` has no rows where no degrees of freedom are left for a variance within conditions.
    gene_p_values
        [gene] of each of `WITHIN`: calibrated; missing where the gene was left out.
    excluded
        Genes left out because a draw of theirs is not finite.
    """

    samples: pd.DataFrame
    overall: pd.DataFrame
    trend: pd.DataFrame
    genes: pd.DataFrame
    gene_p_values: Mapping[str, Float]
    excluded: int

    def findings(self) -> list[Finding]:
        """Say how replicated tables differ from the observed one."""
        table = pd.concat([self.samples, self.overall.assign(sample="all samples")])
        outside = table[((table["observed"] < table["lower"]) | (table["observed"] > table["upper"]))]
        outside = outside[outside["p_value"] <= 2 / REPLICATES]
        off = outside[(outside["observed"] / outside["median"] - 1).abs() > MATERIAL]
        out: list[Finding] = []
        if len(off):
            row = off.iloc[int(np.argmax((np.log(off["observed"] + 1e-9) - np.log(off["median"] + 1e-9)).abs()))]
            out.append(
                Measured(
                    1,
                    f"{len(off)} of {len(table)} test quantities of samples differ from replicated tables; the most "
                    f"is the {row['quantity']} of {row['sample']}: {row['observed']:.4g}, replicates "
                    f"{row['lower']:.4g} to {row['upper']:.4g}.",
                    float("inf"),
                )
            )
        else:
            text = f"All {len(table)} test quantities of samples are like those of {REPLICATES} replicates"
            if len(outside):
                lie = "1 lies" if len(outside) == 1 else f"{len(outside)} lie"
                text += f" within {100 * MATERIAL:.0f} %, though {lie} outside what these differ by"
            out.append(Finding(0, text + ".", topic="prediction"))
        if self.excluded:
            genes = "1 gene has draws" if self.excluded == 1 else f"{self.excluded} genes have draws"
            text = f"{genes} that are not finite and were left out of the predictive checks."
            out.append(Finding(2, text, topic="prediction"))
        return [*out, self._within(), *self._trend()]

    def _within(self) -> Finding:
        worst = self.genes.iloc[int(self.genes["share_below_0.01"].argmax())]
        share, genes = float(worst["share_below_0.01"]), int(np.isfinite(self.gene_p_values[WITHIN[0]]).sum())
        # what chance alone gives to the worst of four quantities once in a hundred times
        chance = stats.binom.ppf(1 - 0.01 / len(WITHIN), genes, 0.01) / genes
        text = (
            f"Within genes the {worst['quantity']} is the least well predicted: {100 * share:.1f} % of genes have a "
            "calibrated predictive p-value below 0.01."
        )
        limit = max(MANY_GENES, chance)
        return Measured(2 if share > max(MOST_GENES, limit) else int(share > limit), text, share / limit)

    def _trend(self) -> list[Finding]:
        if not len(self.trend):
            return []
        out = (self.trend["observed"] < self.trend["lower"]) | (self.trend["observed"] > self.trend["upper"])
        gap = (self.trend["observed"] - self.trend["median"]).abs() / self.trend["median"].abs().clip(lower=1e-3)
        far = out & (gap > 2 * MATERIAL)
        text = f"The dispersion trend is as replicated in {int((~out).sum())} of {len(out)} bins of mean count"
        if not far.any():
            return [Finding(0, text + ".", topic="prediction")]
        row = self.trend[far].iloc[int(gap[far].argmax())]
        less = float((self.trend["observed"] < self.trend["median"])[far].mean()) > 0.5
        meaning = "less than the model says: calls are cautious" if less else "more than the model says: calls are rash"
        found = (
            f"; around a mean of {row['mean_count']:.3g} it is {row['observed']:.3g}, not {row['median']:.3g}. Most "
            f"genes vary {meaning}."
        )
        share = float(far.sum()) / len(out)
        return [Measured(int(share > MANY_BINS), text + found, share / MANY_BINS)]


class Streamed:
    """Test quantities of observed and replicated tables, added up over blocks of genes.

    Parameters
    ----------
    fitted
        The study.
    rng
        Of the replicates.
    """

    def __init__(self, fitted: FittedStudy, rng: np.random.Generator) -> None:
        self._full, self._rng = fitted.full, rng
        self._hyper = fitted.thinned_hyper(REPLICATES)
        self._observed: TestQuantities | None = None
        self._replicated: TestQuantities | None = None
        self._scale = np.exp(self._hyper["log_f"].mean(axis=0))[:, None]
        self._residual = residual_maker(fitted.full)
        G, D = fitted.full["G"], len(self._hyper["log_f"])
        self._mean, self._dispersion = np.full(G, np.nan), np.full(G, np.nan)
        self._drawn_dispersion = np.full((D, G), np.nan, dtype=np.float32)
        self._p = {name: np.full(G, np.nan) for name in WITHIN}

    def add(self, block: GeneBlock) -> None:
        """Replicate the counts of some genes; the block's draws are those of ``thinned_hyper(REPLICATES)``."""
        good = finite_genes(block)
        genes = np.arange(block.genes.start, block.genes.stop)[good]
        if not good.any():
            return
        block, cut = take_genes(block, np.flatnonzero(good)), {"log_length": self._full["log_length"][:, genes]}
        y = self._full["count"][:, genes]
        eta = linear_predictor(block, self._hyper["log_f"][None], {**self._full, **cut})[0]
        mu = np.exp(np.minimum(eta, 40.0))
        drawn = replicate_counts(mu, np.exp(block.log_phi[0].astype(float)), block.probability[0], self._rng)
        observed, replicated = TestQuantities.of(y), TestQuantities.of(drawn)
        self._observed = observed if self._observed is None else self._observed + observed
        self._replicated = replicated if self._replicated is None else self._replicated + replicated
        for name, values in within_p_values(y, drawn, self._rng).items():
            self._p[name][genes] = values
        scale = self._scale * np.exp(self._full["log_length"][:, genes])
        self._mean[genes] = (y / scale).mean(axis=0)
        self._dispersion[genes] = moment_dispersion(y, scale, self._residual)
        self._drawn_dispersion[:, genes] = moment_dispersion(drawn, scale, self._residual)

    def finish(self, reference: Mapping[str, Float], samples: tuple[str, ...]) -> PredictiveChecks:
        """Make the tables, with p-values within genes calibrated by those of simulated genes."""
        if self._observed is None or self._replicated is None:
            raise SamplingError("no gene has finite draws only: there is nothing to check. Fit again.")
        rows, whole = [], []
        for (name, value), (_, drawn) in zip(self._observed.items(), self._replicated.items(), strict=True):
            rows += [{"sample": sample, **_row(name, value[s], drawn[:, s])} for s, sample in enumerate(samples)]
        for (name, value), (_, drawn) in zip(
            _pooled(self._observed).items(), _pooled(self._replicated).items(), strict=True
        ):
            whole.append(_row(name, value[0], drawn[:, 0]))
        calibrated = {name: calibrate(p, reference[name]) for name, p in self._p.items()}
        known = np.isfinite(self._mean)
        shares = [
            {
                "quantity": name,
                "share_below_0.01": float(np.mean(p[known] < 0.01)),
                "share_below_0.05": float(np.mean(p[known] < 0.05)),
                "uncalibrated_share_below_0.05": float(np.mean(self._p[name][known] < 0.05)),
            }
            for name, p in calibrated.items()
        ]
        tables = pd.DataFrame(rows), pd.DataFrame(whole), self._trend_table(), pd.DataFrame(shares)
        return PredictiveChecks(*tables, calibrated, int((~known).sum()))

    def _trend_table(self) -> pd.DataFrame:
        columns = ["mean_count", "genes", "observed", "median", "lower", "upper"]
        known = np.flatnonzero(np.isfinite(self._dispersion) & (self._mean >= LEAST_MEAN))
        bins = min(BINS, len(known) // LEAST_IN_BIN)
        if not bins:
            return pd.DataFrame(columns=columns)
        rows = []
        for part in np.array_split(known[np.argsort(self._mean[known], kind="stable")], bins):
            drawn = np.nanmedian(self._drawn_dispersion[:, part], axis=1)
            low, middle, high = np.quantile(drawn, [0.005, 0.5, 0.995])
            observed = float(np.median(self._dispersion[part]))
            rows.append((float(np.exp(np.log(self._mean[part]).mean())), len(part), observed, middle, low, high))
        return pd.DataFrame(rows, columns=columns)


def reference_p_values(study: Study, hyper: Hyper, rng: np.random.Generator) -> dict[str, Float]:
    """p-values within genes that were simulated from the fitted model, as :func:`within_p_values` gives them.

    Parameters
    ----------
    study
        Its samples and designs; its genes are not used.
    hyper
        Draws of the hyperparameters; genes are simulated from all of them in turn.
    """
    full, each = study.full, -(-REFERENCE_GENES // hyper.size)
    counts = [_simulate(study, {k: v[j] for k, v in hyper.draws.items()}, each, rng) for j in range(hyper.size)]
    made = np.concatenate(counts, axis=1)
    made = made[:, made.any(axis=0)]  # genes without a count are not fitted
    out: dict[str, list[Float]] = {name: [] for name in WITHIN}
    for part in np.array_split(made, max(1, made.shape[1] // 100), axis=1):
        some = {"count": part, "log_length": np.zeros(part.shape), "G": part.shape[1]}
        simulated = Study(study.at, {**full, **some}, study.nu)
        drawn = points(
            [[one] for one in proposals(simulated, hyper.centre, approximate(simulated, hyper.centre))], _POINTS, rng
        )
        replicated = _replicate(weigh(simulated, hyper, drawn), rng)
        for name, values in within_p_values(part, replicated, rng).items():
            out[name].append(values)
    return {name: np.concatenate(values) for name, values in out.items()}


def within_p_values(counts: Ints, replicated: Ints, rng: np.random.Generator) -> dict[str, Float]:
    """Two-sided predictive p-values [gene] of `WITHIN`, ties broken at random.

    Parameters
    ----------
    counts, replicated
        [S, g] and [D, S, g].
    """
    out = {}
    for name, function in _WITHIN.items():
        value, drawn = function(counts), function(replicated)
        ties = np.count_nonzero(drawn == value, axis=0)
        below = np.count_nonzero(drawn < value, axis=0) + rng.random(ties.shape) * (ties + 1)
        share = below / (len(drawn) + 1)
        out[name] = np.minimum(2 * np.minimum(share, 1 - share), 1.0)
    return out


def calibrate(p: Float, reference: Float) -> Float:
    """Turn p-values into the share of simulated genes with smaller ones, never zero."""
    ordered = np.sort(reference)
    share = (np.searchsorted(ordered, p, side="right") + 1) / (len(ordered) + 1)
    return np.where(np.isnan(p), np.nan, share)


def residual_maker(full: Mapping[str, Float]) -> Float:
    """Matrix [S - rank, S] whose rows are orthonormal and orthogonal to the design."""
    design = np.column_stack([np.ones(int(full["S"])), full["design"], full["nuisance_design"]])
    left, singular, _ = np.linalg.svd(design)
    rank = int((singular > 1e-9 * singular[0]).sum())
    return np.asarray(left[:, rank:].T)


def moment_dispersion(counts: Ints, scale: Float, residual: Float) -> Float:
    """Dispersion [..., g] by moments: variance of normalised counts within conditions, less Poisson's, over mean^2."""
    normalised = counts / scale
    mean = normalised.mean(axis=-2)
    if not len(residual):
        return np.full(mean.shape, np.nan)
    variance = (np.einsum("rs,...sg->...rg", residual, normalised, optimize=True) ** 2).mean(axis=-2)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray((variance - mean * (1 / scale).mean(axis=0)) / mean**2)


_WITHIN: Mapping[str, Callable[[Ints], NDArray[Any]]] = {
    "zeros": lambda y: (y == 0).sum(axis=-2),
    "mean": lambda y: y.mean(axis=-2),
    "variance": lambda y: y.var(axis=-2),
    "maximum": lambda y: y.max(axis=-2),
}


def _row(name: str, value: float, drawn: Float) -> dict[str, float | str]:
    low, middle, high = np.quantile(drawn, [0.025, 0.5, 0.975])
    sides = [(np.count_nonzero(drawn <= value) + 0.5), (np.count_nonzero(drawn >= value) + 0.5)]
    p = min(2 * min(sides) / (len(drawn) + 1), 1.0)
    return {"quantity": name, "observed": value, "median": middle, "lower": low, "upper": high, "p_value": p}


def _pooled(quantities: TestQuantities) -> TestQuantities:
    """Quantities of all samples as of one."""
    samples = quantities.zeros.shape[-1]
    zeros, total, squares = (
        a.sum(axis=-1, keepdims=True) for a in (quantities.zeros, quantities.total, quantities.squares)
    )
    largest = quantities.largest.max(axis=-1, keepdims=True)
    return TestQuantities(quantities.genes * samples, zeros, total, squares, largest)


def _simulate(study: Study, h: Mapping[str, Float], genes: int, rng: np.random.Generator) -> Ints:
    """Draw counts [S, genes] of new genes under one draw of the hyperparameters."""
    at, full = study.at, study.full
    psi = rng.normal(size=(genes, at.P))
    psi[:, 0] = h["mu_alpha"] + h["sigma_alpha"] * psi[:, 0]
    if study.nu is not None:
        psi[:, at.d] /= np.sqrt(rng.chisquare(study.nu, size=(genes, 1)) / study.nu)
    hyper = dict(h)
    component = rng.choice(at.C, size=genes, p=h["weight"]) if at.C > 1 else np.zeros(genes, dtype=np.int64)
    change = np.einsum("gsk,gk->sg", full["component_design"][component], at.effect(psi, hyper))
    other = full["nuisance_design"] @ at.other_effects(psi, hyper, full["nuisance_term"]).T
    eta = psi[:, 0] + h["log_f"][:, None] + change + other
    return nb2_rng(np.exp(np.minimum(eta, 40.0)), np.exp(at.log_phi(psi, hyper)), rng)


def _replicate(weighted: Weighted, rng: np.random.Generator) -> Ints:
    """Replicated counts [D, S, g] from the points of the full posterior."""
    M, I, g = weighted.log_weight.shape  # noqa: E741
    turn, every = np.arange(I) % M, np.arange(I)
    weight = np.exp(weighted.log_weight[turn, every])
    reach = np.cumsum(weight / weight.sum(axis=0), axis=0)
    chosen = np.stack([(reach < row).sum(axis=0) for row in rng.random((REPLICATES, g))])
    chosen = np.minimum(chosen, I - 1)
    phi = np.exp(np.take_along_axis(weighted.log_phi[turn, every], chosen, 0))
    log_mean = weighted.log_mean[:, turn, every]
    mean = np.stack([np.take_along_axis(one, chosen, 0) for one in log_mean], axis=1)
    return nb2_rng(np.exp(np.minimum(mean, 40.0)), phi[:, None], rng)
