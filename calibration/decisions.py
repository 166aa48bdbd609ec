"""Calibration of decisions: whether stated error rates are the rates at which errors happen.

Over simulations the truth is known, so that a gene's local false sign rate can be held against how often its sign was
wrong, a list's s-value or q-value against its share of errors, and the interval of the strongest genes, which
selection makes hardest to cover, against its nominal coverage. Genes of one simulation share its hyperparameters, so
standard errors come from simulations, not from genes, wherever several simulations are given.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from bayesexpr.errors import InputError
from bayesexpr.posterior.decisions import qvalue, svalue

from .coverage import clopper_pearson

if TYPE_CHECKING:
    import pandas as pd

    from bayesexpr.effect import Effect

EDGES = (0.0, 0.01, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5)
_TO_ONE = (*EDGES, 0.6, 0.7, 0.8, 0.9, 1.0)  # where an effect may be exactly zero, both signs may be wrong
LEVELS = (0.01, 0.05, 0.1)
LEAST_IN_BIN = 200
BAND = 0.99
TOP_BOUNDS = (0.86, 0.93)
LEAST_TOP = 240
_STANDARD_ERRORS = 3.0
COLUMNS = ("rate", "range", "genes", "stated", "realised", "lower", "upper", "ok")


@dataclass(frozen=True)
class Bin:
    """Genes with a stated rate between two edges.

    Attributes
    ----------
    claimed, realised
        Mean stated rate; share of errors.
    lower, upper
        Band around the claim that a calibrated rate stays within, Holm over the bins.
    ok
        Whether it does; bins with fewer than 200 genes are not judged (True).
    """

    low: float
    high: float
    n: int
    claimed: float
    realised: float
    lower: float
    upper: float
    ok: bool


@dataclass(frozen=True)
class RealisedRate:
    """A list of genes with a stated error rate of at most `level`.

    Attributes
    ----------
    listed, wrong
        Numbers over all simulations.
    claimed, realised
        Mean stated rate and share of errors of the list.
    standard_error
        Of `realised` about `claimed`.
    ok
        Whether the two agree within 3 standard errors.
    """

    level: float
    listed: int
    wrong: int
    claimed: float
    realised: float
    standard_error: float
    ok: bool

    @property
    def lower(self) -> float:
        """Least realised rate that agrees with the one stated."""
        return self.claimed - _STANDARD_ERRORS * self.standard_error

    @property
    def upper(self) -> float:
        """Largest realised rate that agrees with the one stated."""
        return self.claimed + _STANDARD_ERRORS * self.standard_error


@dataclass(frozen=True)
class TopCoverage:
    """Coverage of 90 % intervals among the genes with the strongest estimates; `ok`: within `TOP_BOUNDS`."""

    n: int
    observed: float
    lower: float
    upper: float
    ok: bool


@dataclass(frozen=True)
class DecisionReport:
    """Decision calibration of a campaign.

    Attributes
    ----------
    lfsr, lfdr
        Bins of the local rates of wrong signs and of no material change.
    svalue, qvalue
        Lists cut by them.
    top
        Coverage of 90 % intervals among the top 2 % of genes.
    """

    genes: int
    lfsr: list[Bin]
    lfdr: list[Bin]
    svalue: list[RealisedRate]
    qvalue: list[RealisedRate]
    top: TopCoverage

    @property
    def ok(self) -> bool:
        """Whether all stated rates are realised; the top genes count from 240 of them on."""
        bins = all(row.ok for row in (*self.lfsr, *self.lfdr))
        lists = all(row.ok for row in (*self.svalue, *self.qvalue))
        return bins and lists and (self.top.ok or self.top.n < LEAST_TOP)

    def rows(self) -> list[dict[str, Any]]:
        """One row per bin of a local rate, per list cut by a rate of lists, and for the strongest genes.

        Columns: rate, range, genes, stated, realised; lower and upper, between which a rate that is as stated comes
        out; ok.
        """
        rows: list[tuple[Any, ...]] = []
        for name, bins in (("lfsr", self.lfsr), ("lfdr", self.lfdr)):
            told = [b for b in bins if b.n]
            rows += [
                (name, f"{b.low:g} to {b.high:g}", b.n, b.claimed, b.realised, b.lower, b.upper, b.ok) for b in told
            ]
        for name, lists in (("svalue", self.svalue), ("qvalue", self.qvalue)):
            rows += [
                (name, f"below {r.level:g}", r.listed, r.claimed, r.realised, max(0.0, r.lower), r.upper, r.ok)
                for r in lists
                if r.listed
            ]
        top = self.top
        inside = f"90 % interval of the top {top.n}"
        rows.append((inside, "held", top.n, 0.9, top.observed, *TOP_BOUNDS, top.ok or top.n < LEAST_TOP))
        return [dict(zip(COLUMNS, row, strict=True)) for row in rows]

    def table(self) -> pd.DataFrame:
        """:meth:`rows` as a data frame."""
        import pandas as pd

        return pd.DataFrame(self.rows(), columns=list(COLUMNS))

    def to_dict(self) -> dict[str, Any]:
        """Plain data for records, to six digits after the point."""
        short = [{k: round(v, 6) if isinstance(v, float) else v for k, v in row.items()} for row in self.rows()]
        return {"genes": self.genes, "ok": self.ok, "rows": short}

    def __str__(self) -> str:
        lines = [f"decisions about {self.genes} simulated genes: {'as stated' if self.ok else 'NOT as stated'}"]
        for name, bins in (("lfsr", self.lfsr), ("lfdr", self.lfdr)):
            told = [f"{b.claimed:.3f}/{b.realised:.3f}{'' if b.ok else '!'}" for b in bins if b.n >= LEAST_IN_BIN]
            lines.append(f"  {name}, stated/realised: {', '.join(told) or 'too few genes'}")
        for name, rows in (("false signs at s-value", self.svalue), ("false discoveries at q-value", self.qvalue)):
            lists = [f"< {r.level:g}: {r.wrong} of {r.listed}{'' if r.ok else '!'}" for r in rows]
            lines.append(f"  {name} {', '.join(lists)}")
        lines.append(f"  90 % intervals of the top {self.top.n} genes cover {self.top.observed:.1%}")
        return "\n".join(lines)


def decision_report(made: Mapping[str, ArrayLike]) -> DecisionReport:
    """Judge the decisions of a campaign.

    Parameters
    ----------
    made
        Arrays [simulation, gene]: ``lfsr``, ``lfdr``, ``wrong_sign``, ``no_change`` (the error that lfdr states),
        ``estimate`` and ``covered`` (whether the 90 % interval holds the truth).
    """
    a = {name: np.atleast_2d(np.asarray(values, dtype=np.float64)) for name, values in made.items()}
    wrong, null = a["wrong_sign"] > 0, a["no_change"] > 0
    s = np.stack([svalue(row) for row in a["lfsr"]])
    q = np.stack([qvalue(row) for row in a["lfdr"]])
    return DecisionReport(
        genes=int(np.isfinite(a["lfsr"]).sum()),
        lfsr=rate_bins(a["lfsr"], wrong, edges=_TO_ONE),
        lfdr=rate_bins(a["lfdr"], null, edges=_TO_ONE),
        svalue=realised_rates(s, a["lfsr"], wrong),
        qvalue=realised_rates(q, a["lfdr"], null),
        top=top_coverage(a["estimate"], a["covered"] > 0),
    )


def study_report(effect: Effect, truth: pd.DataFrame) -> DecisionReport:
    """Judge the decisions about one study whose truth is known.

    One study is one draw of everything that its genes share: standard errors count its genes as independent.

    Parameters
    ----------
    effect
        A contrast with 90 % intervals.
    truth
        Columns ``gene`` and ``true_log2fc``, of all the genes that have an answer.

    Raises
    ------
    InputError
        The intervals are not of 90 %, or a gene has no truth.
    """
    return decision_report(decisions_of(effect, truth))


def decisions_of(effect: Effect, truth: pd.DataFrame) -> dict[str, NDArray[np.float64]]:
    """Return what :func:`decision_report` judges, [gene] each, NaN without an answer; as :func:`study_report`."""
    if abs(effect.ci - 0.9) > 1e-9:
        raise InputError(
            f"decisions are judged by 90 % intervals: ask for the contrast with ci=0.9, not {effect.ci:g}."
        )
    table = effect.table
    known = table["lfsr"].notna().to_numpy()
    true = truth.drop_duplicates("gene").set_index("gene")["true_log2fc"].reindex(table["gene"]).to_numpy(float)
    missing = known & np.isnan(true)
    if missing.any():
        gene = table["gene"].to_numpy()[missing][0]
        raise InputError(f"the truth has a row for every gene with counts; {missing.sum()} have none, {gene!r}.")
    up = table["log2FoldChange"].to_numpy() >= 0
    found = {
        "lfsr": table["lfsr"],
        "lfdr": table["lfdr"],
        "wrong_sign": np.where(up, true <= 0, true >= 0),
        "no_change": np.where(up, true <= effect.rope, true >= -effect.rope),
        "estimate": table["log2FoldChange"],
        "covered": (table["ci_lower"].to_numpy() <= true) & (true <= table["ci_upper"].to_numpy()),
    }
    return {name: np.where(known, np.asarray(values, dtype=np.float64), np.nan) for name, values in found.items()}


def lfsr(wrong_draws: ArrayLike, L: int) -> NDArray[np.float64]:
    """Local false sign rate of k wrong draws of L, (k + 1/2) / (L + 1): never zero."""
    return np.asarray((np.asarray(wrong_draws, dtype=np.float64) + 0.5) / (L + 1.0))


def rate_bins(rate: ArrayLike, wrong: ArrayLike, *, edges: Sequence[float] = EDGES) -> list[Bin]:
    """Hold stated rates against the share of errors in bins.

    Parameters
    ----------
    rate
        Stated probability of an error, any shape: lfsr, or lfdr.
    wrong
        Whether the error was made, same shape.
    edges
        Of the bins; the last bin is closed.
    """
    stated, bad = _pair(rate, wrong)
    inner = np.asarray(edges[1:-1])
    place = np.searchsorted(inner, stated, side="right")
    rows = []
    for b in range(len(edges) - 1):
        here = (place == b) & (stated >= edges[0]) & (stated <= edges[-1])
        rows.append((edges[b], edges[b + 1], int(here.sum()), stated[here], int(bad[here].sum())))
    judged = max(1, sum(n >= LEAST_IN_BIN for _, _, n, _, _ in rows))
    # Bonferroni's band is the widest that Holm's steps use: a bin inside the narrower ones is inside it too.
    tail = (1.0 - BAND) / judged / 2.0
    out = []
    for low, high, n, p, errors in rows:
        if n == 0:
            out.append(Bin(low, high, 0, float("nan"), float("nan"), float("nan"), float("nan"), True))
            continue
        claimed = float(p.mean())
        lower, upper = (float(stats.binom.ppf(q, n, claimed)) / n for q in (tail, 1.0 - tail))
        ok = n < LEAST_IN_BIN or lower <= errors / n <= upper
        out.append(Bin(low, high, n, claimed, errors / n, lower, upper, ok))
    return out


def realised_rates(
    score: ArrayLike, rate: ArrayLike, wrong: ArrayLike, *, levels: Sequence[float] = LEVELS
) -> list[RealisedRate]:
    """Hold the error rate stated for a list against that of the list.

    Parameters
    ----------
    score
        [simulation, gene] what the list is cut by: s-value or q-value.
    rate
        [simulation, gene] local rate behind the score: lfsr or lfdr.
    wrong
        [simulation, gene] whether listing the gene is an error: a wrong sign, or a gene without a material change.
    levels
        Genes with a score below the level are listed.
    """
    s, p, bad = (np.atleast_2d(np.asarray(a)) for a in (score, rate, wrong))
    if not s.shape == p.shape == bad.shape:
        raise InputError(
            f"score, rate and wrong are [simulation, gene]; their shapes are {s.shape}, {p.shape}, {bad.shape}."
        )
    return [_realised(level, s < level, p, bad.astype(bool)) for level in levels]


def top_coverage(
    estimate: ArrayLike, covered: ArrayLike, *, share: float = 0.02, bounds: tuple[float, float] = TOP_BOUNDS
) -> TopCoverage:
    """Coverage of 90 % intervals among the genes whose estimates are largest in size.

    Parameters
    ----------
    estimate
        [simulation, gene]; the top `share` is taken over all of them.
    covered
        [simulation, gene] whether the interval covers the truth.
    """
    size, inside = _pair(np.abs(np.asarray(estimate, dtype=np.float64)), covered)
    n = max(1, int(np.ceil(share * size.size)))
    top = np.argsort(-size, kind="stable")[:n]
    hits = int(inside[top].sum())
    lower, upper = clopper_pearson(hits, n)
    return TopCoverage(n, hits / n, lower, upper, bounds[0] <= hits / n <= bounds[1])


def _realised(
    level: float, listed: NDArray[np.bool_], rate: NDArray[np.float64], bad: NDArray[np.bool_]
) -> RealisedRate:
    n, errors = int(listed.sum()), int((listed & bad).sum())
    if n == 0:
        return RealisedRate(level, 0, 0, float("nan"), float("nan"), float("nan"), True)
    claimed = float(rate[listed].mean())
    within = np.sqrt(np.sum(np.where(listed, rate * (1 - rate), 0.0))) / n
    excess = np.where(listed, bad - rate, 0.0).sum(axis=1)
    between = np.sqrt(np.sum(excess**2)) / n if len(excess) >= 10 else 0.0
    se = float(max(within, between))
    return RealisedRate(level, n, errors, claimed, errors / n, se, abs(errors / n - claimed) <= _STANDARD_ERRORS * se)


def _pair(values: ArrayLike, flags: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    a, b = np.asarray(values, dtype=np.float64), np.asarray(flags)
    if a.shape != b.shape:
        raise InputError(f"rates and outcomes have one shape; they have {a.shape} and {b.shape}.")
    known = np.isfinite(a).ravel()
    return a.ravel()[known], b.ravel()[known].astype(bool)
