"""The certificate of one fit: everything that was checked, in tables, and one verdict in words.

A certificate is plain data, so that it can be written into the run as ``check.json``, read back, printed, drawn and
put into a report by code that knows nothing of how it was made; :mod:`.checking` makes it.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from bayesexpr.errors import InputError
from bayesexpr.posterior.verdict import LEVELS, Finding, Verdict

from .measured import weakness
from .store import write_atomically

if TYPE_CHECKING:
    from matplotlib.axes import Axes

CHECK, CHECK_GENES = "check.json", "check_genes.csv"
"""Names of a certificate in a RUN folder, and of its table of genes."""

TABLES = {
    "samples": "predictive checks of each sample: observed value, predictive median and interval, p-value",
    "overall": "predictive checks of the whole table, in the same columns",
    "genes": "predictive checks within genes: share of genes with a calibrated p-value below 0.01 and 0.05",
    "trend": "dispersion against mean count: observed in bins of genes, predictive interval",
    "pit": "share of counts in each twentieth of their leave-one-out predictive distribution",
    "outliers": "outlying counts: gene, sample, count, predictive interval, tail probability, adjusted by Holm",
    "loo": "leave-one-out: expected log predictive density, by what method, and how far it can be trusted",
    "pareto_k": "number of observations by Pareto k-hat",
    "sensitivity": "power-scaling sensitivity of each quantity to each block of priors and to the likelihood",
    "decisions": "stated against realised error rates, where the truth is known",
    "truth": "lists, rankings and estimates against the truth, over all genes and by expression",
}
"""Tables that a certificate may hold; one that could not be made is absent."""


@dataclass(frozen=True)
class Certificate:
    """What the checks of one fit found.

    Attributes
    ----------
    title
        What was fitted.
    verdict
        Level and findings, those of the sampler's diagnostics among them, worst first.
    tables
        By the names of `TABLES`.
    numbers
        What is no table: sizes, thresholds, the matching calibration record.
    by_gene
        One row per fitted gene: ``elpd`` of its counts, each left out; the largest ``pareto_k``; the smallest ``tail``
        probability of a count; calibrated predictive p-values ``p_zeros``, ``p_mean``, ``p_variance``, ``p_maximum``.
        None for programs of the ladder.
    """

    title: str
    verdict: Verdict
    tables: Mapping[str, pd.DataFrame]
    numbers: Mapping[str, Any]
    by_gene: pd.DataFrame | None = None

    @property
    def level(self) -> str:
        """``trustworthy``, ``use with care`` or ``not trustworthy``."""
        return self.verdict.level

    @property
    def findings(self) -> tuple[Finding, ...]:
        """Everything that was looked at, worst first."""
        return self.verdict.findings

    @property
    def weakest(self) -> str:
        """The worst finding, in words."""
        return self.findings[0].text

    @property
    def summary(self) -> str:
        """One or two sentences: the verdict and its weakest point."""
        if self.findings[0].severity:
            return f"{self.level.capitalize()}. Weakest point: {self.weakest}"
        return f"{self.level.capitalize()}: no check asks for care. Weakest point: {self.weakest}"

    @property
    def passed(self) -> bool:
        """False where the fit is not to be trusted."""
        return self.verdict.passed

    @property
    def outliers(self) -> pd.DataFrame:
        """Outlying counts; no rows where there are none."""
        return self.tables.get("outliers", pd.DataFrame({"gene": [], "sample": [], "count": []}))

    @property
    def sensitivity(self) -> pd.DataFrame | None:
        """Power-scaling sensitivity, one row per quantity."""
        return self.tables.get("sensitivity")

    @property
    def record(self) -> Mapping[str, Any] | None:
        """Calibration record that matches the program, or None."""
        found = self.numbers.get("record")
        return found if isinstance(found, Mapping) else None

    def __str__(self) -> str:
        marks = {0: "ok  ", 1: "care", 2: "FAIL"}
        lines = [self.title, *(f"  {marks[f.severity]}  {f.text}" for f in self.findings), self.summary]
        return "\n".join(lines)

    def plot_pit(self, ax: Axes | None = None) -> Axes:
        """Draw the leave-one-out PIT of all counts."""
        from bayesexpr import check_plots

        return check_plots.plot_pit(self._table("pit"), ax=ax)

    def plot_dispersion(self, ax: Axes | None = None) -> Axes:
        """Draw observed and predicted dispersion against mean count."""
        from bayesexpr import check_plots

        return check_plots.plot_dispersion_check(self._table("trend"), ax=ax)

    def plot_samples(self, quantity: str, ax: Axes | None = None) -> Axes:
        """Draw one test quantity of every sample with its predictive interval."""
        from bayesexpr import check_plots

        table = self._table("samples")
        known = list(dict.fromkeys(table["quantity"]))
        if quantity not in known:
            raise InputError(f"a test quantity of samples is one of {', '.join(known)}; it is {quantity!r}.")
        return check_plots.plot_samples(table[table["quantity"] == quantity], ax=ax)

    def plot_pareto_k(self, ax: Axes | None = None) -> Axes:
        """Draw how many observations have which Pareto k-hat."""
        from bayesexpr import check_plots

        return check_plots.plot_pareto_k(self._table("pareto_k"), float(self.numbers["k_threshold"]), ax=ax)

    def plot_sensitivity(self, ax: Axes | None = None) -> Axes:
        """Draw sensitivity to the priors against sensitivity to the likelihood."""
        from bayesexpr import check_plots

        return check_plots.plot_sensitivity(
            self._table("sensitivity"), float(self.numbers["sensitivity_threshold"]), ax=ax
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {
            "title": self.title,
            "summary": self.summary,
            "verdict": _finite(self.verdict.to_dict()),
            "tables": {name: _to_plain(table) for name, table in self.tables.items()},
            "numbers": _finite(dict(self.numbers)),
        }

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> Certificate:
        """Read what :meth:`to_dict` wrote."""
        tables = {name: pd.DataFrame(t["rows"], columns=t["columns"]) for name, t in plain["tables"].items()}
        return cls(plain["title"], Verdict.from_dict(plain["verdict"]), tables, dict(plain["numbers"]))

    def write(self, run: str | os.PathLike[str]) -> Path:
        """Write ``check.json``, and ``check_genes.csv``, into a RUN folder; each whole or not at all."""
        path = Path(run) / CHECK
        text = json.dumps(self.to_dict(), indent=1, ensure_ascii=False, allow_nan=False) + "\n"
        try:
            if self.by_gene is not None:
                write_atomically(Path(run) / CHECK_GENES, self.by_gene.to_csv(index=False))
            write_atomically(path, text)
        except OSError as error:
            raise InputError(f"the check cannot be written into {str(run)!r}: {error.strerror}.") from None
        return path

    def _table(self, name: str) -> pd.DataFrame:
        if name not in self.tables:
            raise InputError(f"this certificate has no {name} ({TABLES[name]}); it has {', '.join(self.tables)}.")
        return self.tables[name]


def conclude(findings: Sequence[Finding], fit: Verdict) -> Verdict:
    """Join the findings of the checks to those of the sampler's diagnostics.

    Parameters
    ----------
    findings
        Of the checks.
    fit
        Verdict on the fit by its diagnostics.
    """
    together = sorted([*fit.findings, *findings], key=weakness, reverse=True)
    return Verdict(LEVELS[together[0].severity], tuple(together), dict(fit.status_counts))


def read_certificate(run: str | os.PathLike[str]) -> Certificate | None:
    """Read the certificate of a RUN folder; None where it was not checked yet.

    Raises
    ------
    InputError
        The file is damaged.
    """
    path, genes = Path(run) / CHECK, Path(run) / CHECK_GENES
    try:
        made = Certificate.from_dict(json.loads(path.read_text(encoding="utf-8")))
        if not genes.is_file():
            return made
        return replace(made, by_gene=pd.read_csv(genes, dtype={"gene": str}, keep_default_na=False, na_values=[""]))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{str(path)!r} is no certificate: {error}. Run `bayesexpr check` again.") from None


def _to_plain(table: pd.DataFrame) -> dict[str, Any]:
    rows = [[_finite(v) for v in row] for row in table.itertuples(index=False, name=None)]
    return {"columns": [str(c) for c in table.columns], "rows": rows}


def _finite(value: Any) -> Any:
    """JSON knows no NaN and no NumPy types."""
    if isinstance(value, Mapping):
        return {str(k): _finite(v) for k, v in value.items()}
    if isinstance(value, list | tuple | np.ndarray):
        return [_finite(v) for v in value]
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value
