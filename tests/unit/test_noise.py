"""Random numbers of genes: their distributions, and that no stream follows another."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from bayesexpr.empirical_bayes.noise import LIGHT, Noise, make_noise, stream_keys


def noise(
    genes: int = 60, draws: int = 2000, seed: tuple[int, ...] = (1, 2), nu: int = 4, coordinates: int = 5
) -> Noise:
    return make_noise(stream_keys(seed, np.arange(genes)), coordinates, draws, nu)


@pytest.mark.parametrize("nu", [2, 4, 8])
def test_distributions(nu: int) -> None:
    """Kolmogorov-Smirnov over 60 genes x 2,000 draws, p above 1e-4; a distribution next to the right one is told."""
    made = noise(nu=nu)
    for p in range(5):
        assert stats.kstest(made.normal[:, p].ravel(), stats.norm.cdf).pvalue > 1e-4
    assert stats.kstest(made.uniform.ravel(), stats.uniform.cdf).pvalue > 1e-4
    heavy, light = made.normal[:, 2] * made.heavy, made.normal[:, 0] * made.light
    assert stats.kstest(heavy.ravel(), stats.t(nu).cdf).pvalue > 1e-4
    assert stats.kstest(light.ravel(), stats.t(LIGHT).cdf).pvalue > 1e-4
    assert stats.kstest(heavy.ravel(), stats.t(2 * nu).cdf).pvalue < 1e-4  # negative control
    assert stats.kstest(made.normal[:, 0].ravel() * 1.02, stats.norm.cdf).pvalue < 1e-3  # negative control


def test_nothing_is_correlated() -> None:
    """Coordinates of a draw, neighbouring draws and neighbouring genes: correlations and those of squares below .03."""
    made = noise(genes=40, draws=1001)
    columns = [*made.normal.swapaxes(0, 1), made.uniform, np.log(made.heavy), np.log(made.light)]
    now = [c[:-1, :-1].ravel() for c in columns]
    for shifted in ([c[:-1, 1:].ravel() for c in columns], [c[1:, :-1].ravel() for c in columns]):
        table = np.array(now + shifted + [v**2 for v in now] + [v**2 for v in shifted])
        linear = np.corrcoef(table[: 2 * len(now)])
        squares = np.corrcoef(table[2 * len(now) :])
        for found in (linear, squares):
            assert np.abs(found - np.eye(len(found))).max() < 0.03
    assert np.corrcoef(now[0], now[0] + now[1])[0, 1] > 0.03  # negative control


def test_streams_belong_to_genes_and_seeds() -> None:
    together = make_noise(stream_keys((1, 2), np.array([3, 7])), 4, 50, 4)
    alone = make_noise(stream_keys((1, 2), np.array([7])), 4, 50, 4)
    for name, values in vars(alone).items():
        assert np.array_equal(getattr(together, name)[1:], values)
    assert not np.array_equal(together.normal[0], together.normal[1])
    assert np.unique(stream_keys((1, 2), np.arange(100_000))).size == 100_000
    assert not np.isin(stream_keys((1, 3), np.arange(1000)), stream_keys((1, 2), np.arange(1000))).any()
    longer = make_noise(stream_keys((1, 2), np.array([7])), 4, 60, 4)
    assert np.array_equal(longer.normal[:, :, :50], alone.normal)
