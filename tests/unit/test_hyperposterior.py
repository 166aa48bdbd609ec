"""The hyperparameters' posterior: the information it rests on, the climb to it, its width, and when it is found."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from made_genes import (
    STRUCTURES,
    Float,
    coordinates_of,
    log_density_of_natural,
    natural,
    scores_of,
    simulated,
    some_draws,
)

from bayesexpr.empirical_bayes.complete import observed_information
from bayesexpr.empirical_bayes.hyperposterior import learn
from bayesexpr.empirical_bayes.target import HyperDraws, Target
from bayesexpr.models.negative_binomial_de import NegativeBinomialDE


@pytest.mark.parametrize("options", STRUCTURES)
def test_the_information_is_the_scores_derivative(options: dict[str, str]) -> None:
    """Scores of reweighted draws, against central differences; with a spike but for the slab's own; seeds 3 and 4.

    80 equal draws stand for a posterior; their weights follow the density when the hyperparameters move. Within 5 % of
    the curvatures, and 2 % of the scores' variance, half of which is the correction for so few draws; size factors and
    a common dispersion are among them.
    """
    study, theta = simulated(NegativeBinomialDE(options=options), 3, 3)
    psi, _ = some_draws(study, theta, 4, draws=80)
    here = HyperDraws.of(study, np.tile(theta, (80, 1)))
    found = Target(study).evaluate(psi, here)
    information = observed_information(study, psi, found, np.full((3, 80), 1 / 80), here)
    each = [dataclasses.replace(found, **{k: v[..., [s]] for k, v in natural(found).items()}) for s in range(80)]
    base = np.stack([log_density_of_natural(study, one, theta) for one in each], axis=1)

    def at(moved: Float) -> Float:
        now = np.stack([log_density_of_natural(study, one, moved) for one in each], axis=1)
        weight = np.exp(now - base)
        weight /= weight.sum(axis=1, keepdims=True)
        hyper = HyperDraws.of(study, np.tile(moved, (80, 1)))
        coordinates = np.concatenate([coordinates_of(study, one, moved) for one in each], axis=2)
        return scores_of(study, coordinates, hyper, weight).sum(axis=0)

    one = np.ones((3, 1))
    by_draw = [scores_of(study, psi[:, :, [s]], HyperDraws.of(study, theta[None]), one) for s in range(80)]
    variance = np.var(by_draw, axis=0).sum(axis=0)

    def assert_derivative(claimed: Float) -> None:
        size, spread = np.sqrt(np.abs(np.diag(claimed))), np.sqrt(variance)
        for h in kept:
            step = 1e-4 * (np.arange(study.at.H) == h)
            slope = -(at(theta + step) - at(theta - step)) / 2e-4
            limit = 0.05 * size[h] * size + 0.02 * spread[h] * spread + 0.05
            assert np.all(np.abs(slope - claimed[h])[kept] < limit[kept])

    own = [study.at.s, *range(study.at.m.start, study.at.m.stop)] if study.at.spike else []
    kept = np.setdiff1d(np.arange(study.at.H), own)
    assert_derivative(information)
    assert np.allclose(information, information.T)
    with pytest.raises(AssertionError):
        assert_derivative(1.2 * information)  # negative control


def test_the_mode_is_found_from_afar_and_near_the_truth() -> None:
    """300 genes, seed 12: from 0.3 off in every hyperparameter, all within four posterior sds of the truth."""
    model = NegativeBinomialDE()
    study, truth = simulated(model, 300, 12)

    def log_prior(theta: Float) -> float:
        return model.hyper_log_density(study.at, theta, study.at.hyper(theta, study.full["log_size_factor"]))

    found = [learn(study, truth + shift, log_prior, 1) for shift in (0.3, -0.3)]
    sd = np.sqrt(np.diag(found[0].covariance))
    assert np.abs((found[0].center - truth) / sd).max() < 4
    assert np.abs((found[0].center - found[1].center) / sd).max() < 1
    assert found[0].steps[-1] < 0.5
    assert found[0].score.shape == (300, study.at.H)
    drawn = found[0].draw(4000, np.random.default_rng(1))
    assert np.allclose(drawn.std(axis=0), sd, rtol=0.1)
