"""Empirical Bayes against NUTS, and NUTS against itself from a start that knows nothing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

import bayesexpr as bx
from bayesexpr.cli import main
from bayesexpr.data.counts import CountData
from bayesexpr.datasets import BUNDLED, DATASETS, bring
from bayesexpr.de_fit import DEFit
from bayesexpr.models.negative_binomial_de import NegativeBinomialDE
from bayesexpr.posterior.diagnostics import convergence
from bayesexpr.stan.compiler import compile_program
from bayesexpr.stan.methods import run_method
from bayesexpr.stan.program import render
from bayesexpr.stan.settings import SamplerSettings
from bayesexpr.stan.toolchain import Toolchain

pytestmark = pytest.mark.needs_stan

Float = NDArray[np.float64]
DESIGN = DATASETS[BUNDLED].design
CONTRAST = tuple(DATASETS[BUNDLED].contrast.split(","))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return bring(BUNDLED, tmp_path_factory.mktemp("bundled"))


@pytest.fixture(scope="module")
def data(folder: Path) -> CountData:
    """The first 600 genes of the bundled study that have counts."""
    whole = bx.read_counts(folder / "counts.csv.gz", samples=folder / "samples.csv")
    return whole.subset_genes(np.flatnonzero(whole.expressed)[:600])


@pytest.fixture(scope="module")
def fits(data: CountData, toolchain: Toolchain) -> tuple[DEFit, DEFit]:
    exact = bx.fit_de(
        data, DESIGN, method="nuts", settings=bx.DESettings(chains=2, warmup=150, draws=500, seed=1, cores=2)
    )
    approximate = bx.fit_de(data, DESIGN, method="eb", settings=bx.DESettings(draws=1000, seed=1, cores=2))
    return exact, approximate


def rms(values: Any) -> float:
    return float(np.sqrt(np.mean(np.square(values))))


def assert_same_genes(a: pd.DataFrame, b: pd.DataFrame) -> None:
    """600 genes: differences of means in Monte Carlo errors, of sds as ratios, of probabilities as they are."""
    error = np.sqrt(a["lfcSE"] ** 2 / a["ess_bulk"] + b["lfcSE"] ** 2 / b["ess_bulk"])
    assert rms((a["log2FoldChange"] - b["log2FoldChange"]) / error) < 1.6
    assert abs(np.median(a["lfcSE"] / b["lfcSE"]) - 1) < 0.05
    assert rms(a["lfsr"] - b["lfsr"]) < 0.02
    assert (a["lfdr"] - b["lfdr"]).abs().max() < 0.12


def test_genes_are_those_of_nuts(fits: tuple[DEFit, DEFit]) -> None:
    exact, approximate = (fit.contrast(*CONTRAST).table for fit in fits)
    assert_same_genes(approximate, exact)
    shrunk = approximate.assign(lfcSE=0.9 * approximate["lfcSE"])
    with pytest.raises(AssertionError):
        assert_same_genes(shrunk, exact)  # negative control: posteriors a tenth too narrow
    shifted = approximate.assign(log2FoldChange=approximate["log2FoldChange"] + 0.2 * approximate["lfcSE"])
    with pytest.raises(AssertionError):
        assert_same_genes(shifted, exact)  # negative control: means off by a fifth of a standard deviation


def test_hyperparameters_are_those_of_nuts(fits: tuple[DEFit, DEFit]) -> None:
    """Means within one posterior sd, for the posteriors of a few are skewed; sds within a third."""
    exact, approximate = (pd.DataFrame(fit.diagnostics["hyperparameters"]).T for fit in fits)
    assert ((approximate["mean"] - exact["mean"]) / exact["sd"]).abs().max() < 1
    assert np.abs(np.log(approximate["sd"] / exact["sd"])).max() < 0.35


def code_of(arguments: list[str]) -> int:
    with pytest.raises(SystemExit) as left:
        main(arguments)
    return int(left.value.code or 0)


def test_the_command_line_takes_it(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The whole bundled study, from files to a table and a report; a scheduler for another method is refused."""
    files = [str(folder / "counts.csv.gz"), str(folder / "samples.csv")]
    command = ["de", *files, "--design", DESIGN, "--contrast", DATASETS[BUNDLED].contrast, "--draws", "200"]
    assert code_of([*command, "-o", str(tmp_path / "run"), "--method", "eb"]) == 0
    assert "method eb: as asked" in capsys.readouterr().err
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    assert (record["method"], record["method_reason"]) == ("eb", "as asked")
    table = pd.read_csv(tmp_path / "run" / "results.csv")
    assert 60 < (table["qvalue"] < 0.05).sum() < 130
    assert (tmp_path / "run" / "report.html").is_file()
    other = [*command, "-o", str(tmp_path / "other"), "--method", "nuts", "--scheduler", "tcp://127.0.0.1:1"]
    assert code_of(other) == 2


def test_a_cold_start_comes_to_the_same_posterior(data: CountData, toolchain: Toolchain) -> None:
    """40 genes: Stan's own random starts, no whitening, its own adaptation, against the warm start; seeds 1 and 2.

    Two chains of 500 + 500 each. Averages over the genes agree within four Monte Carlo errors, intercept by intercept
    and hyperparameter by hyperparameter, and R-hat over the chains of both is small.
    """
    few = data.subset_genes(np.arange(40))
    warm = bx.fit_de(
        few, DESIGN, method="nuts", settings=bx.DESettings(chains=2, warmup=200, draws=500, seed=1, cores=2)
    )
    model = NegativeBinomialDE()
    plan = warm.design
    inputs = {
        "count": few.counts,
        "design": plan.matrix[:, plan.tested_columns],
        "nuisance_design": plan.matrix[:, plan.nuisance_columns],
        "nuisance_term": plan.nuisance_term_index,
        "log_size_factor": warm.posterior["constant_data"]["log_size_factor"].to_numpy(),
        "component": plan.partitions().projectors,
    }
    settings = SamplerSettings(chains=2, warmup=500, draws=500, seed=2, cores=2, adapt_delta=0.9)
    executable = compile_program(render(model.NAME, model.options), toolchain)
    drawn = run_method(executable, "nuts", model.stan_data(inputs), settings).variables
    cold = model.posterior({name: drawn[name] for name in ("zeta", "z")}, inputs)
    group = warm.posterior["posterior"]
    for name in ("mu_alpha", "sigma_alpha", "a0", "a1", "sigma_phi", "s", "alpha", "log_phi"):
        ours, theirs = np.asarray(group[name], dtype=float), np.asarray(cold[name])
        both = np.concatenate([ours, theirs.reshape(ours.shape)])
        both = both.reshape(4, 500, -1)
        assert convergence(both).rhat.max() < 1.08, name
