"""Scenarios: what is simulated, and what is measured of it.

A scenario draws parameters from the prior and data from the likelihood by code that shares nothing with the Stan
program, and knows the test quantities. A program of the ladder with something to condition on makes one; so does a
user's own pair of functions.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from bayesexpr.errors import InputError
from bayesexpr.models.base import Model

from .digests import digest_of, methods
from .quantities import Measure, ModelQuantities, Quantity, elements

Parameters = dict[str, Any]
Data = dict[str, Any]
LARGEST_COUNT = 2**30


class Scenario(Protocol):
    """What a campaign needs to know."""

    @property
    def name(self) -> str:
        """Name, for files and messages."""

    def simulate(self, rng: np.random.Generator) -> tuple[Parameters, Data]:
        """Draw parameters and data."""

    def measure(self, draws: Mapping[str, Any], data: Mapping[str, Any]) -> list[Quantity]:
        """Turn parameters [draw, ...] and data into test quantities."""

    def implausible(self, data: Mapping[str, Any]) -> str | None:
        """Say what is outside the bounds of a plausible experiment, if anything."""

    def digest(self) -> str:
        """SHA-256 (hex) of the code and the numbers that the simulated data follow from."""


@dataclass(frozen=True)
class Plausible:
    """Bounds that most simulated experiments keep, or else the prior describes none that anyone runs.

    Attributes
    ----------
    largest_count, library_size, zeros
        Most of a single count; least and most of a sample's sum; largest share of zeros.
    """

    largest_count: float = LARGEST_COUNT
    library_size: tuple[float, float] = (0.0, np.inf)
    zeros: float = 1.0

    def fault(self, count: NDArray[Any]) -> str | None:
        """Say which bound the counts [sample, gene], or of one sample, break."""
        table = np.atleast_2d(np.asarray(count, dtype=np.float64))
        if table.max() > self.largest_count:
            return f"the largest count is {table.max():g}"
        size = table.sum(axis=1)
        if size.min() < self.library_size[0] or size.max() > self.library_size[1]:
            return f"a library has {size.min():g} to {size.max():g} counts"
        share = float(np.mean(table == 0))
        return f"{share:.0%} of the counts are zero" if share > self.zeros else None


@dataclass(frozen=True)
class ModelScenario:
    """A program of the ladder under its own simulator.

    Attributes
    ----------
    model
        The program with its options and priors.
    given
        What the simulation is conditional on; the model's own ``SCENARIO`` unless given.
    label
        Tells scenarios of one program apart.
    quantities
        Test quantities; the defaults unless given.
    plausible
        Bounds of plausible counts.
    deciding
        Given truth, draws and data, returns for every gene the stated rates of :class:`.decisions.Stated`.
    """

    model: Model
    given: Mapping[str, Any] = field(default_factory=dict)
    label: str = "default"
    quantities: Measure | None = None
    plausible: Plausible = field(default_factory=Plausible)
    deciding: Callable[[Model, Mapping[str, Any], Mapping[str, Any], Mapping[str, Any]], Mapping[str, Any]] | None = (
        None
    )

    @property
    def name(self) -> str:
        """Program and scenario."""
        return f"{self.model.NAME}-{self.label}"

    def simulate(self, rng: np.random.Generator) -> tuple[Parameters, Data]:
        """Draw parameters and data from the model's simulator."""
        conditions = dict(self.given or self.model.SCENARIO)
        if not conditions:
            raise InputError(
                f"{self.model.NAME} has no scenario of its own: say what to simulate (sizes, designs), as {{...}}."
            )
        return self.model.simulate(conditions, rng)

    def measure(self, draws: Mapping[str, Any], data: Mapping[str, Any]) -> list[Quantity]:
        """Measure the test quantities, of data that are checked once and not for every draw."""
        return (self.quantities or ModelQuantities(self.model))(draws, self.model.complete(data))

    def decide(self, truth: Mapping[str, Any], draws: Mapping[str, Any], data: Mapping[str, Any]) -> Mapping[str, Any]:
        """State error rates of decisions about genes, and whether the errors were made."""
        return {} if self.deciding is None else self.deciding(self.model, truth, draws, data)

    def implausible(self, data: Mapping[str, Any]) -> str | None:
        """Judge the counts; other outcomes have no bounds."""
        return self.plausible.fault(data[self.model.OUTCOME]) if self.model.OUTCOME == "count" else None

    def digest(self) -> str:
        """Digest of simulator, test quantities, decisions, options, priors and conditions."""
        quantities = self.quantities or ModelQuantities(self.model)
        return digest_of(
            *methods(type(self.model), "simulate", "log_lik"),
            *sorted({type(self.model.prior(name)) for name in self.model.PRIORS}, key=str),
            *(part for part in (_code(quantities), self.deciding) if part is not None),
            str(quantities),
            sorted(self.model.PARAMETERS),
            {"options": dict(self.model.options), "given": dict(self.given or self.model.SCENARIO)},
            {name: str(self.model.prior(name)) for name in self.model.PRIORS},
        )


@dataclass(frozen=True)
class FunctionScenario:
    """A user's own simulator.

    Attributes
    ----------
    draw
        Given a generator, returns parameters (by the names of the program's draws) and data.
    functions
        Test quantities: given one draw's parameters and the data, each returns a number. The parameters themselves are
        always measured.
    most
        Elements of each parameter.
    """

    name: str
    draw: Callable[[np.random.Generator], tuple[Parameters, Data]]
    functions: Mapping[str, Callable[[Mapping[str, Any], Mapping[str, Any]], float]] = field(default_factory=dict)
    most: int = 8

    def simulate(self, rng: np.random.Generator) -> tuple[Parameters, Data]:
        """Call the user's simulator."""
        return self.draw(rng)

    def measure(self, draws: Mapping[str, Any], data: Mapping[str, Any]) -> list[Quantity]:
        """Measure parameters and the user's functions."""
        found = []
        for name in sorted(draws):
            found += elements(name, np.asarray(draws[name], dtype=np.float64), self.most)
        n = len(next(iter(draws.values())))
        for name, function in self.functions.items():
            values = [float(function({k: v[i] for k, v in draws.items()}, data)) for i in range(n)]
            found.append(Quantity(name, np.asarray(values), True))
        return found

    def implausible(self, data: Mapping[str, Any]) -> str | None:
        """Nothing is known of what a user's data should look like."""
        return None

    def digest(self) -> str:
        """Digest of the functions' code."""
        return digest_of(self.draw, *self.functions.values(), sorted(self.functions), self.most)


def _code(callable_: Any) -> Any:
    """Return a function itself, and the class of an object that is called like one."""
    return callable_ if inspect.isroutine(callable_) else type(callable_)
