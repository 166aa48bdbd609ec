"""Test quantities of the programs, and the scenarios that give them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from bayesexpr.calibration import sbc
from bayesexpr.calibration.de_scenario import DEQuantities, decide
from bayesexpr.calibration.decisions import decision_report
from bayesexpr.calibration.digests import digest_of
from bayesexpr.calibration.program_sbc import plan
from bayesexpr.calibration.quantities import (
    ModelQuantities,
    effects_along_data,
    elements,
    log_lik_of_draws,
    log_prior,
    one_draw,
)
from bayesexpr.calibration.scenarios import FunctionScenario, ModelScenario, Plausible
from bayesexpr.calibration.verdict import PASS
from bayesexpr.errors import InputError, OptionError
from bayesexpr.models import registry
from bayesexpr.models.base import Model
from bayesexpr.models.negative_binomial_de import NegativeBinomialDE


def draws_of(model: Model, data: Mapping[str, Any], n: int, seed: int = 1) -> dict[str, np.ndarray]:
    """Independent prior draws [draw, ...] in the shapes of `data`."""
    rng = np.random.default_rng(seed)
    ps = [model.simulate(dict(model.SCENARIO), rng)[0] for _ in range(n)]
    return {k: np.stack([np.asarray(p[k]) for p in ps]) for k in ps[0]}


@pytest.mark.parametrize("name", [n for n in registry.names() if registry.get(n).SCENARIO])
def test_every_program_has_finite_quantities_of_truth_and_draws(name: str) -> None:
    model = registry.get(name)()
    scenario = ModelScenario(model)
    truth, data = scenario.simulate(np.random.default_rng(2))
    one = scenario.measure(one_draw(truth), data)
    many = scenario.measure({k: np.repeat(np.asarray(v)[None], 5, axis=0) for k, v in truth.items()}, data)
    assert [q.name for q in one] == [q.name for q in many]
    assert len({q.name for q in one}) == len(one)
    assert any(q.uses_data for q in one)
    assert any(not q.uses_data for q in one)
    for a, b in zip(one, many, strict=True):
        assert a.values.shape == (1,)
        np.testing.assert_allclose(b.values, np.repeat(a.values, 5), rtol=1e-10)


@dataclass(frozen=True)
class Odd(Model):
    """Its formula broadcasts over draws, to a wrong result."""

    NAME = "odd"
    PARAMETERS = {"theta": "[N]"}  # noqa: RUF012

    def log_lik(self, parameters: Mapping[str, Any], data: Mapping[str, Any]) -> np.ndarray:
        return np.asarray(parameters["theta"]) - np.max(parameters["theta"])


def test_a_formula_that_broadcasts_wrongly_is_gone_through_draw_by_draw() -> None:
    theta = np.random.default_rng(3).normal(size=(20, 4))
    found = log_lik_of_draws(Odd(), {"theta": theta}, {})
    np.testing.assert_array_equal(found, theta - theta.max(axis=1, keepdims=True))


def test_a_formula_that_broadcasts_is_used_as_it_is() -> None:
    model = registry.get("beta_binomial")()
    data = {"count": [5, 100], "total": [1000, 1000]}
    logit = np.random.default_rng(4).normal(-3, 1, size=(30, 2))
    singles = [model.log_lik({"logit_theta": x}, data) for x in logit]
    np.testing.assert_allclose(log_lik_of_draws(model, {"logit_theta": logit}, data), singles, rtol=1e-12)


def test_elements_and_sums() -> None:
    values = np.arange(24.0).reshape(2, 3, 4)
    found = {q.name: q.values for q in elements("beta", values, 2)}
    assert list(found) == ["beta[0,0]", "beta[0,1]", "sum(beta)", "sum(beta^2)"]
    np.testing.assert_allclose(found["sum(beta)"], values.sum(axis=(1, 2)))
    assert [q.name for q in elements("s", np.zeros(3), 2)] == ["s"]


def test_sums_that_are_zero_by_construction_are_ties() -> None:
    """Single-precision draws of log size factors that sum to zero: ranks of rounding errors would alarm."""
    rng = np.random.default_rng(7)
    raw = rng.normal(size=(50, 6))
    factors = (raw - raw.mean(axis=1, keepdims=True)).astype(np.float32)
    found = {q.name: q.values for q in elements("log_f", factors.astype(float), 2)}
    assert np.all(found["sum(log_f)"] == 0.0)
    assert np.all({q.name: q.values for q in elements("alpha", raw, 2)}["sum(alpha)"] != 0.0)


def test_effects_along_the_data() -> None:
    """Two genes, the first up and the second down in the data: beta_1 - beta_2."""
    data = {"design": [[0.0], [0.0], [1.0], [1.0]], "count": [[1, 9], [2, 8], [9, 1], [8, 2]]}
    beta = np.array([[[1.0], [2.0]], [[3.0], [-1.0]]])
    found = effects_along_data(beta, data)
    np.testing.assert_allclose(found[0].values, [-1.0, 4.0])
    assert found[0].uses_data
    assert effects_along_data(beta, {"count": data["count"]}) == []


def test_log_prior_of_a_single_number_is_left_out() -> None:
    model = registry.get("beta_binomial")()
    assert log_prior(model, {"theta": np.full((3, 1), 0.1)}) == []
    assert log_prior(model, {"theta": np.full((3, 2), 0.1)})[0].values.shape == (3,)
    assert not any(
        q.name == "log_prior"
        for q in ModelQuantities(model, leave_out=("log_prior",))(
            {"theta": np.full((2, 2), 0.1), "logit_theta": np.full((2, 2), -2.0)}, {"count": [1, 2], "total": [9, 9]}
        )
    )


@pytest.mark.parametrize("options", [{}, {"effects": "normal", "dispersion": "global"}, {"effects": "student_t"}])
def test_de_log_lik_is_that_of_the_model(options: dict[str, str]) -> None:
    """The joint log likelihood over draws against the model's own, one draw at a time; components summed out."""
    model = NegativeBinomialDE(options=options)
    given = {**model.SCENARIO, "genes": 5, "nuisance_design": [[1.0], [0.0], [0.0], [1.0], [0.0], [0.0]]}
    rng = np.random.default_rng(5)
    truth, data = model.simulate(given, rng)
    full = model.complete(data)
    at = model.layout(full)
    found = {q.name: q for q in DEQuantities(model)(one_draw(truth), data)}
    columns = [truth["alpha"][:, None], *([truth["e"][:, None]] if at.trend else []), truth["d"], truth["u"]]
    lik = model.component_log_lik(np.concatenate(columns, axis=1), truth, full)
    weight = truth["weight"] if at.C > 1 else np.ones(1)
    expected = np.log(np.exp(lik - lik.max()) @ weight).sum() + 5 * lik.max()
    assert found["log_lik"].values[0] == pytest.approx(expected, rel=1e-9)
    assert found["log_lik"].uses_data
    assert ("changed_genes" in found) == (at.C > 1)
    if at.C == 1:
        assert sum(found[f"log_lik[{s}]"].values[0] for s in range(6)) == pytest.approx(expected, rel=1e-9)
    for name in ("sum(beta^2)", "sum(log_phi)", "sum(beta[0] sign(data))", "sum(alpha)", "tau", "log_f[0]"):
        assert name in found


def test_de_decisions_of_prior_draws_are_calibrated() -> None:
    """A gene whose counts say nothing: prior draws are its posterior, so stated rates must be realised. 1000 truths."""
    model, study = NegativeBinomialDE(), {"design": [[0.0], [1.0]], "genes": 1}
    rng = np.random.default_rng(6)
    pool = [model.simulate(study, rng)[0] for _ in range(3000)]
    draws = {k: np.stack([np.asarray(p[k]) for p in pool[1000:]]) for k in pool[0]}
    draws["alpha"] = draws["alpha"] - 60.0  # a count of zero is then certain
    data = {"design": study["design"], "count": np.zeros((2, 1), dtype=int)}
    made = [decide(model, truth, draws, data) for truth in pool[:1000]]
    found = decision_report({k: np.array([m[k] for m in made]) for k in made[0]})
    assert found.ok
    assert {b.n for b in found.lfdr} == {0, 1000}
    wrong = decision_report({k: np.array([m[k] for m in made]) * (0.7 if k == "lfdr" else 1.0) for k in made[0]})
    assert not wrong.ok


def test_plausible_counts() -> None:
    bounds = Plausible(largest_count=1000, library_size=(10, 5000), zeros=0.5)
    assert bounds.fault(np.full((3, 4), 7)) is None
    assert "largest count is 1001" in str(bounds.fault(np.array([[1001, 1], [20, 1]])))
    assert "a library has 2 to 8" in str(bounds.fault(np.array([[1, 1], [4, 4]])))
    assert "75% of the counts are zero" in str(bounds.fault(np.array([[0, 0, 0, 20]])))


def test_a_scenario_needs_something_to_simulate() -> None:
    with pytest.raises(InputError, match="say what to simulate"):
        ModelScenario(Odd()).simulate(np.random.default_rng(0))


def test_users_functions_are_measured() -> None:
    scenario = FunctionScenario("own", lambda rng: ({"a": 1.0}, {"y": 2.0}), {"product": lambda p, d: p["a"] * d["y"]})
    found = scenario.measure({"a": np.array([1.0, 3.0])}, {"y": 2.0})
    assert [(q.name, q.uses_data) for q in found] == [("a", False), ("product", True)]
    np.testing.assert_allclose(found[1].values, [2.0, 6.0])
    assert scenario.implausible({"y": 2.0}) is None


def test_digests_follow_code_and_numbers() -> None:
    model = registry.get("dirichlet_multinomial")()
    base = ModelScenario(model).digest()
    assert ModelScenario(model).digest() == base
    assert ModelScenario(model, {"genes": 6, "total": 500}).digest() != base
    assert digest_of(elements, np.arange(3)) != digest_of(elements, np.arange(4))


def test_sbc_of_closed_forms() -> None:
    found = sbc("dirichlet_multinomial", simulations=100, method="exact")
    assert found.verdict.status == PASS
    with pytest.raises(OptionError, match="a method is one of"):
        sbc("dirichlet_multinomial", simulations=10, method="gibbs")
    with pytest.raises(OptionError, match="calibrated by nuts or blocked"):
        plan("negative_binomial_de", method="laplace")
    with pytest.raises(OptionError, match="has its own already"):
        plan(NegativeBinomialDE(), options={"effects": "normal"})
    wide = plan("dirichlet_multinomial", prior={"theta": "dirichlet(1, 1)"}, method="exact")[0]
    assert wide.digest() != plan("dirichlet_multinomial", method="exact")[0].digest()
