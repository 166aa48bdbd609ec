"""A finished campaign: ranks, verdict, tables and figures."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .coverage import coverage_table
from .decisions import DecisionReport, decision_report
from .store import RANKS, SUMMARY, write_atomically, write_json
from .table import RankTable
from .verdict import RULES, Verdict

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

    from bayesexpr.report import Report


@dataclass(frozen=True, eq=False)
class Campaign:
    """What a campaign found.

    Attributes
    ----------
    table
        Ranks of the first stage.
    verdict
        PASS, FAIL or INCONCLUSIVE, with reasons.
    identity
        What the ranks follow from: digests, seed, L, versions.
    replication
        Ranks of the second stage, where there was an alarm.
    decisions
        Decisions about genes, arrays [simulation, gene], where the scenario makes any.
    folder
        CAMPAIGN folder, if the campaign was saved.
    """

    table: RankTable
    verdict: Verdict
    identity: dict[str, Any]
    replication: RankTable | None = None
    decisions: dict[str, Any] = field(default_factory=dict)
    folder: Path | None = None

    def summary(self) -> pd.DataFrame:
        """One row per quantity: p-values, coverage, contraction, z-scores, alarm and its likely kind."""
        import pandas as pd

        return pd.DataFrame([_row(q) for q in self.verdict.quantities]).set_index("quantity")

    def decision_report(self) -> DecisionReport | None:
        """Hold stated error rates of decisions against those realised; None where the scenario decides nothing."""
        return decision_report(self.decisions) if self.decisions else None

    def coverage(self, quantity: str) -> pd.DataFrame:
        """Coverage of central and leftmost intervals of one quantity, with Clopper-Pearson intervals."""
        import pandas as pd

        rows = coverage_table(self.table.ranks_of(quantity), L=self.table.L)
        return pd.DataFrame([vars(c) for c in rows])

    def to_datatree(self) -> xr.DataTree:
        """Return the ranks in ArviZ's schema: group ``prior_sbc``, one variable a quantity, whole numbers 0 to L.

        A rank that was refused is missing. L is an attribute of the group, for the largest rank seen is not it: a plot
        that divides by that takes ranks of a biased posterior for even ones.
        """
        import xarray as xr

        rank = np.where(self.table.rank < 0, np.nan, self.table.rank)
        ranks = {name: (("chain", "draw"), rank[None, :, q]) for q, name in enumerate(self.table.names)}
        coords = {"chain": [0], "draw": self.table.index}
        return xr.DataTree.from_dict({"prior_sbc": xr.Dataset(ranks, coords=coords, attrs={"L": self.table.L})})

    def plot_ecdf(self, quantity: str | None = None, ax: Axes | None = None) -> Axes:
        """Draw the ECDF difference of one quantity, by default the one nearest to an alarm, with its band."""
        from .plots import plot_ecdf

        name = quantity or self.weakest
        return plot_ecdf(self.table.ranks_of(name), L=self.table.L, title=name, ax=ax)

    def plot_ranks(self, quantity: str | None = None, ax: Axes | None = None) -> Axes:
        """Draw the rank histogram of one quantity."""
        from .plots import plot_ranks

        name = quantity or self.weakest
        return plot_ranks(self.table.ranks_of(name), L=self.table.L, title=name, ax=ax)

    def plot_coverage(self, quantity: str | None = None, ax: Axes | None = None) -> Axes:
        """Draw observed against nominal coverage of one quantity."""
        from .plots import plot_coverage

        name = quantity or self.weakest
        return plot_coverage(self.table.ranks_of(name), L=self.table.L, title=name, ax=ax)

    def plot_estimates(self, quantity: str | None = None, ax: Axes | None = None) -> Axes:
        """Draw posterior means with two sds against the truth of one quantity."""
        from .plots import plot_estimates

        name = quantity or self.weakest
        columns = [self.table.column(what, name) for what in ("truth", "mean", "sd")]
        truth, mean, sd = (c for c in columns if c is not None)
        return plot_estimates(truth, mean, sd, title=name, ax=ax)

    def plot_ecdfs(self, quantities: Sequence[str] | None = None, axes: Sequence[Axes] | None = None) -> NDArray[Any]:
        """Draw the ECDF differences of several quantities, by default the twelve nearest to an alarm."""
        from .plots import plot_ecdfs

        alarms = {q.name for q in self.verdict.alarms}
        return plot_ecdfs(self.table, list(quantities or self.ordered[:12]), alarms=alarms, axes=axes)

    def sections(self) -> Report:
        """Return the report in sections, for notebooks: summary, asked, trust, sure, again."""
        from .sections import calibration_report

        return calibration_report(self)

    def report(self, path: str | Path) -> Path:
        """Write the HTML report; an existing file is replaced."""
        return self.sections().write(path)

    @property
    def ordered(self) -> tuple[str, ...]:
        """Names of the quantities that were tested, those nearest to an alarm first."""
        tested = [q for q in self.verdict.quantities if q.N]
        return tuple(q.name for q in sorted(tested, key=lambda q: (q.adjusted, q.pvalue)))

    @property
    def weakest(self) -> str:
        """Name of the quantity nearest to an alarm."""
        return min(self.verdict.quantities, key=lambda q: q.adjusted).name

    def to_dict(self) -> dict[str, Any]:
        """Verdict, overall and of every quantity, as plain data."""
        v, report = self.verdict, self.decision_report()
        return {
            "verdict": v.status,
            "reasons": list(v.reasons),
            "rules": list(RULES),
            "severity": None if v.severity is None else {k: _finite(x) for k, x in vars(v.severity).items()},
            "simulations": {"planned": v.planned, "finished": v.finished, "failed": v.failed},
            "failures": {str(i): reason for i, reason in self.table.failures.items()},
            "replay": (
                "the campaign's command with --replay NUMBER runs one simulation again; in Python "
                f"replay(scenario, backend, NUMBER, seed={self.identity['seed']}, L={self.table.L})"
            ),
            "decisions": None if report is None else report.to_dict(),
            "replicated": self.replication is not None,
            "quantities": [{k: _finite(x) for k, x in _row(q).items()} for q in v.quantities],
        }

    def write(self, folder: Path) -> None:
        """Write ``summary.json`` and ``ranks.csv``; numbers first, for figures can be made again."""
        write_json(folder / SUMMARY, self.to_dict())
        write_atomically(folder / RANKS, self.table.to_frame().to_csv(index=False))


def _row(q: Any) -> dict[str, Any]:
    nan = float("nan")
    return {
        "quantity": q.name,
        "N": q.N,
        "p_ecdf": q.pvalue,
        "coverage_90": q.coverage.observed if q.coverage else nan,
        "coverage_90_lower": q.coverage.lower if q.coverage else nan,
        "coverage_90_upper": q.coverage.upper if q.coverage else nan,
        "p_coverage": q.coverage.pvalue if q.coverage else nan,
        "p_adjusted": q.adjusted,
        "alarm": q.alarm,
        "kind": q.kind,
        "excluded": q.excluded,
        "contraction": q.sharpness.contraction if q.sharpness else nan,
        "z_mean": q.sharpness.z_mean if q.sharpness else nan,
        "z_sd": q.sharpness.z_sd if q.sharpness else nan,
    }


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value
