"""negative_binomial_de: differential expression of a whole transcriptome; the equations head the Stan program."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy import special

from bayesexpr.distributions import (
    Float,
    nb2_logpmf,
    nb2_rng,
    normal_logpdf,
    spherical_student_t_logpdf,
    sum_to_zero_basis,
)
from bayesexpr.errors import InputError, OptionError
from bayesexpr.models import checks
from bayesexpr.models.base import Complete, Draws, Model, Option, PriorSlot
from bayesexpr.models.de_layout import Layout, Whitening
from bayesexpr.models.priors import Dirichlet, Exponential, HalfNormal, LogNormal, Normal
from bayesexpr.names import GENE, SAMPLE

SLAB_NU = 4.0
"""Degrees of freedom of the slab: heavy enough that the strongest real genes are not shrunk into dispersion."""

CHAPTER_OPTIONS = {"effects": "normal", "dispersion": "global"}
"""The published model's structure: one dispersion, a normal prior on every effect."""


@dataclass(frozen=True)
class NegativeBinomialDE(Model):
    """Hierarchical negative binomial with an exact-zero spike, a heavy slab and a dispersion trend."""

    NAME: ClassVar[str] = "negative_binomial_de"
    SUMMARY: ClassVar[str] = "differential expression of all genes of a study, any design, exact-zero spike"
    OPTIONS: ClassVar[Mapping[str, Option]] = {
        "effects": Option(
            ("spike_slab", "student_t", "normal"),
            "prior of the tested effect: exactly zero or a heavy-tailed slab, a Student-t, or a normal",
        ),
        "dispersion": Option(
            ("trend", "global"), "dispersions around a learned trend in the mean, or one for all genes"
        ),
        "size_factors": Option(
            ("estimated", "fixed"), "estimated around the robust size factors given, or taken as known"
        ),
        "density": Option(("kernel", "stan"), "C++ kernel with analytic gradient, or plain Stan"),
    }
    PRIORS: ClassVar[Mapping[str, PriorSlot]] = {
        "mu_alpha": PriorSlot(
            Normal(4.0, 0.5), "the typical gene has exp(4) = 55 counts in a library, within a factor of 2.7 (95 %)"
        ),
        "sigma_alpha": PriorSlot(
            LogNormal(math.log(2.0), 0.15), "expression differs between genes by a factor of exp(2) = 7 (one sd)"
        ),
        "m": PriorSlot(Normal(0.0, 0.3), "changes go up and down about equally, within 1.8-fold on average"),
        "s": PriorSlot(LogNormal(math.log(0.5), 0.4), "a changed gene typically changes by exp(0.5) = 1.65-fold"),
        "weight": PriorSlot(Dirichlet(3.0, 1.0), "most genes do not change: three in four before seeing data"),
        "tau": PriorSlot(HalfNormal(0.5), "other effects (donor, batch) are mostly below 2.7-fold"),
        "a0": PriorSlot(
            LogNormal(math.log(0.03), 0.7), "well expressed genes vary by sqrt(0.03) = 17 % between replicates"
        ),
        "a1": PriorSlot(LogNormal(math.log(2.0), 0.7), "extra dispersion 2 / mean of weakly expressed genes"),
        "sigma_phi": PriorSlot(
            LogNormal(math.log(0.6), 0.35, upper=0.85),
            "dispersions scatter around the trend by a factor exp(0.6) = 1.8; bounded, for otherwise real effects "
            "are explained away as over-dispersion",
        ),
        "dispersion": PriorSlot(
            Exponential(4.605), "P(dispersion > 1) = 0.01: noise rarely exceeds the mean (dispersion = global)"
        ),
        "size_factors": PriorSlot(Normal(0.0, 0.1), "robust size factors are right within 10 % (one sd)"),
        "s_normal": PriorSlot(HalfNormal(1.0), "P(s > 1.96) = 0.05 (effects = normal)"),
    }
    DATA: ClassVar[Mapping[str, str]] = {
        "count": "[S][G] counts, samples x genes",
        "design": "[S][K] columns of the tested term, without an intercept",
        "nuisance_design": "[S][R] columns of all other terms (default: none)",
        "nuisance_term": "[R] number of the term each of those columns belongs to, from 0 (default: each its own)",
        "component": "[C][K][K] projectors of the spike's components (default: no change, any change)",
        "log_size_factor": "[S] natural log of robust size factors (default: zeros)",
        "effective_length": "[G] or [S][G] effective lengths (default: none)",
    }
    PARAMETERS: ClassVar[Mapping[str, str]] = {
        "mu_alpha": "mean of the intercepts",
        "sigma_alpha": "sd of the intercepts",
        "a0": "dispersion of well expressed genes",
        "a1": "slope of dispersion in 1 / mean",
        "sigma_phi": "sd of log phi around the trend",
        "dispersion": "common dispersion (dispersion = global)",
        "m": "[K] mean of the slab",
        "s": "scale of the slab, sd of a pairwise contrast but for the t's tails",
        "weight": "[C] weights of the components; the first is no change",
        "tau": "[B] scale of each other term",
        "log_f": "[S] log size factors",
        "alpha": "[G] log mean count in an average library",
        "log_phi": "[G] log precision",
        "beta": "[G][K] effect of the tested term if changed",
        "gamma": "[G][R] effects of all other columns",
    }
    DIMS: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "alpha": (GENE,),
        "log_phi": (GENE,),
        "beta": (GENE, "tested_coefficient"),
        "gamma": (GENE, "other_coefficient"),
        "log_f": (SAMPLE,),
        "count": (SAMPLE, GENE),
        "log_size_factor": (SAMPLE,),
    }
    SCENARIO: ClassVar[Mapping[str, Any]] = {"genes": 50, "design": [[-0.5]] * 3 + [[0.5]] * 3}

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, prior in self.priors.items():
            bounded = name == "sigma_phi"
            if isinstance(prior, LogNormal) and math.isfinite(prior.upper) != bounded:
                rule = "needs its bound, log_normal(log_mean, log_sd, upper)" if bounded else "takes no bound"
                raise OptionError(f"prior {name} of {self.NAME} {rule}; it was given {prior}.")

    def layout(self, data: Mapping[str, Any]) -> Layout:
        """Return the places of all quantities for completed `data`."""
        return Layout(
            S=data["S"],
            K=data["K"],
            R=data["R"],
            B=data["B"],
            C=data["C"],
            trend=self.options["dispersion"] == "trend",
            spike=self.options["effects"] == "spike_slab",
            estimated=self.options["size_factors"] == "estimated",
            sigma_phi_max=self.prior("sigma_phi").upper,
        )

    def complete(self, data: Mapping[str, Any]) -> Complete:
        """Check the user's data and fill in the defaults.

        Raises
        ------
        InputError
            If a shape or a value breaks a rule.
        """
        if isinstance(data, Complete):
            return data
        checks.keys(self.NAME, data, self.DATA, ("count", "design"))
        count = checks.whole("count", data["count"], ("S", "G"))
        S, G = count.shape
        design = checks.real("design", data["design"], (S, "K"))
        K = design.shape[1]
        nuisance, term = _nuisance(data, S)
        spike = self.options["effects"] == "spike_slab"
        default = np.stack([np.zeros((K, K)), np.eye(K)]) if spike else np.eye(K)[None]
        component = checks.real("component", data.get("component", default), ("C", K, K)) if spike else default
        if spike and len(component) < 2:
            raise InputError("a spike has at least two components, no change and some change; component has one.")
        return Complete(
            S=S,
            G=G,
            K=K,
            R=nuisance.shape[1],
            B=int(term.max()) + 1 if term.size else 0,
            C=len(component),
            count=count,
            log_size_factor=checks.real("log_size_factor", data.get("log_size_factor", np.zeros(S)), (S,)),
            log_length=_log_length(data.get("effective_length"), S, G),
            design=design,
            component=component,
            component_design=np.einsum("sk,ckl->csl", design, component),
            nuisance_design=nuisance,
            nuisance_term=term,
        )

    def stan_data(
        self, data: Mapping[str, Any], *, prior_only: bool = False, whitening: Whitening | None = None
    ) -> dict[str, Any]:
        """Return the program's data block; `whitening` makes its geometry round and leaves the posterior as it is."""
        full = self.complete(data)
        mu = self.prior("mu_alpha")
        maps = whitening or Whitening.plain(self.layout(full), full["G"], mu_alpha=mu.mean)
        out = {key: full[key] for key in ("G", "S", "K", "R", "B", "C", "count", "log_size_factor", "log_length")}
        out |= {"component_design": full["component_design"], "nuisance_design": full["nuisance_design"]}
        out |= {"nuisance_term": full["nuisance_term"] + 1, "prior_only": int(prior_only)}
        return out | self._prior_numbers(full["C"]) | maps.stan_data()

    def _prior_numbers(self, components: int) -> dict[str, Any]:
        effects, log_normal = self.options["effects"], ("sigma_alpha", "a0", "a1", "sigma_phi", "s")
        numbers = {
            f"{name}_log_{n}": getattr(self.prior(name), f"log_{n}") for name in log_normal for n in ("mean", "sd")
        }
        trend = {f"log_{name}_{n}": numbers.pop(f"{name}_log_{n}") for name in ("a0", "a1") for n in ("mean", "sd")}
        out = {
            "mu_alpha_mean": self.prior("mu_alpha").mean,
            "mu_alpha_sd": self.prior("mu_alpha").sd,
            "tau_sd": self.prior("tau").sd,
            **numbers,
            **trend,
            "sigma_phi_max": self.prior("sigma_phi").upper,
            "dispersion_rate": self.prior("dispersion").rate,
            "size_factor_sd": self.prior("size_factors").sd,
            "m_sd": self.prior("m").sd,
            "nu": SLAB_NU,
            "s_sd": self.prior("s_normal").sd,
        }
        if effects == "spike_slab":
            out["weight_concentration"] = self.prior("weight").concentration(components)
        return out

    def draw_hyper(self, full: Mapping[str, Any], rng: np.random.Generator) -> Draws:
        """Draw the hyperparameters from their priors; `full` is completed data, of which the sizes count."""
        trend, effects = self.options["dispersion"] == "trend", self.options["effects"]
        names = ["mu_alpha", "sigma_alpha", *(("a0", "a1", "sigma_phi") if trend else ("dispersion",))]
        h: Draws = {name: self.prior(name).draw(rng) for name in names}
        h["s"] = self.prior("s_normal" if effects == "normal" else "s").draw(rng)
        if effects == "spike_slab":
            h["m"] = self.prior("m").draw(rng, full["K"])
            h["weight"] = rng.dirichlet(self.prior("weight").concentration(full["C"]))
        h["tau"] = self.prior("tau").draw(rng, full["B"])
        h["log_f"] = full["log_size_factor"]
        if self.options["size_factors"] == "estimated":
            h["log_f"] = h["log_f"] + sum_to_zero_basis(full["S"]) @ self.prior("size_factors").draw(rng, full["S"] - 1)
        return h

    def simulate(
        self, data: Mapping[str, Any], rng: np.random.Generator, hyper: Draws | None = None
    ) -> tuple[Draws, dict[str, Any]]:
        """Draw hyperparameters, unless they are given, then genes, then counts.

        Parameters
        ----------
        data
            ``design`` and whatever else of ``DATA`` but the counts, and ``genes``, their number.
        hyper
            Hyperparameters as :meth:`draw_hyper` returns them.
        """
        given = {k: v for k, v in data.items() if k != "genes"}
        full = self.complete({**given, "count": np.ones((len(given["design"]), int(data["genes"])), dtype=np.int64)})
        G, K, C = full["G"], full["K"], full["C"]
        p: Draws = dict(self.draw_hyper(full, rng) if hyper is None else hyper)
        p["alpha"] = rng.normal(p["mu_alpha"], p["sigma_alpha"], G)
        if self.options["dispersion"] == "trend":
            p["e"] = rng.normal(size=G)
            p["log_phi"] = p["sigma_phi"] * p["e"] - np.log(p["a0"] + p["a1"] * np.exp(-p["alpha"]))
        else:
            p["log_phi"] = np.full(G, -np.log(p["dispersion"]))
        p["d"] = rng.normal(size=(G, K))
        if self.options["effects"] != "normal":
            p["d"] /= np.sqrt(rng.chisquare(SLAB_NU, size=(G, 1)) / SLAB_NU)
        p["beta"] = p["s"] * p["d"] + p.get("m", 0.0)
        p["component"] = rng.choice(C, size=G, p=p["weight"]) if C > 1 else np.zeros(G, dtype=np.int64)
        p["u"] = rng.normal(size=(G, full["R"]))
        p["gamma"] = p["tau"][full["nuisance_term"]] * p["u"]
        change = np.einsum("gsk,gk->sg", full["component_design"][p["component"]], p["beta"])
        eta = p["alpha"] + p["log_f"][:, None] + full["log_length"] + change + full["nuisance_design"] @ p["gamma"].T
        return p, {**given, "count": nb2_rng(np.exp(eta), np.exp(p["log_phi"]), rng)}

    def conditions(self, data: Mapping[str, Any]) -> dict[str, Any]:
        """Return designs, lengths and size factors, with the number of genes."""
        given = {key: data[key] for key in self.DATA if key in data and key != self.OUTCOME}
        return given | {"genes": np.shape(data["count"])[1]}

    def replicate(
        self, parameters: Mapping[str, Any], data: Mapping[str, Any], rng: np.random.Generator
    ) -> NDArray[Any]:
        """Draw counts [S, G] anew; each gene's component is drawn given the gene's counts and all else."""
        log_mu, _, joint = self._by_component(parameters, self.complete(data))
        mass = special.softmax(joint, axis=0).cumsum(axis=0)
        G = mass.shape[1]
        component = (rng.random(G) * mass[-1] > mass).sum(axis=0)
        return nb2_rng(np.exp(log_mu[component, :, np.arange(G)].T), np.exp(parameters["log_phi"]), rng)

    def posterior(self, draws: Draws, data: Mapping[str, Any]) -> Draws:
        """Return parameters on their own scales from draws of ``zeta`` and ``z`` made without a warm start."""
        full = self.complete(data)
        at = self.layout(full)
        maps = Whitening.plain(at, full["G"], mu_alpha=self.prior("mu_alpha").mean)
        theta = maps.theta(draws["zeta"])
        psi, hyper = maps.psi(draws["z"], theta), at.hyper(theta, full["log_size_factor"])
        genes = {"alpha": psi[..., 0], "log_phi": at.log_phi(psi, hyper), "beta": at.effect(psi, hyper)}
        return {**hyper, **genes, "gamma": at.other_effects(psi, hyper, full["nuisance_term"])}

    def coords(self, data: Mapping[str, Any]) -> dict[str, list[Any]]:
        """Return the numbers of samples and genes."""
        S, G = np.shape(data["count"])
        return {SAMPLE: list(range(S)), GENE: list(range(G))}

    def log_lik(self, parameters: Mapping[str, Any], data: Mapping[str, Any]) -> Float:
        """Log mass [S, G] of every count given the other counts of its gene, with the components summed out.

        The components tie the counts of a gene together, so that no product of terms of one count each is the
        likelihood; the mass of a count given the others is what leave-one-out weights need.

        Parameters
        ----------
        parameters
            One draw, by the names of ``PARAMETERS``.
        """
        _, cell, joint = self._by_component(parameters, self.complete(data))
        return np.asarray(special.logsumexp(joint, axis=0) - special.logsumexp(joint[:, None] - cell, axis=0))

    def _by_component(self, parameters: Mapping[str, Any], full: Mapping[str, Any]) -> tuple[Float, Float, Float]:
        """Log mean and log mass [C, S, G] of every count, and log of weight times likelihood [C, G] of every gene."""
        p = {k: np.asarray(v, dtype=float) for k, v in parameters.items()}
        base = p["alpha"] + p["log_f"][:, None] + full["log_length"] + full["nuisance_design"] @ p["gamma"].T
        log_mu = base + np.einsum("csk,gk->csg", full["component_design"], p["beta"])
        cell = nb2_logpmf(full["count"], np.exp(log_mu), np.exp(p["log_phi"]))
        log_weight = np.log(p["weight"]) if full["C"] > 1 else np.zeros(1)
        return log_mu, cell, log_weight[:, None] + cell.sum(axis=1)

    def log_density(self, parameters: Mapping[str, Any], data: Mapping[str, Any]) -> float:
        """Log joint density in (theta, psi): what the program's target is, but for the constant of the whitening.

        Parameters
        ----------
        parameters
            ``theta`` [H] and ``psi`` [G, P]; :class:`~bayesexpr.models.de_layout.Layout` tells their order.
        """
        full = self.complete(data)
        at = self.layout(full)
        theta, psi = np.asarray(parameters["theta"]), np.asarray(parameters["psi"])
        h = at.hyper(theta, full["log_size_factor"])
        prior = self.hyper_log_density(at, theta, h)
        d, u = psi[:, at.d], psi[:, at.u]
        normal = self.options["effects"] == "normal"
        genes = normal_logpdf(psi[:, 0], h["mu_alpha"], h["sigma_alpha"]) + normal_logpdf(u, 0, 1).sum(1)
        genes = genes + (normal_logpdf(d, 0, 1).sum(1) if normal else spherical_student_t_logpdf(d, SLAB_NU))
        if at.trend:
            genes = genes + normal_logpdf(psi[:, 1], 0, 1)
        log_weight = np.log(h["weight"]) if at.C > 1 else np.zeros(1)
        lik = special.logsumexp(log_weight + self.component_log_lik(psi, h, full), axis=1)
        return float(prior + np.sum(genes) + np.sum(lik))

    def hyper_log_density(self, at: Layout, theta: Float, h: dict[str, Float]) -> float:
        """Log prior of theta with the Jacobians of its maps; `h` is theta on its own scales."""
        lp = float(self.prior("mu_alpha").logpdf(theta[0]))
        log_scales = ["sigma_alpha", "s"] + (["a0", "a1"] if at.trend else ["dispersion"])
        for name in log_scales:
            slot = "s_normal" if name == "s" and self.options["effects"] == "normal" else name
            lp += float(self.prior(slot).logpdf(h[name]) + np.log(h[name]))
        if at.trend:
            x = h["sigma_phi"]
            lp += float(self.prior("sigma_phi").logpdf(x) + np.log(x) + np.log1p(-x / at.sigma_phi_max))
        if at.spike:
            concentration, w = self.prior("weight").concentration(at.C), h["weight"]
            lp += float(self.prior("m").logpdf(h["m"]).sum() + np.log(w).sum())
            lp += float(special.gammaln(concentration.sum()) - special.gammaln(concentration).sum())
            lp += float(((concentration - 1) * np.log(w)).sum())
        lp += float((self.prior("tau").logpdf(h["tau"]) + np.log(h["tau"])).sum())
        return lp + float(self.prior("size_factors").logpdf(theta[at.v]).sum())

    def component_log_lik(self, psi: Float, hyper: dict[str, Float], full: Mapping[str, Any]) -> Float:
        """Log likelihood of every gene in every component, [G, C], for one draw."""
        at = self.layout(full)
        b, gamma = at.effect(psi, hyper), at.other_effects(psi, hyper, full["nuisance_term"])
        base = psi[:, 0] + hyper["log_f"][:, None] + full["log_length"] + full["nuisance_design"] @ gamma.T
        change = np.einsum("csk,gk->csg", full["component_design"], b)
        phi = np.exp(at.log_phi(psi, hyper))
        return np.asarray(nb2_logpmf(full["count"], np.exp(base + change), phi).sum(axis=1).T)


def _nuisance(data: Mapping[str, Any], S: int) -> tuple[Float, NDArray[np.int64]]:
    """Columns [S, R] of the other terms, and the term of each."""
    given = data.get("nuisance_design")
    if given is None or np.size(np.asarray(given, dtype=object)) == 0:
        return np.zeros((S, 0)), np.zeros(0, dtype=np.int64)
    columns = checks.real("nuisance_design", given, (S, "R"))
    R = columns.shape[1]
    return columns, checks.whole("nuisance_term", data.get("nuisance_term", np.arange(R)), (R,), high=R - 1)


def _log_length(length: Any, S: int, G: int) -> Float:
    """Offsets with mean zero within a gene, so that exp(alpha) stays a count and the trend is one of counts."""
    if length is None:
        return np.zeros((S, G))
    per_sample = isinstance(length, Sequence | np.ndarray) and len(length) > 0 and np.ndim(length[0]) > 0
    shape: tuple[int, ...] = (S, G) if per_sample else (G,)
    logs = np.log(np.broadcast_to(checks.real("effective_length", length, shape, above=0), (S, G)))
    return np.asarray(logs - logs.mean(axis=0))
