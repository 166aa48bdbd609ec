"""The measurement programs in Stan: their density against NumPy's, recovery, and real data."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bayesexpr.data.equivalence import read_equivalence_classes, read_tool_draws
from bayesexpr.fit import fit
from bayesexpr.models.base import Model
from bayesexpr.models.compatibility_forest import Forest
from bayesexpr.models.transcript_compatibility import TranscriptCompatibility
from bayesexpr.quant import Quantification, quantify
from bayesexpr.stan.compiler import compile_program
from bayesexpr.stan.methods import log_prob
from bayesexpr.stan.program import render
from bayesexpr.stan.toolchain import Toolchain

pytestmark = pytest.mark.needs_stan

# Parameters whose priors stanc cannot see, and why that is right.
PEDANTIC = {
    "transcript_compatibility": (
        r"parameter z has no priors",  # its prior is that of log_lambda, whose map from z preserves volume
        r"Left-hand side of distribution statement \(~\) may contain a non-linear\s+transform",  # Jacobian added
    ),
}


def model_density(
    model: Model, toolchain: Toolchain, data: dict[str, Any], points: np.ndarray, prior_only: bool = False
) -> np.ndarray:
    """Stan's log density, with all Jacobians, at unconstrained points."""
    executable = compile_program(render(model.NAME, model.options), toolchain)
    return log_prob(executable, model.stan_data(data, prior_only=prior_only), points)[0]


def assert_same_density(stan: np.ndarray, numpy: np.ndarray) -> None:
    """Equal up to a constant, to 1e-8 of their size; the points must differ by far more."""
    assert np.ptp(numpy) > 1.0
    scale = max(1.0, np.abs(numpy).max())
    np.testing.assert_allclose(stan - stan[0], numpy - numpy[0], rtol=0, atol=1e-8 * scale)


@pytest.mark.parametrize(
    ("model", "options"),
    [
        (TranscriptCompatibility, {"abundance": "log_normal"}),
        (TranscriptCompatibility, {"abundance": "gamma"}),
    ],
    ids=lambda x: x.NAME if isinstance(x, type) else "-".join(x.values()),
)
def test_stanc_is_pedantic_about_nothing_else(
    toolchain: Toolchain, tmp_path: Path, model: type[Model], options: dict[str, str]
) -> None:
    file = tmp_path / "program.stan"
    file.write_text(render(model.NAME, model(options).options).code)
    command = [toolchain.home / "bin" / "stanc", "--warn-pedantic", f"--o={tmp_path / 'o.hpp'}", file]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    warnings = [w for w in re.split(r"(?=^Warning )", done.stderr, flags=re.MULTILINE) if w.strip()]
    for warning in warnings:
        assert any(re.search(allowed, warning) for allowed in PEDANTIC[model.NAME]), warning


# transcript_compatibility


def compatibility_points(data: dict[str, Any], stan: dict[str, Any]) -> tuple[np.ndarray, list[dict[str, Any]]]:
    """Random whitened coordinates (seed 1) and the log abundances that they mean, by the forest's own arithmetic."""
    forest = Forest(stan["root"] - 1, stan["left"] - 1, stan["right"] - 1)
    z = np.random.default_rng(1).normal(size=(6, stan["T"]))
    logs = [forest.log_leaves(stan["center"] + stan["scale"] * row) - np.log(stan["length"]) for row in z]
    return z, [{"log_lambda": log_lambda} for log_lambda in logs]


@pytest.mark.parametrize("abundance", ["log_normal", "gamma"])
@pytest.mark.parametrize("prior_only", [False, True])
def test_transcript_compatibility_has_numpy_s_density(toolchain: Toolchain, abundance: str, prior_only: bool) -> None:
    model = TranscriptCompatibility({"abundance": abundance})
    rng = np.random.default_rng(3)
    data = model.simulate(model.SCENARIO, rng)[1]
    z, parameters = compatibility_points(data, model.stan_data(data, prior_only=prior_only))
    expected = np.array([model.log_density(p, data) for p in parameters])
    if prior_only:
        expected -= [model.log_lik(p, data).sum() for p in parameters]
    found = model_density(model, toolchain, data, z, prior_only)
    assert_same_density(found, expected)
    forgotten_jacobian = expected - [p["log_lambda"].sum() for p in parameters]
    with pytest.raises(AssertionError):
        assert_same_density(found, forgotten_jacobian)


def test_transcript_compatibility_has_numpy_s_density_on_real_classes(toolchain: Toolchain, shared_data: Path) -> None:
    from bayesexpr.quant import model_data

    classes = read_equivalence_classes(shared_data / "salmon_airway_chr1/salmon_bias/SRR1039508")
    data, model = model_data(classes), TranscriptCompatibility()
    z, parameters = compatibility_points(data, model.stan_data(data))
    expected = np.array([model.log_density(p, data) for p in parameters])
    assert_same_density(model_density(model, toolchain, data, z), expected)


def test_transcript_compatibility_recovers_what_it_simulated() -> None:
    """40 simulations of 3 transcripts, seeds 1-40: 90 % intervals cover 90 % of 120, within 3 binomial sd (8.2 %)."""
    model, covered = TranscriptCompatibility(), []
    for seed in range(1, 41):
        truth, data = model.simulate(model.SCENARIO, np.random.default_rng(seed))
        made = fit(model.NAME, data, chains=1, warmup=300, draws=400, seed=seed, cores=1)
        low, high = np.quantile(made.draws("log_lambda"), (0.05, 0.95), axis=0)
        covered += ((low < truth["log_lambda"]) & (truth["log_lambda"] < high)).tolist()
    assert abs(np.mean(covered) - 0.9) < 0.082


def test_copies_share_what_only_their_sum_knows() -> None:
    """Two transcripts with one class: the sum is known to 2 %, the share is the prior's (seed 5)."""
    data = {"count": [3000, 500], "compatibility": [[0, 0], [0, 1], [1, 2]], "transcript_length": [500.0, 500, 800]}
    made = fit("transcript_compatibility", data, chains=2, warmup=500, draws=1000, seed=5, cores=2)
    counts = made.draws("expected_count")
    share = counts[:, 0] / counts[:, :2].sum(axis=1)
    assert np.std(counts[:, :2].sum(axis=1)) < 0.02 * 3000
    assert share.std() > 0.35
    assert abs(share.mean() - 0.5) < 0.1
    found = TranscriptCompatibility().identifiability(data)
    assert found.sets == [[0, 1]]


def compare_with_tool(made: Quantification, name: str, estimate: np.ndarray, least: float) -> np.ndarray:
    """Distances in posterior sd from the tool's estimates, where identifiable and above `least` fragments."""
    rows = made.table[made.table["sample"] == name]
    chosen = rows["identifiable"].to_numpy() & (estimate > least)
    assert chosen.sum() >= 10
    return ((rows["count"] - estimate) / rows["count_sd"]).to_numpy()[chosen]


def test_small_example_agrees_with_salmon_and_kallisto(shared_data: Path) -> None:
    """14 transcripts, all identifiable: every estimate within 3 posterior sd; sd within a factor 1.6 of bootstrap's."""
    root = shared_data / "salmon_kallisto_examples"
    made = quantify([root / "salmon", root / "kallisto_pseudo"], seed=1, chains=2, warmup=300, draws=500, cores=2)
    for name in ("salmon", "kallisto_pseudo"):
        estimate = read_equivalence_classes(root / name).estimate
        assert estimate is not None
        assert np.abs(compare_with_tool(made, name, estimate, 10)).max() < 3
    _, draws = read_tool_draws(root / "salmon")
    sd = made.table.loc[made.table["sample"] == "salmon", "count_sd"].to_numpy()
    ratio = sd / draws.std(axis=0, ddof=1)
    assert np.abs(np.log(ratio)).max() < np.log(1.6)  # 30 bootstraps know an sd to 13 %


@pytest.fixture(scope="module")
def airway(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, str], Quantification]:
    def run(kind: str, sample: str) -> Quantification:
        folder = shared_data / "salmon_airway_chr1" / kind / sample
        return quantify([folder], seed=1, chains=2, warmup=400, draws=500, cores=2)

    return run


@pytest.mark.parametrize("kind", ["salmon_plain", pytest.param("kallisto_pseudo", marks=pytest.mark.slow)])
def test_1370_transcripts_agree_with_the_tool(
    airway: Callable[[str, str], Quantification], shared_data: Path, kind: str, tmp_path: Path
) -> None:
    """Where a transcript is identifiable and has over 100 fragments: within 3 posterior sd or 10 % of the tool."""
    made = airway(kind, "SRR1039508")
    folder = shared_data / "salmon_airway_chr1" / kind / "SRR1039508"
    estimate = read_equivalence_classes(folder).estimate
    assert estimate is not None
    table = made.table
    chosen = table["identifiable"].to_numpy() & (estimate > 100)
    gap = np.abs(table["count"].to_numpy() - estimate)[chosen]
    assert chosen.sum() >= 20
    assert (gap < np.maximum(3 * table["count_sd"].to_numpy()[chosen], 0.1 * estimate[chosen])).all()
    assert table["rhat"].max() < 1.05
    np.testing.assert_allclose(table["count"].sum(), estimate.sum(), rtol=1e-3)
    np.testing.assert_allclose(table["tpm"].sum(), 1e6, rtol=1e-6)
    made.save(tmp_path / "run")
    assert {"run.json", "results.csv", "indistinguishable.csv", "posterior.zarr"} <= {
        p.name for p in (tmp_path / "run").iterdir()
    }
    if kind == "salmon_plain":
        _, draws = read_tool_draws(folder)
        ratio = table["count_sd"].to_numpy()[chosen] / draws.std(axis=0, ddof=1)[chosen]
        assert abs(np.median(np.log(ratio))) < np.log(1.15)
        assert np.abs(np.log(ratio)).max() < np.log(2)
