"""Where each quantity of ``negative_binomial_de`` stands among its hyperparameters and gene coordinates.

The program samples one vector of hyperparameters, ``theta`` on the real line, and for each gene a row of coordinates,
``psi``. Both are sampled in whitened form. This module is the only place in Python that knows the order of the two
and the maps between whitened, natural and constrained scales.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import special

from bayesexpr.distributions import sum_to_zero_basis

Float = NDArray[np.float64]


@dataclass(frozen=True)
class Layout:
    """Sizes and structure of one program, and the places that follow from them.

    Attributes
    ----------
    S, K, R, B, C
        Samples, tested columns, other columns, other terms, components.
    trend, spike, estimated
        Whether dispersion follows a trend, effects have an exact spike, size factors are estimated.
    sigma_phi_max
        Bound of the spread of log phi around the trend.
    """

    S: int
    K: int
    R: int
    B: int
    C: int
    trend: bool
    spike: bool
    estimated: bool
    sigma_phi_max: float

    @cached_property
    def dispersion(self) -> slice:
        """Places of log a0, log a1 and the logit of sigma_phi; or of the log of the common dispersion."""
        return slice(2, 5 if self.trend else 3)

    @cached_property
    def m(self) -> slice:
        """Places of the slab's mean; empty where it is fixed at zero."""
        start = self.dispersion.stop
        return slice(start, start + (self.K if self.spike else 0))

    @cached_property
    def s(self) -> int:
        """Place of the log of the slab's scale."""
        return int(self.m.stop)

    @cached_property
    def weight(self) -> slice:
        """Places of the log ratios of each component's weight to the first one's."""
        return slice(self.s + 1, self.s + self.C)

    @cached_property
    def tau(self) -> slice:
        """Places of the log scales of the other terms."""
        return slice(self.weight.stop, self.weight.stop + self.B)

    @cached_property
    def v(self) -> slice:
        """Places of the sum-to-zero coordinates of the size factors; empty where those are fixed."""
        return slice(self.tau.stop, self.tau.stop + (self.S - 1 if self.estimated else 0))

    @cached_property
    def H(self) -> int:
        """Number of hyperparameters."""
        return int(self.v.stop)

    @cached_property
    def P(self) -> int:
        """Number of coordinates of a gene."""
        return 1 + int(self.trend) + self.K + self.R

    @cached_property
    def d(self) -> slice:
        """Columns of psi that hold the deviates of the tested effect."""
        start = 1 + int(self.trend)
        return slice(start, start + self.K)

    @cached_property
    def u(self) -> slice:
        """Columns of psi that hold the other effects in units of their tau."""
        return slice(self.d.stop, self.d.stop + self.R)

    def names(self) -> list[str]:
        """Return the name of every element of theta."""
        trend = ["log_a0", "log_a1", "logit_sigma_phi"] if self.trend else ["log_dispersion"]
        m = [f"m[{k}]" for k in range(self.m.stop - self.m.start)]
        weight = [f"log_weight_ratio[{c}]" for c in range(1, self.C)]
        tau = [f"log_tau[{b}]" for b in range(self.B)]
        v = [f"v[{k}]" for k in range(self.v.stop - self.v.start)]
        return ["mu_alpha", "log_sigma_alpha", *trend, *m, "log_s", *weight, *tau, *v]

    def hyper(self, theta: Float, log_size_factor: Float) -> dict[str, Float]:
        """Hyperparameters on their own scales.

        Parameters
        ----------
        theta
            [..., H]; leading axes are kept.
        log_size_factor
            [S]: what the size factors are estimated around.
        """
        x = np.asarray(theta, dtype=float)
        ratios = np.concatenate([np.zeros((*x.shape[:-1], 1)), x[..., self.weight]], axis=-1)
        out = {"mu_alpha": x[..., 0], "sigma_alpha": np.exp(x[..., 1])}
        at = self.dispersion.start
        if self.trend:
            out |= {"a0": np.exp(x[..., at]), "a1": np.exp(x[..., at + 1])}
            out["sigma_phi"] = self.sigma_phi_max * special.expit(x[..., at + 2])
        else:
            out["dispersion"] = np.exp(x[..., at])
        if self.spike:
            out["m"] = x[..., self.m]
        out |= {"s": np.exp(x[..., self.s]), "tau": np.exp(x[..., self.tau])}
        if self.C > 1:
            out["weight"] = special.softmax(ratios, axis=-1)
        shift = x[..., self.v] @ sum_to_zero_basis(self.S).T if self.estimated else np.zeros((*x.shape[:-1], self.S))
        out["log_f"] = log_size_factor + shift
        return out

    def theta(self, hyper: dict[str, Any], log_size_factor: Float) -> Float:
        """Return the vector of unconstrained hyperparameters: the inverse of :meth:`hyper`."""
        x = np.empty(self.H)
        x[0], x[1] = hyper["mu_alpha"], np.log(hyper["sigma_alpha"])
        if self.trend:
            ratio = hyper["sigma_phi"] / self.sigma_phi_max
            x[self.dispersion] = np.log(hyper["a0"]), np.log(hyper["a1"]), special.logit(ratio)
        else:
            x[self.dispersion] = np.log(hyper["dispersion"])
        if self.spike:
            x[self.m] = hyper["m"]
        x[self.s] = np.log(hyper["s"])
        if self.C > 1:
            x[self.weight] = np.log(hyper["weight"][1:] / hyper["weight"][0])
        x[self.tau] = np.log(hyper["tau"])
        if self.estimated:
            x[self.v] = sum_to_zero_basis(self.S).T @ (hyper["log_f"] - log_size_factor)
        return x

    def log_phi(self, psi: Float, hyper: dict[str, Float]) -> Float:
        """Log precision of every gene.

        Parameters
        ----------
        psi
            [..., G, P].
        hyper
            As from :meth:`hyper`, with the same leading axes as psi.
        """
        alpha = psi[..., 0]
        if not self.trend:
            return np.broadcast_to(-np.log(hyper["dispersion"])[..., None], alpha.shape)
        a0, a1, spread = (np.asarray(hyper[k])[..., None] for k in ("a0", "a1", "sigma_phi"))
        return np.asarray(spread * psi[..., 1] - np.log(a0 + a1 * np.exp(-alpha)))

    def effect(self, psi: Float, hyper: dict[str, Float]) -> Float:
        """Effect b of the tested term under the slab, natural log: [..., G, K]."""
        b = np.asarray(hyper["s"])[..., None, None] * psi[..., self.d]
        return np.asarray(b + hyper["m"][..., None, :] if self.spike else b)

    def other_effects(self, psi: Float, hyper: dict[str, Float], term: NDArray[np.int64]) -> Float:
        """Effects of all other columns, natural log: [..., G, R]; `term` is the term of each column, from 0."""
        return np.asarray(hyper["tau"][..., None, :][..., term] * psi[..., self.u])


@dataclass(frozen=True)
class Whitening:
    """The affine maps between sampled and natural coordinates; none of them changes the posterior.

    Attributes
    ----------
    theta_center, theta_scale
        [H] and lower-triangular [H, H]: theta = theta_center + theta_scale zeta.
    center, scale
        [G, P]: psi = center + scale z + sum over j of slope[..., j] (driver[p] (theta - theta_center))[j].
    slope
        [P, G, J]: how the coordinates of a gene follow the hyperparameters, in J directions for each coordinate.
    driver
        [P, J, H]: those directions.
    """

    theta_center: Float
    theta_scale: Float
    center: Float
    scale: Float
    slope: Float
    driver: Float

    @classmethod
    def plain(cls, layout: Layout, genes: int, *, mu_alpha: float) -> Whitening:
        """Return the maps that whiten nothing but the intercepts' location: what a cold start uses."""
        center = np.zeros((genes, layout.P))
        center[:, 0] = mu_alpha
        start = np.zeros(layout.H)
        start[0] = mu_alpha
        return cls(
            theta_center=start,
            theta_scale=np.eye(layout.H),
            center=center,
            scale=np.ones((genes, layout.P)),
            slope=np.zeros((layout.P, genes, 1)),
            driver=np.zeros((layout.P, 1, layout.H)),
        )

    def theta(self, zeta: Float) -> Float:
        """Hyperparameters [..., H] of their whitened form."""
        return np.asarray(self.theta_center + zeta @ self.theta_scale.T)

    def psi(self, z: Float, theta: Float, genes: slice = slice(None)) -> Float:
        """Coordinates [..., g, P] of the genes in `genes` of their whitened form z [..., g, P]."""
        shift = np.einsum("pjh,...h->...pj", self.driver, theta - self.theta_center)
        follow = np.einsum("pgj,...pj->...gp", self.slope[:, genes], shift)
        return np.asarray(self.center[genes] + follow + self.scale[genes] * z)

    def zeta(self, theta: Float) -> Float:
        """Whitened form of hyperparameters [..., H]."""
        return np.asarray(np.linalg.solve(self.theta_scale, (theta - self.theta_center).T).T)

    def z(self, psi: Float, theta: Float) -> Float:
        """Whitened form of coordinates [G, P] at hyperparameters [H]."""
        shift = np.einsum("pjh,h->pj", self.driver, theta - self.theta_center)
        follow = np.einsum("pgj,pj->gp", self.slope, shift)
        return np.asarray((psi - self.center - follow) / self.scale)

    def stan_data(self) -> dict[str, Any]:
        """Return the entries of the program's data block."""
        return {
            "H": self.theta_center.size,
            "P": self.center.shape[1],
            "J": self.slope.shape[2],
            "theta_center": self.theta_center,
            "theta_scale": self.theta_scale,
            "center": self.center,
            "scale": self.scale,
            "slope": self.slope,
            "driver": self.driver,
        }
