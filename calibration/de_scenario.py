"""negative_binomial_de under calibration: test quantities vectorised over draws, and fits by warm-started NUTS.

The program sums out which component of the spike-and-slab a gene belongs to, and so does the log likelihood measured
here; the effects ranked are those of the slab, which the program samples.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from scipy import special

from bayesexpr.distributions import log_rising_factorial
from bayesexpr.empirical_bayes.whitening import WarmStart, starting_points, warm_start
from bayesexpr.models import de_layout
from bayesexpr.models.base import Model
from bayesexpr.models.negative_binomial_de import NegativeBinomialDE
from bayesexpr.posterior.de_draws import ChainArrays, component_probability
from bayesexpr.posterior.effects import ROPE, summarise
from bayesexpr.stan.kernels import shared_library
from bayesexpr.stan.output import ChainDraws, read_chains
from bayesexpr.stan.program import render
from bayesexpr.stan.sampling import run_nuts
from bayesexpr.stan.settings import SamplerSettings

from .backend import Posterior
from .compiled import Compiled, compiled, ready
from .digests import digest_of, methods, program_digest
from .quantities import Quantity, effects_along_data, elements
from .ranks import Floats

_HYPER = ("mu_alpha", "sigma_alpha", "a0", "a1", "sigma_phi", "dispersion", "m", "s", "weight", "tau", "log_f")
SETTINGS = SamplerSettings(chains=1, warmup=300, draws=800, step_size=0.2)
BLOCKED_SETTINGS = SamplerSettings(chains=1, warmup=400, draws=1200, thin=3, metric="unit_e")
"""Of the blocked sampler: an iteration is a few passes over the counts, and three make a draw."""


@dataclass(frozen=True)
class DEQuantities:
    """Test quantities of ``negative_binomial_de``.

    Hyperparameters; a few genes' parameters; sums over genes of alpha, log phi, beta and their squares; effects along
    the data's differences; the joint log likelihood with the components summed out, that of each sample (expected over
    the components given the draw), and the expected number of changed genes.

    Attributes
    ----------
    most
        Genes shown one by one.
    """

    model: NegativeBinomialDE
    most: int = 4

    def __call__(self, draws: Mapping[str, Any], data: Mapping[str, Any]) -> list[Quantity]:
        """Measure every draw."""
        arrays = {name: np.asarray(values, dtype=np.float64) for name, values in draws.items()}
        found: list[Quantity] = []
        for name in _HYPER:
            if name in arrays and arrays[name][0].size:
                values = arrays[name].reshape(len(arrays[name]), -1)
                found += [
                    Quantity(name if values.shape[1] == 1 else f"{name}[{k}]", values[:, k])
                    for k in range(values.shape[1])
                ]
        for name in ("alpha", "log_phi", "beta", "gamma"):
            if arrays[name][0].size:
                found += elements(name, arrays[name], self.most)
        found += effects_along_data(arrays["beta"], data)
        joint, by_sample, changed = _likelihoods(arrays, self.model.complete(data))
        found.append(Quantity("log_lik", joint, True))
        found += [Quantity(f"log_lik[{s}]", by_sample[:, s], True) for s in range(by_sample.shape[1])]
        if changed is not None:
            found.append(Quantity("changed_genes", changed, True))
        return found


def decide(model: Model, truth: Mapping[str, Any], draws: Mapping[str, Any], data: Mapping[str, Any]) -> dict[str, Any]:
    """State the error rates of every gene's tested effect as the results table does, and whether the errors are made.

    Returns
    -------
    dict
        What :func:`.decisions.decision_report` judges, [gene] each.
    """
    assert isinstance(model, NegativeBinomialDE)
    full = model.complete(data)
    first = np.eye(full["K"])[0]
    on_beta = np.einsum("k,ckl->cl", first, full["component"])
    p = {name: np.asarray(values, dtype=np.float64) for name, values in draws.items()}
    values = np.einsum("dgl,cl->dgc", p["beta"], on_beta)
    genes = slice(0, full["G"])
    weight = component_probability(p["alpha"], p["log_phi"], p["beta"], p["gamma"], p, full, genes)
    told = summarise(values, weight, threshold=0.0, interval=0.9)
    true = np.einsum("gl,gl->g", np.asarray(truth["beta"]), on_beta[np.asarray(truth["component"])])
    up, down = (np.einsum("dgc,dgc->g", weight, side) for side in (values > 0, values < 0))
    material_up, material_down = (np.einsum("dgc,dgc->g", weight, side) for side in (values > ROPE, values < -ROPE))
    return {
        "lfsr": told.lfsr,
        "lfdr": told.lfdr,
        "wrong_sign": np.where(up >= down, true <= 0, true >= 0),
        "no_change": np.where(material_up >= material_down, true <= ROPE, true >= -ROPE),
        "estimate": told.mean,
        "covered": (told.lower <= true) & (true <= told.upper),
    }


@dataclass(frozen=True)
class DEBackend:
    """Fits of ``negative_binomial_de`` as ``fit_de`` makes them: starting from the approximation that also whitens.

    Attributes
    ----------
    settings
        Of the sampler; the seed is that of the simulation.
    method
        ``nuts``, or ``blocked``: genes and hyperparameters in turn (:mod:`bayesexpr.blocked`).
    compiled
        The program, or the kernel's core as a library for the blocked sampler; found by :meth:`prepare`.
    """

    model: NegativeBinomialDE
    settings: SamplerSettings = SETTINGS
    method: str = "nuts"
    compiled: Compiled | None = None

    @property
    def name(self) -> str:
        """Method, for records."""
        return self.method

    def prepare(self) -> DEBackend:
        """Compile the program, unless that was done."""
        if self.compiled is not None:
            return self
        program = render(self.model.NAME, self.model.options)
        if self.method == "blocked":
            return replace(self, compiled=Compiled(shared_library(program), binary=True))
        return replace(self, compiled=compiled(program))

    def fit(self, data: Mapping[str, Any], seed: int) -> Posterior:
        """Sample one study."""
        full = self.model.complete(data)
        warm = warm_start(self.model, full, np.random.default_rng([seed, 1]))
        with tempfile.TemporaryDirectory(prefix="bayesexpr-") as folder:
            chains = self._chains(full, warm, replace(self.settings, seed=seed, cores=1), Path(folder))
            draws = self._parameters(chains[0].names, [c.draws for c in chains], warm.whitening, full)
            columns = np.stack([c.sampler for c in chains])
        diagnostics = {
            "divergences": float(columns[..., 5].sum()),
            "saturated": float((columns[..., 3] >= self.settings.max_treedepth).sum()),
            "leapfrogs_per_draw": float(columns[..., 4].mean()),
        }
        return Posterior(draws, diagnostics)

    def _chains(
        self, full: Mapping[str, Any], warm: WarmStart, settings: SamplerSettings, folder: Path
    ) -> tuple[ChainDraws, ...]:
        program = ready(self.compiled)
        if self.method == "blocked":
            from bayesexpr.blocked.sampling import sample

            return sample(self.model, full, warm, program.path, settings, folder)
        files = run_nuts(
            program.path,
            self.model.stan_data(full, whitening=warm.whitening),
            settings,
            output_dir=folder,
            inits=starting_points(warm, settings.chains, np.random.default_rng([settings.seed, 2])),
            binary=program.binary,
        )
        return read_chains(files)

    def _parameters(
        self, names: tuple[str, ...], draws: list[Any], maps: de_layout.Whitening, full: Mapping[str, Any]
    ) -> dict[str, Floats]:
        at = self.model.layout(full)
        arrays = ChainArrays.find(names, draws, (at.H, full["G"], at.P))
        theta = maps.theta(arrays.zeta)
        psi = maps.psi(arrays.block(slice(0, full["G"]), full["G"], at.P).astype(float), theta)
        hyper = at.hyper(theta, full["log_size_factor"])
        return {
            **hyper,
            "log_f": np.broadcast_to(hyper["log_f"], (*theta.shape[:2], full["S"])),  # fixed ones have no draws
            "alpha": psi[..., 0],
            "log_phi": np.array(at.log_phi(psi, hyper)),
            "beta": at.effect(psi, hyper),
            "gamma": at.other_effects(psi, hyper, full["nuisance_term"]),
        }

    def digest(self) -> str:
        """Digest of program, settings, and the maps between the sampler's coordinates and parameters.

        Where a chain starts, and the linear map that whitens its coordinates, do not change the posterior.
        """
        program = render(self.model.NAME, self.model.options)
        priors = {name: str(self.model.prior(name)) for name in self.model.PRIORS}
        between = methods(type(self.model), "stan_data", "layout")
        common = (program_digest(program), *between, type(self)._parameters, de_layout, priors, asdict(self.settings))
        if self.method != "blocked":
            return digest_of(*common)
        from bayesexpr.blocked import chain, sampling, slow, target

        return digest_of(*common, chain, sampling, slow, target)

    def versions(self) -> dict[str, str]:
        """Versions of Stan and of the compiler."""
        return {} if self.compiled is None else self.compiled.versions()


def _likelihoods(p: Mapping[str, Floats], full: Mapping[str, Any]) -> tuple[Floats, Floats, Floats | None]:
    """Log likelihood [draw], that of each sample [draw, S], and the expected number of changed genes [draw]."""
    phi = np.exp(p["log_phi"])
    D, G = phi.shape
    C, S = full["C"], full["S"]
    cells = np.empty((C, S, D, G))
    for s in range(S):
        count = full["count"][s]
        base = p["alpha"] + p["log_f"][:, s, None] + full["log_length"][s]
        if full["R"]:
            base = base + p["gamma"] @ full["nuisance_design"][s]
        constant = log_rising_factorial(count, phi) - special.gammaln(count + 1.0)
        for c in range(C):
            eta = base + p["beta"] @ full["component_design"][c, s]
            cells[c, s] = constant + count * eta - (count + phi) * np.log1p(np.exp(eta - p["log_phi"]))
    weight = p["weight"] if C > 1 else np.ones((D, 1))
    joint = np.log(weight).T[:, :, None] + cells.sum(axis=1)
    total = special.logsumexp(joint, axis=0)
    probability = np.exp(joint - total)
    by_sample = np.einsum("csdg,cdg->ds", cells, probability)
    changed = None if C == 1 else (1.0 - probability[0]).sum(axis=1)
    return total.sum(axis=1), by_sample, changed
