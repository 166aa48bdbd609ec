"""Time of one gradient of the differential-expression program: by the kernel, in Stan alone, by the kernel's core.

    python benchmarks/kernel.py [--genes 20000] [--samples 8] [--rounds 5]

writes ``benchmarks/results/kernel.json``: CPU milliseconds of one gradient (median over rounds of 0.2 s, the three
taking turns so that a busy machine slows all alike), their ratios, how far the densities and gradients of the two
programs are apart, and wall milliseconds by one thread and by two, which say something where two cores are free.
Programs are compiled with the flags of a fit; the core is built for this processor, as in a fit.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from bayesexpr.models.de_layout import Whitening
from bayesexpr.models.negative_binomial_de import NegativeBinomialDE
from bayesexpr.stan import build_tools, kernels
from bayesexpr.stan.inputs import to_json
from bayesexpr.stan.program import render
from bayesexpr.stan.toolchain import Toolchain, ensure

HERE = Path(__file__).resolve().parent
OPTIONS = {"effects": "spike_slab", "dispersion": "trend", "size_factors": "estimated"}
FLAGS = ["-std=c++17", "-O3", "-pthread", "-D_REENTRANT", "-DBOOST_DISABLE_ASSERTS", "-DSTAN_THREADS", "-w"]


def build(folder: Path, toolchain: Toolchain) -> None:
    """Compile the harness around both variants, and around the core, into ``folder``."""
    compiler = list(build_tools.require_compiler().command)
    library = toolchain.home / "lib"
    include = ["-isystem", str(toolchain.home / "include")]
    link = [str(library / "libtbb.so.2"), f"-Wl,-rpath,{library}", "-pthread"]

    def run(*command: str) -> None:
        code, log = build_tools.run(command, folder=folder, label=command[-1])
        if code != 0:
            raise SystemExit(build_tools.errors_of(log))

    for density in ("kernel", "stan"):
        program = render("negative_binomial_de", {**OPTIONS, "density": density})
        (folder / f"{density}.stan").write_text(program.code)
        run(str(toolchain.home / "bin" / "stanc"), "--allow-undefined", f"--o={density}_model.hpp", f"{density}.stan")
        kernels.write_sources(program.sources, folder)
        header, objects = [], []
        if program.kernel is not None:
            kernels.compile_core(folder, f"{program.kernel}.cpp", "core.o", ("-c",), None)
            header = ["-include", "stan/model/model_header.hpp", "-include", f"{program.kernel}.hpp"]
            objects = ["core.o"]
            own = [str(HERE / "kernel_core.cpp"), "core.o", "-I", ".", *link, "-o", "core"]
            run(*compiler, *FLAGS, *include, *own)
        model = [f'-DMODEL="{density}_model.hpp"', *header, "-I", "."]
        run(*compiler, *FLAGS, *include, *model, str(HERE / "kernel_harness.cpp"), *objects, *link, "-o", density)


def study(genes: int, samples: int, seed: int) -> dict[str, Any]:
    """Simulate two groups from the model's prior, with a whitening map in which every coordinate follows drivers."""
    rng = np.random.default_rng(seed)
    model = NegativeBinomialDE(options=OPTIONS)
    design = np.where(np.arange(samples) % 2 == 0, -1.0, 1.0)[:, None] / np.sqrt(2)
    _, data = model.simulate({"design": design, "genes": genes}, rng)
    at = model.layout(model.complete(data))
    drivers = 3
    maps = Whitening(
        theta_center=np.zeros(at.H),
        theta_scale=np.eye(at.H),
        center=np.column_stack([np.log(data["count"].mean(axis=0) + 0.5), np.zeros((genes, at.P - 1))]),
        scale=rng.uniform(0.3, 1.0, (genes, at.P)),
        slope=rng.normal(0.0, 0.2, (at.P, genes, drivers)),
        driver=rng.normal(0.0, 0.2, (at.P, drivers, at.H)),
    )
    return model.stan_data(data, whitening=maps)


def seconds(command: list[str], folder: Path, threads: int = 1) -> list[float]:
    """Processor seconds of one gradient, and wall seconds where the program tells."""
    environment = {**os.environ, "STAN_NUM_THREADS": str(threads)}
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True, env=environment)
    return [float(word) for word in done.stdout.split()]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--genes", type=int, default=20_000)
    parser.add_argument("--samples", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        build(folder, ensure())
        data = study(asked.genes, asked.samples, asked.seed)
        (folder / "data.json").write_bytes(to_json(data))
        size = data["H"] + data["G"] * data["P"]
        np.random.default_rng(asked.seed).normal(0, 0.3, size).tofile(folder / "points.bin")
        times: dict[str, list[float]] = {"kernel": [], "stan": [], "core": []}
        walls: dict[str, list[float]] = {"1": [], "2": []}
        for _ in range(asked.rounds):
            for density in ("kernel", "stan"):
                command = [f"./{density}", "data.json", "points.bin", f"{density}.bin", "1"]
                cpu, wall = seconds(command, folder)
                times[density].append(1e3 * cpu)
                if density == "kernel":
                    walls["1"].append(1e3 * wall)
                    together = [*command[:3], "together.bin", "1"]
                    walls["2"].append(1e3 * seconds(together, folder, threads=2)[1])
            times["core"].append(1e3 * seconds(["./core", "data.json", "1"], folder)[0])
        if (folder / "together.bin").read_bytes() != (folder / "kernel.bin").read_bytes():
            raise SystemExit("two threads give another density or gradient than one.")
        found = {density: np.fromfile(folder / f"{density}.bin") for density in ("kernel", "stan")}
    kernel, stan = found["kernel"], found["stan"]
    ms = {which: statistics.median(all_rounds) for which, all_rounds in times.items()}
    counts = asked.genes * asked.samples
    report = {
        "genes": asked.genes,
        "samples": asked.samples,
        "components": data["C"],
        "compiler": build_tools.require_compiler().version,
        "cpu_ms_per_gradient": {which: round(value, 4) for which, value in ms.items()},
        "rounds_ms": {which: [round(value, 4) for value in all_rounds] for which, all_rounds in times.items()},
        "ns_per_count": {which: round(1e6 * value / counts, 2) for which, value in ms.items()},
        "wall_ms_by_threads": {count: round(statistics.median(each), 4) for count, each in walls.items()},
        "stan_over_kernel": round(ms["stan"] / ms["kernel"], 1),
        "kernel_over_core": round(ms["kernel"] / ms["core"], 2),
        "density_relative_difference": abs(kernel[1] - stan[1]) / abs(stan[1]),
        "gradient_relative_difference": float(np.abs(kernel[2:] - stan[2:]).max() / np.abs(stan[2:]).max()),
    }
    (HERE / "results" / "kernel.json").write_text(json.dumps(report, indent=2) + "\n")
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
