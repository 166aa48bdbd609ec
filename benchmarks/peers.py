"""Other programs on the same data: samplers on the same density, the chapter's program, and the usual tests of counts.

    make bench-peers                                   # installs them beside, then all of this
    python benchmarks/peers.py --only numpyro --again
    make bench-peers TRIAL=1                           # whether everything runs, with few genes: nothing is recorded

Three comparisons, in ``benchmarks/results/peers.json`` and ``docs/peers.png``:

``same_model``  the flagship on 1,000 genes x 8 samples by NumPyro, PyMC + nutpie and plain Stan, and by this package.
    Before anything is timed, each program's log density must equal ours at random points, but for a constant, to 1e-6.
    The others get what suits them: double precision, lgamma shared between components, effects in units of their
    scales, the same starting point near the data, one thread (what they count is processor time), compilation left out.
``chapter``  the published program and ours on the published model: one dispersion, normal effects; 200 and 1,000 genes.
``tests``  DESeq2, edgeR and PyDESeq2 on the simulated 20,000 x 8, beside this package's records of targets.py.

What is not installed is skipped, with the reason in the record.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from measuring import HERE, RESULTS, Usage, code_digest, machine, measure, read, short, write
from peer_programs.exchange import HYPER
from peers_figure import draw
from scipy.special import expit, gammaln
from simulated import simulate, write_study
from targets import CHAPTER_GENES
from targets import GENES as MANY_GENES

from bayesexpr.data.size_factors import size_factors
from bayesexpr.distributions import sum_to_zero_basis
from bayesexpr.models.negative_binomial_de import CHAPTER_OPTIONS, NegativeBinomialDE
from bayesexpr.posterior.diagnostics import convergence

PROGRAMS = HERE / "peer_programs"
SAMPLES, SEED = 8, 1
PARITY = 1e-6


@dataclass(frozen=True)
class Sizes:
    """Genes of the three comparisons (the most of the second), and the most iterations of warm-up and of draws."""

    same_model: int = 1000
    chapter: int = 1000
    tests: int = MANY_GENES
    iterations: int = 500

    def of(self, asked: dict[str, Any]) -> dict[str, Any]:
        """Return what a sampler is asked for."""
        asked = {**COMMON, **asked}
        return asked | {name: min(asked[name], self.iterations) for name in ("warmup", "draws")}


RECORDED, TRIAL = Sizes(), Sizes(60, 40, 500, 40)

SAME_MODEL: dict[str, dict[str, Any]] = {
    "numpyro": {"program": "numpyro_de.py", "needs": "numpyro", "warmup": 500, "target_accept": 0.8},
    "nutpie": {"program": "pymc_de.py", "needs": "nutpie", "warmup": 400, "target_accept": 0.8},
    "stan": {"program": "stan_de.py", "warmup": 500, "target_accept": 0.8},
    "nuts": {"sampler": "nuts", "options": {}, "warmup": 200},
    "blocked": {"sampler": "blocked", "options": {}, "warmup": 200},
}
CHAPTER: dict[str, dict[str, Any]] = {
    f"{who}_{genes}": {"genes": genes, **how}
    for genes in CHAPTER_GENES
    for who, how in (
        ("published", {"sampler": "published", "warmup": 500}),
        ("ours", {"sampler": "nuts", "options": CHAPTER_OPTIONS, "warmup": 200}),
    )
}
OURS = ("nuts", "blocked")
"""Samplers of this package: what they take is measured anew for other code."""

TESTS: dict[str, dict[str, str]] = {
    "DESeq2": {"program": "deseq2.R", "needs": "DESeq2"},
    "edgeR": {"program": "edger.R", "needs": "edgeR"},
    "PyDESeq2": {"program": "pydeseq2_de.py", "needs": "pydeseq2"},
}
R_PACKAGES = {
    "DESeq2": (("DESeq2",), "r-bioc-deseq2"),
    "edgeR": (("edgeR", "statmod"), "r-bioc-edger r-cran-statmod"),
}
ONE_THREAD = {
    **dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS", "RAYON_NUM_THREADS"), "1"),
    "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1",
}
"""What is counted is processor time: threads that wait for each other would only spend it."""

COMMON = {"chains": 4, "draws": 500, "seed": SEED}
FIGURE = HERE.parent / "docs" / "peers.png"
GENE_QUANTITIES = ("alpha", "log_phi", "b", "gamma")


class NotInstalledError(Exception):
    """A peer that is not installed, with the reason."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    names = (*SAME_MODEL, *CHAPTER, *TESTS)
    parser.add_argument("--only", action="append", choices=names, help="may be given several times [default: all]")
    parser.add_argument("--again", action="store_true", help="also what is recorded")
    parser.add_argument("--shared", action="store_true", help="other work is on these cores: say so in the record")
    parser.add_argument("--trial", action="store_true", help="only see whether all run, with few genes; not recorded")
    parser.add_argument("--figure", action="store_true", help="only draw the figure")
    arguments = parser.parse_args()
    if arguments.trial:
        with tempfile.TemporaryDirectory() as scratch:
            compare(arguments, TRIAL, Path(scratch), Path(scratch) / FIGURE.name)
    else:
        compare(arguments, RECORDED, RESULTS, FIGURE)
    return 0


def compare(arguments: argparse.Namespace, sizes: Sizes, folder: Path, figure: Path) -> None:
    """Measure what is asked for and not recorded in the folder, and draw the figure."""
    work: tuple[tuple[str, dict[str, Any], Callable[[str, Sizes], dict[str, Any]]], ...] = (
        ("same_model", SAME_MODEL, same_model),
        ("chapter", CHAPTER, chapter),
        ("tests", TESTS, count_test),
    )
    for section, all_of_it, do in () if arguments.figure else work:
        for name in all_of_it:
            known = (read("peers", folder) or {}).get(section, {}).get(name, {})
            if arguments.only and name not in arguments.only:
                continue
            measured = bool(known) and "skipped" not in known
            code = {"code": code_digest()} if all_of_it[name].get("sampler") in OURS else {}
            if measured and code.items() <= known.items() and not arguments.again:
                print(f"{name}: recorded; --again runs it again")
                continue
            try:
                found = do(name, sizes) | {"shared": arguments.shared, **code}
            except NotInstalledError as reason:
                if measured:
                    print(f"{name}: {reason}; what is recorded stays")
                    continue
                found = {"skipped": str(reason)}
            record = read("peers", folder) or {}
            order = {key: {**record.get(section, {}), name: found}.get(key) for key in all_of_it}
            kept = {key: value for key, value in order.items() if value}
            write("peers", {**record, "machine": machine(1), section: kept}, folder)
            print(f"{name}: {json.dumps(found)}", flush=True)
    draw(read("peers", folder) or {}, figure, f"same model: {RECORDED.same_model:,} genes x {SAMPLES} samples")


def needed(module: str) -> None:
    """Go on if a Python module or an R package is there.

    Raises
    ------
    NotInstalledError
        It is not.
    """
    if module in R_PACKAGES:
        packages, debian = R_PACKAGES[module]
        if shutil.which("Rscript") is None:
            raise NotInstalledError(f"Rscript is not installed; on Debian: apt-get install {debian}")
        for package in packages:
            code = f'quit(status = !requireNamespace("{package}", quietly = TRUE))'
            if subprocess.run(["Rscript", "-e", code], capture_output=True, check=False).returncode:
                raise NotInstalledError(f"{package} is not installed in R; on Debian: apt-get install {debian}")
    elif importlib.util.find_spec(module) is None:
        raise NotInstalledError(f"the Python package {module} is not installed; make bench-peers brings it")


def same_model(name: str, sizes: Sizes) -> dict[str, Any]:
    """Sample the flagship by one of the programs."""
    asked = sizes.of(SAME_MODEL[name])
    if "needs" in asked:
        needed(asked["needs"])
    study = flagship_study(sizes.same_model)
    if "program" in asked:
        answer = run(PROGRAMS / asked["program"], study, {**asked, "chains": 0})
        study_parity(name, study, answer["log_density"])
        return efficiency(run(PROGRAMS / asked["program"], study, asked), asked, study)
    return efficiency(run(PROGRAMS / "ours.py", study, asked), asked, study)


def chapter(name: str, sizes: Sizes) -> dict[str, Any]:
    """Sample the published model by the published program or by ours."""
    asked, study = sizes.of(CHAPTER[name]), chapter_study(min(CHAPTER[name]["genes"], sizes.chapter))
    return efficiency(run(PROGRAMS / "ours.py", study, asked), asked, study)


def run(program: Path, study: dict[str, Any], asked: dict[str, Any]) -> dict[str, Any]:
    """Run a program on a study in a process of its own."""
    with tempfile.TemporaryDirectory() as scratch:
        given, answer = Path(scratch) / "study.npz", Path(scratch) / "answer.npz"
        np.savez(given, **study)
        command = [sys.executable, str(program), str(given), str(answer), json.dumps(asked)]
        subprocess.run(command, env={**os.environ, **ONE_THREAD}, check=True)
        with np.load(answer) as found:
            return {name: found[name] for name in found.files}


def flagship_study(genes: int) -> dict[str, Any]:
    """Counts, designs, prior numbers, a starting point near the data, and points to compare densities at."""
    frames = simulate(genes, SAMPLES, SEED)
    count = frames["counts"].to_numpy().T
    count = count[:, count.sum(axis=0) > 0]
    inputs = {
        "count": count,
        "design": np.where(frames["samples"]["group"] == "b", 0.5, -0.5)[:, None],
        "nuisance_design": np.where(frames["samples"]["batch"] == "y", 0.5, -0.5)[:, None],
        "log_size_factor": np.log(size_factors(count, "median_of_ratios")),
    }
    model = NegativeBinomialDE()
    full = model.complete(inputs)
    at, G = model.layout(full), count.shape[1]
    numbers = {
        key: np.asarray(value).tolist()
        for key, value in model.stan_data(inputs).items()
        if key.endswith(("_mean", "_sd", "_max", "concentration")) or key == "nu"
    }
    theta = at.theta(model.draw_hyper(full, np.random.default_rng(0)), full["log_size_factor"])
    middle = {"mu_alpha": 4.0, "log_sigma_alpha": np.log(2.0), "log_a0": np.log(0.03), "log_a1": np.log(2.0)}
    middle |= {"logit_sigma_phi": 0.5, "m": 0.0, "log_s": np.log(0.5), "log_weight_ratio": -1.0, "log_tau": np.log(0.3)}
    theta[: len(HYPER)], theta[len(HYPER) :] = [middle[name] for name in HYPER], 0.0
    alpha = np.log((count / np.exp(full["log_size_factor"])[:, None]).mean(axis=0) + 0.5)
    start = split(theta, np.column_stack([alpha, *np.zeros((3, G))]))
    rng = np.random.default_rng(SEED)
    thetas = theta + rng.normal(0, 0.2, (3, theta.size))
    psis = np.column_stack([alpha, *np.zeros((3, G))]) + rng.normal(0, 0.3, (3, G, 4))
    points = [split(one, psi) for one, psi in zip(thetas, psis, strict=True)]
    ours = [model.log_density({"theta": one, "psi": psi}, full) for one, psi in zip(thetas, psis, strict=True)]
    out = {
        **inputs,
        "basis": sum_to_zero_basis(SAMPLES),
        "log_factorial": gammaln(count + 1.0),
        "prior": json.dumps(numbers),
    }
    out |= {f"start_{key}": value for key, value in start.items()}
    out |= {f"point_{key}": np.array([point[key] for point in points]) for key in points[0]}
    return {**out, "density": np.array(ours)}


def split(theta: Any, psi: Any) -> dict[str, Any]:
    """Name the parts of a point: hyperparameters one by one, genes' coordinates, and all hyperparameters together."""
    out: dict[str, Any] = {name: float(theta[k]) for k, name in enumerate(HYPER)}
    return {**out, "v": theta[len(HYPER) :], "theta": theta, **dict(zip(("alpha", "e", "d", "u"), psi.T, strict=True))}


def study_parity(name: str, study: dict[str, Any], theirs: Any) -> None:
    """Compare log densities, but for the constant that programs leave out.

    Raises
    ------
    SystemExit
        They differ: the programs are not of one model.
    """
    gap = np.asarray(theirs) - study["density"]
    apart = float(np.abs(gap - gap[0]).max() / np.abs(study["density"]).max())
    if not apart <= PARITY:
        raise SystemExit(
            f"the density of {name} is not ours: they differ by {apart:.2g}, relative; allowed {PARITY:g}."
        )
    study["parity"] = apart


def chapter_study(genes: int) -> dict[str, Any]:
    """Four against four samples from the published model: one dispersion for all genes, normal effects."""
    model = NegativeBinomialDE(options=CHAPTER_OPTIONS)
    hyper = {"mu_alpha": np.array(4.0), "sigma_alpha": np.array(1.5), "dispersion": np.array(0.1), "s": np.array(0.6)}
    hyper |= {"tau": np.zeros(0), "log_f": np.linspace(-0.4, 0.4, SAMPLES)}
    design = np.repeat([-0.5, 0.5], SAMPLES // 2)[:, None]
    _, data = model.simulate({"genes": genes, "design": design}, np.random.default_rng(SEED), hyper)
    count = np.asarray(data["count"])
    count = count[:, count.sum(axis=0) > 0]
    factors = size_factors(count, "median_of_ratios")
    alpha = np.log((count / factors[:, None]).mean(axis=0) + 0.5)
    return {"count": count, "design": design, "log_size_factor": np.log(factors), "start_alpha": alpha}


def efficiency(answer: dict[str, Any], asked: dict[str, Any], study: dict[str, Any]) -> dict[str, Any]:
    """Return processor time, effective draws and their ratio: of hyperparameters, and of all quantities.

    Quantities are the hyperparameters on the real line and every gene's intercept, log precision and effects.
    """
    theta, genes = quantities(answer, study)
    shared, each = convergence(theta), convergence(genes)
    least = float(min(shared.ess_bulk.min(), each.ess_bulk.min()))
    cpu = float(answer["cpu_seconds"])
    out = {
        "settings": {key: value for key, value in asked.items() if key not in ("needs", "program", "options", "genes")},
        "versions": str(answer["versions"]),
        "genes": int(study["count"].shape[1]),
        "samples": int(study["count"].shape[0]),
        "cpu_seconds": short(cpu),
        "steps_per_draw": short(float(answer["steps"])),
        "divergences": int(answer["divergences"]),
        "largest_rhat": round(float(max(shared.rhat.max(), each.rhat.max())), 4),
        "least_ess": short(least),
        "least_ess_of_hyperparameters": short(float(shared.ess_bulk.min())),
        "ess_per_cpu_second": short(least / cpu),
        "ess_per_cpu_second_of_hyperparameters": short(float(shared.ess_bulk.min()) / cpu),
    }
    if "compile_cpu_seconds" in answer:
        out["compile_cpu_seconds"] = short(float(answer["compile_cpu_seconds"]))
    if "parity" in study:
        out["density_relative_difference"] = study["parity"]
    return out


def quantities(answer: dict[str, Any], study: dict[str, Any]) -> tuple[Any, Any]:
    """Hyperparameters [chain, draw, H] and quantities of genes [chain, draw, ...] of what a program drew.

    The effect of a gene that may be unchanged is its average over the components given the draw, as everywhere in the
    package: in draws where a gene is unchanged its effect under the slab is a draw of the heavy-tailed prior.
    """
    if "theta" in answer:
        theta, found = answer["theta"], {name: answer[name] for name in GENE_QUANTITIES if name in answer}
    else:
        theta, found = of_a_peer(answer)
    if "basis" in study:
        found["b"] = found["b"] * probability_of_change(theta, found, study)
    return theta, np.concatenate(list(found.values()), axis=-1)


def of_a_peer(answer: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    """Hyperparameters in our order, and the quantities of genes, of what NumPyro, PyMC or plain Stan drew."""
    theta = np.concatenate([np.stack([answer[name] for name in HYPER], axis=-1), answer["v"]], axis=-1)
    sigma_phi = NegativeBinomialDE().prior("sigma_phi").upper / (1.0 + np.exp(-answer["logit_sigma_phi"]))
    trend = np.logaddexp(answer["log_a0"][..., None], answer["log_a1"][..., None] - answer["alpha"])
    found = {"alpha": answer["alpha"], "log_phi": sigma_phi[..., None] * answer["e"] - trend}
    s, tau = (np.exp(answer[name])[..., None] for name in ("log_s", "log_tau"))
    return theta, {**found, "b": answer["m"][..., None] + s * answer["d"], "gamma": tau * answer["u"]}


def probability_of_change(theta: Any, genes: dict[str, Any], study: dict[str, Any]) -> Any:
    """Conditional probability [chain, draw, gene] of the slab, given everything else of a draw."""
    log_f = study["log_size_factor"] + theta[..., len(HYPER) :] @ study["basis"].T
    log_odds = theta[..., HYPER.index("log_weight_ratio"), None] + np.zeros_like(genes["b"])
    log_phi, phi = genes["log_phi"], np.exp(genes["log_phi"])
    for s, y in enumerate(study["count"]):
        base = genes["alpha"] + log_f[..., s, None] + study["nuisance_design"][s] * genes["gamma"]
        change = study["design"][s] * genes["b"]
        log_odds += y * change - (y + phi) * (np.logaddexp(log_phi, base + change) - np.logaddexp(log_phi, base))
    return expit(log_odds)


def count_test(name: str, sizes: Sizes) -> dict[str, Any]:
    """Run a test of counts on the simulated study and hold its calls against the truth."""
    asked = TESTS[name]
    needed(asked["needs"])
    program = PROGRAMS / asked["program"]
    runner = ["Rscript", "--vanilla"] if program.suffix == ".R" else [sys.executable]
    with tempfile.TemporaryDirectory() as scratch:
        folder = write_study(Path(scratch), sizes.tests, seed=SEED)
        files = [str(folder / part) for part in ("counts.csv.gz", "samples.csv", "answer.csv")]
        used = measure([*runner, str(program), *files], environment=ONE_THREAD, say=False)
        found = pd.read_csv(files[-1]).set_index("gene")
        truth = pd.read_csv(folder / "truth.csv.gz").set_index("gene")["true_log2fc"]
        expressed = pd.read_csv(files[0], index_col=0).sum(axis=1) > 0
    return against_truth(found, truth[expressed], used)


def against_truth(found: pd.DataFrame, truth: pd.Series, used: Usage) -> dict[str, Any]:
    """Hold adjusted p-values below 0.05, and estimates, against the true changes of all genes with counts."""
    here = found.reindex(truth.index)
    called, changed = here["adjusted_p"] < 0.05, truth != 0
    apart = (here["log2_fold_change"] - truth).dropna()
    return {
        "cpu_seconds": short(used.cpu_seconds),
        "peak_memory_gb": short(used.peak_memory_gb),
        "calls": int(called.sum()),
        "false_discovery_rate": round(float((called & ~changed).sum() / max(int(called.sum()), 1)), 4),
        "power": round(float((called & changed).sum() / changed.sum()), 4),
        "rmse_log2": round(float(np.sqrt((apart**2).mean())), 4),
    }


if __name__ == "__main__":
    sys.exit(main())
