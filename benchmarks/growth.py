"""How the main job grows with genes and with samples: processor time and memory of the whole command.

    python benchmarks/growth.py                     # what is recorded for this code is left alone
    python benchmarks/growth.py --method nuts --axis genes --size 1000 --size 2000
    python benchmarks/growth.py --figure            # only the figure, from the record

Simulated studies, 1,000 to 60,000 genes x 8 samples and 6 to 200 samples x 1,000 genes. Writes
``benchmarks/results/growth.json`` after every run, and ``docs/growth.png``. Chains are short, of as many iterations at
every size: what a draw takes is what grows. By NUTS that is the time of a leapfrog step times their number, which
grows, too, in powers of two: with the fourth root of the coordinates in theory. Both are recorded, the steps of the
draws alone and what the chains took for them. The exponent is that of size in processor seconds, over the sizes within
a factor of eight of the largest, where what every run takes (imports, the report's figures) no longer hides the growth;
beside it stands that of the last two sizes.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from measuring import HERE, Usage, code_digest, machine, measure, read, short, write
from simulated import QUESTION, write_study

from bayesexpr.de_sampling import DESettings, build
from bayesexpr.models.negative_binomial_de import NegativeBinomialDE
from bayesexpr.progress import Silent

METHODS = ("eb", "blocked", "nuts")
SIZES = {"genes": (1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000), "samples": (6, 12, 25, 50, 100, 200)}
OTHER = {"genes": 1_000, "samples": 8}
"""Size along the axis that is not varied."""

SETTINGS = {
    "eb": {"draws": 1000},
    "blocked": {"warmup": 20, "draws": 100},
    "nuts": {"warmup": 50, "draws": 50},
}
WITHIN = 8.0
FIGURE = HERE.parent / "docs" / "growth.png"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--method", action="append", choices=METHODS, help="may be given several times [default: all]")
    parser.add_argument("--axis", action="append", choices=tuple(SIZES), help="[default: both]")
    every = sorted({size for sizes in SIZES.values() for size in sizes})
    parser.add_argument("--size", action="append", type=int, choices=every, help="of either axis [default: all]")
    parser.add_argument("--cores", type=int, default=1)
    parser.add_argument("--again", action="store_true", help="also what is recorded for this code")
    parser.add_argument("--figure", action="store_true", help="only draw the figure")
    arguments = parser.parse_args()
    for method in () if arguments.figure else arguments.method or METHODS:
        build(NegativeBinomialDE(), method, Silent())  # compiling is no part of what grows
        for axis in arguments.axis or SIZES:
            for size in SIZES[axis]:
                if not arguments.size or size in arguments.size:
                    one(method, axis, size, arguments.cores, arguments.again)
    record = read("growth")
    if record is None:
        print("there is no record of growth to draw")
        return 2
    draw(record, FIGURE)
    for method, axes in record["exponents"].items():
        for axis, found in axes.items():
            print(f"{method}, {axis}: " + ", ".join(f"{name} {value:.2f}" for name, value in found.items()))
    return 0


def settings_of(method: str, genes: int) -> dict[str, int]:
    """Options of a run, of as many iterations at every size: draws are fewer where NUTS keeps every other one."""
    asked = dict(SETTINGS[method])
    if method == "nuts":
        asked["draws"] //= DESettings().thin_for(method, genes)
    return asked


def one(method: str, axis: str, size: int, cores: int, again: bool) -> None:
    """Run one size and add it to the record, unless it is there for this code."""
    here = {"method": method, "axis": axis, "size": size}
    study = {**OTHER, axis: size}
    how = {"code": code_digest(), "settings": settings_of(method, study["genes"]), "machine": machine(cores)}
    known = [run for run in (read("growth") or {"runs": []})["runs"] if here.items() <= run.items()]
    if known and how.items() <= known[0].items() and not again:
        return
    with tempfile.TemporaryDirectory() as scratch:
        folder, target = write_study(Path(scratch) / "study", study["genes"], study["samples"]), Path(scratch) / "run"
        command = [sys.executable, "-m", "bayesexpr", "de", str(folder / "counts.csv.gz"), str(folder / "samples.csv")]
        command += [*QUESTION, "--method", method, "--cores", str(cores), "--quiet", "-o", str(target)]
        command += [word for name, value in how["settings"].items() for word in (f"--{name}", str(value))]
        used = measure(command, say=False)
        steps = steps_of(json.loads((target / "diagnostics.json").read_text()), used) if method == "nuts" else {}
    others = [run for run in (read("growth") or {"runs": []})["runs"] if not here.items() <= run.items()]
    runs = sorted([*others, {**here, **used.record(), **steps, **how}], key=place)
    write("growth", {"runs": runs, "exponents": exponents(runs)})
    print(f"{method}, {size} {axis}: {used.cpu_seconds:.1f} s of processor, {used.peak_memory_gb:.2f} GB", flush=True)


def steps_of(found: Mapping[str, Any], used: Usage) -> dict[str, float]:
    """Return leapfrog steps of an iteration after warm-up, and processor milliseconds of one.

    Parameters
    ----------
    found
        The run's diagnostics. Its chains say how long their warm-up and their draws took on the wall; what they took of
        the processor is shared out in that ratio.
    """
    steps = float(found["leapfrogs_per_draw"])
    if used.children_cpu_seconds is None:
        return {"steps": short(steps)}
    sampling, warmup = (sum(chain[part] for chain in found["seconds"]) for part in ("sampling", "warmup"))
    spent = 1000 * used.children_cpu_seconds * sampling / (sampling + warmup)
    return {"steps": short(steps), "cpu_ms_per_step": short(spent / (found["iterations"] * steps))}


def place(run: Mapping[str, Any]) -> tuple[int, str, int]:
    """Order of runs in the record."""
    return METHODS.index(run["method"]), run["axis"], run["size"]


def exponents(runs: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, dict[str, float]]]:
    """Return exponents of processor time and memory by method and axis, where there are three sizes or more.

    Of the runs that were made by the code, and on the machine, of the largest. Of NUTS also that of a leapfrog step's
    processor time.
    """
    out: dict[str, dict[str, dict[str, float]]] = {}
    for method in METHODS:
        for axis in SIZES:
            all_of_it = [run for run in runs if run["method"] == method and run["axis"] == axis]
            here = [run for run in all_of_it if made_by(run) == made_by(all_of_it[-1])]
            size, cpu, memory = (
                np.array([float(run[name]) for run in here]) for name in ("size", "cpu_seconds", "peak_memory_gb")
            )
            if len(here) >= 3:
                found = {"exponent": exponent(size, cpu), "last": exponent(size[-2:], cpu[-2:])}
                found["memory_exponent"] = exponent(size, memory)
                if all("cpu_ms_per_step" in run for run in here):
                    found["step_exponent"] = exponent(size, [run["cpu_ms_per_step"] for run in here])
                out.setdefault(method, {})[axis] = {name: round(value, 3) for name, value in found.items()}
    return out


def made_by(run: Mapping[str, Any]) -> tuple[Any, Any]:
    """Code and machine of a run."""
    return run.get("code"), run.get("machine")


def exponent(size: Any, cost: Any, within: float = WITHIN) -> float:
    """Exponent b of cost = a size^b by least squares of the logarithms, over sizes within a factor of the largest."""
    x, y = np.log(np.asarray(size, dtype=float)), np.log(np.asarray(cost, dtype=float))
    large = x >= x.max() - np.log(within) - 1e-9
    return float(np.polyfit(x[large], y[large], 1)[0])


def draw(record: Mapping[str, Any], target: Path) -> None:
    """Draw processor time and memory against genes and against samples, with the exponents."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 7), layout="constrained")
    FigureCanvasAgg(figure)
    costs = (("cpu_seconds", "exponent", "processor time (s)"), ("peak_memory_gb", "memory_exponent", "memory (GB)"))
    for row, (cost, power, words) in zip(figure.subplots(2, 2), costs, strict=True):
        for panel, axis in zip(row, SIZES, strict=True):
            for method, colour in zip(METHODS, ("#0072b2", "#009e73", "#d55e00"), strict=True):
                runs = [run for run in record["runs"] if run["method"] == method and run["axis"] == axis]
                found = record["exponents"].get(method, {}).get(axis)
                label = method if found is None else f"{method}: exponent {short(found[power]):.2f}"
                if found is not None and power == "exponent" and "step_exponent" in found:
                    label += f" (a leapfrog step: {found['step_exponent']:.2f})"
                if runs:
                    x, y = ([run[name] for run in runs] for name in ("size", cost))
                    panel.loglog(x, y, "o-", color=colour, label=label)
            panel.set_xlabel(f"{axis} (x {_other(axis)})")
            panel.set_ylabel(words)
            panel.grid(alpha=0.3)
            if panel.lines:
                panel.legend(frameon=False)
    target.parent.mkdir(exist_ok=True)
    figure.savefig(target, dpi=110)


def _other(axis: str) -> str:
    other = next(name for name in OTHER if name != axis)
    return f"{OTHER[other]:,} {other}"


if __name__ == "__main__":
    sys.exit(main())
