"""One simulation from seed to ranks; what worker processes run."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bayesexpr.errors import BayesexprError, InputError

from .backend import Backend, Posterior
from .quantities import Quantity, one_draw
from .ranks import rank_quantities
from .scenarios import Scenario
from .simulate import DATA, TIES, fit_seed, stream

_MEASURED = 4  # draws measured for each that is ranked among: enough to estimate their dependence


@dataclass(frozen=True)
class Simulator:
    """What every simulation of a campaign shares.

    Attributes
    ----------
    L
        Draws ranked among.
    """

    scenario: Scenario
    backend: Backend
    seed: int
    L: int

    def data(self, stage: int, index: int) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return the true parameters and the data of one simulation."""
        return self.scenario.simulate(stream(self.seed, stage, index, DATA))

    def run(self, stage: int, index: int, attempt: int = 0) -> dict[str, Any]:
        """Simulate, fit and rank; a fit that failed is a row with its reason.

        Parameters
        ----------
        stage, index
            Of the simulation.
        attempt
            0, or the number of times that the process died while it ran: the fit then gets another seed, the data stay.
        """
        start = time.monotonic()
        row: dict[str, Any] = {"stage": stage, "index": index, "attempt": attempt}
        posterior: Posterior | None = None
        try:
            truth, data = self.data(stage, index)
            row["implausible"] = self.scenario.implausible(data)
            posterior = self.backend.fit(data, fit_seed(self.seed, stage, index, attempt))
            row |= self.rank(truth, data, posterior, stream(self.seed, stage, index, TIES))
        except (BayesexprError, ArithmeticError, ValueError) as error:
            if posterior is not None and isinstance(error, InputError):
                raise  # truth and draws do not fit together: the campaign is set up wrongly
            row["reason"] = f"{type(error).__name__}: {error}"
        return row | {"seconds": time.monotonic() - start}

    def rank(
        self, truth: Mapping[str, Any], data: Mapping[str, Any], posterior: Posterior, ties: np.random.Generator
    ) -> dict[str, Any]:
        """Measure and rank."""
        chains, draws = next(iter(posterior.draws.values())).shape[:2]
        kept = _even(draws, -(-_MEASURED * self.L // chains))
        size = chains * kept.size
        flat = {k: v[:, kept].reshape(size, *v.shape[2:]) for k, v in posterior.draws.items()}
        shared = [name for name in flat if name in truth]
        if not shared:
            raise InputError(
                f"the fit's draws ({', '.join(flat)}) and the simulated parameters ({', '.join(truth)}) share no name."
            )
        measured = self.scenario.measure({k: flat[k] for k in shared}, data)
        true = self.scenario.measure(one_draw({k: truth[k] for k in shared}), data)
        names = [q.name for q in measured]
        if names != [q.name for q in true]:
            raise InputError(f"truth and draws give different test quantities: {_first_difference(measured, true)}.")
        array = np.stack([q.values for q in measured], axis=-1).reshape(chains, kept.size, len(names))
        found = rank_quantities(np.array([q.values[0] for q in true]), array, L=self.L, rng=ties, names=tuple(names))
        return {
            "names": names,
            "uses_data": [q.uses_data for q in measured],
            "rank": found.rank.tolist(),
            "truth": [float(q.values[0]) for q in true],
            "mean": found.mean.tolist(),
            "sd": found.sd.tolist(),
            "ess": found.ess.tolist(),
            "rhat": found.rhat.tolist(),
            "diagnostics": {k: float(v) for k, v in posterior.diagnostics.items()},
            "decisions": self._decisions(truth, data, posterior),
        }

    def _decisions(
        self, truth: Mapping[str, Any], data: Mapping[str, Any], posterior: Posterior
    ) -> dict[str, list[float]]:
        """Decisions about genes and whether they were right, of a scenario that knows of any."""
        decide = getattr(self.scenario, "decide", None)
        if decide is None:
            return {}
        flat = {k: v.reshape(v.shape[0] * v.shape[1], *v.shape[2:]) for k, v in posterior.draws.items()}
        return {k: np.asarray(v, dtype=np.float64).tolist() for k, v in decide(truth, flat, data).items()}


def _even(draws: int, most: int) -> NDArray[np.int64]:
    """At most `most` even places among the draws of a chain."""
    if draws <= most:
        return np.arange(draws)
    return np.asarray((2 * np.arange(most) + 1) * draws // (2 * most))


def _first_difference(a: list[Quantity], b: list[Quantity]) -> str:
    for x, y in zip(a, b, strict=False):
        if x.name != y.name:
            return f"{x.name!r} and {y.name!r}"
    return f"{len(a)} and {len(b)} of them"
