"""Backends: what turns data into posterior draws."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from bayesexpr.models.base import Model

from .digests import digest_of, methods


@dataclass(frozen=True)
class Posterior:
    """Draws of one fit.

    Attributes
    ----------
    draws
        Parameter to [chain, draw, ...], by the names that the scenario measures.
    diagnostics
        Numbers of the fit, among them ``divergences`` where the method has them.
    """

    draws: Mapping[str, NDArray[Any]]
    diagnostics: Mapping[str, float] = field(default_factory=dict)


class Backend(Protocol):
    """What a campaign fits with; it must be picklable, for it is sent to worker processes."""

    @property
    def name(self) -> str:
        """Name, for records."""

    def prepare(self) -> Backend:
        """Do once, before any fit, what all fits share (compiling); returns the backend to fit with."""

    def fit(self, data: Mapping[str, Any], seed: int) -> Posterior:
        """Draw from the posterior given data.

        Raises
        ------
        SamplingError
            If the fit failed.
        """

    def digest(self) -> str:
        """SHA-256 (hex) of program and settings."""

    def versions(self) -> dict[str, str]:
        """Versions of what it fits with, once prepared."""


@dataclass(frozen=True)
class ExactBackend:
    """Independent draws from a program's closed-form posterior.

    Attributes
    ----------
    draws
        Number of draws.
    """

    model: Model
    draws: int = 400

    @property
    def name(self) -> str:
        """Name, for records."""
        return "exact"

    def prepare(self) -> ExactBackend:
        """Return itself: nothing is shared."""
        return self

    def fit(self, data: Mapping[str, Any], seed: int) -> Posterior:
        """Draw from the closed form."""
        draws = self.model.exact(data, self.draws, np.random.default_rng(seed))
        return Posterior({name: np.asarray(values)[None] for name, values in draws.items()})

    def digest(self) -> str:
        """Digest of the closed form and the number of draws."""
        priors = {name: str(self.model.prior(name)) for name in self.model.PRIORS}
        return digest_of(*methods(type(self.model), "exact"), dict(self.model.options), priors, self.draws)

    def versions(self) -> dict[str, str]:
        """Return nothing: NumPy draws."""
        return {}


@dataclass(frozen=True)
class FunctionBackend:
    """Draws from a Python function: exact posteriors, planted errors, faults.

    Attributes
    ----------
    sample
        Given data and a generator, returns parameters [draw, ...], or [chain, draw, ...] if `chains`.
    chains
        Whether what it returns has a leading axis of chains.
    label
        Name, for records.
    """

    sample: Callable[[Mapping[str, Any], np.random.Generator], Mapping[str, Any]]
    chains: bool = False
    label: str = "function"

    @property
    def name(self) -> str:
        """Name, for records."""
        return self.label

    def prepare(self) -> FunctionBackend:
        """Return itself: nothing is shared."""
        return self

    def fit(self, data: Mapping[str, Any], seed: int) -> Posterior:
        """Call the function."""
        draws = self.sample(data, np.random.default_rng(seed))
        return Posterior({k: np.asarray(v) if self.chains else np.asarray(v)[None] for k, v in draws.items()})

    def digest(self) -> str:
        """Digest of the function's code, or of what a callable object says of itself."""
        return digest_of(self.sample, self.chains)

    def versions(self) -> dict[str, str]:
        """Return nothing: what the function uses is not known."""
        return {}
