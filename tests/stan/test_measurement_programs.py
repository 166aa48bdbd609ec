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
from bayesexpr.distributions import sum_to_zero_basis
from bayesexpr.fitting import fit
from bayesexpr.models.base import Model
from bayesexpr.models.compatibility_forest import Forest
from bayesexpr.models.coverage_decay import CoverageDecay
from bayesexpr.models.langmuir import SHAPES, Langmuir
from bayesexpr.models.priors import Exponential, Normal, Prior
from bayesexpr.models.spike_in import AVOGADRO_ATTOMOLE, SpikeIn
from bayesexpr.models.transcript_compatibility import TranscriptCompatibility
from bayesexpr.quant import Quantification, quantify
from bayesexpr.stan.compiler import compile_program
from bayesexpr.stan.methods import log_prob
from bayesexpr.stan.program import render
from bayesexpr.stan.toolchain import Toolchain

pytestmark = pytest.mark.needs_stan

VARIANTS: list[tuple[type[Model], dict[str, str]]] = [
    (TranscriptCompatibility, {"abundance": "log_normal"}),
    (TranscriptCompatibility, {"abundance": "gamma"}),
    (SpikeIn, {"noise": "negative_binomial"}),
    (SpikeIn, {"noise": "poisson"}),
    (Langmuir, {"brightness": "estimated"}),
    (Langmuir, {"brightness": "alike"}),
    (CoverageDecay, {"noise": "negative_binomial"}),
    (CoverageDecay, {"noise": "poisson"}),
]
# What stanc may say: priors whose numbers are data look to it like none, and Jacobians are added by hand.
NO_PRIOR = r"The parameter (\w+) has no priors\..*prior\(s\) depend on data variables"
JACOBIAN = r"Left-hand side of distribution statement \(~\) may contain a non-linear\s+transform"
NON_LINEAR = {"transcript_compatibility": r"exp\(log_lambda\) ~", "langmuir": r"asinh\(intensity \* ratio\) ~"}


def model_density(
    model: Model, toolchain: Toolchain, data: dict[str, Any], points: np.ndarray, prior_only: bool = False
) -> np.ndarray:
    """Stan's log density, with all Jacobians, at unconstrained points."""
    executable = compile_program(render(model.NAME, model.options), toolchain)
    return log_prob(executable, model.stan_data(data, prior_only=prior_only), points)[0]


def assert_same_density(stan: np.ndarray, numpy: np.ndarray) -> None:
    """Equal up to a constant, to 1e-8 of their size; the points must differ by far more, or nothing is compared."""
    assert np.ptp(numpy) > 1.0
    scale = max(1.0, np.abs(numpy).max())
    np.testing.assert_allclose(stan - stan[0], numpy - numpy[0], rtol=0, atol=1e-8 * scale)


@pytest.mark.parametrize(("model", "options"), VARIANTS, ids=[f"{m.NAME}-{'-'.join(o.values())}" for m, o in VARIANTS])
def test_stanc_is_pedantic_about_nothing_else(
    toolchain: Toolchain, tmp_path: Path, model: type[Model], options: dict[str, str]
) -> None:
    code = render(model.NAME, model(options).options).code
    file = tmp_path / "program.stan"
    file.write_text(code)
    command = [toolchain.home / "bin" / "stanc", "--warn-pedantic", f"--o={tmp_path / 'o.hpp'}", file]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    warnings = [w for w in re.split(r"(?=^Warning )", done.stderr, flags=re.MULTILINE) if w.strip()]
    for warning in warnings:
        if re.search(NO_PRIOR, warning, flags=re.DOTALL):
            continue
        line = re.search(r"line (\d+)", warning)
        assert line is not None
        assert re.search(JACOBIAN, warning), warning
        assert re.search(NON_LINEAR[model.NAME], code.split("\n")[int(line[1]) - 1]), warning


# transcript_compatibility


def compatibility_points(data: dict[str, Any], stan: dict[str, Any]) -> tuple[np.ndarray, list[dict[str, Any]]]:
    """Random whitened coordinates (seed 1) and the log abundances that they mean, by the forest's own arithmetic."""
    forest = Forest(stan["root"] - 1, stan["left"] - 1, stan["right"] - 1)
    z = np.random.default_rng(1).normal(size=(6, stan["T"]))
    logs = [forest.log_leaves(stan["center"] + stan["scale"] * row) - np.log(stan["length"]) for row in z]
    return z, [{"log_lambda": log_lambda} for log_lambda in logs]


@pytest.mark.parametrize("abundance", ["log_normal", pytest.param("gamma", marks=pytest.mark.slow)])
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


# coverage_decay, langmuir and spike_in: from Stan's unconstrained points to named parameters and the log Jacobian


def cut(row: np.ndarray, *sizes: int) -> list[np.ndarray]:
    """Consecutive parts of a point, of the sizes given."""
    parts = np.split(row, np.cumsum(sizes))
    assert len(parts[-1]) == 0, "the sizes must cover the point"
    return parts[:-1]


def coverage_decay_at(model: Model, stan: dict[str, Any], row: np.ndarray) -> tuple[dict[str, Any], float]:
    noisy = model.options["noise"] == "negative_binomial"
    parts = cut(row, stan["J"], stan["L"], *([1] if noisy else []))
    log_lambda = stan["log_lambda_mean"] + stan["log_lambda_sd"] * parts[1]
    log_middle = stan["log_c0_mean"] + stan["log_c0_sd"] * parts[0]
    log_c0 = log_middle + stan["middle"] / np.exp(log_lambda)[np.asarray(stan["library"]) - 1]
    p = {"log_c0": log_c0, "log_lambda": log_lambda}
    return (p | {"dispersion": np.exp(parts[2][0])}, float(parts[2][0])) if noisy else (p, 0.0)


def langmuir_at(model: Model, stan: dict[str, Any], row: np.ndarray) -> tuple[dict[str, Any], float]:
    P, A, U = stan["P"], stan["A"], stan["U"]
    bright = [1, 1, A - 1] if model.options["brightness"] == "estimated" else []
    parts = cut(row, 3, 3, 3 * P, *bright, 1, 1, U)
    location, spread = stan["location_mean"] + np.asarray(stan["location_sd"]) * parts[0], np.exp(parts[1])
    precision = stan["information"] + np.diag(1 / spread**2)
    mean = np.linalg.solve(precision, (stan["pull"] + location / spread**2)[:, :, None])[:, :, 0]
    factor = np.linalg.cholesky(precision)
    shapes = mean + np.stack([np.linalg.solve(factor[p].T, parts[2][3 * p : 3 * p + 3]) for p in range(P)])
    jacobian = parts[1].sum() - np.log(np.diagonal(factor, axis1=1, axis2=2)).sum()
    p: dict[str, Any] = {"spread": spread, "multiplicative": np.exp(parts[-3][0]), "additive": np.exp(parts[-2][0])}
    common = np.zeros(3)
    if bright:
        sd = np.exp(parts[3][0])
        variance = 1 / (sd**-2 + stan["brightness_information"])
        middle = variance * stan["brightness_information"] * stan["brightness_center"]
        deviation = middle - np.sqrt(variance) * sum_to_zero_basis(A) @ parts[5]
        common[:2] = sd / np.sqrt(A) * parts[4][0]
        p |= {"array_spread": sd, "log_brightness": common[0] + deviation}
        jacobian += 2 * parts[3][0] + (A - 1) / 2 * np.log(variance)
    p |= {"location": location - common, **dict(zip(SHAPES, (shapes - common).T, strict=True))}
    p["log_concentration"] = stan["log_c_center"] + stan["log_c_scale"] * parts[-1]
    return p, float(jacobian + parts[-3][0] + parts[-2][0])


def _between(mean: float, variance: float, center: np.ndarray, noise: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and sd of the product of two normal densities."""
    precision = 1 / variance + 1 / noise
    return (mean / variance + center / noise) / precision, 1 / np.sqrt(precision)


def spike_in_at(model: Model, stan: dict[str, Any], row: np.ndarray) -> tuple[dict[str, Any], float]:
    S, G, H = stan["S"], stan["G"], stan["H"]
    noisy = model.options["noise"] == "negative_binomial"
    *parts, shift, standard, seen = cut(row, 1, 1, H, *([1] if noisy else []), S - 1, G, S * H)
    level, sd = stan["level_center"] + parts[0][0], np.exp(parts[1][0])
    dispersion = np.exp(parts[3][0]) if noisy else 0.0
    spread = 2 * stan["capture_spread"] ** 2
    middle, moved = _between(0.0, spread, stan["shift_center"], stan["shift_variance"] + 2 * dispersion / G)
    expected, known = _between(level, sd**2, stan["yield_center"], stan["yield_variance"] + dispersion / S)
    units = {"shift": moved, "yield": known, "seen": np.sqrt(stan["seen_variance"] + dispersion)}
    draws = {
        "log_capture": level + np.concatenate([[0.0], middle + moved * shift]),
        "affinity_sd": sd,
        "standard_affinity": expected + known * standard - level,
        "target_affinity": sd * parts[2],
    }
    all_seen = stan["seen_center"] + units["seen"] * seen.reshape(H, S).T
    draws["log_target_molecules"] = all_seen - draws["log_capture"][:, None] - draws["target_affinity"]
    jacobian = parts[1][0] * (1 + H) + sum(np.log(unit).sum() for unit in units.values())
    if noisy:
        draws["dispersion"] = dispersion
        jacobian += parts[3][0]
    return draws, float(jacobian)


AT: dict[type[Model], Callable[..., tuple[dict[str, Any], float]]] = {
    CoverageDecay: coverage_decay_at,
    Langmuir: langmuir_at,
    SpikeIn: spike_in_at,
}
# Priors narrow enough for simulated counts to fit in 32 bits, wide enough to be learned from.
NARROW: dict[type[Model], dict[str, Prior]] = {
    CoverageDecay: {},
    Langmuir: {"log_background": Normal(4.0, 0.5), "log_concentration": Normal(3.0, 1.5)},
    SpikeIn: {
        "log_capture": Normal(-3.0, 1.0),
        "log_molecules": Normal(7.0, 2.0),
        "dispersion": Exponential(10.0),
    },
}


def one_compilation_more(model: type[Model], options: dict[str, str]) -> Any:
    """A variant for the default suite where other tests compile it anyway, else for the long one."""
    used = all(model.OPTIONS[k].default == v for k, v in options.items()) or model is CoverageDecay
    name = f"{model.NAME}-{'-'.join(options.values())}"
    return pytest.param(model, options, id=name, marks=() if used else pytest.mark.slow)


@pytest.mark.parametrize("prior_only", [False, True])
@pytest.mark.parametrize(("program", "options"), [one_compilation_more(m, o) for m, o in VARIANTS[2:]])
def test_density_is_numpy_s(
    toolchain: Toolchain, program: type[Model], options: dict[str, str], prior_only: bool
) -> None:
    """At six random points (seed 2), all Jacobians included; a forgotten Jacobian is seen."""
    model = program(options, NARROW[program])
    rng = np.random.default_rng(2)
    data = model.simulate(model.SCENARIO, rng)[1]
    stan = model.stan_data(data, prior_only=prior_only)
    executable = compile_program(render(model.NAME, model.options), toolchain)
    size = {
        CoverageDecay: lambda s: s["J"] + s["L"] + 1,
        Langmuir: lambda s: 6 + 3 * s["P"] + 1 + s["A"] + 2 + s["U"],
        SpikeIn: lambda s: 1 + s["S"] + s["G"] + s["H"] * (1 + s["S"]) + 1,
    }[program](stan)
    size -= {"poisson": 1, "alike": 1 + stan.get("A", 0)}.get(next(iter(options.values())), 0)
    points = rng.normal(0, 0.7, (6, size))
    found = log_prob(executable, stan, points)[0]
    at = [AT[program](model, stan, row) for row in points]
    named = [model.posterior(p, data) for p, _ in at]
    jacobian = np.array([j for _, j in at])
    expected = np.array([model.log_density(p, data) for p in named])
    if prior_only:
        expected -= [model.log_lik(p, data).sum() for p in named]
    assert_same_density(found, expected + jacobian)
    if np.ptp(jacobian) > 0:
        with pytest.raises(AssertionError):
            assert_same_density(found, expected)


@pytest.mark.parametrize(
    ("program", "scenario", "names"),
    [
        (CoverageDecay, CoverageDecay.SCENARIO, ("log_lambda", "log_c0", "dispersion")),
        (Langmuir, Langmuir.SCENARIO, ("log_concentration", "log_amplitude", "multiplicative")),
        (SpikeIn, SpikeIn.SCENARIO, ("log_molecules", "log_capture", "affinity_sd")),
    ],
    ids=["coverage_decay", "langmuir", "spike_in"],
)
def test_what_was_simulated_is_recovered(
    program: type[Model], scenario: dict[str, Any], names: tuple[str, ...]
) -> None:
    """40 simulations (seeds 101-140): central 80 % intervals cover 80 %, within 3 sd of 40 independent ones (0.19)."""
    model = program(priors=NARROW[program])
    covered: dict[str, list[float]] = {name: [] for name in names}
    for seed in range(101, 141):
        truth, data = model.simulate(scenario, np.random.default_rng(seed))
        made = fit(model.NAME, data, prior=NARROW[program], chains=1, warmup=250, draws=250, seed=seed, cores=1)
        for name in names:
            low, high = np.quantile(made.draws(name), (0.1, 0.9), axis=0)
            covered[name].append(float(np.mean((low < truth[name]) & (truth[name] < high))))
    for name in names:
        assert abs(np.mean(covered[name]) - 0.8) < 0.19, (name, np.mean(covered[name]))


def test_decay_of_the_text() -> None:
    """1000 to 368 over 1000 nt: lambda = 1000; a million reads narrow it to 1 % (seed 1)."""
    for counts, width in (([1000, 368], 0.2), ([1_000_000, 367_879], 0.01)):
        data = {"count": counts, "distance": [0, 1000]}
        made = fit("coverage_decay", data, options={"noise": "poisson"}, chains=2, seed=1, cores=2)
        draws = made.draws("decay_length")
        assert abs(np.median(draws) - 1000) < width * 200
        low, high = np.quantile(draws, (0.05, 0.95))
        assert low < 1000 < high
        assert high - low < 1.3 * width * 1000


def test_real_coverage_decays_mildly_in_good_rna(shared_data: Path) -> None:
    """8 airway libraries x 6 transcripts, ends left out: poly(A) RNA of good quality has lambda above 4 kb."""
    import pandas as pd

    table = pd.read_csv(shared_data / "coverage_3prime/coverage_by_distance_from_3prime.csv.gz")
    table = table[(table["dist3_start"] >= 150) & (table["dist3_end"] <= table["length"] - 150)]
    curve = table.groupby(["sample", "symbol"]).ngroup().to_numpy()
    library = table.groupby("sample").ngroup().to_numpy()
    data = {
        "count": np.round(table["mean_depth"] * 50 / 63).astype(int).to_numpy(),  # reads of 63 nt in bins of 50
        "distance": ((table["dist3_start"] + table["dist3_end"]) / 2).to_numpy(),
        "curve": curve,
        "library": pd.Series(library).groupby(curve).first().to_numpy(),
    }
    made = fit("coverage_decay", data, chains=2, warmup=300, draws=300, seed=1, cores=2)
    length = np.median(made.draws("decay_length"), axis=0)
    assert len(length) == 8
    assert (length > 4000).all()
    assert (length < 60_000).all()
    assert made.parameters["rhat"].max() < 1.05
    assert 0.01 < np.median(made.draws("dispersion")) < 0.2


def covering(draws: np.ndarray, truth: np.ndarray, level: float) -> np.ndarray:
    low, high = np.quantile(draws, ((1 - level) / 2, (1 + level) / 2), axis=0)
    return (low < truth) & (truth < high)


def test_latin_square_gives_concentrations_back(shared_data: Path) -> None:
    """A quarter of 416 signals (seed 1) as unknown: 90 % intervals cover 80 to 98 % of them, 50 % ones 40 to 75 %."""
    import pandas as pd

    table = pd.read_csv(shared_data / "affy_latin_square/u95_titration_mas5.csv.gz")
    truth = table["conc_pM"].to_numpy(dtype=float)
    hidden = (np.random.default_rng(1).random(len(table)) < 0.25) & (truth > 0)
    unknown = np.full(len(table), -1)
    unknown[hidden] = np.arange(hidden.sum())
    data = {
        "intensity": table["mas5_signal"].to_numpy(),
        "concentration": np.where(hidden, 0.0, truth),
        "probe": pd.factorize(table["probeset"])[0],
        "array": pd.factorize(table["array"])[0],
        "unknown": unknown,
    }
    made = fit("langmuir", data, chains=2, warmup=300, draws=250, seed=1, cores=2)
    draws = made.draws("log_concentration")
    logs = np.log(truth[hidden])
    assert 0.80 < covering(draws, logs, 0.9).mean() < 0.98
    assert 0.40 < covering(draws, logs, 0.5).mean() < 0.75
    middle = (truth[hidden] >= 4) & (truth[hidden] <= 128)
    assert np.median(draws.std(axis=0)[middle]) < 0.3  # between background and saturation, within 30 %
    saturated = truth[hidden] == 1024
    assert np.median(draws.std(axis=0)[saturated]) > 2 * np.median(draws.std(axis=0)[middle])


def test_hidden_ercc_standards_are_measured(shared_data: Path) -> None:
    """Half of 92 ERCC as targets (seed 1) in 10 libraries: 90 % intervals cover 80 to 98 %, 50 % ones 38 to 75 %."""
    import pandas as pd

    counts = pd.read_csv(shared_data / "ercc/rapaport_seqc_ercc_counts.csv.gz", index_col=0)
    mixes = pd.read_csv(shared_data / "ercc/ercc_mixes.csv").set_index("ercc_id").loc[counts.index]
    added = [mixes[f"mix{1 if name[0] == 'A' else 2}_attomoles_per_ul"].to_numpy() for name in counts.columns]
    molecules = np.stack(added) * AVOGADRO_ATTOMOLE * 1e-3
    hidden = np.random.default_rng(1).random(len(counts)) < 0.5
    data = {
        "count": counts.to_numpy().T,
        "molecules": np.where(hidden, 0.0, molecules),
        "effective_length": mixes["length"].to_numpy() - 99.0,
    }
    made = fit("spike_in", data, chains=2, warmup=300, draws=300, seed=1, cores=2)
    draws, logs = made.draws("log_molecules"), np.log(molecules[:, hidden])
    assert 0.80 < covering(draws, logs, 0.9).mean() < 0.98
    assert 0.38 < covering(draws, logs, 0.5).mean() < 0.75
    # A wrong mix shows: swapping the libraries' mixes moves four subgroups by up to 4-fold.
    change = draws[:, :5].mean(axis=1) - draws[:, 5:].mean(axis=1)  # affinities cancel
    expected = np.log(mixes["expected_fc_mix1_over_mix2"].to_numpy()[hidden])
    enough = counts.to_numpy()[hidden].sum(axis=1) > 1000
    gap = change.mean(axis=0) - expected
    assert np.abs(gap[enough]).max() < 0.5
    assert np.abs(change.mean(axis=0) + expected)[enough].max() > 1.0
