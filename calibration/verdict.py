"""PASS, FAIL or INCONCLUSIVE, by rules that are printed with the verdict.

The family is every test of every quantity of a campaign: the simultaneous ECDF test and the exact test of the central
90 % interval, which sees errors of width sooner. Holm's (1979) step-down keeps the chance of any false alarm in the
family below `LEVEL`. An alarm is repeated on fresh seeds, over the quantities that alarmed; only what alarms twice
fails, so a calibrated program fails once in 1 / `LEVEL` ^ 2 = 10 000 campaigns.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike

from .coverage import Coverage, coverage
from .ranks import LEAST_ESS, Floats
from .severity import Severity, severity
from .sharpness import Sharpness, data_ignored, sharpness
from .table import RankTable
from .uniformity import uniformity_test

PASS, FAIL, INCONCLUSIVE = "PASS", "FAIL", "INCONCLUSIVE"
LEVEL = 0.01
MOST_FAILED = 0.01
MOST_EXCLUDED = 0.05
MOST_DIVERGENT = 0.05
MOST_IMPLAUSIBLE = 0.1
FEWEST = 20

RULES = (
    f"every quantity is tested by the ECDF of its ranks and by its 90 % coverage; Holm over the family at {LEVEL:g}",
    f"an alarm is repeated on fresh seeds at the same size; only two FAIL: once in {1 / LEVEL**2:,.0f} sound campaigns",
    f"INCONCLUSIVE if more than {MOST_FAILED:.0%} of simulations failed, or more than {MOST_EXCLUDED:.0%} have no rank "
    f"of some quantity (effective draws below {LEAST_ESS:g} L), or more than {MOST_DIVERGENT:.0%} had divergences, or "
    f"more than {MOST_IMPLAUSIBLE:.0%} of simulated data sets are no plausible experiment, or fewer than {FEWEST} "
    "simulations finished, or an alarm was not repeated yet",
    "PASS otherwise, and only as strong as its severity",
)


@dataclass(frozen=True)
class QuantityVerdict:
    """What the tests say of one quantity.

    Attributes
    ----------
    N
        Simulations with its rank.
    gamma, pvalue
        Of the ECDF test.
    coverage
        Of the central 90 % interval.
    adjusted
        Smaller of the two Holm-adjusted p-values.
    alarm
        Whether it is below `LEVEL`.
    kind
        Likely kind of error of an alarm: ``bias upwards``, ``bias downwards``, ``too narrow``, ``too wide``,
        ``autocorrelation``, ``data ignored``; empty without alarm.
    excluded
        Share of finished simulations without its rank.
    sharpness
        Contraction and z-scores, where known.
    """

    name: str
    N: int
    gamma: float
    pvalue: float
    coverage: Coverage | None
    adjusted: float
    alarm: bool
    kind: str
    excluded: float
    sharpness: Sharpness | None


@dataclass(frozen=True)
class Verdict:
    """Verdict of a campaign.

    Attributes
    ----------
    status
        ``PASS``, ``FAIL`` or ``INCONCLUSIVE``.
    reasons
        Why, in sentences; of a FAIL, the quantity and the likely kind of error.
    quantities
        Of the first stage.
    severity
        What a campaign of this size would have caught; None where nothing was tested.
    planned, finished, failed
        Numbers of simulations.
    replication
        Verdict of the second stage, where there was one.
    awaits_replication
        Whether an alarm must be repeated before there is a verdict; not so where there can be none for other reasons.
    """

    status: str
    reasons: tuple[str, ...]
    quantities: tuple[QuantityVerdict, ...]
    severity: Severity | None
    planned: int
    finished: int
    failed: int
    replication: Verdict | None = None
    awaits_replication: bool = False

    @property
    def alarms(self) -> tuple[QuantityVerdict, ...]:
        """Quantities that alarmed in the first stage."""
        return tuple(q for q in self.quantities if q.alarm)

    @property
    def passed(self) -> bool:
        """Whether the status is PASS."""
        return self.status == PASS

    def __str__(self) -> str:
        head = f"{self.status}: {self.finished} of {self.planned} simulations, {len(self.quantities)} quantities"
        lines = [head, *(f"  {reason}" for reason in self.reasons)]
        if self.severity is not None:
            lines.append(f"  severity: {self.severity}")
        return "\n".join([*lines, "  rules:", *(f"  - {rule}" for rule in RULES)])


def holm(pvalues: ArrayLike) -> Floats:
    """Holm's step-down adjusted p-values; NaN stays NaN and does not count."""
    p = np.asarray(pvalues, dtype=np.float64)
    out = np.full(p.shape, np.nan)
    known = np.flatnonzero(~np.isnan(p))
    order = known[np.argsort(p[known], kind="stable")]
    factor = known.size - np.arange(known.size)
    out[order] = np.minimum(np.maximum.accumulate(factor * p[order]), 1.0) if known.size else []
    return out


def judge(table: RankTable, replication: RankTable | None = None) -> Verdict:
    """Judge a campaign.

    Parameters
    ----------
    table
        Ranks of the first stage.
    replication
        Ranks of fresh simulations, where the first stage alarmed.

    Returns
    -------
    Verdict
        A first stage that alarmed and was not repeated is INCONCLUSIVE.
    """
    quantities = _judge_quantities(table)
    alarms = [q for q in quantities if q.alarm]
    doubts = _doubts(table, quantities)
    tested = [q for q in quantities if q.coverage is not None]
    family = 2 * len(np.unique(table.rank, axis=1).T)
    worth = severity(min(q.N for q in tested), table.L, LEVEL / family) if tested else None
    verdict = Verdict(PASS, (), tuple(quantities), worth, table.planned, table.finished, len(table.failures))
    if doubts:
        told = tuple(f"alarm in {_words(q)}" for q in alarms)
        return replace(verdict, status=INCONCLUSIVE, reasons=(*doubts, *told))
    if not alarms:
        weakest = min(quantities, key=lambda q: q.adjusted)
        reason = f"no alarm; the weakest point is {weakest.name} (adjusted p = {weakest.adjusted:.2g})"
        return replace(verdict, reasons=(reason,))
    if replication is None:
        reasons = tuple(f"alarm in {_words(q)}, not repeated yet" for q in alarms)
        return replace(verdict, status=INCONCLUSIVE, reasons=reasons, awaits_replication=True)
    second = judge(replication.select([q.name for q in alarms]))
    # The kind is told from all quantities: whether data was ignored shows in those that did not alarm.
    again = {q.name for q in second.alarms}
    twice = [q for q in alarms if q.name in again]
    if twice:
        reasons = tuple(f"alarm, twice, in {_words(q)}" for q in sorted(twice, key=lambda q: q.adjusted))
        return replace(verdict, status=FAIL, reasons=reasons, replication=second)
    if _doubts(replication, list(second.quantities)):
        reasons = ("an alarm could not be repeated:", *second.reasons)
        return replace(verdict, status=INCONCLUSIVE, reasons=reasons, replication=second)
    reasons = tuple(f"alarm in {_words(q)}; fresh simulations do not bear it out" for q in alarms)
    return replace(verdict, reasons=reasons, replication=second)


def kind_of_alarm(table: RankTable, name: str) -> str:
    """Name the likely kind of error from the shape of the ranks and what is known beside them."""
    if table.dependent(name):
        return "autocorrelation"
    ranks = table.ranks_of(name)
    if data_ignored(table):
        return "data ignored"
    u = (ranks + 0.5) / (table.L + 1)
    N = max(ranks.size, 1)
    shift = (float(u.mean()) - 0.5) * np.sqrt(12.0 * N)
    spread = (float(np.var(u)) - 1.0 / 12.0) * np.sqrt(180.0 * N)
    if abs(shift) >= abs(spread):
        return "bias downwards" if shift > 0 else "bias upwards"
    return "too narrow" if spread > 0 else "too wide"


def _judge_quantities(table: RankTable) -> list[QuantityVerdict]:
    tests = [uniformity_test(r, L=table.L) if (r := table.ranks_of(n)).size else None for n in table.names]
    covers = [coverage(r, L=table.L) if (r := table.ranks_of(n)).size else None for n in table.names]
    p = np.array([[t.pvalue if t else np.nan, c.pvalue if c else np.nan] for t, c in zip(tests, covers, strict=True)])
    # Quantities with the same ranks throughout (a number and its logarithm) are one test.
    _, first, same = np.unique(table.rank, axis=1, return_index=True, return_inverse=True)
    adjusted = holm(p[first].ravel()).reshape(-1, 2)[np.ravel(same)]
    out = []
    for name, test, cover, both in zip(table.names, tests, covers, adjusted, strict=True):
        least = float(np.min(both)) if test else 1.0
        truth, mean, sd = (table.column(w, name) for w in ("truth", "mean", "sd"))
        known = truth is not None and mean is not None and sd is not None and truth.size > 1
        out.append(
            QuantityVerdict(
                name=name,
                N=test.N if test else 0,
                gamma=test.gamma if test else float("nan"),
                pvalue=test.pvalue if test else float("nan"),
                coverage=cover,
                adjusted=least,
                alarm=least < LEVEL,
                kind=kind_of_alarm(table, name) if least < LEVEL else "",
                excluded=table.excluded_share(name),
                sharpness=sharpness(truth, mean, sd) if known else None,  # type: ignore[arg-type]
            )
        )
    return out


def _doubts(table: RankTable, quantities: list[QuantityVerdict]) -> list[str]:
    doubts = []
    if table.failed_share > MOST_FAILED:
        first = next(iter(sorted(table.failures.items())))
        doubts.append(
            f"{len(table.failures)} of {table.planned} simulations failed; the first, number {first[0]}: {first[1]}"
        )
    if table.finished < FEWEST:
        doubts.append(f"only {table.finished} simulations finished; at least {FEWEST} are needed")
    missing = [q for q in quantities if q.excluded > MOST_EXCLUDED]
    if missing:
        worst = max(missing, key=lambda q: q.excluded)
        doubts.append(
            f"autocorrelation, not a fault of the model: in {worst.excluded:.0%} of fits {worst.name} has fewer "
            f"effective draws than {LEAST_ESS:g} L = {LEAST_ESS * table.L:g} ({len(missing)} such quantities); keep "
            "more draws"
        )
    if len(table.implausible) > MOST_IMPLAUSIBLE * table.planned:
        first = next(iter(sorted(table.implausible.items())))
        doubts.append(
            f"vacuous or extreme prior: {len(table.implausible)} of {table.planned} simulated data sets are no "
            f"plausible experiment; the first, number {first[0]}: {first[1]}"
        )
    if table.divergent is not None and table.finished:
        share = float(np.mean(table.divergent > 0))
        if share > MOST_DIVERGENT:
            doubts.append(f"{share:.0%} of fits had divergent transitions")
    return doubts


def _words(q: QuantityVerdict) -> str:
    covers = f"90 % interval covers {q.coverage.observed:.1%}" if q.coverage else "no ranks"
    return f"{q.name}: likely {q.kind} (ECDF p = {q.pvalue:.2g}, {covers}, adjusted p = {q.adjusted:.2g})"
