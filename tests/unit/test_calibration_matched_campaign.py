"""Campaigns of a fit's own design: what is simulated, which are refused, and what the certificate says of them."""

from __future__ import annotations

import dataclasses
import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from made_fit import make_fit

import bayesexpr as bx
from bayesexpr.calibration.campaign import identify
from bayesexpr.calibration.fit_scenario import GENES, few_genes, program_and_design
from bayesexpr.calibration.matched_campaign import calibration_of, matched_campaign
from bayesexpr.calibration.matched_record import finding
from bayesexpr.calibration.program_sbc import plan
from bayesexpr.calibration.store import SUMMARY, Store
from bayesexpr.cli import main
from bayesexpr.data.counts import CountData
from bayesexpr.data.design import build_design
from bayesexpr.de_fit import DEFit
from bayesexpr.errors import InputError, OptionError
from bayesexpr.models import registry
from bayesexpr.models.base import Model
from bayesexpr.models.negative_binomial_de import NegativeBinomialDE
from bayesexpr.models.priors import Normal
from bayesexpr.posterior.verdict import Finding, Verdict
from bayesexpr.program_fit import Fit
from bayesexpr.report.checks import _record

EVEN, LOW = [(37 * i) % 100 for i in range(40)], [i % 5 for i in range(40)]
NUMBERS = ("truth", "mean", "sd", "ess", "rhat")


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> DEFit:
    """60 genes, 4 + 4 samples, size factors given to the model 0."""
    return make_fit(tmp_path_factory.mktemp("study"))[0]


def rates(**prior: Any) -> Fit:
    data = {"count": [40, 30, 20, 10, 0]}
    return bx.fit("dirichlet_multinomial", data, prior=prior, method="exact", draws=200, seed=1)


def made(folder: Path, fit: Any, ranks: list[int], *, done: bool = True, **chosen: Any) -> Path:
    """A campaign of a fit with these ranks of one quantity, the same on fresh seeds."""
    store = Store(folder, identify(*plan(fit, **chosen), simulations=len(ranks), seed=1, L=99))
    for stage in (0, 1) if done else (0,):
        for index, rank in enumerate(ranks if done else ranks[:-3]):
            row = {"stage": stage, "index": index, "names": ["q"], "uses_data": [False], "rank": [rank]}
            store.write(row | {"diagnostics": {}} | {name: [1.0] for name in NUMBERS})
    if done:
        (folder / SUMMARY).write_text("{}")
    return folder


def told(fit: Any, folder: Path | None = None) -> Finding:
    return calibration_of(fit, program_and_design(fit)[0], folder)[1]


def test_studies_have_the_design_of_the_fit(study: DEFit) -> None:
    scenario, backend = plan(study)
    truth, data = scenario.simulate(np.random.default_rng(1))
    assert data["count"].shape == (8, GENES)
    np.testing.assert_array_equal(data["design"], study.design.matrix[:, study.design.tested_columns])
    np.testing.assert_array_equal(data["log_size_factor"], study.posterior["constant_data"]["log_size_factor"])
    np.testing.assert_array_equal(data["component"], study.projectors)
    assert truth["beta"].shape == (GENES, 1)
    assert (scenario.name, backend.name) == ("negative_binomial_de-study", "nuts")
    other = plan(study, method="blocked")
    assert other[1].name == "blocked"
    assert other[0].digest() == scenario.digest() != plan("negative_binomial_de")[0].digest()
    assert other[1].digest() == plan("negative_binomial_de", method="blocked")[1].digest()  # one program, one sampler
    assert backend.settings.draws > plan("negative_binomial_de")[1].settings.draws  # type: ignore[attr-defined]


def test_covariates_and_lengths_are_those_of_the_study(study: DEFit) -> None:
    """120 genes, one without a count, of another length in every sample; a batch beside the tested group."""
    rng = np.random.default_rng(2)
    table = pd.DataFrame({"batch": ["x", "y"] * 4, "group": ["a"] * 4 + ["b"] * 4}, index=study.data.samples)
    counts, lengths = rng.poisson(20, (8, 120)), rng.uniform(200, 4000, (8, 120))
    counts[:, 7] = 0
    names = tuple(f"g{k}" for k in range(120))
    data = CountData(counts, names, study.data.samples, table, lengths)
    fit = dataclasses.replace(study, data=data, design=build_design("~ batch + group", table))
    made_of, simulated = plan(fit)[0], plan(fit)[0].simulate(rng)[1]
    place = np.unique(np.linspace(0, 118, GENES).round().astype(int))
    np.testing.assert_array_equal(simulated["effective_length"], np.delete(lengths, 7, axis=1)[:, place])
    np.testing.assert_array_equal(simulated["nuisance_design"], fit.design.matrix[:, fit.design.nuisance_columns])
    assert made_of.digest() != plan(study)[0].digest()
    longer = dataclasses.replace(data, lengths=2 * lengths)
    assert plan(dataclasses.replace(fit, data=longer))[0].digest() != made_of.digest()


def test_options_and_priors_are_those_of_the_fit(study: DEFit, tmp_path: Path) -> None:
    strict, _ = make_fit(tmp_path, prior={"size_factors": Normal(0.0, 0.03)})
    assert plan(strict)[0].model.prior("size_factors").sd == 0.03  # type: ignore[attr-defined]
    student = {**study.record, "options": {**study.record["options"], "effects": "student_t"}}
    scenario = plan(dataclasses.replace(study, record=student))[0]
    assert "component" not in scenario.given  # type: ignore[attr-defined]
    scenario.simulate(np.random.default_rng(1))
    with pytest.raises(OptionError, match="a fit has a design"):
        plan(study, options={"effects": "normal"})


@pytest.mark.parametrize("name", registry.names())
def test_every_program_can_be_simulated_from_its_data(name: str) -> None:
    """Whether they are arrays, or lists as a run has them, the studies are the same."""
    model = registry.get(name)()
    data = {
        k: v for k, v in model.simulate(dict(model.SCENARIO), np.random.default_rng(1))[1].items() if k in model.DATA
    }
    lists = {k: np.asarray(v).tolist() for k, v in data.items()}
    fits = [Fit(model, d, None, Verdict("", (Finding(0, ""),)), {}, {"method": "nuts"}) for d in (data, lists)]  # type: ignore[arg-type]
    scenarios = [plan(fit)[0] for fit in fits]
    assert scenarios[0].digest() == scenarios[1].digest()
    again = scenarios[1].simulate(np.random.default_rng(2))[1]
    assert np.shape(again[model.OUTCOME]) == np.shape(data[model.OUTCOME])
    assert json.dumps(scenarios[0].facts())  # type: ignore[attr-defined]


def test_genes_that_are_replicates_are_fifty_at_most() -> None:
    flat: Model = registry.get("dirichlet_multinomial")()
    assert few_genes(flat, {"genes": 300, "total": 9}) == {"genes": 300, "total": 9}
    tall = registry.get("hierarchical_expression")()
    given = {"genes": 300, "samples": 300, "effective_length": np.arange(300.0), "log_size_factor": np.zeros(300)}
    few = few_genes(tall, given)
    assert few["genes"] == len(few["effective_length"]) == GENES
    assert (few["effective_length"][0], few["effective_length"][-1]) == (0.0, 299.0)
    assert len(few["log_size_factor"]) == 300
    assert few_genes(NegativeBinomialDE(), {"genes": 20}) == {"genes": 20}


def test_a_prior_without_a_bound_is_not_ranked_where_there_are_many_draws_of_it() -> None:
    """beta(0.01, 99.99): a theta below the smallest number has an infinite density; seed 1, 40 fits of three genes."""
    fit = bx.fit("beta_binomial", {"count": [4, 0, 9], "total": [2000] * 3}, method="exact", draws=100, seed=1)
    campaign = bx.calibration.sbc(fit, simulations=40)
    assert campaign.verdict.status == "PASS"
    assert "sum(logit_theta)" in campaign.table.names
    assert "log_prior" not in campaign.table.names
    mild = bx.fit("beta_binomial", fit.data, prior={"theta": bx.Beta(2, 50)}, method="exact", draws=100, seed=1)
    assert "log_prior" in bx.calibration.sbc(mild, simulations=1).table.names


def test_what_cannot_be_simulated_says_why() -> None:
    model = registry.get("transcript_compatibility")()
    data = {"count": [5, 7], "compatibility": [[0, 0], [1, 1]], "transcript_length": [500.0, 900.0]}
    fit = Fit(model, data, None, Verdict("", (Finding(0, ""),)), {}, {"method": "nuts"})  # type: ignore[arg-type]
    with pytest.raises(InputError, match="length of every class"):
        plan(fit)


def test_empirical_bayes_is_not_vouched_for(study: DEFit, tmp_path: Path) -> None:
    fit = dataclasses.replace(study, record={**study.record, "method": "eb"})
    with pytest.raises(OptionError, match="--method nuts or blocked"):
        plan(fit)
    found = told(fit, made(tmp_path / "c", fit, EVEN, method="blocked"))
    assert "not by eb but by blocked" in found.text
    assert "does not try eb itself" in found.text


@pytest.mark.parametrize(
    ("ranks", "done", "severity", "words"),
    [
        (EVEN, True, 0, r"\(40 simulations of this study's own design, 50 genes\): PASS; no alarm"),
        (LOW, True, 2, "FAIL; alarm, twice, in q"),
        (EVEN[:10], True, 1, "INCONCLUSIVE; only 10 simulations finished"),
        (EVEN, False, 1, r"INCONCLUSIVE; the campaign in .* is not finished: 37 of 40"),
    ],
)
def test_the_certificate_says_what_came_out(
    study: DEFit, tmp_path: Path, ranks: list[int], done: bool, severity: int, words: str
) -> None:
    folder = made(tmp_path / "c", study, ranks, done=done)
    found = told(study, folder)
    assert (found.severity, found.topic) == (severity, "calibration")
    assert re.search(words, found.text), found.text
    assert "not of this study's design" not in found.text


def test_a_failing_campaign_of_another_sampler_asks_for_care(study: DEFit, tmp_path: Path) -> None:
    assert told(study, made(tmp_path / "c", study, LOW, method="blocked")).severity == 1


def test_without_a_campaign_the_committed_record_is_shown_with_the_way(study: DEFit) -> None:
    found = told(study)
    assert "not of this study's design" in found.text or "No calibration record" in found.text
    assert "`bayesexpr sbc RUN --simulations 200` tries this study's own design" in found.text


def other_groups(fit: DEFit) -> DEFit:
    table = pd.DataFrame({"group": ["a", "b"] * 4}, index=fit.data.samples)
    return dataclasses.replace(fit, design=build_design("~ group", table))


def fewer_genes(fit: DEFit) -> DEFit:
    keep = np.arange(len(fit.data.genes)) < 30
    return dataclasses.replace(fit, data=fit.data.subset_genes(keep))


def with_record(key: str, **changed: str) -> Any:
    return lambda fit: dataclasses.replace(fit, record={**fit.record, key: {**fit.record[key], **changed}})


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (other_groups, "its design is another"),
        (fewer_genes, "it has genes = 30, the fit 50"),
        (with_record("options", size_factors="fixed"), "its option size_factors is fixed, the fit has estimated"),
        (with_record("priors", m="normal(0, 3)"), "its prior m is normal"),
    ],
)
def test_a_campaign_of_something_else_is_refused(study: DEFit, tmp_path: Path, change: Any, words: str) -> None:
    folder = made(tmp_path / "c", change(study), EVEN)
    with pytest.raises(InputError, match="not of this fit: " + words):
        told(study, folder)
    assert told(change(study), folder).severity == 0  # control: it is sound for what it was made for


def test_other_campaigns_and_folders_are_refused(study: DEFit, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is not a campaign"):
        matched_campaign(study, tmp_path)
    plain = made(tmp_path / "plain", "negative_binomial_de", EVEN)
    with pytest.raises(InputError, match="simulates negative_binomial_de-default, not the design of a fit"):
        matched_campaign(study, plain)
    rate = made(tmp_path / "rates", rates(), EVEN)  # by a method that the flagship does not have
    with pytest.raises(InputError, match="its program is dirichlet_multinomial, the fit's is negative_binomial_de"):
        matched_campaign(study, rate)
    identity = json.loads((made(tmp_path / "old", study, EVEN) / "campaign.json").read_text())
    (tmp_path / "old" / "campaign.json").write_text(json.dumps(identity | {"backend_digest": "another"}))
    with pytest.raises(InputError, match="not those of this version"):
        matched_campaign(study, tmp_path / "old")


def test_a_campaign_of_a_program_is_of_the_fit_where_its_studies_are(tmp_path: Path) -> None:
    fit = rates()
    same = {"genes": 5, "total": 100}
    plain = made(tmp_path / "plain", fit.model, EVEN, scenario=same, method="exact")
    assert matched_campaign(fit, plain)["design"] == "this study's own design, 5 genes"
    other = made(tmp_path / "other", fit.model, EVEN, scenario=same | {"total": 99}, method="exact")
    with pytest.raises(InputError, match="not the design of a fit"):
        matched_campaign(fit, other)


def command(*arguments: object) -> int:
    with pytest.raises(SystemExit) as end:
        main([str(a) for a in arguments])
    return int(end.value.code or 0)


def test_commands_from_fit_to_certificate_in_a_run_that_is_moved(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A Dirichlet-multinomial with exact draws: 25 campaigns' fits of five genes and 100 fragments, seed 3."""
    run = rates().save(tmp_path / "run")
    assert command("check", run, "--quiet") == 0
    assert "bayesexpr sbc RUN" in capsys.readouterr().out
    assert command("sbc", run, "--simulations", 25, "--seed", 3, "--quiet") == 0
    said = capsys.readouterr().out
    assert f"campaign: {run / 'sbc'}" in said
    assert f"bayesexpr check {run}\n" in said
    moved = Path(shutil.move(run, tmp_path / "elsewhere"))
    assert command("check", moved, "--quiet") == 0
    said = capsys.readouterr().out
    assert "by exact (25 simulations of this study's own design, 5 genes): PASS" in said
    certificate = bx.calibration.read_certificate(moved)
    assert certificate is not None
    assert dict(_record(certificate))["of"] == "this study's own design, 5 genes"
    assert command("sbc", moved, "--simulations", 25, "--seed", 3, "--quiet") == 0  # resumes
    capsys.readouterr()
    kept = json.loads((moved / "sbc" / "fits" / "0-000002.json").read_text().partition("\n")[2])
    assert command("sbc", moved, "--simulations", 25, "--seed", 3, "--replay", 2) == 0
    assert json.loads(capsys.readouterr().out)["rank"] == kept["rank"]

    other = rates(theta=bx.priors.Dirichlet(2.0, 2.0)).save(tmp_path / "other")
    assert command("check", other, "--campaign", moved / "sbc", "--quiet") == 2
    assert "its prior theta is" in capsys.readouterr().err
    shutil.copytree(moved / "sbc", other / "sbc")
    assert command("check", other, "--quiet") == 0
    assert "Left aside: the campaign in" in capsys.readouterr().out

    assert command("sbc", moved, "--simulations", 25, "--set", "a=b") == 2
    assert "a fit has a design" in capsys.readouterr().err
    assert command("sbc", tmp_path, "--simulations", 25) == 2
    assert "not a finished run" in capsys.readouterr().err
    monkeypatch.chdir(tmp_path)
    Path("dirichlet_multinomial").mkdir()
    assert command("sbc", "dirichlet_multinomial", "--method", "exact", "--simulations", 25, "--quiet") == 2
    assert "-o CAMPAIGN" in capsys.readouterr().err  # the program, not the folder


def test_a_report_of_such_a_campaign_says_what_it_is_of(study: DEFit, tmp_path: Path) -> None:
    page = bx.calibration.load(made(tmp_path / "c", study, EVEN)).report(tmp_path / "c.html").read_text()
    assert "study: conditions" in page
    assert "genes 50" in page


def test_the_finding_of_an_approximation_says_that_it_was_not_tried() -> None:
    record = {
        "scenario": "x",
        "method": "nuts",
        "same_method": False,
        "verdict": "PASS",
        "simulations": 200,
        "reason": "",
    }
    assert "It does not try advi itself" in finding(registry.get("beta_binomial")(), record, "advi").text
