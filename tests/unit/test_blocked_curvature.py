"""The curvature that the blocked sampler's mass matrix is made of, against differences; needs a C++ compiler."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bayesexpr.blocked.curvature import curvature
from bayesexpr.blocked.target import Target
from bayesexpr.empirical_bayes.whitening import warm_start
from bayesexpr.models.negative_binomial_de import NegativeBinomialDE


@pytest.mark.parametrize(("effects", "size_factors"), [("spike_slab", "estimated"), ("normal", "fixed")])
def test_the_curvature_is_that_of_differences(library: Path, effects: str, size_factors: str) -> None:
    """60 genes x 8 samples, seed 1: minus the second derivatives by differences in every hyperparameter.

    Forward differences, and what genes between "no change" and a change add beside the diagonal of the size factors
    left out: within 0.5 % of the largest element (found: 0.1 %). Negative control: at other genes.
    """
    model = NegativeBinomialDE(options={"effects": effects, "size_factors": size_factors})
    rng = np.random.default_rng(1)
    half = {"design": np.repeat([[-0.5], [0.5]], 4, axis=0), "nuisance_design": np.tile([[-0.5], [0.5]], (4, 1))}
    _, data = model.simulate({"genes": 60, **half}, rng)
    data = model.complete(data)
    warm = warm_start(model, data, rng, library)
    target, H = Target(model, data, warm.whitening, library), model.layout(data).H
    zeta, z = 0.5 * rng.normal(size=H), np.asfortranarray(rng.normal(size=(60, target.at.P)))

    def by_differences(z: Any) -> Any:
        up, down = (np.array([target.log_density(zeta + s * 1e-4 * u, z, zeta)[1] for u in np.eye(H)]) for s in (1, -1))
        return (down - up) / 2e-4

    expected, found = by_differences(z), curvature(target, zeta, z)
    np.testing.assert_allclose(found, found.T, atol=1e-9)
    scale = np.abs(expected).max()
    assert np.abs(found - expected).max() < 0.005 * scale
    assert np.abs(found - by_differences(np.asfortranarray(-z))).max() > 0.005 * scale


def test_the_curvature_takes_as_many_densities_for_more_samples(library: Path) -> None:
    counts = []
    for samples in (4, 16):
        model = NegativeBinomialDE()
        design = np.repeat([[-0.5], [0.5]], samples // 2, axis=0)
        _, data = model.simulate({"genes": 20, "design": design}, np.random.default_rng(1))
        data = model.complete(data)
        warm = warm_start(model, data, np.random.default_rng(1), library)
        target, seen = Target(model, data, warm.whitening, library), []
        density = target.slopes
        target.slopes = lambda *given, seen=seen, density=density: seen.append(1) or density(*given)  # type: ignore
        curvature(target, np.zeros(target.at.H), np.zeros((20, target.at.P), order="F"))
        counts.append(len(seen))
    assert counts[0] == counts[1]
