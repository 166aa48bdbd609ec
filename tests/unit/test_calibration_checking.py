"""The check of a whole fit: sound studies pass it, and each planted fault shows where it should."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from made_fit import make_fit

from bayesexpr.calibration.certificate import CHECK, CHECK_GENES, TABLES, Certificate, conclude, read_certificate
from bayesexpr.calibration.checking import check_study
from bayesexpr.calibration.decisions import study_report
from bayesexpr.calibration.fitted_study import FittedStudy
from bayesexpr.calibration.measured import Measured
from bayesexpr.calibration.outlying_cells import mark_outliers
from bayesexpr.calibration.prior_sensitivity import CONFLICT, finding, of_study, prior_sensitivity
from bayesexpr.calibration.program_sbc import plan
from bayesexpr.cli import main
from bayesexpr.de_fit import DEFit
from bayesexpr.errors import InputError
from bayesexpr.models.negative_binomial_de import NegativeBinomialDE
from bayesexpr.models.priors import LogNormal, Normal
from bayesexpr.posterior.verdict import Finding, Verdict


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> tuple[DEFit, pd.DataFrame]:
    return make_fit(tmp_path_factory.mktemp("sound"))


@pytest.fixture(scope="module")
def certificate(sound: tuple[DEFit, pd.DataFrame]) -> Certificate:
    fit, truth = sound
    return check_study(fit, truth=truth)


def test_a_sound_fit_gets_every_table_and_no_alarm(certificate: Certificate) -> None:
    assert set(certificate.tables) == set(TABLES)
    others = ("Power-scaling", "Simulation-based")  # of made-up hyperparameters, and of another place
    assert not [f.text for f in certificate.findings if f.severity and not f.text.startswith(others)]
    assert certificate.passed
    assert len(certificate.outliers) == 0
    loo = certificate.tables["loo"]
    assert loo["shown"][0]
    assert loo["agreement"][1] < 0.2  # the integrals and the reweighted draws, where those can be trusted
    assert certificate.tables["pit"]["counts"].sum() == 60 * 8
    assert certificate.weakest in str(certificate)


def test_it_is_written_read_and_drawn(certificate: Certificate, tmp_path: Path) -> None:
    assert read_certificate(tmp_path) is None
    path = certificate.write(tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == [CHECK, CHECK_GENES]
    back = read_certificate(tmp_path)
    assert back is not None
    assert str(back) == str(certificate)
    pd.testing.assert_frame_equal(back.by_gene, certificate.by_gene)
    assert back.by_gene["gene"].tolist() == [f"g{k}" for k in range(60)]
    assert back.by_gene["elpd"].sum() == pytest.approx(certificate.tables["loo"]["elpd"][0])
    for name, table in certificate.tables.items():
        assert list(back.tables[name].columns) == list(table.columns)
        assert len(back.tables[name]) == len(table)
    axes = [one() for one in (back.plot_pit, back.plot_dispersion, back.plot_pareto_k, back.plot_sensitivity)]
    axes.append(back.plot_samples("share of zeros"))
    for ax in axes:
        assert ax.get_xlabel()
    assert back.plot_pit(axes[0]) is axes[0]
    with pytest.raises(InputError, match="share of zeros"):
        back.plot_samples("colour")
    path.write_text(path.read_text()[:-100])
    with pytest.raises(InputError, match="no certificate"):
        read_certificate(tmp_path)


def test_the_same_seed_gives_the_same_certificate(sound: tuple[DEFit, pd.DataFrame]) -> None:
    first, second, other = (check_study(sound[0], seed=seed) for seed in (1, 1, 2))
    assert first.to_dict() == second.to_dict()
    assert not first.tables["overall"].equals(other.tables["overall"])
    # a count is outlying or not: the points that decide it are no matter of chance
    assert first.tables["loo"]["elpd"][0] == other.tables["loo"]["elpd"][0]


def outlier(counts: np.ndarray) -> None:
    places = np.argwhere(counts >= 20)
    counts[tuple(places[len(places) // 2])] *= 40


def zeros(counts: np.ndarray) -> None:
    counts[2, counts[2] < np.quantile(counts[2], 0.4)] = 0


def noise(counts: np.ndarray) -> None:
    rng = np.random.default_rng(7)
    counts[:] = rng.poisson(counts * np.exp(rng.normal(0, 1.0, counts.shape)))


@pytest.mark.parametrize(
    ("spoil", "words"),
    [(outlier, "outlying"), (zeros, "share of zeros"), (noise, "PIT")],
)
def test_a_planted_fault_is_named(spoil: Any, words: str, tmp_path: Path) -> None:
    fit, _ = make_fit(tmp_path, spoil=spoil)
    made = check_study(fit)
    if spoil is outlier:
        assert len(made.outliers) == 1
        assert made.outliers["count"][0] > 20 * made.outliers["expected"][0] / 2
        return
    assert any(f.severity and words in f.text for f in made.findings), str(made)


def test_size_factors_far_from_their_prior_are_a_conflict(tmp_path: Path) -> None:
    """True depths differ by a factor of two; the prior says 5 %: both prior and data pull (seed 1)."""
    depth = np.log(2.0) * np.array([0.5, -0.5] * 4)
    fit, _ = make_fit(tmp_path / "far", factors=0.6 * depth, prior={"size_factors": Normal(0.0, 0.05)})
    table = prior_sensitivity(of_study(FittedStudy.of(fit)))
    factors = table[table["quantity"].str.startswith("log size factor")]
    assert (factors["diagnosis"] == CONFLICT).mean() > 0.5
    assert (factors["strongest"] == "size factors").mean() > 0.5
    # control: the same depths, with a prior that allows them
    wide, _ = make_fit(tmp_path / "wide", factors=0.6 * depth, prior={"size_factors": Normal(0.0, 2.0)})
    table = prior_sensitivity(of_study(FittedStudy.of(wide)))
    assert not (table["diagnosis"][table["quantity"].str.startswith("log size factor")] == CONFLICT).any()


def test_too_few_draws_tell_no_prior_from_the_likelihood(sound: tuple[DEFit, pd.DataFrame]) -> None:
    fitted = FittedStudy.of(sound[0])
    few = dataclasses.replace(fitted, hyper={name: value[:40] for name, value in fitted.hyper.items()})
    table = prior_sensitivity(of_study(few))
    assert "likelihood" not in table
    assert (table["diagnosis"] == "").all()
    assert "too few draws" in finding(table).text


def test_draws_that_are_not_finite_are_counted(tmp_path: Path) -> None:
    import zarr

    fit, _ = make_fit(tmp_path)
    group: Any = zarr.open_group(tmp_path / "posterior.zarr", mode="a", zarr_format=2)["posterior"]
    alpha = group["alpha"][:]
    alpha[0, 3, 5] = np.nan
    group["alpha"][:] = alpha
    made = check_study(fit)
    assert any(f.severity == 2 and "not finite" in f.text and "1 gene" in f.text for f in made.findings), str(made)
    assert not made.passed


def test_outlying_genes_are_marked_in_the_tables_and_nothing_else_is_touched(tmp_path: Path) -> None:
    text = 'gene,log2FoldChange,status\ng1,0.10,ok\n"a, b",1e-05,ok\nNA,,all_zero\ng3,2.50,low_ess\n'
    for name in ("results.csv", "results_b.csv", "genes.csv"):
        (tmp_path / name).write_text(text)
    assert mark_outliers(tmp_path, {"a, b", "g3", "NA"}) == 1
    for name in ("results.csv", "results_b.csv", "genes.csv"):
        assert (tmp_path / name).read_text() == text.replace("1e-05,ok", "1e-05,outlier")
    assert mark_outliers(tmp_path, {"a, b"}) == 0
    assert mark_outliers(tmp_path, set()) == 0


def test_one_gene_is_plotted(sound: tuple[DEFit, pd.DataFrame]) -> None:
    fit, _ = sound
    ax = fit.plot_ppc("g3")
    assert ax.get_title(loc="left") == "g3"
    assert fit.plot_ppc("g4", ax=ax) is ax
    assert fit.plot_dispersion().get_xscale() == "log"
    with pytest.raises(InputError, match="not in the study"):
        fit.plot_ppc("g1000")


def test_decisions_need_intervals_of_ninety_per_cent_and_a_truth_of_every_gene(
    sound: tuple[DEFit, pd.DataFrame],
) -> None:
    fit, truth = sound
    with pytest.raises(InputError, match=r"ci=0\.9"):
        study_report(fit.contrast("group,b,a"), truth)
    effect = fit.contrast("group,b,a", ci=0.9)
    with pytest.raises(InputError, match="g7"):
        study_report(effect, truth[truth["gene"] != "g7"])
    assert study_report(effect, truth).genes == 60
    # negative control: the truth with its sign turned
    turned = study_report(effect, truth.assign(true_log2fc=-truth["true_log2fc"]))
    assert sum(row.wrong for row in turned.svalue) > sum(row.wrong for row in study_report(effect, truth).svalue)


def test_a_fit_with_the_usual_priors_has_the_record_of_them(sound: tuple[DEFit, pd.DataFrame]) -> None:
    """Though its run writes their numbers with six digits; by another method it is found by its scenario alone."""
    usual = NegativeBinomialDE()
    model = FittedStudy.of(sound[0]).model
    assert all(model.prior(name) == usual.prior(name) for name in usual.PRIORS)
    assert plan(model)[0].digest() == plan(usual)[0].digest()
    priors = {**sound[0].record["priors"], "s": "log_normal(-1, 0.4)"}
    other = dataclasses.replace(sound[0], record={**sound[0].record, "priors": priors})
    assert FittedStudy.of(other).model.prior("s") == LogNormal(-1.0, 0.4)


def test_words_and_order() -> None:
    sampler = Verdict("trustworthy", (Finding(0, "No draw diverged."),))
    made = Certificate("t", conclude([Finding(0, "fine"), Finding(1, "odd")], sampler), {}, {})
    assert made.level == "use with care"
    assert made.summary == "Use with care. Weakest point: odd"
    calm = Certificate("t", conclude([Finding(0, "fine")], sampler), {}, {})
    assert calm.summary.startswith("Trustworthy: no check")
    near = conclude([Measured(0, "far", 0.1), Measured(0, "near", 0.9)], sampler)
    assert [f.text for f in near.findings] == ["near", "far", "No draw diverged."]
    assert calm.sensitivity is None
    assert calm.record is None
    with pytest.raises(InputError, match="has no pit"):
        calm.plot_pit()


def test_a_folder_that_is_no_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["check", str(tmp_path)])
    assert stopped.value.code == 2
    assert "not a finished run" in capsys.readouterr().err
