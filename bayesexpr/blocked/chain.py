"""One chain of the blocked sampler: how it warms up, and how it draws."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import solve_triangular

from bayesexpr.blocked.curvature import curvature
from bayesexpr.blocked.slow import Further, Mixing
from bayesexpr.blocked.target import Target
from bayesexpr.distributions import Float

GENE_LEAPS = 3
"""Steps of a gene's trajectory: of 0.6 to 1 posterior standard deviations each, a quarter of a circle or more, but for
the shorter ones."""

FURTHER_LEAPS = 9
"""Steps of the second trajectory of a gene that mixes slowly: enough to cross four times its approximate spread."""

HYPER_LEAPS = 4
"""Steps of the hyperparameters' trajectory."""

GENE_ACCEPTANCE = 0.8
"""What the genes' step sizes aim at."""

HYPER_ACCEPTANCE = 0.9
"""What the hyperparameters' step size aims at: high, since their density given the genes is not bent alike everywhere,
and since they move no further for longer steps: what holds them is the genes that they are given."""

STEPS = (0.05, 1.0)
"""Bounds of a gene's step size in whitened units: below, a mode far narrower than the gene's whole spread."""

GENE_JITTER = (0.8, 1.2)
"""Factors on the step size between which a trajectory's is drawn, so that none closes a circle."""

SHORT_JITTER = (0.2, 1.0)
"""Factors of a shorter trajectory. Where a gene's dispersion is small its other coordinates are known far better than
on average: a gene that got there refuses trajectories of the usual step size for hundreds of iterations."""

SHORT_SHARE = 0.5
"""Share of the trajectories that are shorter, whichever the gene and wherever it is: so many cost the others nothing,
and free a gene within some tens of iterations."""

HYPER_JITTER = (0.3, 1.1)
"""Factors on the hyperparameters' step size; short steps enter where their density is bent more than on average."""

SEEN = (0.25, 0.75)
"""Part of the warm-up in which is seen how slowly each gene mixes; then the slow ones' further steps are fitted."""

LOOKS = 8
"""Times in the warm-up at which the curvature is looked at; the mass matrix is the mean of the later looks."""

FLAT = 0.5
"""Least curvature: given the genes, a hyperparameter is at most a little freer than in its marginal, which is 1."""

RUNAWAY = 1000.0
"""Error of the energy that counts as a divergence, as in Stan."""


@dataclass
class Chain:
    """State of a chain.

    Attributes
    ----------
    zeta, z
        [H] and [G, P] (in Fortran's order) whitened hyperparameters and genes.
    rng
        The chain's own random numbers.
    log_step
        [G] log step sizes of the genes.
    hyper_step
        Step size of the hyperparameters.
    mixing
        How slowly each gene mixed in the part of the warm-up that is for seeing that.
    further
        Genes that make a second trajectory in each iteration; None for none.
    further_log_step
        [slow genes] log step sizes of those.
    root
        [H, H] lower-triangular root of their mass matrix: the curvature of their density given the genes.
    """

    target: Target
    zeta: Float
    z: Float
    rng: np.random.Generator
    log_step: Float = field(init=False)
    hyper_step: float = field(init=False, default=0.7)
    root: Float = field(init=False)
    further: Further | None = field(init=False, default=None)
    further_log_step: Float = field(init=False)
    mixing: Mixing = field(init=False, default_factory=Mixing)
    _seen: list[Float] = field(init=False, default_factory=list)

    def __post_init__(self) -> None:
        self.z = np.asfortranarray(self.z, dtype=np.float64)
        self.log_step = np.full(len(self.z), np.log(0.6))
        self.further_log_step = np.empty(0)
        self.root = np.eye(self.zeta.size)

    @property
    def leaps(self) -> float:
        """Leapfrog steps of an iteration: a gene's, on average, and the hyperparameters'."""
        further = 0.0 if self.further is None else FURTHER_LEAPS * len(self.further.genes) / len(self.z)
        return GENE_LEAPS + further + HYPER_LEAPS

    def warm(self, iteration: int, iterations: int) -> None:
        """Make one of `iterations` steps of the warm-up: the genes first, then curvature and step sizes in turn."""
        begin, end = seen(iterations)
        gain = _gain(iteration)
        self._move_genes(gain, _gain(max(0, iteration - end)))
        if begin <= iteration < end:
            self.mixing.add(self.z)
        look = max(1, iterations // LOOKS)
        if iteration % look == look // 2:
            self._seen.append(self._curvature())
            later = self._seen[len(self._seen) // 2 :]
            self.root = np.asarray(np.linalg.cholesky(np.mean(later, axis=0)))
        if self._seen:
            acceptance, _, _ = self._move_hyper()
            self.hyper_step = float(
                np.clip(self.hyper_step * np.exp(gain * (acceptance - HYPER_ACCEPTANCE)), 0.02, 1.2)
            )

    def move_further(self, genes: NDArray[np.int64]) -> None:
        """Have these genes make a second trajectory in each iteration from now on: a matter for the warm-up."""
        self.mixing = Mixing()
        if len(genes):
            self.further, self.further_log_step = Further(self.target, genes), self.log_step[genes].copy()

    def draw(self) -> tuple[float, float, bool]:
        """Make one iteration.

        Returns
        -------
        tuple
            Acceptance probability of the hyperparameters, log density, and whether their trajectory diverged.
        """
        self._move_genes()
        return self._move_hyper()

    def _curvature(self) -> Float:
        """Curvature [H, H] of the hyperparameters' density given the genes; at least ``FLAT``."""
        values, vectors = np.linalg.eigh(curvature(self.target, self.zeta, self.z))
        return np.asarray((vectors * np.maximum(values, FLAT)) @ vectors.T)

    def _move_genes(self, gain: float = 0.0, further_gain: float = 0.0) -> None:
        """Move every gene once and the slow ones once more; fit step sizes by such gains, with 0 not at all."""
        step, usual = self._steps(self.log_step)
        accepted = self.target.move_genes(self.zeta, self.z, step, GENE_LEAPS, self.rng)[0]
        self.log_step = _fitted(self.log_step, np.where(usual, gain, 0.0), accepted)
        if self.further is not None:
            step, usual = self._steps(self.further_log_step)
            accepted = self.further.move(self.zeta, self.z, step, FURTHER_LEAPS, self.rng)
            self.further_log_step = _fitted(self.further_log_step, np.where(usual, further_gain, 0.0), accepted)

    def _steps(self, log_step: Float) -> tuple[Float, NDArray[np.bool_]]:
        """Step sizes of one trajectory each, and whether it is one of the usual length, for which they are fitted."""
        usual = self.rng.random(log_step.size) >= SHORT_SHARE
        low, high = (np.where(usual, *pair) for pair in zip(GENE_JITTER, SHORT_JITTER, strict=True))
        return np.exp(log_step) * self.rng.uniform(low, high), usual

    def _move_hyper(self) -> tuple[float, float, bool]:
        """Make one trajectory of the hyperparameters, in coordinates in which their conditional curvature is 1.

        Genes are carried along; see :meth:`bayesexpr.blocked.target.Target.carried`.
        """
        step = self.hyper_step * self.rng.uniform(*HYPER_JITTER)
        begin, slope = self.target.log_density(self.zeta, self.z, self.zeta)
        momentum = self.rng.standard_normal(self.zeta.size)
        energy = 0.5 * momentum @ momentum - begin
        place, value = self.zeta.copy(), begin
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            for _ in range(HYPER_LEAPS):
                momentum = momentum + 0.5 * step * self._solve(slope)
                place = np.asarray(place + step * self._solve(momentum, transposed=True))
                value, slope = self.target.log_density(place, self.z, self.zeta)
                if not np.isfinite(value):
                    break
                momentum = momentum + 0.5 * step * self._solve(slope)
            gain = energy - (0.5 * momentum @ momentum - value)
        if not np.isfinite(gain):
            return 0.0, begin, True
        accept = float(np.exp(min(0.0, float(gain))))
        if self.rng.random() < accept:
            maps = self.target.whitening
            self.z, volume = self.target.carried(self.z, maps.theta(self.zeta), maps.theta(place))
            self.zeta = place
            return accept, value - volume, False
        return accept, begin, bool(gain < -RUNAWAY)

    def _solve(self, x: Float, *, transposed: bool = False) -> Float:
        """Divide by the mass matrix's root, or by its transpose."""
        trans = "T" if transposed else "N"
        return np.asarray(solve_triangular(self.root, x, trans=trans, lower=True, check_finite=False))


def seen(iterations: int) -> tuple[int, int]:
    """Return the iteration of the warm-up from which how genes mix is seen, and the one after the last of these."""
    begin, end = (int(share * iterations) for share in SEEN)
    return begin, end


def _gain(iteration: int) -> float:
    """How far step sizes follow the acceptance in an iteration of their adaptation."""
    return float(1.5 / (1 + iteration) ** 0.6)


def _fitted(log_step: Float, gain: Float, accepted: Float) -> Float:
    """Log step sizes after trajectories that were accepted with such probabilities."""
    return np.asarray(np.clip(log_step + gain * (accepted - GENE_ACCEPTANCE), *np.log(STEPS)))
