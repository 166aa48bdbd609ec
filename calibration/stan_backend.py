"""Fits by Stan: compiled once, then only chains are started."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from bayesexpr.models.base import Model
from bayesexpr.stan.methods import MethodDraws
from bayesexpr.stan.program import StanProgram, render
from bayesexpr.stan.settings import SamplerSettings

from .backend import Posterior
from .compiled import Compiled, compiled, run
from .digests import digest_of, methods, program_digest

SETTINGS = SamplerSettings(chains=1, warmup=500, draws=1000)
"""Of the many small fits of a campaign: a chain more costs another warm-up, and ranks need few draws."""


@dataclass(frozen=True)
class StanBackend:
    """A program of the ladder by NUTS or an approximation.

    Attributes
    ----------
    model
        The program with its options and priors.
    settings
        Chains, iterations, adaptation; the seed is that of the simulation.
    method
        ``nuts``, ``pathfinder``, ``laplace`` or ``advi``.
    compiled
        Found by :meth:`prepare`.
    """

    model: Model
    settings: SamplerSettings = SETTINGS
    method: str = "nuts"
    compiled: Compiled | None = None

    @property
    def name(self) -> str:
        """Method, for records."""
        return self.method

    @property
    def program(self) -> StanProgram:
        """The rendered program."""
        return render(self.model.NAME, self.model.options)

    def prepare(self) -> StanBackend:
        """Compile the program, unless that was done."""
        return replace(self, compiled=compiled(self.program)) if self.compiled is None else self

    def fit(self, data: Mapping[str, Any], seed: int) -> Posterior:
        """Run the method on one data set."""
        found = run(self.compiled, self.method, self.model.stan_data(data), self.settings, seed)
        return Posterior(self.model.posterior(found.variables, data), _diagnostics(found, self.settings))

    def digest(self) -> str:
        """Digest of program, settings and the map from its draws to parameters."""
        priors = {name: str(self.model.prior(name)) for name in self.model.PRIORS}
        between = methods(type(self.model), "stan_data", "posterior")
        return digest_of(program_digest(self.program), *between, priors, asdict(self.settings), self.method)

    def versions(self) -> dict[str, str]:
        """Versions of Stan and of the compiler."""
        return {} if self.compiled is None else self.compiled.versions()


@dataclass(frozen=True)
class StanProgramBackend:
    """A user's own Stan program.

    Attributes
    ----------
    program
        Name and code.
    keep
        Variables to keep, of those that the program writes; all unless given.
    transform
        Given the variables [chain, draw, ...] and the data, returns what the scenario measures.
    to_stan
        Turns simulated data into the program's data block.
    """

    program: StanProgram
    settings: SamplerSettings = SETTINGS
    method: str = "nuts"
    keep: tuple[str, ...] = ()
    transform: Callable[[Mapping[str, Any], Mapping[str, Any]], Mapping[str, Any]] | None = None
    to_stan: Callable[[Mapping[str, Any]], Mapping[str, Any]] | None = None
    compiled: Compiled | None = None

    @property
    def name(self) -> str:
        """Method, for records."""
        return self.method

    def prepare(self) -> StanProgramBackend:
        """Compile the program, unless that was done."""
        return replace(self, compiled=compiled(self.program)) if self.compiled is None else self

    def fit(self, data: Mapping[str, Any], seed: int) -> Posterior:
        """Run the method on one data set."""
        given = self.to_stan(data) if self.to_stan is not None else data
        found = run(self.compiled, self.method, given, self.settings, seed)
        kept = {k: v for k, v in found.variables.items() if not self.keep or k in self.keep}
        draws = self.transform(kept, data) if self.transform is not None else kept
        return Posterior(draws, _diagnostics(found, self.settings))

    def digest(self) -> str:
        """Digest of program and settings."""
        functions = [f for f in (self.transform, self.to_stan) if f is not None]
        return digest_of(program_digest(self.program), *functions, asdict(self.settings), self.method, self.keep)

    def versions(self) -> dict[str, str]:
        """Versions of Stan and of the compiler."""
        return {} if self.compiled is None else self.compiled.versions()


def _diagnostics(found: MethodDraws, settings: SamplerSettings) -> dict[str, float]:
    if "divergent__" not in found.diagnostics:
        return {}
    columns = found.diagnostics
    return {
        "divergences": float(np.sum(columns["divergent__"])),
        "saturated": float(np.sum(columns["treedepth__"] >= settings.max_treedepth)),
        "leapfrogs_per_draw": float(np.mean(columns["n_leapfrog__"])),
        "step_size": float(np.mean(columns["stepsize__"][..., -1])),
    }
