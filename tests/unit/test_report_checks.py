"""What reports show of a certificate, and the report of a program of the ladder."""

from __future__ import annotations

import dataclasses
import html
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from fake_analysis import HOSTILE, content

import bayesexpr as bx
from bayesexpr.calibration.certificate import Certificate, conclude, read_certificate
from bayesexpr.calibration.matched_record import finding
from bayesexpr.errors import InputError
from bayesexpr.models import registry
from bayesexpr.posterior.parameter_verdict import judge_exact
from bayesexpr.posterior.verdict import TOPICS, Finding, Verdict
from bayesexpr.program_fit import Fit, labelled
from bayesexpr.report import posterior_report
from bayesexpr.report.checks import check_figures, check_tables, check_topics
from bayesexpr.report.notebook import notebook_report

SAMPLES = pd.DataFrame(
    {
        "sample": list(HOSTILE[:3]) * 2,
        "quantity": ["zeros"] * 3 + ["total"] * 3,
        "observed": [1.0] * 6,
        "median": [1.1] * 6,
        "lower": [0.5] * 6,
        "upper": [1.5] * 6,
        "p_value": [0.4] * 6,
    }
)
TABLES = {
    "samples": SAMPLES,
    "overall": SAMPLES.drop(columns="sample").head(1),
    "trend": pd.DataFrame(
        {
            "mean_count": [1.0, 10.0],
            "observed": [0.3, 0.1],
            "median": [0.3, 0.1],
            "lower": [0.2, 0.05],
            "upper": [0.5, 0.2],
        }
    ),
    "pit": pd.DataFrame({"lower": [0.0, 0.5], "upper": [0.5, 1.0], "share": [0.5, 0.5], "counts": [80, 80]}),
    "outliers": pd.DataFrame(
        {"gene": [HOSTILE[0]] * 25, "sample": [HOSTILE[1]] * 25, "count": np.arange(25), "adjusted": [0.001] * 25}
    ),
    "pareto_k": pd.DataFrame({"lower": [0.0, 0.5], "upper": [0.5, 1.0], "observations": [10, 1]}),
    "sensitivity": pd.DataFrame(
        {
            "quantity": ["mu_alpha", "s"],
            "hyper": [0.01, 0.2],
            "likelihood": [0.3, 0.02],
            "strongest": ["hyper"] * 2,
            "diagnosis": ["", "weak"],
        }
    ),
}
CERTIFICATE = Certificate(
    "a study",
    Verdict(
        "use with care",
        (
            Finding(1, f"{HOSTILE[0]} is outlying", topic="outliers"),
            Finding(0, "the chains agree"),
            Finding(0, "priors move nothing", topic="priors"),
            Finding(0, "PASS", topic="calibration"),
            Finding(0, "counts are as predicted", topic="prediction"),
        ),
    ),
    TABLES,
    {
        "k_threshold": 0.7,
        "sensitivity_threshold": 0.05,
        "record": {"scenario": "x", "verdict": "PASS", "simulations": 200, "severity": "would have caught a lot"},
    },
)


def test_a_certificate_is_shown_and_its_verdict_is_the_verdict() -> None:
    report = posterior_report(dataclasses.replace(content(200), certificate=CERTIFICATE))
    assert '<p class="verdict use-with-care">' in report["summary"].body
    assert "Weakest point:" in report["summary"].body
    body = report["trust"].body
    assert HOSTILE[0] not in body
    assert HOSTILE[0] in html.unescape(body)
    assert re.findall(r'class="severity-(\d)"', body) == ["0", "0", "0", "0", "1"]
    assert re.findall("<h3>(.*?)</h3>", body) == [
        "Diagnostics",
        "Predictive checks",
        "Calibration of the program",
        "Sensitivity to the priors",
        "Outlying counts",
    ]
    assert '<th scope="row">simulated studies</th><td><bdi>200</bdi></td>' in body
    assert "would have caught a lot" in body
    assert "5 more rows are in check.json" in body
    assert body.count("<table") == body.count("<caption")


def test_a_program_that_was_never_calibrated_gets_no_check_mark() -> None:
    found = finding(registry.get("beta_binomial")(), None, "nuts")
    certificate = Certificate("a study", conclude([found], judge_exact()), {}, {})
    body = posterior_report(dataclasses.replace(content(200), certificate=certificate))["trust"].body
    assert certificate.level == "use with care"
    assert re.findall(r'class="severity-(\d)"><bdi>No calibration record', body) == ["1"]


def test_a_certificate_keeps_its_topics(tmp_path: Path) -> None:
    CERTIFICATE.write(tmp_path)
    kept = read_certificate(tmp_path)
    assert kept is not None
    assert [f.topic for f in kept.findings] == [f.topic for f in CERTIFICATE.findings]
    assert {f.topic for f in kept.findings} < set(TOPICS)


def test_a_certificate_that_names_no_topics_is_shown_whole(tmp_path: Path) -> None:
    CERTIFICATE.write(tmp_path)
    path = tmp_path / "check.json"
    path.write_text(path.read_text(encoding="utf-8").replace('"topic"', '"other"'), encoding="utf-8")
    kept = read_certificate(tmp_path)
    assert kept is not None
    assert {f.topic for f in kept.findings} == {"diagnostics"}
    headings = [topic.heading for topic in check_topics(kept)]
    assert headings == [
        "Predictive checks",
        "Calibration of the program",
        "Sensitivity to the priors",
        "Outlying counts",
    ]
    assert sum(len(topic.images) for topic in check_topics(kept)) == len(check_figures(CERTIFICATE))


def test_without_a_certificate_the_way_to_one_is_named() -> None:
    body = posterior_report(content(200))["trust"].body
    assert "bayesexpr check RUN" in body
    assert "outlying" in body


def test_every_table_that_can_be_drawn_is_drawn_with_words() -> None:
    images = check_figures(CERTIFICATE)
    assert len(images) == 2 + 2 + 1 + 1  # trend and pit, two quantities of samples, k-hat, sensitivity
    assert all(len(i.alt) > 30 and len(i.caption) > 30 for i in images)
    assert check_figures(dataclasses.replace(CERTIFICATE, tables={})) == []
    assert [t.more for t in check_tables(CERTIFICATE)] == [0, 0, 5]


@pytest.fixture(scope="module")
def fitted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("programs") / "run"
    data = {"count": [500, 20], "total": [20_000_000, 1_000_000]}
    bx.fit("beta_binomial", data, method="exact", draws=200, seed=1, prior={"theta": bx.Beta(1, 1)}).save(folder)
    return folder


def test_the_report_of_a_program(fitted: Path) -> None:
    fit = bx.load(fitted)
    sections = fit.sections()
    assert list(sections) == ["summary", "asked", "trust", "changed", "sure", "again"]
    asked = html.unescape(sections["asked"].body)
    assert "beta(1, 1)" in asked
    assert "as given for this run" in asked
    for name in fit.parameters.index:
        assert f"<bdi>{name}</bdi>" in sections["changed"].body
    assert sections["sure"].body.count("<img") == len(fit.posterior["posterior"].data_vars)
    assert "bayesexpr check RUN" in sections["trust"].body
    assert len(fit.plot_rank("theta")) == len(fit.plot_trace("theta")) == 2
    assert "theta" in fit.plot_forest("theta").get_xlabel()
    with pytest.raises(InputError, match="a variable is one of logit_theta, theta"):
        fit.plot_rank("no_such")
    with pytest.raises(InputError, match="no contrasts"):
        fit.sections(["dex,trt,untrt"])


def test_the_notebook_of_a_run_takes_any_program(fitted: Path, tmp_path: Path) -> None:
    page, _ = notebook_report("posterior_report", {"RUN": str(fitted)}, tmp_path / "r.html", timeout=120)
    made = page.read_text(encoding="utf-8")
    for section in bx.load(fitted).sections().values():
        assert section.body in made


@pytest.mark.parametrize("name", registry.names())
def test_every_program_has_a_report(name: str) -> None:
    """Of draws that are 20 of the prior's, with data of the first: sizes, priors in words, a figure per variable."""
    program = registry.get(name)
    model, rng = program(), np.random.default_rng(1)
    simulated = [model.simulate(dict(program.SCENARIO), rng) for _ in range(20)]
    data = {key: value for key, value in simulated[0][1].items() if key in program.DATA}
    draws = {
        key: np.stack([np.asarray(p[key]) for p, _ in simulated]).reshape(2, 10, *np.shape(value))
        for key, value in simulated[0][0].items()
        if key in program.PARAMETERS
    }
    tree = xr.DataTree.from_dict({"posterior": labelled(model, data, draws, ("chain", "draw"))})
    record = {
        "program": name,
        "method": "nuts",
        "settings": {"chains": 2},
        "inputs_digest": "3f",
        "versions": {"bayesexpr": "0.1.0"},
        "seconds": {"total": 1.0},
    }
    fit = Fit(model, data, tree, judge_exact(), {"ebfmi": np.array([1.0, 0.9])}, record)
    sections = fit.sections()
    page = html.unescape("".join(section.body for section in sections.values()))
    assert program.SUMMARY[1:] in page
    for key in data:
        assert f'<th scope="row">{key}</th>' in sections["asked"].body
    for slot in program.PRIORS.values():
        assert slot.statement in page
    assert sections["changed"].body.count('<tr><th scope="row">') == min(500, len(fit.parameters))
    assert sections["sure"].body.count("<img") == min(6, len(draws))
