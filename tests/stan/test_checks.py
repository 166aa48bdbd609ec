"""Checks of real fits: sound ones pass, planted faults are named, and what must not matter does not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

import bayesexpr as bx
from bayesexpr.calibration.certificate import CHECK, read_certificate
from bayesexpr.calibration.fitted_study import FittedStudy
from bayesexpr.calibration.outlying_cells import mark_outliers
from bayesexpr.calibration.prior_sensitivity import CONFLICT, of_study, prior_sensitivity
from bayesexpr.cli import main
from bayesexpr.data.counts import CountData
from bayesexpr.de_fit import DEFit
from bayesexpr.models.negative_binomial_de import NegativeBinomialDE
from bayesexpr.models.priors import Normal
from bayesexpr.stan.toolchain import Toolchain

pytestmark = pytest.mark.needs_stan

GENES, SAMPLES = 80, 8
SETTINGS = bx.DESettings(chains=4, warmup=150, draws=150, seed=1, cores=2)


def simulated(genes: int, seed: int, depth: NDArray[np.float64] | None = None) -> tuple[CountData, pd.DataFrame]:
    """A study of 4 + 4 samples from the model itself, and its true log2 fold changes."""
    rng = np.random.default_rng(seed)
    model = NegativeBinomialDE()
    given = {"genes": genes, "design": np.repeat([-0.5, 0.5], 4)[:, None]}
    hyper = {
        "mu_alpha": 4.5,
        "sigma_alpha": 1.8,
        "a0": 0.03,
        "a1": 1.0,
        "sigma_phi": 0.5,
        "s": 0.6,
        "m": np.zeros(1),
        "weight": np.array([0.75, 0.25]),
        "tau": np.zeros(0),
        "log_f": np.zeros(8) if depth is None else depth,
    }
    truth, data = model.simulate(given, rng, hyper)
    samples = tuple(f"s{k}" for k in range(8))
    table = pd.DataFrame({"group": ["a"] * 4 + ["b"] * 4}, index=pd.Index(samples, name="sample"))
    names = tuple(f"g{k:04d}" for k in range(genes))
    change = np.where(truth["component"] > 0, truth["beta"][:, 0], 0.0) / np.log(2)
    return CountData(data["count"], names, samples, table), pd.DataFrame({"gene": names, "true_log2fc": change})


@pytest.fixture(scope="module")
def base(toolchain: Toolchain) -> DEFit:
    """80 genes, seed 11."""
    return bx.fit_de(simulated(GENES, 11)[0], "~ group", settings=SETTINGS)


def test_a_sound_fit_is_certified_by_the_command(
    base: DEFit, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    truth = tmp_path / "truth.csv"
    simulated(GENES, 11)[1].to_csv(truth, index=False)
    run = base.save(tmp_path / "run")
    with pytest.raises(SystemExit) as stopped:
        main(["check", str(run), "--truth", str(truth)])
    assert stopped.value.code == 0
    said = capsys.readouterr()
    made = read_certificate(run)
    assert made is not None
    assert made.summary in said.out
    assert str(run / CHECK) in said.out
    assert "leave-one-out" in said.err
    assert len(made.outliers) == 0
    assert not (base.genes["status"] == "outlier").any()
    assert made.tables["loo"]["shown"][0]
    assert made.tables["loo"]["agreement"][1] < 0.2
    assert {"decisions", "pit", "trend", "genes"} <= set(made.tables)
    predictive = ("test quantities", "Within genes", "dispersion trend", "PIT", "outlying")
    assert not [f.text for f in made.findings if f.severity and any(word in f.text for word in predictive)]


def test_samples_and_genes_in_another_order(base: DEFit) -> None:
    """The same posterior: means agree within 0.06 log2 units, three Monte Carlo errors of 600 draws with sd 0.5."""
    data, _ = simulated(GENES, 11)
    rng = np.random.default_rng(3)
    rows, columns = rng.permutation(SAMPLES), rng.permutation(GENES)
    shuffled = CountData(
        data.counts[np.ix_(rows, columns)],
        tuple(data.genes[g] for g in columns),
        tuple(data.samples[s] for s in rows),
        data.sample_table.iloc[rows],
    )
    other = bx.fit_de(shuffled, "~ group", settings=SETTINGS)
    tables = [fit.contrast("group", "b", "a").table.set_index("gene") for fit in (base, other)]
    one, two = (table.loc[list(data.genes)] for table in tables)
    error = 3 * np.hypot(one["lfcSE"] / np.sqrt(one["ess_bulk"]), two["lfcSE"] / np.sqrt(two["ess_bulk"]))
    gap = (one["log2FoldChange"] - two["log2FoldChange"]).abs()
    assert (gap <= np.maximum(error, 0.02)).mean() > 0.97
    assert gap.max() < 0.2
    # negative control: genes under each other's names are far apart
    wrong = np.roll(two["log2FoldChange"].to_numpy(), 1)
    assert (np.abs(one["log2FoldChange"] - wrong) <= np.maximum(error, 0.02)).mean() < 0.9


def test_size_factors_far_from_their_prior_are_a_conflict(toolchain: Toolchain) -> None:
    """Depths differ two-fold, factors given are all one, the prior says 5 %: a conflict on most factors (seed 12)."""
    depth = np.log(2.0) * np.array([0.5, -0.5] * 4)
    data, _ = simulated(GENES, 12, depth)
    fit = bx.fit_de(
        data, "~ group", size_factors=np.ones(8), prior={"size_factors": Normal(0.0, 0.05)}, settings=SETTINGS
    )
    table = prior_sensitivity(of_study(FittedStudy.of(fit)))
    factors = table[table["quantity"].str.startswith("log size factor")]
    assert (factors["diagnosis"] == CONFLICT).sum() >= 4
    assert "size factor" in fit.check().tables["sensitivity"].query("diagnosis != ''")["quantity"].str.cat()


def test_depths_that_are_given_are_no_conflict(base: DEFit) -> None:
    table = prior_sensitivity(of_study(FittedStudy.of(base)))
    factors = table[table["quantity"].str.startswith("log size factor")]
    assert not (factors["diagnosis"] == CONFLICT).any()


def test_a_program_of_the_ladder_is_checked(toolchain: Toolchain) -> None:
    """hierarchical_expression, 20 genes x 4 samples: predictive checks, PSIS with its limit, sensitivity."""
    rng = np.random.default_rng(5)
    counts = rng.negative_binomial(10, 10 / (10 + np.exp(rng.normal(4, 1, 20))), (4, 20))
    fit = bx.fit("hierarchical_expression", {"count": counts}, chains=2, warmup=300, draws=300, seed=1, cores=2)
    made = fit.check()
    assert {"overall", "samples", "loo", "pareto_k", "pit"} <= set(made.tables)
    assert made.tables["loo"]["threshold"][0] == pytest.approx(1 - 1 / np.log10(600))
    assert made.plot_samples("mean").get_xlabel() == "mean"


def test_the_fit_marks_what_its_check_lists(toolchain: Toolchain) -> None:
    """Empirical Bayes, 250 genes x 8 samples, three counts x 20, seed 14: one study of 2,000 counts."""
    data, _ = simulated(250, 14)
    counts = data.counts.copy()
    cells = np.argwhere(counts >= 20)
    cells = cells[np.random.default_rng(14).choice(len(cells), 3, replace=False)]
    counts[tuple(cells.T)] *= 20
    fit = bx.fit_de(CountData(counts, data.genes, data.samples, data.sample_table), "~ group", method="eb", seed=1)
    marked = set(fit.genes["gene"][fit.genes["status"] == "outlier"])
    assert len(marked & {data.genes[g] for _, g in cells}) >= 2
    assert marked == set(fit.check().outliers["gene"])
    told = {(cell["gene"], cell["sample"]) for cell in fit.diagnostics["outlying_counts"]}
    assert {gene for gene, _ in told} == marked


@pytest.mark.slow
def test_nine_of_ten_outliers_of_a_real_fit(toolchain: Toolchain, tmp_path: Path) -> None:
    """Ten counts x 20 among 10,000, seed 13: at least nine listed, at most one false; the results mark their genes."""
    data, _ = simulated(1250, 13)
    counts = data.counts.copy()
    cells = np.argwhere(counts >= 10)
    cells = cells[np.random.default_rng(13).choice(len(cells), 10, replace=False)]
    counts[tuple(cells.T)] *= 20
    fit = bx.fit_de(CountData(counts, data.genes, data.samples, data.sample_table), "~ group", settings=SETTINGS)
    listed = fit.check().outliers
    planted = {(data.samples[s], data.genes[g]) for s, g in cells}
    found = set(zip(listed["sample"], listed["gene"], strict=True))
    assert len(found & planted) >= 9
    assert len(found - planted) <= 1
    assert {(cell["sample"], cell["gene"]) for cell in fit.diagnostics["outlying_counts"]} == found
    run = fit.save(tmp_path / "run")
    mark_outliers(run, set(listed["gene"]))
    status = bx.load(run).contrast("group", "b", "a").table.set_index("gene")["status"]
    assert not (status.loc[sorted(set(listed["gene"]))] == "ok").any()
