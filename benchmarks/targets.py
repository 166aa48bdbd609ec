"""Every row of the table of targets: run what it asks for end to end, and print what is met.

    python benchmarks/targets.py                          # 20,000 simulated genes x 8 samples, by nuts, blocked and eb
    python benchmarks/targets.py airway --method blocked
    python benchmarks/targets.py --table                  # nothing is run

Writes ``benchmarks/results/targets_STUDY_METHOD.json``: what the whole command took (wall, processor, memory of all its
processes), R-hat against its limit, effective draws, k-hats, calls, and their truth where that is known. A method that
is recorded for this code is left alone. The rows on the gradient, on other programs and on growth are read from the
records of kernel.py, peers.py and growth.py.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from measuring import RESULTS, SHARED_DATA, Usage, code_digest, machine, measure, read, short, write
from simulated import QUESTION, write_study
from study import against_truth

from bayesexpr.calibration.tables import markdown_table
from bayesexpr.posterior.diagnostics import rhat_limit
from bayesexpr.posterior.verdict import gene_rhat_limit

STUDIES, METHODS = ("simulated", "airway"), ("nuts", "blocked", "eb")
GENES, SEED, CHAINS, DRAWS = 20_000, 1, 4, 1000
CHAPTER_GENES = (200, 1000)
LEAST_RHAT, LEAST_ESS = 1.01, 400.0
"""R-hat is held against what the largest of so many sound values may be, and never against less than this."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("study", nargs="?", choices=STUDIES, default="simulated")
    parser.add_argument("--method", action="append", choices=METHODS, help="may be given several times [default: all]")
    parser.add_argument("--data", type=Path, default=SHARED_DATA, help="public data sets")
    parser.add_argument("--cores", type=int, default=2)
    parser.add_argument("--again", action="store_true", help="also what is recorded for this code")
    parser.add_argument("--shared", action="store_true", help="other work is on these cores: say so in the record")
    parser.add_argument("--table", action="store_true", help="only print the table, from the records")
    arguments = parser.parse_args()
    for method in () if arguments.table else arguments.method or METHODS:
        name = f"targets_{arguments.study}_{method}"
        known = read(name)
        if known is not None and known["code"] == code_digest() and not arguments.again:
            print(f"{name}: recorded for this code; --again runs it again")
            continue
        with tempfile.TemporaryDirectory() as scratch:
            job = job_of(arguments.study, arguments.data, Path(scratch))
            if job is None:
                print(
                    f"{name}: skipped, {arguments.data / arguments.study} is not here; --data names its parent folder"
                )
                continue
            question, truth = job
            run = Path(scratch) / "run"
            command = [sys.executable, "-m", "bayesexpr", "de", *question, "--method", method]
            command += ["--cores", str(arguments.cores), "--seed", str(SEED), "-o", str(run)]
            used = measure([*command, "--chains", str(CHAINS), "--draws", str(DRAWS)])
            record = recorded(run, used, arguments.study, arguments.cores, truth)
        record["shared"] = arguments.shared
        write(name, record)
        print(json.dumps(record, indent=2), flush=True)
    print(table())
    return 0


def job_of(study: str, data: Path, scratch: Path) -> tuple[list[str], pd.DataFrame | None] | None:
    """Return the study's arguments of ``bayesexpr de``, and its truth; None where the study is not here."""
    if study == "simulated":
        folder, question = write_study(scratch / "study", GENES, seed=SEED), QUESTION
    elif not (data / study).is_dir():
        return None
    else:
        folder, question = data / study, ("--design", "~ cell + dex", "--contrast", "dex,trt,untrt")
    truth = pd.read_csv(folder / "truth.csv.gz") if (folder / "truth.csv.gz").is_file() else None
    return [str(folder / "counts.csv.gz"), str(folder / "samples.csv"), *question], truth


def recorded(run: Path, used: Usage, study: str, cores: int, truth: pd.DataFrame | None) -> dict[str, Any]:
    """Return the record of a finished run."""
    made = json.loads((run / "run.json").read_text())
    found = json.loads((run / "diagnostics.json").read_text())
    results = pd.read_csv(run / "results.csv").set_index("gene")
    genes = pd.read_csv(run / "genes.csv")
    record: dict[str, Any] = {
        "study": study,
        "method": made["method"],
        "code": code_digest(),
        "machine": machine(cores),
        "genes": made["genes"],
        "genes_fitted": made["genes_fitted"],
        "samples": made["samples"],
        **used.record(),
        "stages": {name: round(value, 1) for name, value in made["seconds"].items()},
        "verdict": found["verdict"]["summary"],
        "statuses": found["verdict"]["status_counts"],
        "genes_diagnosed": worst_of(genes[genes["fitted"]], gene_limits),
        "calls": int((results["qvalue"] < 0.05).sum()),
    }
    if made["method"] == "eb":
        record["largest_k_used"], record["k_limit"] = short(found["max_k"]), short(found["k_limit"])
        record["sampled_by_chains"] = len(found["sampled_by_chains"])
    else:
        shared = pd.DataFrame.from_dict(found["hyperparameters"], orient="index")
        record["hyperparameters_diagnosed"] = worst_of(shared, shared_limits)
        record["divergences"] = found["divergences"]
        record["leapfrogs_per_draw"] = short(found["leapfrogs_per_draw"])
    if truth is not None:
        record["against_truth"] = against_truth(results, truth.set_index("gene")["true_log2fc"])
    return record


def gene_limits(table: pd.DataFrame) -> Any:
    """Limits of the R-hats of genes, the worst of each gene's quantities."""
    return gene_rhat_limit(len(table), CHAINS, DRAWS, table["ess_bulk"], table["ess_tail"])


def shared_limits(table: pd.DataFrame) -> Any:
    """Limits of the R-hats of hyperparameters."""
    ess = np.clip(np.fmin(table["ess_bulk"], table["ess_tail"]), LEAST_ESS, CHAINS * DRAWS)
    return np.maximum(LEAST_RHAT, rhat_limit(len(table), CHAINS, ess))


def worst_of(table: pd.DataFrame, limits: Any) -> dict[str, float]:
    """Return the R-hat nearest to its limit or furthest above it, with the limit, and the least effective draws.

    Columns ``rhat``, ``ess_bulk``, ``ess_tail``; rows without a number (no chains made them) are left out of R-hat.
    """
    here = table[table["rhat"].notna()]
    out = {
        "least_bulk_ess": short(float(table["ess_bulk"].min())),
        "below_400": int((table["ess_bulk"] <= LEAST_ESS).sum()),
    }
    if len(here):
        limit, rhat = np.asarray(limits(here)), here["rhat"].to_numpy(float)
        at = int(np.argmax((rhat - 1) / (limit - 1)))
        out |= {"rhat": round(float(rhat[at]), 5), "rhat_limit": round(float(limit[at]), 5)}
        out["rhat_above_limit"] = int((rhat > limit).sum())
    return out


def rows(folder: Path = RESULTS) -> list[tuple[str, str, str, str, str]]:
    """Return the table of targets from the records: what, must, aim, measured, met.

    A row without a record says so; a target is met, met as hoped (the aim), or missed.
    """
    out = [_gradient(read("kernel", folder))]
    for study, words in (("simulated", "20,000 x 8"), ("airway", "airway, 33,469 x 8")):
        for method in METHODS:
            record = read(f"targets_{study}_{method}", folder)
            if record is not None or study == "simulated":
                out.append(_run_row(method, words, record))
    out += _peer_rows(read("peers", folder))
    out.append(_memory(folder))
    out += _growth_rows(read("growth", folder))
    return out


def table(folder: Path = RESULTS) -> str:
    """Return the table of targets in Markdown."""
    return markdown_table(("", "must", "aim", "measured", "met"), rows(folder))


NOT_MEASURED = ("not measured", "")


def verdict(value: float, must: float, aim: float, *, more: bool = False, besides: bool = True) -> str:
    """Say whether a number meets a target: at most `must` (at least, where `more`), and whatever else it asks."""
    sign = -1.0 if more else 1.0
    if not besides or sign * value > sign * must:
        return "**no**"
    return "yes, and the aim" if sign * value <= sign * aim else "yes"


def _gradient(record: dict[str, Any] | None) -> tuple[str, str, str, str, str]:
    what = "gradient of the full density inside Stan against pure Stan"
    if record is None:
        return (what, "14x", "25x", *NOT_MEASURED)
    ratio = record["stan_over_kernel"]
    return what, "14x", "25x", f"{ratio:.1f}x", verdict(ratio, 14, 25, more=True)


def _run_row(method: str, words: str, record: dict[str, Any] | None) -> tuple[str, str, str, str, str]:
    if method == "eb":
        what, must, aim = f"`--method eb`, {words}: every gene, k-hat per gene, bad ones by chains", 20, 5
    else:
        what, must, aim = f"joint posterior by {method}, {words}: R-hat within its limit, bulk ESS > 400", 600, 180
    if record is None:
        return (what, f"{must} s", f"{aim} s", *NOT_MEASURED)
    cpu, at_most = record["cpu_seconds"], "at most " if record["shared"] else ""
    told = f"{at_most}{record['seconds']:.0f} s ({cpu:.0f} s of processor)"
    if method == "eb":
        good = record["largest_k_used"] <= record["k_limit"]
        told += f"; largest k-hat used {record['largest_k_used']:.2f}, {record['sampled_by_chains']} genes by chains"
    else:
        parts = (record["genes_diagnosed"], record["hyperparameters_diagnosed"])
        above, scarce = (sum(part[name] for part in parts) for name in ("rhat_above_limit", "below_400"))
        good = above == 0 and scarce == 0
        ess = min(part["least_bulk_ess"] for part in parts)
        told += f"; {above} of {record['genes_fitted']:,} genes and the hyperparameters above their R-hat limit, "
        told += f"{scarce} below 400 effective draws (least {ess:.0f})"
    met = verdict(record["seconds"], must, aim, besides=good)
    if good and record["shared"] and cpu / record["machine"]["cores"] <= must < record["seconds"]:
        met = "not shown"  # free cores would take something between the two
    return what, f"{must} s", f"{aim} s", told, met


def _peer_rows(record: dict[str, Any] | None) -> list[tuple[str, str, str, str, str]]:
    out = []
    for peer, must, aim in (("numpyro", 10, 30), ("nutpie", 3, 8)):
        what = f"processor time against {peer}, same model and draws"
        found = (record or {}).get("same_model", {})
        if "cpu_seconds" not in found.get(peer, {}) or "cpu_seconds" not in found.get("nuts", {}):
            out.append((what, f"{must}x less", f"{aim}x less", *NOT_MEASURED))
            continue
        ratio = found[peer]["cpu_seconds"] / found["nuts"]["cpu_seconds"]
        told, met = _times(ratio, must, aim, ours=found["nuts"], theirs=found[peer])
        out.append((what, f"{must}x less", f"{aim}x less", f"{told} less", met))
    found = (record or {}).get("chapter", {})
    for genes in CHAPTER_GENES:
        what = f"against the chapter's program, ESS per second on its own model, {genes:,} genes"
        ours, theirs = (found.get(f"{who}_{genes}", {}) for who in ("ours", "published"))
        if "ess_per_cpu_second" not in ours or "ess_per_cpu_second" not in theirs:
            out.append((what, "20x", "100x", *NOT_MEASURED))
            continue
        ratio = ours["ess_per_cpu_second"] / theirs["ess_per_cpu_second"]
        out.append((what, "20x", "100x", *_times(ratio, 20, 100, ours=ours, theirs=theirs)))
    return out


def _times(ratio: float, must: float, aim: float, *, ours: Any, theirs: Any) -> tuple[str, str]:
    """Say how many times less we take, and whether that is enough; other work on the cores makes it a bound."""
    bounds = {(False, True): "at most ", (True, False): "at least ", (True, True): "about "}
    bound = bounds.get((bool(ours.get("shared")), bool(theirs.get("shared"))), "")
    met = verdict(ratio, must, aim, more=True)
    shown = bound in ("", "at least ") if ratio >= must else bound in ("", "at most ")
    return f"{bound}{ratio:.1f}x", met if shown else "not shown"


def _memory(folder: Path) -> tuple[str, str, str, str, str]:
    what = "peak memory of the whole run, all processes"
    found = {
        f"{study} {method}": record["peak_memory_gb"]
        for study in STUDIES
        for method in METHODS
        if (record := read(f"targets_{study}_{method}", folder)) is not None
    }
    if not found:
        return (what, "4 GB", "1.5 GB", *NOT_MEASURED)
    told = ", ".join(f"{name} {value:.1f}" for name, value in found.items())
    return what, "4 GB", "1.5 GB", f"{told} GB", verdict(max(found.values()), 4, 1.5)


def _growth_rows(record: dict[str, Any] | None) -> list[tuple[str, str, str, str, str]]:
    out = []
    for axis in ("genes", "samples"):
        for method in METHODS:
            what = f"growth of processor time with {axis}, {method}"
            found = (record or {"exponents": {}})["exponents"].get(method, {}).get(axis)
            if found is None:
                out.append((what, "exponent 1.1", "", *NOT_MEASURED))
                continue
            told = f"{found['exponent']:.2f} (last doubling {found['last']:.2f}"
            told += f"; of a leapfrog step {found['step_exponent']:.2f})" if "step_exponent" in found else ")"
            met = verdict(max(found["exponent"], found["last"]), 1.1, -np.inf)
            out.append((what, "exponent 1.1", "", told, met))
    return out


if __name__ == "__main__":
    sys.exit(main())
