"""langmuir in NumPy: the isotherm, the two errors, density, simulator, rules."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import integrate, stats

from bayesexpr.errors import InputError
from bayesexpr.models.langmuir import SHAPES, Langmuir

DATA: dict[str, Any] = {
    "intensity": [20.0, 480.0, 950.0, 300.0, -3.0, 700.0],
    "concentration": [0.0, 16.0, 64.0, 0.0, 0.0, 0.0],
    "probe": [0, 0, 0, 0, 1, 1],
    "array": [0, 0, 1, 1, 0, 1],
    "unknown": [-1, -1, -1, 0, -1, 1],
}
P: dict[str, Any] = {
    "location": np.array([3.0, 7.0, 4.0]),
    "spread": np.array([0.5, 0.6, 0.7]),
    "log_background": np.array([2.5, 3.5]),
    "log_amplitude": np.array([7.5, 6.5]),
    "log_half_saturation": np.array([4.2, 3.6]),
    "array_spread": 0.3,
    "log_brightness": np.array([0.1, -0.2]),
    "multiplicative": 0.15,
    "additive": 8.0,
    "log_concentration": np.array([2.0, 3.0]),
}


def test_the_isotherm() -> None:
    """Half of the amplitude at half saturation; linear far below, constant far above."""
    model = Langmuir({"brightness": "alike"})
    p = P | {"log_background": [-np.inf], "log_amplitude": [np.log(1000.0)], "log_half_saturation": [np.log(50.0)]}
    full = model.complete({"intensity": [0.0] * 4, "concentration": [50.0, 0.001, 0.002, 1e9]})
    mean = model._mean(p | {"log_concentration": np.zeros(0)}, full)
    np.testing.assert_allclose(mean, [500, 0.02, 0.04, 1000], rtol=1e-4)


def test_log_density_term_by_term() -> None:
    model, total = Langmuir(), 0.0
    total += stats.norm([np.log(50), np.log(5000), np.log(200)], [2, 1.5, 2]).logpdf(P["location"]).sum()
    total += stats.lognorm(0.5, scale=0.7).logpdf(P["spread"]).sum()
    for k, name in enumerate(("log_background", "log_amplitude", "log_half_saturation")):
        total += stats.norm(P["location"][k], P["spread"][k]).logpdf(P[name]).sum()
    total += stats.lognorm(0.7, scale=0.15).logpdf(0.3) + stats.norm(0, 0.3).logpdf(P["log_brightness"]).sum()
    total += stats.halfnorm(scale=0.5).logpdf(0.15) + stats.halfnorm(scale=50).logpdf(8.0)
    total += stats.norm(np.log(8), 3).logpdf(P["log_concentration"]).sum()
    c = [0, 16, 64, np.exp(2.0), 0, np.exp(3.0)]
    for n in range(6):
        k = DATA["probe"][n]
        bound = c[n] / (c[n] + np.exp(P["log_half_saturation"][k]))
        m = np.exp(P["log_background"][k]) + np.exp(P["log_amplitude"][k]) * bound
        m *= np.exp(P["log_brightness"][DATA["array"][n]])
        x = DATA["intensity"][n]
        gap = (np.arcsinh(x * 0.15 / 8) - np.arcsinh(m * 0.15 / 8)) / 0.15
        total += stats.norm.logpdf(gap) - 0.5 * np.log(8**2 + (0.15 * x) ** 2)
    assert model.log_density(P, DATA) == pytest.approx(total, abs=1e-9)


@pytest.mark.parametrize("n", [0, 2, 4])
def test_density_of_an_intensity_integrates_to_one(n: int) -> None:
    model = Langmuir()

    def density(x: float) -> float:
        data = {**DATA, "intensity": [*DATA["intensity"][:n], x, *DATA["intensity"][n + 1 :]]}
        return float(np.exp(model.log_lik(P, data)[n]))

    area = integrate.quad(density, -300, 5000, points=[0, 20, 100, 1000], limit=400)[0]
    assert area == pytest.approx(1, abs=1e-6)


def test_simulated_intensities_have_the_density_s_law() -> None:
    """Seed 1, 3,000 intensities each near zero and near saturation: g of them is standard normal (KS p > 1e-3)."""
    model, rng = Langmuir(), np.random.default_rng(1)
    full = model.complete(DATA)
    draws = np.stack([model.replicate(P, full, rng) for _ in range(3000)])
    mean = model._mean(P, full)
    for n in (0, 2):
        gap = (np.arcsinh(draws[:, n] * 0.15 / 8) - np.arcsinh(mean[n] * 0.15 / 8)) / 0.15
        assert stats.kstest(gap, "norm").pvalue > 1e-3
        assert stats.kstest((draws[:, n] - mean[n]) / 8, "norm").pvalue < 1e-3 or n == 0
    assert abs(np.log(draws[:, 2]).std() - 0.15) < 0.01  # far above zero the error is multiplicative
    assert abs(draws[:, 0].std() - 8) < 1  # near it, additive


def test_maps_are_where_the_standards_put_things() -> None:
    """Simulated with errors of 5 % and 2 units (seed 3): logs, brightness and concentrations within 4 of their sds."""
    rng, model = np.random.default_rng(3), Langmuir()
    levels = np.array([0.0, 1, 4, 16, 64, 256, 1024, 4096])
    data: dict[str, Any] = {
        "concentration": np.tile(np.append(levels, 0.0), 12),
        "probe": np.repeat(np.arange(3), 36),
        "array": np.tile(np.repeat(np.arange(4), 9), 3),
        "unknown": np.where(np.arange(108) % 9 == 8, np.arange(108) // 9, -1),
    }
    p = P | {"multiplicative": 0.05, "additive": 2.0, "log_brightness": np.array([0.3, -0.1, -0.3, 0.1])}
    p |= {name: np.array(v) for name, v in zip(SHAPES, ([3, 3.5, 4], [7, 6.5, 7.5], [4, 5, 6.5]), strict=True)}
    p["log_concentration"] = rng.uniform(0, 6, 12)
    data["intensity"] = model.replicate(p, {**data, "intensity": np.zeros(108)}, rng)
    stan = model.stan_data(data)
    center = np.linalg.solve(stan["information"], stan["pull"][:, :, None])[:, :, 0]
    gap = center - np.stack([p[name] for name in SHAPES], axis=1)
    assert np.abs(np.einsum("pkl,pl->pk", np.linalg.cholesky(stan["information"]).transpose(0, 2, 1), gap)).max() < 4
    assert np.abs(stan["brightness_center"] - p["log_brightness"]).max() < 0.05
    assert stan["brightness_information"] > 1000
    assert (np.abs(stan["log_c_center"] - p["log_concentration"]) < 4 * stan["log_c_scale"] + 0.1).all()
    assert np.median(stan["log_c_scale"]) < 0.2
    empty = model.stan_data(data, prior_only=True)
    assert not empty["information"].any()
    assert (empty["log_c_center"] == np.log(8)).all()


def test_maps_exist_without_any_standard_above_zero() -> None:
    stan = Langmuir().stan_data({"intensity": [5.0, 9.0], "concentration": [0.0, 0.0], "unknown": [-1, 0]})
    for name in ("information", "pull", "log_c_center", "log_c_scale"):
        assert np.isfinite(stan[name]).all()
    alone = Langmuir().stan_data({"intensity": [5.0], "concentration": [0.0], "unknown": [0]})
    assert not alone["information"].any()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"concentration": [0.0, -1, 64, 0, 0, 0]}, r"concentration\[1\] is -1"),
        ({"concentration": [0.0, 16, 64, 5, 0, 0]}, "measurement 3 has concentration 5 and unknown 0"),
        ({"unknown": [-1, -1, -1, 0, -1, 2]}, "nothing has unknown 1"),
        ({"probe": [0, 0, 0, 0, 2, 2]}, "nothing has probe 1"),
        ({"unknown": [-2, -1, -1, 0, -1, 1]}, r"unknown\[0\] is -2"),
        ({"intensity": [1.0, 2.0]}, r"concentration is \[2\]"),
        ({"intensity": [20.0, np.inf, 950, 300, -3, 700]}, r"intensity\[1\] is inf"),
        ({"signal": [1]}, "does not know data .?signal"),
    ],
)
def test_bad_data_are_refused_with_their_index(change: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Langmuir().stan_data({**DATA, **change})
