"""What is held against a gene's chains: differences that can matter, and as many draws as they have."""

from __future__ import annotations

import numpy as np
import pytest

from bayesexpr.posterior.diagnostics import convergence, rhat_limit
from bayesexpr.posterior.gene_convergence import EFFECT_RESOLUTION, gene_convergence
from bayesexpr.posterior.verdict import gene_status

GENES, SHAPE = 3, (4, 1000, 3)


def walk(rng: np.random.Generator, autocorrelation: float, shape: tuple[int, ...] = SHAPE) -> np.ndarray:
    """Autoregressive chains [chain, draw, gene] with unit variance."""
    x = rng.normal(size=shape)
    for t in range(1, shape[1]):
        x[:, t] = autocorrelation * x[:, t - 1] + np.sqrt(1 - autocorrelation**2) * x[:, t]
    return x


def status(found: dict[str, np.ndarray]) -> list[str]:
    genes = len(found["rhat"])
    return list(gene_status(all_zero=np.zeros(genes, dtype=bool), n_chains=4, n_draws=1000, **found))


def test_the_worst_of_a_genes_quantities_counts() -> None:
    rng = np.random.default_rng(1)
    alpha, log_phi, effect = (rng.normal(size=SHAPE) for _ in range(3))
    slow = walk(rng, 0.99)
    alpha[..., 0], log_phi[..., 1], effect[..., 2] = slow[..., 0], slow[..., 1], slow[..., 2]
    found = vars(gene_convergence(alpha, effect[..., None], log_phi))
    assert "ok" not in status(found)
    np.testing.assert_array_less(found["ess_bulk"], 200)
    assert status(vars(gene_convergence(alpha, effect[..., None]))).count("ok") == 1  # without the dispersions


@pytest.mark.parametrize(("decades", "said"), [((-20.0, -8.0), "ok"), ((-2.0, 0.0), "bad")])
def test_effects_too_small_to_matter_are_not_told_apart(decades: tuple[float, float], said: str) -> None:
    # seed 2: effects of changing sign whose size drifts slowly, over twelve decades of nothing or over two that matter
    rng = np.random.default_rng(2)
    middle, half = sum(decades) / 2, (decades[1] - decades[0]) / 2
    size = 10 ** (middle + half * walk(rng, 0.998).clip(-1, 1))
    effect = size * rng.choice([-1.0, 1.0], SHAPE)
    sound = rng.normal(size=SHAPE)
    assert (convergence(effect).rhat > 1.01).all()
    found = vars(gene_convergence(sound, effect[..., None]))
    assert ("ok" if set(status(found)) == {"ok"} else "bad") == said


def test_effects_that_matter_are_kept() -> None:
    rng = np.random.default_rng(3)
    alpha, effect = rng.normal(size=SHAPE), rng.normal(0.0, 0.1, SHAPE)
    found, exact = (
        gene_convergence(alpha, effect[..., None]),
        convergence(np.stack([alpha, effect], axis=-2).reshape(4, 1000, -1)),
    )
    np.testing.assert_allclose(found.ess_bulk, exact.ess_bulk.reshape(2, GENES).min(axis=0), rtol=1e-2)
    assert effect.std() > 500 * EFFECT_RESOLUTION


def test_rhat_of_spreads_is_held_against_the_draws_of_spreads() -> None:
    # seed 4, 300 genes: the log scale drifts (autocorrelation 0.65), the signs are independent. Bulk and tails have
    # thousands of effective draws, distances from the median some 900: their R-hat is above 1.01 by chance.
    rng = np.random.default_rng(4)
    shape = (4, 1000, 300)
    x = rng.choice([-1.0, 1.0], shape) * np.exp(walk(rng, 0.65, shape))
    exact = convergence(x)
    by_bulk_and_tail = np.maximum(1.01, rhat_limit(300, 4, np.fmin(exact.ess_bulk, exact.ess_tail)))
    assert (exact.rhat > by_bulk_and_tail).sum() > 2
    found = vars(gene_convergence(x, rng.normal(size=(*shape, 1))))
    assert set(status(found)) == {"ok"}


def test_a_chain_of_another_spread_is_not_let_off() -> None:
    rng = np.random.default_rng(5)
    x = rng.normal(size=SHAPE)
    x[0, :, 0] *= 1.6
    found = vars(gene_convergence(x, rng.normal(size=(*SHAPE, 1))))
    assert status(found)[0] != "ok"
    assert status(found)[1:] == ["ok", "ok"]
