"""shrink: effects with known truth come out shrunken, with honest signs."""

from __future__ import annotations

import numpy as np
import pytest

from bayesexpr.errors import InputError
from bayesexpr.fitting import fit
from bayesexpr.shrinkage import shrink, shrunken_effects
from bayesexpr.stan.toolchain import Toolchain

pytestmark = pytest.mark.needs_stan


@pytest.mark.parametrize("shape", ["normal", "half_uniform"])
def test_effects_are_shrunken_and_signs_honest(shape: str, toolchain: Toolchain) -> None:
    # seed 31: 3000 effects, 70 % zero, the others N(0.3, 1); standard errors 0.2 to 0.8
    rng = np.random.default_rng(31)
    effect = np.where(rng.uniform(size=3000) < 0.7, 0.0, rng.normal(0.3, 1.0, 3000))
    error = rng.uniform(0.2, 0.8, 3000)
    estimate = rng.normal(effect, error)
    names = [f"g{i}" for i in range(3000)]
    table = shrink(estimate, error, names=names, shape=shape, seed=1, cores=2, warmup=300, draws=300)
    assert list(table.index) == names
    assert np.mean((table["mean"] - effect) ** 2) < 0.5 * np.mean((estimate - effect) ** 2)
    # exact zeros cannot be told from effects of a fraction of their standard error, which share their weight
    assert 0.3 < table["lfdr"].mean() < 0.75
    called = table["svalue"] < 0.05
    assert called.sum() > 200
    wrong = np.sign(table["mean"]) != np.sign(effect)
    assert wrong[called].mean() < 0.05 + 3 * (0.05 * 0.95 / called.sum()) ** 0.5
    assert wrong[~called].mean() > 0.3  # the control
    inside = np.abs(table["mean"] - effect) < 2 * table["sd"]
    assert inside.mean() > 0.9


def test_what_is_no_such_fit_is_refused(toolchain: Toolchain) -> None:
    with pytest.raises(InputError, match="this is a fit of beta_binomial"):
        shrunken_effects(fit("beta_binomial", {"count": [1], "total": [2]}, method="exact", seed=1))
    with pytest.raises(InputError, match="names are as many"):
        shrink([1.0, 2.0], [1.0, 1.0], names=["a"], method="laplace", seed=1)
