"""adaptive_shrinkage: densities and posteriors against quadrature, limits, signs of simulated effects."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import integrate, stats

from bayesexpr.errors import InputError
from bayesexpr.models.adaptive_shrinkage import AdaptiveShrinkage, default_scale

SHAPES = ("normal", "uniform", "half_uniform")


def model(shape: str) -> AdaptiveShrinkage:
    return AdaptiveShrinkage(options={"shape": shape})


def density(shape: str, component: int, scale: float) -> tuple[float, float, object]:
    if shape == "normal":
        return -10 * scale, 10 * scale, stats.norm(0, scale).pdf
    low = -scale if shape == "uniform" or component == 1 else 0.0
    high = scale if shape == "uniform" or component == 2 else 0.0
    return low, high, lambda _: 1 / (high - low)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(("estimate", "error"), [(0.0, 1.0), (1.3, 0.4), (-2.0, 0.7), (6.0, 1.0)])
def test_component_densities_and_posteriors_agree_with_quadrature(shape: str, estimate: float, error: float) -> None:
    data = {"estimate": [estimate], "standard_error": [error], "scale": [0.8]}
    lp = model(shape).component_log_lik(data)[0]
    C = len(lp)
    for component in range(1, C):
        low, high, prior = density(shape, component, 0.8)

        def joint(x: float, power: int = 0, prior: object = prior) -> float:
            return float(x**power * prior(x) * stats.norm(x, error).pdf(estimate))  # type: ignore[operator]

        total = integrate.quad(joint, low, high, epsabs=1e-13, epsrel=1e-10, points=[0.0])[0]
        assert lp[component] == pytest.approx(np.log(total), abs=1e-8)
        weight = np.zeros(C)
        weight[component] = 1.0
        found = model(shape).shrunken(weight, data)
        mean = integrate.quad(joint, low, high, args=(1,), epsabs=1e-13, epsrel=1e-10, points=[0.0])[0] / total
        second = integrate.quad(joint, low, high, args=(2,), epsabs=1e-13, epsrel=1e-10, points=[0.0])[0] / total
        below = integrate.quad(joint, low, 0.0, epsabs=1e-13, epsrel=1e-10)[0] / total if low < 0 else 0.0
        assert found["mean"][0] == pytest.approx(mean, rel=1e-7, abs=1e-12)
        assert found["sd"][0] == pytest.approx((second - mean**2) ** 0.5, rel=1e-6)
        assert found["negative"][0] == pytest.approx(below, rel=1e-7, abs=1e-14)
        assert found["zero"][0] == 0


@pytest.mark.parametrize("shape", SHAPES)
def test_limits(shape: str) -> None:
    data = {"estimate": [3.0, 3.0, 300.0], "standard_error": [1e-6, 1e6, 1.0], "scale": [4.0, 400.0]}
    C = len(model(shape).component_log_lik(data)[0])
    found = model(shape).shrunken(np.full((5, C), 1 / C), data)
    assert found["mean"][0] == pytest.approx(3.0, abs=1e-4)  # an exact estimate is not shrunk
    assert abs(found["mean"][1]) < 1e-3  # one that says nothing is shrunk to zero
    assert found["zero"][1] == pytest.approx(1 / C, rel=1e-3)  # and leaves the weights as they are
    assert np.isfinite([found[k] for k in found]).all()
    total = found["negative"] + found["positive"] + found["zero"]
    assert total == pytest.approx(1.0, abs=1e-12)


def test_probabilities_of_the_sign_are_calibrated() -> None:
    # seed 8, 20,000 effects whose weights are known; stated and realised shares within five standard errors
    truth = AdaptiveShrinkage()
    rng = np.random.default_rng(8)
    scenario = {"standard_error": rng.uniform(0.2, 0.6, 20_000), "scale": [0.5, 1.5]}
    p, data = truth.simulate(scenario, rng)
    found = truth.shrunken(p["weight"], data)
    for name, event in (("zero", p["effect"] == 0), ("negative", p["effect"] < 0)):
        stated = found[name]
        error = 5 * (stated * (1 - stated)).sum() ** 0.5
        assert abs(event.sum() - stated.sum()) < error
        sure = stated > 0.8
        assert abs(event[sure].sum() - stated[sure].sum()) < 5 * (stated[sure] * (1 - stated[sure])).sum() ** 0.5 + 1
    inside = np.abs(p["effect"] - found["mean"]) < 2 * found["sd"]
    assert inside.mean() > 0.9
    raw = np.mean((data["estimate"] - p["effect"]) ** 2)
    assert np.mean((found["mean"] - p["effect"]) ** 2) < 0.8 * raw  # the control: shrinkage is worth it


def test_default_scales_hold_the_largest_estimate() -> None:
    grid = default_scale(np.array([0.1, -900.0]), np.array([0.3, 0.3]))
    assert grid[0] == pytest.approx(0.3 / 4)
    assert grid[-1] > 900
    assert grid[1:] / grid[:-1] == pytest.approx(2.0)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"estimate": [1.0], "standard_error": [0.0]}, r"above 0; standard_error\[0\] is 0"),
        ({"estimate": [1.0, np.nan], "standard_error": [1.0, 1.0]}, r"estimate\[1\] is nan"),
        ({"estimate": [1.0], "standard_error": [1.0, 1.0]}, r"standard_error is \[1\]"),
        ({"estimate": [1.0], "standard_error": [1.0], "scale": [-1.0]}, r"scale\[0\] is -1"),
    ],
)
def test_bad_data(data: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        AdaptiveShrinkage().stan_data(data)
