"""Faults found in reference tools, B1 to B12, where ours is to do right; those without a test here have it elsewhere.

B1, B2, B3, B6: test_calibration_uniformity; B7: test_posterior_diagnostics (a divergence in the first kept draw
counts); B8: test_stan_output (cut, not finite, of other data, copied) and
test_posterior_support (outside the support); B9: test_stan_chains (runs started together);
B10: test_stan_program (names); B11: test_stan_compiler (whatever changes the executable).
"""

from __future__ import annotations

import re

import numpy as np
import pytest

from bayesexpr.calibration.severity import alarms, planted_ranks
from bayesexpr.calibration.uniformity import ecdf_difference, uniformity_test
from bayesexpr.posterior.parameter_verdict import judge_parameters
from bayesexpr.posterior.verdict import Limits


@pytest.mark.parametrize("N", [50, 100, 200])
def test_b4_false_alarms_at_any_size(N: int) -> None:
    """A reference's default test alarms 6.6, 6.9 and 6.5 % of the time at 5 %; 8000 repeats, four standard errors."""
    ranks = planted_ranks(N, 99, bias=0.0, sd=1.0, repeats=8000, rng=np.random.default_rng(N))
    ecdf, _ = alarms(ranks, 99, 0.05)
    assert ecdf.mean() == pytest.approx(0.05, abs=4 * np.sqrt(0.05 * 0.95 / 8000))


@pytest.mark.parametrize(("low", "high"), [(25, 75), (0, 50), (50, 100)])
def test_b5_ranks_are_held_against_all_of_their_range(low: int, high: int) -> None:
    """A reference drew the ECDF over the range of the values seen, in which ranks of half the range look even."""
    ranks = np.tile(np.arange(low, high), 6)
    assert uniformity_test(ranks, L=99).pvalue < 1e-9
    assert np.max(np.abs(ecdf_difference(ranks, L=99))) == pytest.approx(0.25 if low == 25 else 0.5, abs=0.02)


def test_b12_the_limit_that_is_said_is_the_one_that_is_applied() -> None:
    """A reference says that E-FMI below 0.2 is bad and asks for 0.2 or more of another number than it prints."""
    table = {"n_chains": 4, "n_draws": 1000, "divergences": 0}
    limits = Limits()
    said = {
        value: judge_parameters(_sound(), ebfmi=[1.0, value], **table).summary
        for value in (limits.ebfmi - 0.001, limits.ebfmi + 0.001)
    }
    below, above = said.values()
    assert below != above
    stated = re.search(r"below (0\.\d+)", below)
    assert stated is not None
    assert float(stated[1]) == limits.ebfmi
    assert "E-BFMI" not in above or "below" not in above


def _sound() -> object:
    from bayesexpr.program_fit import parameter_table

    return parameter_table({"a": np.random.default_rng(1).normal(size=(4, 1000))})
