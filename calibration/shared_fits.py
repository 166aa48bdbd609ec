"""Fits that several planted errors share: what is wrong only in the draws, or in what is stated of them, comes after.

A simulated study is fitted once for all errors with the same data block; the draws are then spoilt in each one's way
and ranked. Every row is the one that a campaign of that error alone would have had: same study, same seed of the fit.
A fit with too few effective draws for a rank of some quantity is made again with more, as the verdict advises; what
decides that are the draws and the data, never the truth.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from bayesexpr.errors import BayesexprError
from bayesexpr.stan.settings import SamplerSettings

from .control_program import ControlBackend
from .controls import Bug, TwoGroupScenario, scenario_of
from .simulate import TIES, fit_seed, stream
from .simulation import Simulator

MORE = SamplerSettings(chains=1, warmup=500, draws=2500, adapt_delta=0.9)
"""Of a fit that is made again."""

_APPROXIMATE = ("laplace", "mean_field")


@dataclass(frozen=True)
class SharedSimulator(Simulator):
    """One simulation, one fit, and a row for each of several errors.

    Attributes
    ----------
    bugs
        Errors with the fit of `backend` in common.
    """

    bugs: tuple[Bug, ...] = ()

    def run(self, stage: int, index: int, attempt: int = 0) -> dict[str, Any]:
        """Simulate and fit once; rank under every error.

        Returns
        -------
        dict
            With ``rows``, by name of the error; or with the ``reason`` for which there are none.
        """
        start = time.monotonic()
        shared: dict[str, Any] = {"stage": stage, "index": index, "attempt": attempt}
        assert isinstance(self.backend, ControlBackend)
        try:
            shared["rows"] = rows = self._rows(self.backend, stage, index, attempt)
            if any(-1 in rows[bug.name]["rank"] for bug in self.bugs if bug.draws != "sticky"):
                shared["rows"] = self._rows(replace(self.backend, settings=MORE), stage, index, attempt)
        except (BayesexprError, ArithmeticError, ValueError) as error:
            shared.pop("rows", None)
            shared["reason"] = f"{type(error).__name__}: {error}"
        return shared | {"seconds": time.monotonic() - start}

    def _rows(self, backend: ControlBackend, stage: int, index: int, attempt: int) -> dict[str, dict[str, Any]]:
        assert isinstance(self.scenario, TwoGroupScenario)
        _, data = self.data(stage, index)
        seed = fit_seed(self.seed, stage, index, attempt)
        found = backend.sample(data, seed)
        rows = {}
        for bug in self.bugs:
            own = replace(self, scenario=scenario_of(bug, self.scenario.genes))
            truth, _ = own.data(stage, index)  # of the same data: what is stated of them may differ
            posterior = replace(backend, bug=bug).planted(found, data, seed)
            rows[bug.name] = own.rank(truth, data, posterior, stream(self.seed, stage, index, TIES))
        return rows


def row_of(shared: dict[str, Any], bug: Bug) -> dict[str, Any]:
    """Row of one error, as its own campaign would have it."""
    row = {key: value for key, value in shared.items() if key != "rows"}
    return row | shared["rows"][bug.name] if "rows" in shared else row


def fit_of(bug: Bug) -> Bug:
    """Return the error of fit and data: that of bugs which differ only in what is done to the draws is the same."""
    draws = bug.draws if bug.draws in _APPROXIMATE else "exact"
    return Bug("", bug.belief, bug.offsets, draws, offset_sd=bug.offset_sd)


def groups(bugs: Iterable[Bug]) -> list[tuple[Bug, ...]]:
    """Put bugs together that share their data and their fits."""
    found: dict[Bug, list[Bug]] = {}
    for bug in bugs:
        found.setdefault(fit_of(bug), []).append(bug)
    return [tuple(group) for group in found.values()]
