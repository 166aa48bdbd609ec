"""What the blocked sampler samples: the joint density of whitened hyperparameters and genes, and its gradient."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bayesexpr.distributions import Float, sum_to_zero_basis
from bayesexpr.models.de_core import GeneCore, dispersion_for_core
from bayesexpr.models.de_layout import Layout, Whitening
from bayesexpr.models.de_whitened_core import Noise, WhitenedCore
from bayesexpr.models.negative_binomial_de import SLAB_NU, NegativeBinomialDE


@dataclass(frozen=True)
class Slopes:
    """Gradient of the log density in each of the ways in which hyperparameters enter it.

    Attributes
    ----------
    theta
        [H] as they are, without their part in the others; of size factors that of their prior.
    log_f
        [S] as log size factors.
    shift
        [P, J] by what the genes' coordinates follow.
    """

    theta: Float
    log_f: Float
    shift: Float


class Target:
    """The posterior of one study in whitened coordinates.

    Parameters
    ----------
    data
        As ``model.complete`` returns it.
    library
        The kernel's core as a shared library.
    threads
        Threads that share the genes.
    core
        Counts and designs as laid out for another target of the same data; laid out anew unless given.
    """

    def __init__(
        self,
        model: NegativeBinomialDE,
        data: Mapping[str, Any],
        whitening: Whitening,
        library: Path,
        *,
        threads: int = 1,
        core: GeneCore | None = None,
    ) -> None:
        self.model, self.data, self.whitening = model, data, whitening
        self._library, self._threads = library, threads
        self.at: Layout = model.layout(data)
        self.nu = 0.0 if model.options["effects"] == "normal" else SLAB_NU
        designs = (data["component_design"], data["nuisance_design"])
        self.core = core or GeneCore(library, data["count"], *designs, data["log_length"], trend=self.at.trend)
        self._core = WhitenedCore(self.core, whitening.center, whitening.scale, whitening.slope, threads=threads)
        self._basis = sum_to_zero_basis(self.at.S)
        self._term = np.asarray(data["nuisance_term"], dtype=np.int64)
        self._held = np.asfortranarray(1 - np.minimum(whitening.scale[:, self.at.u], 1.0) ** 2)

    def subset(self, genes: NDArray[np.int64]) -> Target:
        """Return the target of some of the genes, as they stand in `genes`, in the same coordinates."""
        maps = self.whitening
        cut = {name: self.data[name][:, genes] for name in ("count", "log_length")} | {"G": len(genes)}
        maps = replace(maps, center=maps.center[genes], scale=maps.scale[genes], slope=maps.slope[:, genes])
        return Target(self.model, {**self.data, **cut}, maps, self._library, threads=self._threads)

    def log_density(self, zeta: Float, z: Float, start: Float | None = None) -> tuple[float, Float]:
        """Log density at hyperparameters `zeta` [H] and genes `z` [G, P], and its gradient [H] in `zeta`.

        With `start`, hyperparameters at which the genes are `z`: at what :meth:`carried` makes of them on the way from
        there, as a density of the hyperparameters given what it holds.
        """
        theta = self.whitening.theta(zeta)
        begin = None if start is None else self.whitening.theta(start)
        value, slopes = self.slopes(theta, self.log_f(theta), self.shift(theta), z, begin)
        slope = slopes.theta
        if self.at.estimated:
            slope[self.at.v] += self._basis.T @ slopes.log_f
        slope += np.einsum("pj,pjh->h", slopes.shift, self.whitening.driver)
        return value, np.asarray(self.whitening.theta_scale.T @ slope)

    def carried(self, z: Float, start: Float, theta: Float) -> tuple[Float, float]:
        """Take genes along when hyperparameters move from `start` [H] to `theta` [H].

        How far a gene's coordinate u = effect / tau is known depends on tau: well-known effects stay as they are, and
        u shrinks as tau grows; unknown ones stay N(0, 1) in units of tau. Between the two the standard deviation of u
        is tau to the power of minus the share of its prior variance that the counts take away. Genes follow by that
        power, so that they hold the scales tau less than if they stayed.

        Returns
        -------
        tuple
            [G, P] in Fortran's order (`z` itself where no tau moves), and the log determinant of the map.
        """
        away = (theta - start)[self.at.tau][self._term]
        if not away.any():
            return z, 0.0
        moved = z.copy(order="F")
        moved[:, self.at.u] *= np.exp(-self._held * away)
        return moved, -float(self._held.sum(axis=0) @ away)

    def slopes(
        self, theta: Float, log_f: Float, shift: Float, z: Float, start: Float | None = None
    ) -> tuple[float, Slopes]:
        """Log density and its gradient, size factors `log_f` [S] and `shift` [P, J] being given beside `theta` [H].

        With `start` [H] genes are carried along from there.
        """
        at, volume = self.at, 0.0
        if start is not None:
            z, volume = self.carried(z, start, theta)
        h = at.hyper(theta, self.data["log_size_factor"])
        hyper = self._for_core(h) | {"log_f": log_f}
        value, d_z, d_shift, d = self._core.density(z, shift, hyper)
        slope = hyper_gradient(self.model, at, theta, h)
        slope[0] += d["mu_alpha"]
        slope[1] += d["sigma_alpha"] * hyper["sigma_alpha"]
        slope[2] += d["log_a0"]  # of the common dispersion where there is no trend
        if at.trend:
            slope[3] += d["log_a1"]
            slope[4] += d["sigma_phi"] * hyper["sigma_phi"] * (1 - hyper["sigma_phi"] / at.sigma_phi_max)
        if at.spike:
            slope[at.m] += d["m"]
        slope[at.s] += d["s"] * hyper["s"]
        weight = np.exp(hyper["log_weight"])
        slope[at.weight] += (d["log_weight"] - weight * d["log_weight"].sum())[1:]
        np.add.at(slope, at.tau.start + self._term, d["tau"] * hyper["tau"])
        if start is not None:
            followed = np.einsum("gr,gr,gr->r", self._held, z[:, at.u], d_z[:, at.u]) + self._held.sum(axis=0)
            np.add.at(slope, at.tau.start + self._term, -followed)
        return volume + value + self.model.hyper_log_density(at, theta, h), Slopes(slope, d["log_f"], d_shift)

    def move_genes(
        self, zeta: Float, z: Float, step: Float, leaps: int, rng: np.random.Generator
    ) -> tuple[Float, Float]:
        """Move every gene given the hyperparameters; `z` [G, P], in Fortran's order, is replaced.

        Returns
        -------
        tuple
            [G] acceptance probability of each trajectory, and [G] whether the effect drawn anew was taken.
        """
        G, P, K = self.data["G"], self.at.P, self.at.K
        theta = self.whitening.theta(zeta)
        hyper = self._for_core(self.at.hyper(theta, self.data["log_size_factor"]))
        momentum, log_uniform = rng.standard_normal((P, G)), np.log1p(-rng.random((2, G)))
        effect = rng.standard_normal((K, G))
        if self.nu > 0:
            effect /= np.sqrt(rng.chisquare(self.nu, G) / self.nu)
        return self._core.move(z, self.shift(theta), hyper, step, leaps, Noise(momentum, log_uniform, effect))

    def log_f(self, theta: Float) -> Float:
        """Log size factors [S]."""
        return np.asarray(self.at.hyper(theta, self.data["log_size_factor"])["log_f"])

    def shift(self, theta: Float) -> Float:
        """Drivers [P, J], which the genes' coordinates follow."""
        return np.asarray(np.einsum("pjh,h->pj", self.whitening.driver, theta - self.whitening.theta_center))

    def _for_core(self, h: Mapping[str, Float]) -> dict[str, Any]:
        """Hyperparameters as the core names them."""
        return {
            "nu": self.nu,
            "mu_alpha": h["mu_alpha"],
            "sigma_alpha": h["sigma_alpha"],
            **dispersion_for_core(h, self.at.trend),
            "s": h["s"],
            "m": h.get("m", np.zeros(self.at.K)),
            "log_weight": np.log(h["weight"]) if self.at.C > 1 else np.zeros(1),
            "tau": h["tau"][self._term],
            "log_f": h["log_f"],
        }


def hyper_gradient(model: NegativeBinomialDE, at: Layout, theta: Float, h: Mapping[str, Float]) -> Float:
    """Gradient [H] of ``model.hyper_log_density`` in theta."""
    prior = model.prior
    slope = np.zeros(at.H)
    slope[0] = -(theta[0] - prior("mu_alpha").mean) / prior("mu_alpha").sd ** 2
    for place, name in ((1, "sigma_alpha"), *(((2, "a0"), (3, "a1")) if at.trend else ())):
        slope[place] = -(theta[place] - prior(name).log_mean) / prior(name).log_sd ** 2
    if at.trend:
        spread = h["sigma_phi"]
        ratio, pull = spread / at.sigma_phi_max, np.log(spread) - prior("sigma_phi").log_mean
        slope[4] = -pull / prior("sigma_phi").log_sd ** 2 * (1 - ratio) - ratio
    else:
        slope[2] = 1 - prior("dispersion").rate * h["dispersion"]
    if model.options["effects"] == "normal":
        slope[at.s] = 1 - (h["s"] / prior("s_normal").sd) ** 2
    else:
        slope[at.s] = -(theta[at.s] - prior("s").log_mean) / prior("s").log_sd ** 2
    if at.spike:
        slope[at.m] = -theta[at.m] / prior("m").sd ** 2
        concentration = prior("weight").concentration(at.C)
        slope[at.weight] = (concentration - h["weight"] * concentration.sum())[1:]
    slope[at.tau] = 1 - (h["tau"] / prior("tau").sd) ** 2
    slope[at.v] = -theta[at.v] / prior("size_factors").sd ** 2
    return slope
