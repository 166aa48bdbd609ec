"""fit_de with method eb, without a compiler: NumPy computes what the kernel does; also on a Dask cluster."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import warnings
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

import bayesexpr as bx
from bayesexpr import de_eb
from bayesexpr.cluster import package_digest
from bayesexpr.data.counts import CountData
from bayesexpr.de_cluster import Errand, on_cluster
from bayesexpr.de_fit import DEFit
from bayesexpr.empirical_bayes.importance import GeneTask
from bayesexpr.errors import InputError, OptionError
from bayesexpr.models.negative_binomial_de import NegativeBinomialDE

PLAIN = {"density": "stan"}
"""A program without a kernel: nothing is compiled for method eb."""

SETTINGS = bx.DESettings(draws=200, cores=1)
TWO = {"group": ["a", "a", "b", "b"]}


def study(columns: dict[str, Any], genes: int = 6, counts: NDArray[np.int64] | None = None) -> CountData:
    """Negative binomial counts with mean 245 and dispersion 0.2; seed 1."""
    names = tuple(f"s{k}" for k in range(len(next(iter(columns.values())))))
    if counts is None:
        counts = np.random.default_rng(1).negative_binomial(5, 0.02, (len(names), genes))
    return CountData(counts, tuple(f"g{k}" for k in range(counts.shape[1])), names, pd.DataFrame(columns, index=names))


def eb(data: CountData, design: str = "~ group", **more: Any) -> DEFit:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="the design has .* no sample is left")
        return bx.fit_de(data, design, method="eb", options=PLAIN, settings=SETTINGS, **more)


def changed_study(genes: int = 40) -> CountData:
    """Four samples against four; five genes four-fold up, five down, one without a count; seed 2."""
    rng = np.random.default_rng(2)
    mean = np.full((8, genes), 500.0)
    mean[4:, :5] *= 4
    mean[4:, 5:10] /= 4
    counts = rng.negative_binomial(20, 20 / (20 + mean))
    counts[:, -1] = 0
    return study({"group": list("aaaabbbb"), "batch": list("xyxyxyxy")}, counts=counts)


@pytest.fixture(scope="module")
def fit() -> DEFit:
    return eb(changed_study(), "~ batch + group")


def test_changes_are_found_and_tables_complete(fit: DEFit) -> None:
    effect = fit.contrast("group", "b", "a")
    table = effect.table
    fitted = table["status"] != "all_zero"
    assert fitted.sum() == 39
    assert (table["lfdr"][:10] < 0.05).all()
    assert abs(table["log2FoldChange"][:5].mean() - 2) < 0.4
    assert abs(table["log2FoldChange"][5:10].mean() + 2) < 0.4
    assert table["lfdr"][10:39].median() > 0.5
    assert not table[fitted].drop(columns="rhat").isna().any().any()
    assert table.loc[fitted, "ess_bulk"].min() > 10
    moved = fit.genes["moved"].to_numpy()
    assert np.array_equal(table["rhat"].notna(), moved)  # there is an R-hat where there are chains, and nowhere else
    assert effect.calls().count >= 10


def test_it_says_what_it_is(fit: DEFit) -> None:
    assert fit.record["method"] == "eb"
    assert fit.record["method_reason"] == "as asked"
    assert "approximation" in " ".join(fit.verdict.sentences)
    assert "divergences" not in fit.diagnostics
    assert fit.diagnostics["max_k"] <= fit.diagnostics["k_limit"]
    assert set(fit.diagnostics["sampled_by_chains"]) == set(fit.genes["gene"][fit.genes["moved"]])
    assert fit.record["sampler"]["draws"] == 200
    hyper = fit.posterior["posterior"]
    assert dict(hyper.sizes)["draw"] == 200
    assert float(hyper["mu_alpha"].std()) > 0


def test_it_is_saved_loaded_and_reported(fit: DEFit, tmp_path: Path) -> None:
    again = bx.load(fit.save(tmp_path / "run"))
    assert again.verdict == fit.verdict
    first, second = (one.contrast("group", "b", "a").table for one in (fit, again))
    pd.testing.assert_frame_equal(first, second)
    text = again.report(tmp_path / "report.html").read_text(encoding="utf-8")
    assert "k-hat" in text
    json.loads((tmp_path / "run" / "diagnostics.json").read_text())


def test_the_seed_and_the_blocks_decide_alone(fit: DEFit, monkeypatch: pytest.MonkeyPatch) -> None:
    table = fit.contrast("group", "b", "a").table
    monkeypatch.setattr(de_eb, "GENES_PER_TASK", 11)
    same = eb(changed_study(), "~ batch + group").contrast("group", "b", "a").table
    pd.testing.assert_frame_equal(same, table)
    other = eb(changed_study(), "~ batch + group", seed=2).contrast("group", "b", "a").table
    assert not np.allclose(other["log2FoldChange"][:39], table["log2FoldChange"][:39], atol=1e-6)


def test_a_count_far_out_is_found() -> None:
    """One count forty times too large among 312, and at most one other is called; few draws screen, more settle."""
    data = changed_study()
    counts = data.counts.copy()
    counts[2, 20] *= 40
    found = eb(replace(data, counts=counts), "~ batch + group")
    cells = [(cell["gene"], cell["sample"]) for cell in found.diagnostics["outlying_counts"]]
    assert ("g20", "s2") in cells
    assert len(cells) <= 2
    assert found.genes["status"][20] in ("outlier", "low_ess")


CASES = {
    "one gene": (study(TWO, 1), "~ group"),
    "one sample a group": (study({"group": ["a", "b"]}), "~ group"),
    "a number": (study({"dose": [1.0, 2.0, 3.0, 4.0, 5.0, 6.5]}), "~ dose"),
    "three levels": (study({"group": list("aabbcc")}), "~ group"),
    "the largest counts": (
        study(TWO, counts=np.array([[2**31 - 1, 5, 0], [2**31 - 1, 3, 7], [4, 2**30, 1], [0, 2, 2**31 - 1]])),
        "~ group",
    ),
    "hardly a count": (study(TWO, counts=np.array([[0, 5, 1], [0, 3, 0], [0, 4, 0], [0, 2, 1]])), "~ group"),
}


@pytest.mark.parametrize("name", CASES)
def test_hard_studies_have_an_answer(name: str) -> None:
    data, design = CASES[name]
    found = eb(data, design)
    assert np.isfinite(found.posterior["posterior"]["alpha"]).all()
    assert set(found.genes["status"]) <= {"all_zero", "ok", "low_ess", "high_rhat", "outlier"}
    assert found.verdict.level != "trustworthy"


def test_what_it_cannot_do_is_refused() -> None:
    data = study(TWO)
    with pytest.raises(OptionError, match="at least 100 draws"):
        bx.fit_de(data, "~ group", method="eb", options=PLAIN, settings=bx.DESettings(draws=50))
    with pytest.raises(OptionError, match="method eb only"):
        bx.fit_de(data, "~ group", method="nuts", scheduler="tcp://127.0.0.1:1")
    with pytest.raises(OptionError, match="method eb has none"):
        bx.fit_de(data, "~ group", method="eb", settings=bx.DESettings(starts="overdispersed"))


# a cluster


@pytest.fixture
def address(tmp_path: Path) -> Iterator[str]:
    """A scheduler and two workers, each a process of its own, on loopback."""
    pytest.importorskip("distributed", reason="Dask's distributed is not installed: pip install 'bayesexpr[cluster]'")
    place = tmp_path / "scheduler.json"
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "cwd": tmp_path, "env": dict(os.environ)}
    command = [sys.executable, "-m", "distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port", "0"]
    command += ["--dashboard-address", ":0", "--scheduler-file", str(place)]
    worker = [sys.executable, "-m", "distributed.cli.dask_worker", "--scheduler-file", str(place), "--no-nanny"]
    worker += ["--nthreads", "1", "--no-dashboard", "--host", "127.0.0.1"]
    processes = [subprocess.Popen(command, **quiet)]  # type: ignore[call-overload]
    try:
        deadline = time.monotonic() + 60
        while not place.exists():
            assert time.monotonic() < deadline
            time.sleep(0.05)
        processes += [subprocess.Popen(worker, **quiet) for _ in range(2)]  # type: ignore[call-overload]
        yield str(json.loads(place.read_text())["address"])
    finally:
        for process in reversed(processes):
            process.terminate()
            process.wait()


@pytest.mark.timeout(300)
def test_a_cluster_gives_the_same_numbers(fit: DEFit, address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two workers, blocks of 16 genes: the same draws as one process with one block, and both workers are used."""
    monkeypatch.setattr(de_eb, "GENES_PER_TASK", 16)
    spread = eb(changed_study(), "~ batch + group", scheduler=address)
    pd.testing.assert_frame_equal(
        spread.contrast("group", "b", "a").table, fit.contrast("group", "b", "a").table, rtol=1e-9
    )
    assert spread.record["sampler"]["scheduler"] == address


def test_a_scheduler_that_does_not_answer_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("distributed", reason="Dask's distributed is not installed: pip install 'bayesexpr[cluster]'")
    monkeypatch.setattr("bayesexpr.cluster.PATIENCE", 0.5)
    with pytest.raises(InputError, match="no Dask scheduler answers"):
        list(on_cluster("tcp://127.0.0.1:9", NegativeBinomialDE())(iter(())))
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(OptionError, match="pip install"):
        on_cluster("tcp://127.0.0.1:9", NegativeBinomialDE())


def test_a_worker_with_another_package_refuses() -> None:
    """Negative control of the digest that an errand carries."""
    model = NegativeBinomialDE(options=PLAIN)
    data = study(TWO)
    full = model.complete({"count": data.counts, "design": [[-0.5], [-0.5], [0.5], [0.5]]})
    from bayesexpr.empirical_bayes.laplace import Study

    at = model.layout(full)
    center = np.zeros(at.H)
    task = GeneTask(Study(at, full, 4.0), np.arange(6), center, np.tile(center, (100, 1)), np.zeros((6, at.H)), 1)
    assert Errand(task, None, package_digest()).run().tails.shape == (4, 6)
    with pytest.raises(InputError, match="another version"):
        replace(Errand(task, None, package_digest()), package="older").run()
