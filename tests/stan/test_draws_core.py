"""The compiled core at many draws of each gene against its twin in NumPy: densities, scores, random numbers."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from core_studies import awkward_study
from numpy.typing import NDArray

from bayesexpr.empirical_bayes.hyperposterior import learn
from bayesexpr.empirical_bayes.importance import GeneTask, sample_genes
from bayesexpr.empirical_bayes.laplace import Study, start
from bayesexpr.empirical_bayes.noise import stream_keys
from bayesexpr.empirical_bayes.proposal import propose
from bayesexpr.empirical_bayes.target import HyperDraws, Target
from bayesexpr.models.negative_binomial_de import SLAB_NU, NegativeBinomialDE

pytestmark = pytest.mark.needs_stan

Float = NDArray[np.float64]

FIELDS = ("log_density", "alpha", "log_phi", "beta", "gamma", "probability")


def studies(
    library: Path, effects: str, G: int, seed: int, dispersion: str = "trend"
) -> tuple[NegativeBinomialDE, Study, Study, Float]:
    """The same study in NumPy and compiled; theta."""
    model, full, p = awkward_study(effects, G, seed, dispersion)
    plain = Study(model.layout(full), full, None if effects == "normal" else SLAB_NU)
    theta = plain.at.theta(p, full["log_size_factor"])
    return model, plain, replace(plain, library=library), theta


def draws_about(study: Study, theta: Float, draws: int, seed: int) -> tuple[Float, HyperDraws]:
    rng = np.random.default_rng(seed)
    psi = start(study)[:, :, None] + rng.normal(0, 1.0, (study.full["G"], study.at.P, draws))
    return psi, HyperDraws.of(study, theta + rng.normal(0, 0.1, (draws, study.at.H)))


@pytest.mark.parametrize(
    ("effects", "dispersion"),
    [(e, d) for e in ("spike_slab", "student_t", "normal") for d in ("trend", "global")],
)
def test_densities_and_scores_equal_numpy(library: Path, effects: str, dispersion: str) -> None:
    """37 genes at 203 draws, each with its own hyperparameters; relative to the size of a gene's log density."""
    _, plain, fast, theta = studies(library, effects, 37, 1, dispersion)
    psi, hyper = draws_about(plain, theta, 203, 2)
    twin, found = Target(plain).evaluate(psi, hyper), Target(fast).evaluate(psi, hyper)
    scale = 1 + np.abs(twin.log_density).max(axis=1)
    for name in FIELDS:
        a, b = getattr(found, name), getattr(twin, name)
        assert (np.abs(a - b).max(axis=tuple(range(1, b.ndim)), initial=0) <= 1e-9 * scale).all(), name
    weight = np.random.default_rng(3).random((37, 203))
    weight /= weight.sum(axis=1, keepdims=True)
    sides = [Target(one).other_scores(psi, twin, weight, hyper) for one in (fast, plain)]
    assert np.array_equal(sides[0][0], sides[1][0])
    assert np.allclose(sides[0][1], sides[1][1], rtol=1e-9, atol=1e-8)
    # negative control: the hyperparameters of other draws
    other = Target(fast).evaluate(psi, HyperDraws.of(fast, np.roll(hyper.theta, 1, axis=0)))
    assert (np.abs(other.log_density - found.log_density).max(axis=1) > 0.01).all()


def test_more_than_two_levels_equal_numpy(library: Path) -> None:
    """Three levels: five components, two tested columns."""
    model = NegativeBinomialDE()
    rng = np.random.default_rng(4)
    design = np.repeat([[0.8, 0.0], [-0.4, 0.7], [-0.4, -0.7]], 3, axis=0)
    component = [
        np.zeros((2, 2)),
        *(np.outer(v, v) / (v @ v) for v in np.array([[1.0, 0.0], [1.0, 1.0], [1.0, -1.0]])),
        np.eye(2),
    ]
    p, data = model.simulate({"genes": 11, "design": design, "component": np.array(component)}, rng)
    full = model.complete(data)
    plain = Study(model.layout(full), full, SLAB_NU)
    psi, hyper = draws_about(plain, plain.at.theta(p, full["log_size_factor"]), 50, 5)
    twin, found = (Target(one).evaluate(psi, hyper) for one in (plain, replace(plain, library=library)))
    assert found.probability.shape == (11, 5, 50)
    for name in FIELDS:
        assert np.allclose(getattr(found, name), getattr(twin, name), rtol=1e-9, atol=1e-8), name


@pytest.mark.parametrize("effects", ["spike_slab", "normal"])
def test_random_numbers_equal_numpy(library: Path, effects: str) -> None:
    """The same proposals and densities, for numbers of draws that fill no vector, too; other keys give others."""
    _, plain, _, theta = studies(library, effects, 37, 6)
    proposal = propose(plain, theta)
    keys = stream_keys((1, 2), np.arange(37))
    for draws in (1, 40, 1003):
        (psi, height), (twin, twin_height) = (proposal.sample(keys, draws, one) for one in (library, None))
        assert np.allclose(psi, twin, rtol=1e-10, atol=1e-10)
        assert np.allclose(height, twin_height, rtol=1e-10, atol=1e-10)
        assert np.allclose(height, proposal.log_density(psi), rtol=1e-10, atol=1e-10)
    other, _ = proposal.sample(keys[::-1], 1003, library)
    assert (np.abs(other - psi).max(axis=(1, 2)) > 0.1)[np.arange(37) != 18].all()


def test_genes_are_sampled_alike_and_quicker(library: Path) -> None:
    """70 genes, 300 draws: what is kept is the same but where rounding decides what is drawn again; in less time."""
    model, plain, fast, theta = studies(library, "spike_slab", 70, 7)

    def log_prior(at: Float) -> float:
        return model.hyper_log_density(plain.at, at, plain.at.hyper(at, plain.full["log_size_factor"]))

    hyper = learn(fast, theta, log_prior, 1)
    kept = hyper.draw(300, np.random.default_rng(8))
    samples: list[Any] = []
    seconds = []
    for study in (plain, fast):
        begin = time.process_time()
        samples.append(sample_genes(GeneTask(study, np.arange(70), hyper.center, kept, hyper.score, 1)))
        seconds.append(time.process_time() - begin)
    assert np.array_equal(samples[0].moved, samples[1].moved)
    steady = ~samples[0].moved  # a chain that accepts otherwise once goes its own way
    assert steady.sum() > 60
    for name in ("alpha", "log_phi", "beta", "gamma", "probability"):
        a, b = (getattr(one.block, name)[:, :, steady] for one in samples)
        assert np.isclose(a, b, rtol=1e-4, atol=1e-5).mean() > 0.95, name
    assert seconds[1] < seconds[0] / 1.5
