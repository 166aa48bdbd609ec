"""What a prior says about counts, before any are seen.

A prior that looks harmless on its parameters may say that libraries have 10^12 reads, or none. Data are simulated from
it and described in the units of an experiment; if more than a tenth of them are experiments that nobody runs, the
prior is called vacuous or extreme, and calibration under it would show little.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from bayesexpr.errors import InputError
from bayesexpr.models.base import Model
from bayesexpr.models.priors import Prior

from .program_sbc import plan
from .scenarios import ModelScenario, Plausible

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LEAST_PLAUSIBLE = 0.9
"""Least share of simulated data sets within the bounds."""

_QUANTILES = (0.0, 0.05, 0.5, 0.95, 1.0)


@dataclass(frozen=True)
class PriorPredictive:
    """Simulated data sets in the units of an experiment.

    Attributes
    ----------
    program
        What was simulated from.
    table
        One row per simulation: ``smallest_library``, ``largest_library``, ``share_of_zeros``, ``largest_count``, or,
        where the outcome is no count, ``smallest``, ``mean`` and ``largest``; and ``fault``, the bound that is broken,
        or None.
    """

    program: str
    table: pd.DataFrame

    @property
    def plausible(self) -> float:
        """Share of simulations within the bounds."""
        return float(self.table["fault"].isna().mean())

    @property
    def passed(self) -> bool:
        """Whether nine tenths of the simulations are."""
        return self.plausible >= LEAST_PLAUSIBLE

    @property
    def verdict(self) -> str:
        """``plausible``, or ``vacuous or extreme prior``."""
        return "plausible" if self.passed else "vacuous or extreme prior"

    @property
    def quantiles(self) -> pd.DataFrame:
        """Quantiles of each column over the simulations."""
        return self.table.drop(columns="fault").astype(float).quantile(list(_QUANTILES))

    def __str__(self) -> str:
        told = f"{self.program}: {self.verdict}; {self.plausible:.0%} of {len(self.table)} simulations are plausible"
        faults = self.table["fault"].dropna()
        return told + (f", one is not because {faults.iloc[0]}." if len(faults) else ".")

    def plot(self, column: str, ax: Axes | None = None) -> Axes:
        """Draw a histogram of one column over the simulations."""
        from bayesexpr import check_plots

        known = [str(name) for name in self.table.columns if name != "fault"]
        if column not in known:
            raise InputError(f"a column is one of {', '.join(known)}; it is {column!r}.")
        return check_plots.plot_prior_predictive(self.table[column].to_numpy(float), column.replace("_", " "), ax=ax)


def prior_predictive(
    model: str | Model,
    *,
    simulations: int = 200,
    scenario: Mapping[str, Any] | None = None,
    options: Mapping[str, str] | None = None,
    prior: Mapping[str, Prior | str] | None = None,
    plausible: Plausible | None = None,
    seed: int = 1,
) -> PriorPredictive:
    """Simulate data from a program's prior and describe them.

    Parameters
    ----------
    model
        Name of a program, or the program itself with its options and priors.
    simulations
        Simulated data sets.
    scenario
        What to simulate (sizes, designs, lengths); the program's own small scenario unless given.
    options, prior
        Structure and numbers of the program, if it is given by name.
    plausible
        Bounds of plausible counts; no count above 2^30 unless given.
    seed
        Of the simulations.

    Raises
    ------
    InputError
        The program, an option or the scenario is wrong.
    """
    if simulations < 1:
        raise InputError(f"at least one data set is simulated; simulations is {simulations}.")
    what, _ = plan(model, scenario=scenario, options=options, prior=prior)
    assert isinstance(what, ModelScenario)
    bounds = plausible or Plausible()
    rows = []
    for rng in np.random.default_rng(seed).spawn(simulations):
        try:
            data = what.simulate(rng)[1]
        except ValueError as error:
            if isinstance(error, InputError):
                raise
            rows.append({"fault": f"a count is too large to be drawn ({error})"})
            continue
        rows.append(_row(what.model, np.asarray(data[what.model.OUTCOME], dtype=float), bounds))
    return PriorPredictive(what.name, pd.DataFrame(rows).astype({"fault": object}))


def _row(model: Model, outcome: np.ndarray[Any, np.dtype[np.float64]], bounds: Plausible) -> dict[str, Any]:
    if model.OUTCOME != "count":
        broken = None if np.isfinite(outcome).all() else "an outcome is not finite"
        return {"smallest": outcome.min(), "mean": outcome.mean(), "largest": outcome.max(), "fault": broken}
    libraries = np.atleast_2d(outcome).sum(axis=1)
    return {
        "smallest_library": libraries.min(),
        "largest_library": libraries.max(),
        "share_of_zeros": float(np.mean(outcome == 0)),
        "largest_count": outcome.max(),
        "fault": bounds.fault(outcome),
    }
