"""Studies simulated from known hyperparameters, and what the checks need of them without a fit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from bayesexpr.data.partitions import level_partitions
from bayesexpr.distributions import sum_to_zero_basis
from bayesexpr.empirical_bayes.gene_integration import Hyper
from bayesexpr.empirical_bayes.laplace import Study
from bayesexpr.models.negative_binomial_de import SLAB_NU, NegativeBinomialDE

HYPER = {
    "mu_alpha": 4.0,
    "sigma_alpha": 2.0,
    "a0": 0.03,
    "a1": 2.0,
    "sigma_phi": 0.6,
    "s": 0.5,
    "tau": np.zeros(0),
    "weight": np.array([0.75, 0.25]),
    "m": np.zeros(1),
}
GIVEN = ("mu_alpha", "sigma_alpha", "a0", "a1", "sigma_phi", "dispersion", "m", "s", "tau", "weight", "log_f")


@dataclass(frozen=True)
class Simulated:
    """A study, its truth, and hyperparameters known without error."""

    study: Study
    hyper: Hyper
    truth: Mapping[str, Any]


def simulate(G: int, S: int, rng: np.random.Generator, donors: bool = False) -> Simulated:
    """Simulate G genes in S samples of two conditions, half each; with `donors` each donor gives one of both."""
    model = NegativeBinomialDE()
    given: dict[str, Any] = {"genes": G, "design": np.repeat([-0.5, 0.5], S // 2)[:, None].tolist()}
    hyper = {**HYPER, "log_f": rng.normal(0, 0.1, S)}
    if donors:
        columns = np.tile(np.eye(S // 2), (2, 1))[:, 1:] - 2 / S
        given |= {"nuisance_design": columns.tolist(), "nuisance_term": [0] * (S // 2 - 1)}
        hyper["tau"] = np.array([0.3])
    truth, data = model.simulate(given, rng, hyper)
    return known(model, model.complete(data), truth)


def of_structure(G: int, seed: int, levels: int = 2, **options: str) -> Simulated:
    """Simulate from the prior of a variant of the program: three samples of each level of the tested factor."""
    rng = np.random.default_rng(seed)
    model = NegativeBinomialDE(options=options)
    basis = sum_to_zero_basis(levels)
    given: dict[str, Any] = {"genes": G, "design": np.repeat(basis, 3, axis=0)}
    if model.options["effects"] == "spike_slab":
        given["component"] = level_partitions([f"l{k}" for k in range(levels)]).projectors
    truth, data = model.simulate(given, rng)
    return known(model, model.complete(data), truth)


def known(model: NegativeBinomialDE, full: Any, truth: Mapping[str, Any], draws: int = 4) -> Simulated:
    """Put data and their true hyperparameters together: all draws of those are the truth."""
    at = model.layout(full)
    centre = {name: np.asarray(truth[name], dtype=float) for name in GIVEN if name in truth}
    many = {name: np.broadcast_to(value, (draws, *value.shape)).copy() for name, value in centre.items()}
    nu = None if model.options["effects"] == "normal" else SLAB_NU
    return Simulated(Study(at, full, nu), Hyper(many, centre), truth)
