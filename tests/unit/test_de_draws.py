"""From whitened chains to every gene's posterior, block by block."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
from de_posterior import CHAINS, DRAWS, Made, gene_blocks, make

from bayesexpr.distributions import nb2_logpmf
from bayesexpr.posterior.de_draws import (
    GeneBlock,
    average_effect,
    contrast_values,
    linear_predictor,
)


def blocks(made: Made, size: int) -> list[GeneBlock]:
    return list(gene_blocks(made.arrays, made.maps, made.at, made.full, size))


@pytest.fixture(scope="module")
def made() -> Made:
    return make()


@pytest.fixture(scope="module")
def whole(made: Made) -> GeneBlock:
    (block,) = blocks(made, 1000)
    return block


def test_draws_are_unwhitened_draw_by_draw(made: Made, whole: GeneBlock) -> None:
    for chain, draw in np.ndindex(CHAINS, DRAWS):
        hyper = made.at.hyper(made.theta[chain, draw], made.full["log_size_factor"])
        psi = made.psi[chain, draw]
        expected = {
            "alpha": psi[:, 0],
            "log_phi": made.at.log_phi(psi, hyper),
            "beta": made.at.effect(psi, hyper),
            "gamma": made.at.other_effects(psi, hyper, made.full["nuisance_term"]),
        }
        for name, values in expected.items():
            assert np.allclose(getattr(whole, name)[chain, draw], values, rtol=1e-5, atol=1e-6), name


def test_probabilities_of_components_are_those_of_bayes(made: Made, whole: GeneBlock) -> None:
    """By the full negative binomial mass of every count, one component, gene and sample at a time."""
    full = made.full
    assert full["C"] == 5
    for chain, draw in [(0, 0), (1, 3)]:
        hyper = made.at.hyper(made.theta[chain, draw], full["log_size_factor"])
        for g in range(full["G"]):
            joint = []
            for c in range(5):
                eta = whole.alpha[chain, draw, g] + hyper["log_f"] + full["log_length"][:, g]
                eta = eta + full["nuisance_design"] @ whole.gamma[chain, draw, g].astype(float)
                eta = eta + full["design"] @ full["component"][c] @ whole.beta[chain, draw, g].astype(float)
                lik = nb2_logpmf(full["count"][:, g], np.exp(eta), np.exp(whole.log_phi[chain, draw, g].astype(float)))
                joint.append(hyper["weight"][c] * np.exp(lik.sum()))
            assert np.allclose(whole.probability[chain, draw, g], np.array(joint) / sum(joint), rtol=2e-3, atol=1e-5)


def test_probabilities_sum_to_one_and_follow_the_counts(made: Made, whole: GeneBlock) -> None:
    assert np.allclose(whole.probability.sum(axis=-1), 1, atol=1e-6)
    other = dict(made.full, count=made.full["count"][::-1])  # negative control: the counts of other samples
    (wrong,) = gene_blocks(made.arrays, made.maps, made.at, other, 1000)
    assert np.abs(wrong.probability - whole.probability).max() > 0.1


@pytest.mark.parametrize("size", [1, 4, 11])
def test_blocks_are_parts_of_the_whole(made: Made, whole: GeneBlock, size: int) -> None:
    parts = blocks(made, size)
    assert [b.genes.start for b in parts] == list(range(0, 11, size))
    for name in ("alpha", "log_phi", "beta", "gamma", "probability"):
        joined = np.concatenate([getattr(b, name) for b in parts], axis=2)
        assert np.allclose(joined, getattr(whole, name), rtol=1e-5, atol=1e-6), name
        assert joined.dtype == np.float32


@pytest.mark.parametrize(
    "options", [{"effects": "student_t"}, {"effects": "normal", "dispersion": "global", "size_factors": "fixed"}]
)
def test_one_component_is_certain(options: dict[str, str]) -> None:
    other = make(**options)
    (block,) = blocks(other, 1000)
    assert block.probability.shape[-1] == 1
    assert (block.probability == 1).all()
    hyper = other.at.hyper(other.theta, other.full["log_size_factor"])
    expected = other.at.log_phi(other.psi, hyper)
    assert np.allclose(block.log_phi, expected, rtol=1e-5, atol=1e-6)


def test_a_design_without_other_terms(made: Made) -> None:
    data = {"count": [[1, 2], [3, 4]], "design": [[-0.5], [0.5]]}
    full = made.model.complete(data)
    at = made.model.layout(full)
    maps = type(made.maps).plain(at, 2, mu_alpha=4.0)
    arrays = dataclasses.replace(
        made.arrays, zeta=np.zeros((1, 3, at.H)), z=(np.zeros((3, 2 * at.P), dtype=np.float32),)
    )
    (block,) = gene_blocks(arrays, maps, at, full, 1000)
    assert block.gamma.shape == (1, 3, 2, 0)
    # b = m + s d = 0 here: both components say the same, and what is left is the prior's weights
    assert np.allclose(block.probability, 0.5)


def test_linear_predictor_by_hand(made: Made, whole: GeneBlock) -> None:
    full = made.full
    log_f = made.at.hyper(made.theta, full["log_size_factor"])["log_f"]
    eta = linear_predictor(whole, log_f, full)
    assert eta.shape == (CHAINS, DRAWS, full["S"], full["G"], full["C"])
    chain, draw, s, g, c = 1, 2, 5, 7, 3
    by_hand = whole.alpha[chain, draw, g] + log_f[chain, draw, s] + full["log_length"][s, g]
    by_hand += full["nuisance_design"][s] @ whole.gamma[chain, draw, g]
    by_hand += full["component_design"][c, s] @ whole.beta[chain, draw, g]
    assert np.isclose(eta[chain, draw, s, g, c], by_hand, rtol=1e-6)
    thin = whole.thin(2)
    assert thin.alpha.shape == (CHAINS, 3, full["G"])
    assert np.array_equal(thin.probability, whole.probability[:, ::2])


def weights(made: Made, spec: Any) -> tuple[Any, Any]:
    contrast = made.plan.contrast(spec)
    return contrast.weights[made.plan.tested_columns], contrast.weights[made.plan.nuisance_columns]


def test_a_contrast_is_the_difference_of_linear_predictors(made: Made, whole: GeneBlock) -> None:
    """Of two samples that differ in nothing but the level."""
    tested, other = weights(made, ("group", "c", "a"))
    values = contrast_values(whole, made.full["component"], tested, other)
    assert values.shape == (CHAINS * DRAWS, 11, 5)
    flat = made.full | {"log_length": np.zeros_like(made.full["log_length"])}
    eta = linear_predictor(whole, np.zeros((CHAINS, DRAWS, made.full["S"])), flat)
    a, c = 0, 8  # the first samples of a and of c, both of batch x
    assert np.allclose(values, (eta[:, :, c] - eta[:, :, a]).reshape(values.shape), atol=1e-5)
    back = contrast_values(whole, made.full["component"], *weights(made, ("group", "a", "c")))
    assert np.allclose(back, -values, atol=1e-6)


def test_components_set_levels_equal(made: Made, whole: GeneBlock) -> None:
    labels = list(made.plan.partitions().labels)
    for pair in ("ab", "ac", "bc"):
        values = contrast_values(whole, made.full["component"], *weights(made, ("group", pair[1], pair[0])))
        largest = np.abs(values).max(axis=(0, 1))
        for c, label in enumerate(labels):
            together = label == "null" or any(pair[0] in part and pair[1] in part for part in label.split(" | "))
            assert (largest[c] < 1e-6) == together, (pair, label)


def test_the_batch_has_a_contrast_too(made: Made, whole: GeneBlock) -> None:
    tested, other = weights(made, ("batch", "y", "x"))
    assert not tested.any()
    values = contrast_values(whole, made.full["component"], tested, other)
    assert np.ptp(values, axis=2).max() < 1e-6  # the same under every component of the tested term
    assert np.abs(values).max() > 0.1


def test_the_average_effect_is_over_components(made: Made, whole: GeneBlock) -> None:
    average = average_effect(whole, made.full["component"])
    chain, draw, g = 1, 4, 2
    each = [p @ whole.beta[chain, draw, g].astype(float) for p in made.full["component"]]
    expected = whole.probability[chain, draw, g].astype(float) @ np.array(each)
    assert np.allclose(average[chain, draw, g], expected, rtol=1e-5)


def test_the_density_does_not_know_a_reference_level() -> None:
    """The same counts with the levels in another order: the same density at the same group means, exactly.

    The coordinates of the effect turn with the basis; the components are permuted with the partitions.
    """
    first, second = make(), make(levels=("c", "a", "b"))
    assert np.array_equal(first.full["count"], second.full["count"])
    from_levels = [second.plan.levels["group"].index(level) for level in first.plan.levels["group"]]
    one, two = ([m.full["design"][4 * k] for k in range(3)] for m in (first, second))
    turn = np.linalg.lstsq(np.array(two), np.array(one), rcond=None)[0]  # d in the second basis = turn @ d in the first
    assert np.allclose(turn @ turn.T, np.eye(2), atol=1e-12)
    theta, psi = first.theta[0, 0].copy(), first.psi[0, 0].copy()
    turned_theta, turned_psi = theta.copy(), psi.copy()
    turned_theta[first.at.m] = turn @ theta[first.at.m]
    turned_psi[:, first.at.d] = psi[:, first.at.d] @ turn.T
    moved = [turn @ p @ turn.T for p in first.full["component"]]
    match = [next(k for k, p in enumerate(second.full["component"]) if np.allclose(p, m, atol=1e-9)) for m in moved]
    assert sorted(match) == list(range(5))
    log_ratio = np.append(0.0, theta[first.at.weight])
    permuted = np.empty(5)
    permuted[match] = log_ratio
    assert match[0] == 0
    turned_theta[second.at.weight] = permuted[1:]

    def density(made: Made, theta: Any, psi: Any) -> float:
        keys = ("count", "design", "nuisance_design", "nuisance_term", "component", "log_size_factor")
        data = {k: made.full[k] for k in keys}
        return made.model.log_density({"theta": theta, "psi": psi}, data)

    value = density(first, theta, psi)
    assert np.isclose(density(second, turned_theta, turned_psi), value, rtol=1e-12)
    assert not np.isclose(density(second, theta, psi), value, rtol=1e-6)  # negative control: not turned
    assert from_levels == [1, 2, 0]
