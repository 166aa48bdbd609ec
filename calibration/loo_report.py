"""Leave-one-out in numbers that may be shown: the policy on Pareto k-hat, and programs of the ladder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy import special

from bayesexpr.distributions import Float
from bayesexpr.empirical_bayes.leave_one_out import LeftOut
from bayesexpr.posterior.importance import reliable_k
from bayesexpr.posterior.leave_one_out import leave_one_out as plain_leave_one_out
from bayesexpr.posterior.predictive import log_likelihood
from bayesexpr.posterior.verdict import Finding

from .measured import Measured

MOST_UNRELIABLE = 0.01
"""Share of observations with a k-hat above the threshold beyond which no sum is shown."""

PIT_BINS, LEAST_FOR_PIT = 20, 10
PIT_CARE, PIT_WORST = 0.03, 0.15
"""Largest distance between the distribution of the PIT and the uniform that is fine, and that is still usable."""

_COLUMNS = (
    "method",
    "observations",
    "elpd",
    "se",
    "monte_carlo_error",
    "share_above_threshold",
    "threshold",
    "shown",
    "agreement",
)


@dataclass(frozen=True)
class PlainSubset:
    """Plain importance sampling of some counts, for comparison.

    Attributes
    ----------
    elpd, pareto_k
        [S, g].
    genes
        Places of the genes.
    threshold
        Largest k-hat to be trusted.
    """

    elpd: Float
    pareto_k: Float
    genes: np.ndarray[Any, np.dtype[np.int64]]
    threshold: float


def plain_subset(counts: Any, mu: Float, phi: Float, log_weight: Float, genes: Any) -> PlainSubset:
    """Leave single counts of a few genes out by reweighting the posterior's draws (PSIS).

    Parameters
    ----------
    counts, mu, phi, log_weight
        As :func:`bayesexpr.posterior.predictive.log_likelihood` takes them.
    """
    found = plain_leave_one_out(log_likelihood(counts, mu, phi, log_weight).cell)
    return PlainSubset(found.elpd, found.pareto_k, np.asarray(genes), reliable_k(len(mu)))


def join(parts: Sequence[PlainSubset]) -> PlainSubset:
    """Put the genes of several subsets side by side."""
    elpd, k = (np.concatenate([getattr(part, name) for part in parts], axis=1) for name in ("elpd", "pareto_k"))
    return PlainSubset(elpd, k, np.concatenate([part.genes for part in parts]), parts[0].threshold)


def study_table(found: LeftOut, plain: PlainSubset | None) -> pd.DataFrame:
    """Integrated leave-one-out of a study, and what plain importance sampling would have said."""
    rows = [_row("integrated over the gene's parameters", found.elpd.sum(axis=0), found.pareto_k, found.threshold)]
    if rows[0]["shown"]:
        rows[0]["monte_carlo_error"] = found.error
    if plain is not None:
        row = _row("draws reweighted, a subset", plain.elpd.sum(axis=0), plain.pareto_k, plain.threshold)
        good = plain.pareto_k <= plain.threshold
        if good.any():
            gap = np.abs(plain.elpd - found.elpd[:, plain.genes])[good]
            row["agreement"] = float(np.median(gap))
        rows.append(row)
    return pd.DataFrame(rows, columns=list(_COLUMNS))


def program_table(elpd: Float, pareto_k: Float, draws: int) -> pd.DataFrame:
    """Plain leave-one-out of a program of the ladder."""
    return pd.DataFrame([_row("draws reweighted", np.ravel(elpd), pareto_k, reliable_k(draws))], columns=list(_COLUMNS))


def finding(table: pd.DataFrame) -> Finding:
    """Say the leave-one-out density, or why there is none."""
    row = table.iloc[0]
    share = 100 * float(row["share_above_threshold"])
    if not row["shown"]:
        return Measured(
            1,
            f"Leave-one-out gives no number: {share:.1f} % of {row['observations']} observations have a Pareto k-hat "
            f"above {row['threshold']:.2f}.",
            share / (100 * MOST_UNRELIABLE),
        )
    text = (
        f"Leave-one-out ({row['method']}): expected log predictive density {row['elpd']:.1f}, standard error "
        f"{row['se']:.1f}; {share:.2g} % of {row['observations']} observations above the limit of k-hat."
    )
    return Measured(0, text, share / (100 * MOST_UNRELIABLE))


def k_table(pareto_k: Float, threshold: float) -> pd.DataFrame:
    """Count observations by k-hat, with the threshold as an edge."""
    k = np.ravel(pareto_k)
    edges = np.unique(np.round([*np.arange(-0.5, 1.21, 0.1), threshold], 10))
    inside = np.clip(k, edges[0], np.nextafter(edges[-1], 0))
    number = np.histogram(np.where(np.isnan(inside), edges[-1], inside), bins=edges)[0]
    return pd.DataFrame({"lower": edges[:-1], "upper": edges[1:], "observations": number})


def pit_table(pit: Float) -> pd.DataFrame:
    """Histogram of the PIT."""
    edges = np.linspace(0, 1, PIT_BINS + 1)
    number = np.histogram(np.clip(pit, 0, 1), bins=edges)[0]
    return pd.DataFrame(
        {"lower": edges[:-1], "upper": edges[1:], "share": number / max(number.sum(), 1), "counts": number}
    )


def distance(pit: Float) -> float:
    """Largest difference between the distribution of the PIT and the uniform."""
    u = np.sort(np.ravel(pit))
    steps = np.arange(len(u) + 1) / len(u)
    return float(max((u - steps[:-1]).max(), (steps[1:] - u).max()))


def pit_finding(pit: Float, samples: Mapping[int, str] | None = None) -> Finding:
    """Say how far the leave-one-out PIT is from uniform; `samples` names the rows.

    Predicted from all the others, counts of a right model have a uniform PIT: no p-value is needed to see by how much
    it is not. For few counts, the distance that chance alone exceeds once in a hundred is allowed.
    """
    whole = distance(pit)
    limit = max(PIT_CARE, special.kolmogi(0.01) / np.sqrt(pit.size))
    text = f"Leave-one-out PIT of {pit.size} observations: at most {whole:.3f} from uniform (limit {limit:.3f})"
    if samples and len(samples) > 1:
        each = {name: distance(pit[s]) for s, name in samples.items()}
        worst = max(each, key=lambda name: each[name])
        own = max(2 * PIT_CARE, special.kolmogi(0.01 / len(each)) / np.sqrt(pit[0].size))
        text += f"; {worst} is the farthest of the samples, {each[worst]:.3f} (limit {own:.3f})"
        limits = max(whole / limit, each[worst] / own)
        return Measured(2 if whole > max(PIT_WORST, limit) else int(limits > 1), text + ".", limits)
    return Measured(2 if whole > max(PIT_WORST, limit) else int(whole > limit), text + ".", whole / limit)


def _row(method: str, elpd: Float, pareto_k: Float, threshold: float) -> dict[str, Any]:
    """Sum over independent units: genes of a study, observations of a program."""
    share = float(np.mean(~(pareto_k <= threshold)))
    shown = share <= MOST_UNRELIABLE
    se = float(np.sqrt(len(elpd) * np.var(elpd, ddof=1))) if len(elpd) > 1 else float("nan")
    return {
        "method": method,
        "observations": int(np.size(pareto_k)),
        "elpd": float(elpd.sum()) if shown else None,
        "se": se if shown else None,
        "share_above_threshold": share,
        "threshold": threshold,
        "shown": shown,
        "monte_carlo_error": None,
        "agreement": None,
    }
