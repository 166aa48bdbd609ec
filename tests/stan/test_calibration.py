"""Campaigns with real fits: a right program passes, planted errors are caught and named, failures are rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bayesexpr.calibration import FunctionScenario, StanProgramBackend, run_campaign
from bayesexpr.calibration.campaign import replay
from bayesexpr.calibration.evidence import is_fresh, main, record_path
from bayesexpr.calibration.program_sbc import plan
from bayesexpr.calibration.record import read_record, stale, verdict_of
from bayesexpr.calibration.verdict import FAIL, INCONCLUSIVE, PASS
from bayesexpr.stan.program import StanProgram
from bayesexpr.stan.settings import SamplerSettings
from bayesexpr.stan.toolchain import Toolchain

pytestmark = pytest.mark.needs_stan

SIZE = 4
PROGRAM = StanProgram(
    name="normal_slope",
    code="""
data { int<lower=0> N; vector[N] x; vector[N] y; real factor; }
parameters { real intercept; real slope; }
model {
  intercept ~ normal(0, 1);
  slope ~ normal(0, 1);
  y ~ normal(intercept + factor * slope * x, 1);
}
""",
)


def draw(rng: np.random.Generator) -> tuple[dict[str, Any], dict[str, Any]]:
    x = np.array([-1.0, 1.0] * (SIZE // 2))
    p = {"intercept": rng.normal(), "slope": rng.normal()}
    return p, {"x": x, "y": rng.normal(p["intercept"] + p["slope"] * x)}


def log_lik(p: Mapping[str, Any], data: Mapping[str, Any]) -> float:
    return float(-0.5 * np.sum((data["y"] - p["intercept"] - p["slope"] * data["x"]) ** 2))


def right(data: Mapping[str, Any]) -> dict[str, Any]:
    return {"N": SIZE, **data, "factor": 1.0}


def flipped(data: Mapping[str, Any]) -> dict[str, Any]:
    return {"N": SIZE, **data, "factor": -1.0}


def without_data(data: Mapping[str, Any]) -> dict[str, Any]:
    return {"N": 0, "x": [], "y": [], "factor": 1.0}


def broken_for_some(data: Mapping[str, Any]) -> dict[str, Any]:
    return {"N": SIZE, **data, "factor": 1e308 * 10 if np.mean(data["y"]) > 1.0 else 1.0}


SCENARIO = FunctionScenario("normal-slope", draw, {"log_lik": log_lik})
BACKEND = StanProgramBackend(PROGRAM, SamplerSettings(chains=1, warmup=300, draws=600), to_stan=right)


def test_a_right_program_passes_on_any_number_of_workers(toolchain: Toolchain, tmp_path: Path) -> None:
    found = run_campaign(SCENARIO, BACKEND, simulations=60, folder=tmp_path)
    assert found.verdict.status == PASS
    assert set(found.table.names) == {"intercept", "slope", "log_lik"}
    assert found.table.divergent is not None
    again = run_campaign(SCENARIO, BACKEND, simulations=8, workers=2)
    np.testing.assert_array_equal(again.table.rank, found.table.rank[:8])
    for i in range(0, 60, 7):
        (tmp_path / "fits" / f"0-{i:06d}.json").unlink()
    resumed = run_campaign(SCENARIO, BACKEND, simulations=60, folder=tmp_path)
    np.testing.assert_array_equal(resumed.table.rank, found.table.rank)


@pytest.mark.parametrize(
    ("to_stan", "quantity", "kind"), [(flipped, "log_lik", "bias downwards"), (without_data, "log_lik", "data ignored")]
)
def test_planted_errors_are_caught_and_named(toolchain: Toolchain, to_stan: Any, quantity: str, kind: str) -> None:
    found = run_campaign(SCENARIO, replace(BACKEND, to_stan=to_stan), simulations=40)
    assert found.verdict.status == FAIL
    assert f"{quantity}: likely {kind}" in str(found.verdict)


@pytest.mark.parametrize("method", ["laplace", "pathfinder"])
def test_an_approximation_is_calibrated_where_it_is_exact(toolchain: Toolchain, method: str) -> None:
    """The posterior is normal, so its Laplace approximation is the posterior; Pathfinder's comes close."""
    settings = SamplerSettings(chains=1, draws=400)
    found = run_campaign(SCENARIO, replace(BACKEND, method=method, settings=settings), simulations=30, replicate=False)
    assert found.verdict.status == PASS
    assert found.table.divergent is None


def away_from_zero(rng: np.random.Generator) -> tuple[dict[str, Any], dict[str, Any]]:
    """A design by which intercept and slope are known together, and hardly apart."""
    p, data = draw(rng)
    x = data["x"] + 4.0
    return p, {"x": x, "y": rng.normal(p["intercept"] + p["slope"] * x)}


def test_a_mean_field_approximation_is_caught_where_parameters_are_correlated(toolchain: Toolchain) -> None:
    """ADVI states both margins too narrow, where it converges; Laplace's approximation, exact here, passes; 40 fits."""
    scenario = FunctionScenario("normal-slope-away", away_from_zero, {"log_lik": log_lik})
    settings = SamplerSettings(chains=1, draws=400)
    by_advi = run_campaign(scenario, replace(BACKEND, method="advi", settings=settings), simulations=40)
    assert by_advi.verdict.status != PASS
    assert {q.name for q in by_advi.verdict.alarms if q.kind == "too narrow"} == {"intercept", "slope"}
    by_laplace = run_campaign(scenario, replace(BACKEND, method="laplace", settings=settings), simulations=40)
    assert by_laplace.verdict.status == PASS


def test_draws_too_few_for_l_are_named_autocorrelation(toolchain: Toolchain) -> None:
    """A tiny fixed step makes neighbouring draws alike."""
    slow = SamplerSettings(chains=1, warmup=0, draws=120, step_size=0.02, max_treedepth=3, init_radius=0.1)
    found = run_campaign(SCENARIO, replace(BACKEND, settings=slow), simulations=20, replicate=False)
    assert found.verdict.status == INCONCLUSIVE
    assert "autocorrelation, not a fault of the model" in str(found.verdict)


def test_evidence_is_made_once(toolchain: Toolchain, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A record of a program of the ladder, made at the smoke tier, is fresh the second time and passes."""
    command = ["dirichlet_multinomial", "--tier", "smoke", "--workers", "1"]
    command += ["--work", str(tmp_path / "work"), "--records", str(tmp_path)]
    assert main(command) == 0
    assert "dirichlet_multinomial by nuts: PASS" in capsys.readouterr().err
    path = record_path("dirichlet_multinomial", tmp_path)
    record = read_record(path)
    assert stale(record, *plan("dirichlet_multinomial")) == []
    assert verdict_of(record).status == PASS
    assert main(command) == 0
    assert "dirichlet_multinomial by nuts: fresh" in capsys.readouterr().err
    assert not is_fresh(path, "dirichlet_multinomial", 200)


def test_a_fit_that_fails_is_a_row_that_can_be_run_again(toolchain: Toolchain) -> None:
    backend = replace(BACKEND, to_stan=broken_for_some)
    found = run_campaign(SCENARIO, backend, simulations=20, replicate=False)
    failures = found.table.failures
    assert 0 < len(failures) < 20
    assert found.verdict.status == INCONCLUSIVE
    index, reason = next(iter(failures.items()))
    assert replay(SCENARIO, backend, index, seed=1)["reason"].split("\n")[0] == reason.split("\n")[0]
