"""One chain of the blocked sampler: how it warms up, and how it draws."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from bayesexpr.blocked.target import Target
from bayesexpr.distributions import Float

GENE_LEAPS = 3
"""Steps of a gene's trajectory: of 0.6 to 1 posterior standard deviations each, a quarter of a circle or more."""

HYPER_LEAPS = 3
"""Steps of the hyperparameters' trajectory."""

ACCEPTANCE = 0.8
"""What both step sizes aim at: few dimensions want short steps less than many do, but rejections cost more here."""

STEPS = (0.05, 1.0)
"""Bounds of a gene's step size in whitened units: below, a mode far narrower than the gene's whole spread."""

JITTER = 0.2
"""Step sizes vary by as much from one trajectory to the next, so that none closes a circle."""

DIFFERENCE = 1e-3
"""Step of the differences that give the curvature of the hyperparameters' conditional density."""

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

    def __post_init__(self) -> None:
        self.z = np.asfortranarray(self.z, dtype=np.float64)
        self.log_step = np.full(len(self.z), np.log(0.6))
        self.root = np.eye(self.zeta.size)

    def warm(self, iteration: int, iterations: int) -> None:
        """Make one of `iterations` steps of the warm-up: the genes first, then curvature and step sizes in turn."""
        gain = 1.5 / (1 + iteration) ** 0.6
        accepted = self._move_genes()
        self.log_step = np.clip(self.log_step + gain * (accepted - ACCEPTANCE), np.log(STEPS[0]), np.log(STEPS[1]))
        if iteration in {iterations // 10, iterations // 3, 2 * iterations // 3}:
            self.root = np.asarray(np.linalg.cholesky(self.curvature()))
        if iteration >= iterations // 10:
            acceptance, _, _ = self._move_hyper()
            self.hyper_step = float(np.clip(self.hyper_step * np.exp(gain * (acceptance - ACCEPTANCE)), 0.02, 1.2))

    def draw(self) -> tuple[float, float, bool]:
        """Make one iteration.

        Returns
        -------
        tuple
            Acceptance probability of the hyperparameters, log density, and whether their trajectory diverged.
        """
        self._move_genes()
        return self._move_hyper()

    def curvature(self) -> Float:
        """Curvature [H, H] of the hyperparameters' density given the genes, by differences; at least ``FLAT``."""
        H = self.zeta.size
        second = np.empty((H, H))
        for h in range(H):
            shift = DIFFERENCE * np.eye(H)[h]
            up, down = (self.target.log_density(self.zeta + sign * shift, self.z)[1] for sign in (1, -1))
            second[h] = (down - up) / (2 * DIFFERENCE)
        values, vectors = np.linalg.eigh((second + second.T) / 2)
        return np.asarray((vectors * np.maximum(values, FLAT)) @ vectors.T)

    def _move_genes(self) -> Float:
        step = np.exp(self.log_step) * self.rng.uniform(1 - JITTER, 1 + JITTER)
        return self.target.move_genes(self.zeta, self.z, step, GENE_LEAPS, self.rng)[0]

    def _move_hyper(self) -> tuple[float, float, bool]:
        """Make one trajectory of the hyperparameters, in coordinates in which their conditional curvature is 1."""
        step = self.hyper_step * self.rng.uniform(1 - JITTER, 1 + JITTER)
        begin, slope = self.target.log_density(self.zeta, self.z)
        momentum = self.rng.standard_normal(self.zeta.size)
        energy = 0.5 * momentum @ momentum - begin
        place, value = self.zeta.copy(), begin
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            for _ in range(HYPER_LEAPS):
                momentum = momentum + 0.5 * step * np.linalg.solve(self.root, slope)
                place = np.asarray(place + step * np.linalg.solve(self.root.T, momentum))
                value, slope = self.target.log_density(place, self.z)
                if not np.isfinite(value):
                    break
                momentum = momentum + 0.5 * step * np.linalg.solve(self.root, slope)
            gain = energy - (0.5 * momentum @ momentum - value)
        if not np.isfinite(gain):
            return 0.0, begin, True
        accept = float(np.exp(min(0.0, float(gain))))
        if self.rng.random() < accept:
            self.zeta = place
            return accept, value, False
        return accept, begin, bool(gain < -RUNAWAY)
