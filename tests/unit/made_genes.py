"""Studies simulated from the model at sensible hyperparameters, and its density as the scores differentiate it."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bayesexpr.empirical_bayes.complete import prior_scores
from bayesexpr.empirical_bayes.laplace import Study, start
from bayesexpr.empirical_bayes.target import HyperDraws, Target
from bayesexpr.models.negative_binomial_de import SLAB_NU, NegativeBinomialDE

Float = NDArray[np.float64]
STRUCTURES = [
    {"effects": e, "dispersion": d}
    for e, d in itertools.product(("spike_slab", "student_t", "normal"), ("trend", "global"))
]


def simulated(model: NegativeBinomialDE, G: int, seed: int, batches: bool = True, K: int = 1) -> tuple[Study, Float]:
    """Two groups of four, in two batches; hyperparameters at sensible values; the study and the truth on the line.

    With K = 2, the second half of each group is tested as well.
    """
    rows = [[a, b][:K] for a in (-0.5, 0.5) for b in (-0.5, -0.5, 0.5, 0.5)]
    given: dict[str, Any] = {"genes": G, "design": rows}
    if batches:
        given["nuisance_design"] = [[-0.5], [0.5]] * 4
    hyper = {
        "mu_alpha": np.array(4.5),
        "sigma_alpha": np.array(1.8),
        "a0": np.array(0.05),
        "a1": np.array(2.0),
        "sigma_phi": np.array(0.5),
        "dispersion": np.array(0.15),
        "m": np.array([0.2, -0.1])[:K],
        "s": np.array(0.7),
        "weight": np.array([0.7, 0.3]),
        "tau": np.array([0.4] * batches),
        "log_f": np.linspace(-0.3, 0.3, 8),
    }
    if model.options["effects"] != "spike_slab":
        hyper = {k: v for k, v in hyper.items() if k not in ("m", "weight")}
    p, data = model.simulate(given, np.random.default_rng(seed), hyper)
    full = model.complete({**data, "log_size_factor": hyper["log_f"]})
    nu = None if model.options["effects"] == "normal" else SLAB_NU
    study = Study(model.layout(full), full, nu)
    return study, study.at.theta(p, full["log_size_factor"])


def some_draws(study: Study, theta: Float, seed: int, draws: int = 3) -> tuple[Float, HyperDraws]:
    """Coordinates [gene, P, draw] about the genes' means, and hyperparameters about `theta`, which differ by draw."""
    rng = np.random.default_rng(seed)
    psi = start(study)[:, :, None] + rng.normal(0, 0.3, (study.full["G"], study.at.P, draws))
    return psi, HyperDraws.of(study, theta + rng.normal(0, 0.1, (draws, study.at.H)))


def coordinates_of(study: Study, natural: Any, theta: Float) -> Float:
    """Coordinates [gene, P, 1] of alpha, log phi and effects, given hyperparameters `theta`."""
    at = study.at
    h = study.at.hyper(theta, study.full["log_size_factor"])
    psi = np.empty((study.full["G"], at.P, 1))
    psi[:, 0, 0] = natural.alpha[:, 0]
    if at.trend:
        trend = -np.log(h["a0"] + h["a1"] * np.exp(-natural.alpha[:, 0]))
        psi[:, 1, 0] = (natural.log_phi[:, 0] - trend) / h["sigma_phi"]
    psi[:, at.d, 0] = (natural.beta[:, :, 0] - (h["m"] if at.spike else 0.0)) / h["s"]
    psi[:, at.u, 0] = natural.gamma[:, :, 0] / h["tau"][study.full["nuisance_term"]]
    return psi


def log_density_of_natural(study: Study, natural: Any, theta: Float) -> Float:
    """Log density [gene] of alpha, log phi, effects, given hyperparameters `theta`: the scores differentiate this."""
    at, hyper = study.at, HyperDraws.of(study, theta[None])
    h = {name: values[0] for name, values in hyper.natural.items()}
    jacobian = -at.K * np.log(h["s"]) - np.log(h["tau"][study.full["nuisance_term"]]).sum()
    if at.trend:
        jacobian = jacobian - np.log(h["sigma_phi"])
    return Target(study).evaluate(coordinates_of(study, natural, theta), hyper).log_density[:, 0] + jacobian


def scores_of(study: Study, psi: Float, hyper: HyperDraws, weight: Float) -> Float:
    target = Target(study)
    found = target.evaluate(psi, hyper)
    inner = prior_scores(study, psi, found, hyper)
    outer, others = target.other_scores(psi, found, weight, hyper)
    out = np.full((len(psi), study.at.H), np.nan)
    out[:, inner.places], out[:, outer] = inner.average(weight), others
    return out


def natural(found: Any) -> dict[str, Float]:
    return {name: getattr(found, name) for name in ("alpha", "log_phi", "beta", "gamma")}
