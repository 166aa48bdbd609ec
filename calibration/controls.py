"""Negative controls: errors planted in the inference, which a campaign must catch and name.

One or many genes in three against three samples, alpha ~ N(4, 1), beta ~ N(0, 0.7), log phi ~ N(log 5, 0.8), known
offsets. The generator is right; each bug sits in what the inference believes, or in what it does to its draws.
Posteriors are exact (a grid), so whatever a campaign finds is the planted error, and a campaign without one must
pass.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from bayesexpr.distributions import nb2_logpmf, nb2_rng

from . import grid
from .backend import Posterior
from .digests import digest_of, methods
from .grid import TwoGroups, laplace, solve
from .quantities import Quantity
from .ranks import Floats

_RIGHT = TwoGroups()
_SIGN = np.array([1.0, 1.0, 1.0, -1.0, -1.0, -1.0])
_DESIGN = (1.0, -1.0)
_ZERO_ONE = (1.0, 0.0)
OFFSET_SD = 0.3


@dataclass(frozen=True)
class Bug:
    """A planted error.

    Attributes
    ----------
    name
        What is wrong, in words.
    belief
        What the inference believes.
    offsets
        ``given``, ``none`` or ``rolled``: what it does with the offsets.
    draws
        ``exact``, ``laplace``, ``mean_field``, ``shuffled`` (margins right, correlations destroyed), ``sticky`` (an
        autocorrelated sampler); or a factor on the spread of the draws about their mean.
    reported
        Factor between the effect and the one that the program reports.
    log_lik_x
        Design of the ``log_lik`` that the program states, where it is not that of its likelihood.
    tier
        Size of the campaign that must catch it: 20, 200 or 1000; 0 where no campaign of this kind does.
    both_sides
        Whether the generator states the same wrong ``log_lik``.
    offset_sd
        Sd of the offsets that are simulated.
    instead
        What catches it where campaigns do not.
    """

    name: str
    belief: TwoGroups = _RIGHT
    offsets: str = "given"
    draws: str | float = "exact"
    reported: float = 1.0
    log_lik_x: tuple[float, float] | None = None
    tier: int = 200
    both_sides: bool = False
    offset_sd: float = OFFSET_SD
    instead: str = ""


NO_BUG = Bug("no error", tier=0)

BUGS: tuple[Bug, ...] = (
    Bug("likelihood missing", replace(_RIGHT, likelihood="none"), tier=20),
    Bug("sign of the design flipped", replace(_RIGHT, x=(-1.0, 1.0)), tier=20),
    Bug("phi and 1/phi exchanged", replace(_RIGHT, likelihood="inverse_phi"), tier=20),
    Bug("two sample labels swapped", replace(_RIGHT, group=(0, 0, 1, 0, 1, 1)), tier=20),
    Bug("Poisson in place of negative binomial", replace(_RIGHT, likelihood="poisson"), tier=20),
    Bug("0/1 design in place of +1/-1", replace(_RIGHT, x=(1.0, 0.0)), tier=20),
    Bug("half the effect", replace(_RIGHT, x=(0.5, -0.5)), tier=20),
    Bug("offsets moved by one sample", offsets="rolled"),
    Bug("Jacobian of log phi dropped", replace(_RIGHT, log_phi_power=-1.0)),
    Bug("offsets forgotten", offsets="none"),
    Bug("one sample dropped", replace(_RIGHT, weight=(1.0, 1.0, 1.0, 1.0, 1.0, 0.0))),
    Bug("one sample counted twice", replace(_RIGHT, weight=(2.0, 1.0, 1.0, 1.0, 1.0, 1.0))),
    Bug("prior of beta: variance for sd", replace(_RIGHT, beta=(0.0, 0.49))),
    Bug("prior sd of beta doubled", replace(_RIGHT, beta=(0.0, 1.4)), tier=1000),
    Bug("prior sd of alpha halved", replace(_RIGHT, alpha=(4.0, 0.5))),
    Bug("draws drawn together by 0.9", draws=0.9),
    Bug("draws drawn together by 0.8", draws=0.8),
    Bug("draws spread by 1.2", draws=1.2),
    Bug("Laplace approximation", draws="laplace"),
    Bug("mean-field normal", draws="mean_field"),
    Bug("correlations destroyed", draws="shuffled", tier=1000),
    Bug("effect reported at half its size", reported=0.5, tier=20),
    Bug("log_lik by another design", log_lik_x=_ZERO_ONE, tier=20),
)
"""The table of planted errors, with the size of campaign (20 pooled genes) that must catch each."""

STICKY = Bug("draws kept for about ten", draws="sticky", tier=0, instead="the ranks refused: autocorrelation")
BLIND: tuple[Bug, ...] = (
    Bug(
        "small offsets (sd 0.05) forgotten",
        offsets="none",
        tier=0,
        offset_sd=0.05,
        instead="one sample's counts doubled with its offset: the effects must stay as they are",
    ),
    Bug(
        "log_lik by another design, generator too",
        log_lik_x=_ZERO_ONE,
        tier=0,
        both_sides=True,
        instead="log_lik at given parameters against an independent probability function",
    ),
    STICKY,
)
"""What campaigns of the usual size do not see, or do not take for an error of the model; planted all the same."""


@dataclass(frozen=True)
class TwoGroupScenario:
    """Genes in three against three samples, with known offsets.

    Attributes
    ----------
    genes
        Number of genes; with more than one, sums over them are measured.
    offset_sd
        Sd of the offsets.
    log_lik_x
        Design of the ``log_lik`` that is taken for true.
    """

    genes: int = 1
    offset_sd: float = OFFSET_SD
    log_lik_x: tuple[float, float] = _DESIGN

    @property
    def name(self) -> str:
        """Name, for records."""
        return f"two-groups-{self.genes}"

    def simulate(self, rng: np.random.Generator) -> tuple[dict[str, Any], dict[str, Any]]:
        """Draw parameters and counts."""
        p = {
            "alpha": rng.normal(4.0, 1.0, self.genes),
            "beta": rng.normal(0.0, 0.7, self.genes),
            "log_phi": rng.normal(np.log(5.0), 0.8, self.genes),
        }
        p["reported_effect"] = 2.0 * p["beta"]  # log ratio of the two groups
        offset = rng.normal(0.0, self.offset_sd, 6)
        mu = np.exp(p["alpha"] + _SIGN[:, None] * p["beta"] + offset[:, None])
        data = {"count": nb2_rng(mu, np.exp(p["log_phi"]), rng), "offset": offset}
        p["stated_log_lik"] = log_lik({k: np.asarray(v)[None] for k, v in p.items()}, data, self.log_lik_x).sum()
        return p, data

    def measure(self, draws: Mapping[str, Any], data: Mapping[str, Any]) -> list[Quantity]:
        """Parameters, log prior, effects along the data, and log likelihoods; sums where there are many genes."""
        p = {name: np.asarray(values, dtype=np.float64) for name, values in draws.items()}
        direction = np.sign((_SIGN[:, None] * np.log1p(data["count"])).sum(axis=0))
        lik = log_lik(p, data, _DESIGN)
        prior = -0.5 * sum(
            (((p[name] - mean) / sd) ** 2).sum(axis=1)
            for name, (mean, sd) in (("alpha", _RIGHT.alpha), ("beta", _RIGHT.beta), ("log_phi", _RIGHT.log_phi))
        )
        found = [Quantity(f"{name}[0]", p[name][:, 0]) for name in ("alpha", "beta", "log_phi")]
        if self.genes > 1:
            found += [Quantity(f"sum({name})", p[name].sum(axis=1)) for name in ("alpha", "beta", "log_phi")]
            found.append(Quantity("sum(beta^2)", (p["beta"] ** 2).sum(axis=1)))
        found.append(Quantity("sum(reported_effect^2)", (p["reported_effect"] ** 2).sum(axis=1)))
        found.append(Quantity("log_prior", np.asarray(prior)))
        found.append(Quantity("sum(beta sign(data))", (p["beta"] * direction).sum(axis=1), True))
        found.append(Quantity("log_lik", lik.sum(axis=1), True))
        if "stated_log_lik" in p:
            found.append(Quantity("stated_log_lik", p["stated_log_lik"], True))
        return [*found, *(Quantity(f"log_lik[{s}]", lik[:, s], True) for s in range(6))]

    def implausible(self, data: Mapping[str, Any]) -> str | None:
        """Every data set is plausible."""
        return None

    def digest(self) -> str:
        """Digest of simulator and densities."""
        return digest_of(*methods(type(self), "simulate", "measure"), [self.genes, self.offset_sd, *self.log_lik_x])


@dataclass(frozen=True)
class GridBackend:
    """Exact draws under a planted error.

    Attributes
    ----------
    size
        Number of draws: more than are ranked among, so that chance does not make them look dependent.
    """

    bug: Bug = field(default=NO_BUG)
    size: int = 200

    @property
    def name(self) -> str:
        """Name, for records."""
        return f"grid ({self.bug.name})"

    def prepare(self) -> GridBackend:
        """Return itself: nothing is shared."""
        return self

    def fit(self, data: Mapping[str, Any], seed: int) -> Posterior:
        """Draw from the posterior that the bug leads to."""
        rng, bug = np.random.default_rng(seed), self.bug
        offset = offsets_of(bug, np.asarray(data["offset"]))
        values = self._draws(np.asarray(data["count"]), offset, rng)
        return Posterior({name: v[None] for name, v in stated(bug, values, data).items()})

    def _draws(self, count: grid.Ints, offset: Floats, rng: np.random.Generator) -> Floats:
        """Draws [draw, gene, 3] of alpha, beta and log phi."""
        bug, genes = self.bug, count.shape[1]
        if bug.draws in ("laplace", "mean_field"):
            mode, precision = laplace(bug.belief, count, offset)
            z = rng.normal(size=(self.size, genes, 3))
            if bug.draws == "mean_field":
                return np.asarray(mode + z / np.sqrt(np.diagonal(precision, axis1=1, axis2=2)))
            factor = np.linalg.cholesky(np.linalg.inv(precision))
            return np.asarray(mode + np.einsum("gij,dgj->dgi", factor, z))
        eta = solve(bug.belief, count, offset).draw(self.size, rng)
        alpha, beta = bug.belief.coefficients(eta[..., 0], eta[..., 1])
        return spoil(np.stack([alpha, beta, eta[..., 2]], axis=2), bug, rng)

    def digest(self) -> str:
        """Digest of the grid and the bug."""
        return digest_of(*methods(type(self), "fit"), repr(self.bug), self.size)

    def versions(self) -> dict[str, str]:
        """Return nothing: NumPy draws."""
        return {}


def scenario_of(bug: Bug, genes: int = 20) -> TwoGroupScenario:
    """Return what is simulated for a bug: the same for all whose generator is right and whose offsets are usual."""
    x = bug.log_lik_x if bug.both_sides else None
    return TwoGroupScenario(genes, bug.offset_sd, x or _DESIGN)


def log_lik(p: Mapping[str, Any], data: Mapping[str, Any], x: tuple[float, float]) -> Floats:
    """Log likelihood [draw, sample] of parameters [draw, gene], by a design with these values in the two groups."""
    design = np.where(_SIGN > 0, *x)[:, None]
    eta = p["alpha"][:, None] + design * p["beta"][:, None] + np.asarray(data["offset"])[:, None]
    cells = nb2_logpmf(np.asarray(data["count"]), np.exp(eta), np.exp(p["log_phi"])[:, None])
    return np.asarray(cells.sum(axis=2))


def stated(bug: Bug, values: Floats, data: Mapping[str, Any]) -> dict[str, Floats]:
    """Turn draws [draw, gene, 3] into what a program with the bug states: parameters, the effect, its log_lik."""
    draws = dict(zip(("alpha", "beta", "log_phi"), np.moveaxis(values, 2, 0), strict=True))
    draws["reported_effect"] = bug.reported * 2.0 * draws["beta"]
    if bug.log_lik_x is not None:
        draws["stated_log_lik"] = log_lik(draws, data, bug.log_lik_x).sum(axis=1)
    return draws


def offsets_of(bug: Bug, given: Floats) -> Floats:
    """Return the offsets that the inference uses."""
    return np.asarray({"given": given, "none": 0.0 * given, "rolled": np.roll(given, 1)}[bug.offsets])


def spoil(values: Floats, bug: Bug, rng: np.random.Generator) -> Floats:
    """Do to draws [draw, gene, 3] what the bug does to them; nothing for errors that are not in the draws."""
    if bug.draws == "sticky":
        # Each draw is kept for about ten: as dependent as an autoregression with correlation 0.9.
        fresh = rng.random(len(values)) < 0.1
        fresh[0] = True
        return np.asarray(values[np.maximum.accumulate(np.where(fresh, np.arange(len(values)), 0))])
    if bug.draws == "shuffled":
        return rng.permuted(values, axis=0)
    if isinstance(bug.draws, float):
        centre = values.mean(axis=0)
        return np.asarray(centre + bug.draws * (values - centre))
    return values
