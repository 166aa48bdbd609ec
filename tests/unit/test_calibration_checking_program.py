"""The check of programs of the ladder, by independent draws of closed-form posteriors: no Stan."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

import bayesexpr as bx
from bayesexpr.calibration.certificate import CHECK, read_certificate
from bayesexpr.calibration.matched_record import finding, matched_record
from bayesexpr.cli import main
from bayesexpr.models import registry
from bayesexpr.posterior.verdict import Finding, Verdict
from bayesexpr.program_fit import Fit, checked, labelled

NO_PIT = ("beta_binomial", "gamma_poisson", "dirichlet_multinomial", "transcript_compatibility", "variance_components")
"""Programs with few observations in their scenario, or without a log-likelihood for each number of the outcome."""

COUNTS = {"count": [12, 30, 22, 41, 18, 25, 33, 27, 19, 36], "effective_length": [1000.0] * 10}


def poisson_rates() -> Fit:
    """Ten genes of one sample, each with its own rate: as many parameters as observations."""
    data = {**COUNTS, "total": 10_000, "transcriptome_length": 10_000.0}
    return bx.fit("gamma_poisson", data, method="exact", seed=1)


def one_gene(count: list[int], total: list[int]) -> Fit:
    prior = {"theta": bx.Beta(1, 99)}
    return bx.fit("beta_binomial", {"count": count, "total": total}, prior=prior, method="exact", seed=1)


@pytest.fixture(scope="module")
def rates() -> Fit:
    return poisson_rates()


def test_every_part_that_the_program_allows(rates: Fit) -> None:
    made = rates.check()
    assert {"overall", "loo", "pareto_k", "pit", "sensitivity"} <= set(made.tables)
    assert made.numbers["observations"] == 10
    assert made.weakest in made.summary
    assert made.findings[0].severity >= made.findings[-1].severity
    assert "decisions" not in made.tables
    assert made.plot_pareto_k().get_xlabel() == "Pareto k-hat"


def test_as_many_parameters_as_observations_get_no_number() -> None:
    """Wide priors: without its count a gene's rate is anybody's guess, and plain importance sampling says so."""
    data = {**COUNTS, "total": 10_000, "transcriptome_length": 10_000.0}
    slot = registry.get("gamma_poisson").PRIORS
    name = next(iter(slot))
    fit = bx.fit("gamma_poisson", data, prior={name: bx.Gamma(0.5, 0.5)}, method="exact", seed=1)
    table = fit.check().tables["loo"]
    assert not table["shown"][0]
    assert table["elpd"][0] is None or np.isnan(table["elpd"][0])


def test_a_strong_prior_against_the_data_is_a_conflict() -> None:
    """A prior that puts theta at 0.01 with the weight of 100,000 reads, and 20,000 reads that put it at 0.05."""
    prior = {"theta": bx.Beta(1000, 99000)}
    fit = bx.fit("beta_binomial", {"count": [1000], "total": [20_000]}, prior=prior, method="exact", seed=1)
    table = fit.check().tables["sensitivity"]
    assert table["diagnosis"][0] == "potential prior-data conflict"
    # control: the same prior's centre, with the weight of 100 reads
    assert one_gene([200], [20_000]).check().tables["sensitivity"]["diagnosis"][0] == ""


@pytest.mark.parametrize("name", registry.names())
def test_every_program_can_be_checked(name: str) -> None:
    """120 draws about the truth of a simulated data set, seed 1: whatever they are worth, nothing fails or warns."""
    rng = np.random.default_rng(1)
    model = registry.get(name)()
    if not model.SCENARIO:
        pytest.skip("its scenario must be given")
    truth, simulated = model.simulate(dict(model.SCENARIO), rng)
    data = {key: value for key, value in simulated.items() if key in model.DATA}
    draws = {}
    for key in model.PARAMETERS:
        if key in truth:
            value = np.asarray(truth[key], dtype=float)
            draws[key] = value * np.exp(rng.normal(0, 0.01, (2, 60) + (1,) * value.ndim))
    if name == "dirichlet_multinomial":
        draws = {key: value / value.sum(axis=-1, keepdims=True) for key, value in draws.items()}
    tree = xr.DataTree.from_dict({"posterior": labelled(model, checked(model, data), draws, ("chain", "draw"))})
    fit = Fit(model, data, tree, Verdict("trustworthy", (Finding(0, "fine"),)), {}, {"method": "nuts"})
    made = fit.check()
    assert {"overall", "loo", "pareto_k"} <= set(made.tables)
    assert made.tables["overall"]["p_value"].between(0, 1).all()
    assert ("pit" in made.tables) == (name not in NO_PIT)


def test_draws_that_are_not_finite_predict_nothing(rates: Fit) -> None:
    spoiled = rates.posterior.copy(deep=True)
    name = str(next(iter(spoiled["posterior"].data_vars)))
    spoiled["posterior"][name].values[0, :3, 0] = np.nan
    made = dataclasses.replace(rates, posterior=spoiled).check()
    assert not made.passed
    assert "3 of" in made.weakest
    assert "loo" not in made.tables


def test_a_record_is_found_by_program_options_and_priors(tmp_path: Path) -> None:
    from bayesexpr.calibration.program_sbc import plan
    from bayesexpr.calibration.record import seal

    model = registry.get("beta_binomial")()
    assert matched_record(model, "nuts", tmp_path) is None
    what, how = plan(model, method="nuts")
    record = {
        "scenario": "beta_binomial-default",
        "scenario_digest": what.digest(),
        "backend": how.name,
        "backend_digest": how.digest(),
        "verdict": "PASS",
        "reasons": ["no alarm"],
        "simulations": {"finished": 1000},
    }
    (tmp_path / "beta_binomial-default-nuts.json").write_text(json.dumps(seal(record)))
    found = matched_record(model, "nuts", tmp_path)
    assert found is not None
    assert found["simulations"] == 1000
    assert "1000 simulations" in finding(model, found, "nuts").text
    by_another = matched_record(model, "advi", tmp_path)
    assert by_another is not None
    assert "not by advi but by nuts" in finding(model, by_another, "advi").text
    assert finding(model, by_another, "advi").severity == 0
    assert finding(model, {**by_another, "verdict": "FAIL"}, "advi").severity == 1
    other = registry.get("beta_binomial")(priors={"theta": bx.Beta(2, 2)})
    assert matched_record(other, "nuts", tmp_path) is None
    never = finding(other, None, "nuts")
    assert "No calibration record" in never.text
    assert (never.severity, never.topic) == (1, "calibration")
    assert finding(model, found, "nuts").severity == 0
    assert finding(model, {**found, "verdict": "INCONCLUSIVE"}, "nuts").severity == 1
    assert finding(model, {**found, "verdict": "FAIL"}, "nuts").severity == 2
    (tmp_path / "beta_binomial-default-nuts.json").write_text("{}")
    assert matched_record(model, "nuts", tmp_path) is None


def test_the_command_adds_it_to_the_run(rates: Fit, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = rates.save(tmp_path / "run")
    with pytest.raises(SystemExit) as stopped:
        main(["check", str(run), "--quiet"])
    assert stopped.value.code in (0, None)
    said = capsys.readouterr().out
    made = read_certificate(run)
    assert made is not None
    assert made.summary in said
    assert str(run / CHECK) in said
    assert isinstance(bx.load(run), Fit)
    truth = tmp_path / "truth.csv"
    truth.write_text("gene,true_log2fc\ng1,0.5\n")
    for file in (truth, tmp_path / "none.csv"):
        with pytest.raises(SystemExit) as stopped:
            main(["check", str(run), "--truth", str(file)])
        assert stopped.value.code == 2
    assert "of a differential-expression run" in capsys.readouterr().err
