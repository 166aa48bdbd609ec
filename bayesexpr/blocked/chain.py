"""One chain of the blocked sampler: how it warms up, and how it draws."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from scipy.linalg import solve_triangular

from bayesexpr.blocked.curvature import curvature
from bayesexpr.blocked.target import Target
from bayesexpr.distributions import Float

GENE_LEAPS = 3
"""Steps of a gene's trajectory: of 0.6 to 1 posterior standard deviations each, a quarter of a circle or more."""

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

HYPER_JITTER = (0.3, 1.1)
"""The same for the hyperparameters; short steps enter where their density is bent more than on average."""

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
    _seen: list[Float] = field(init=False, default_factory=list)

    def __post_init__(self) -> None:
        self.z = np.asfortranarray(self.z, dtype=np.float64)
        self.log_step = np.full(len(self.z), np.log(0.6))
        self.root = np.eye(self.zeta.size)

    def warm(self, iteration: int, iterations: int) -> None:
        """Make one of `iterations` steps of the warm-up: the genes first, then curvature and step sizes in turn."""
        gain = 1.5 / (1 + iteration) ** 0.6
        accepted = self._move_genes()
        self.log_step = np.clip(self.log_step + gain * (accepted - GENE_ACCEPTANCE), np.log(STEPS[0]), np.log(STEPS[1]))
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

    def _move_genes(self) -> Float:
        step = np.exp(self.log_step) * self.rng.uniform(*GENE_JITTER)
        return self.target.move_genes(self.zeta, self.z, step, GENE_LEAPS, self.rng)[0]

    def _move_hyper(self) -> tuple[float, float, bool]:
        """Make one trajectory of the hyperparameters, in coordinates in which their conditional curvature is 1."""
        step = self.hyper_step * self.rng.uniform(*HYPER_JITTER)
        begin, slope = self.target.log_density(self.zeta, self.z)
        momentum = self.rng.standard_normal(self.zeta.size)
        energy = 0.5 * momentum @ momentum - begin
        place, value = self.zeta.copy(), begin
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            for _ in range(HYPER_LEAPS):
                momentum = momentum + 0.5 * step * self._solve(slope)
                place = np.asarray(place + step * self._solve(momentum, transposed=True))
                value, slope = self.target.log_density(place, self.z)
                if not np.isfinite(value):
                    break
                momentum = momentum + 0.5 * step * self._solve(slope)
            gain = energy - (0.5 * momentum @ momentum - value)
        if not np.isfinite(gain):
            return 0.0, begin, True
        accept = float(np.exp(min(0.0, float(gain))))
        if self.rng.random() < accept:
            self.zeta = place
            return accept, value, False
        return accept, begin, bool(gain < -RUNAWAY)

    def _solve(self, x: Float, *, transposed: bool = False) -> Float:
        """Divide by the mass matrix's root, or by its transpose."""
        trans = "T" if transposed else "N"
        return np.asarray(solve_triangular(self.root, x, trans=trans, lower=True, check_finite=False))
