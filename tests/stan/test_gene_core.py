"""The compiled core of the warm start against NumPy: densities, gradients, curvatures and what is made of them."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest
from core_studies import awkward_study

from bayesexpr.empirical_bayes import laplace
from bayesexpr.empirical_bayes.laplace import Study, start
from bayesexpr.empirical_bayes.whitening import warm_start
from bayesexpr.models.negative_binomial_de import SLAB_NU

pytestmark = pytest.mark.needs_stan


@pytest.mark.parametrize(
    ("effects", "dispersion"),
    [(e, d) for e in ("spike_slab", "student_t", "normal") for d in ("trend", "global")],
)
def test_the_core_equals_numpy(library: Path, effects: str, dispersion: str) -> None:
    model, full, p = awkward_study(effects, 37, dispersion=dispersion)
    nu = None if effects == "normal" else SLAB_NU
    plain, fast = Study(model.layout(full), full, nu), Study(model.layout(full), full, nu, library)
    assert not plain.cores
    assert len(fast.cores) == plain.at.C
    theta = plain.at.theta(p, full["log_size_factor"])
    hyper = plain.at.hyper(theta, full["log_size_factor"])
    rng = np.random.default_rng(2)
    for width in (0.1, 1.0):
        psi = start(plain) + rng.normal(0, width, (37, plain.at.P))
        for c in range(plain.at.C):
            for mine, expected in zip(
                laplace._terms(fast, hyper, c, psi), laplace._terms(plain, hyper, c, psi), strict=True
            ):
                scale = np.abs(expected).max(axis=tuple(range(1, expected.ndim)), keepdims=True)
                assert (np.abs(mine - expected) <= 1e-8 * np.maximum(scale, 1)).all()
            assert np.allclose(
                laplace.gene_gradient(fast, hyper, c, psi),
                laplace.gene_gradient(plain, hyper, c, psi),
                rtol=1e-8,
                atol=1e-6,
            )


def test_the_warm_start_is_the_same_and_quicker(library: Path) -> None:
    """300 genes: the same hyperparameters and maps, up to what the last steps leave undone: a quarter of a sd."""
    model, full, _ = awkward_study("spike_slab", 300, 3)
    warm, seconds = [], []
    for core in (None, library):
        begin = time.process_time()
        warm.append(warm_start(model, full, np.random.default_rng(1), core))
        seconds.append(time.process_time() - begin)
    numpy, compiled = warm
    sd = np.sqrt(np.diag(numpy.whitening.theta_scale @ numpy.whitening.theta_scale.T))
    assert (np.abs(compiled.theta - numpy.theta) < 0.25 * sd).all()
    assert np.allclose(compiled.whitening.scale, numpy.whitening.scale, rtol=0.1)
    assert (np.abs(compiled.whitening.center - numpy.whitening.center) < 0.25 * numpy.whitening.scale).all()
    assert seconds[1] < seconds[0]
