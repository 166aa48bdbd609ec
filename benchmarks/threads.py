"""What threads within a chain gain: one chain on a transcriptome, by one thread and by two.

    python benchmarks/threads.py [--genes 20000] [--rounds 3]

writes ``benchmarks/results/threads.json``: wall seconds of the draws of a chain after its warm-up, by NUTS and by the
blocked sampler, the number of threads taking turns so that a busy machine slows all alike, and their ratio. It tells
something where two cores are free. The draws must be the same to the last bit.
"""

from __future__ import annotations

import argparse
import json
import statistics

import numpy as np
from measuring import code_digest, machine, short, write
from simulated import simulate

import bayesexpr as bx
from bayesexpr.data.counts import CountData

DESIGN = "~ batch + group"
WARMUP, DRAWS = 50, 150
METHODS, THREADS = ("nuts", "blocked"), (1, 2)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--genes", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--shared", action="store_true", help="other work is on these cores: say so in the record")
    asked = parser.parse_args()
    study = study_of(asked.genes)
    found: dict[str, dict[str, list[float]]] = {method: {str(n): [] for n in THREADS} for method in METHODS}
    for _ in range(asked.rounds):
        for method in METHODS:
            draws = []
            for threads in THREADS:
                seconds, energies = one_chain(study, method, threads)
                found[method][str(threads)].append(short(seconds))
                draws.append(energies)
            if not np.array_equal(*draws):
                raise SystemExit(f"{method}: two threads draw otherwise than one.")
    record = {
        "genes": asked.genes,
        "samples": len(study.samples),
        "draws": DRAWS,
        "code": code_digest(),
        "machine": machine(max(THREADS)),
        "seconds": found,
        "one_over_two": {method: short(ratio(each)) for method, each in found.items()},
        "shared": asked.shared,
    }
    write("threads", record)
    print(json.dumps(record, indent=2))
    return 0


def study_of(genes: int) -> CountData:
    """Return the simulated study of the targets."""
    frames = simulate(genes)
    counts, samples = frames["counts"], frames["samples"]
    return CountData(counts.to_numpy().T.copy(), tuple(counts.index), tuple(samples.index), samples)


def one_chain(study: CountData, method: str, threads: int) -> tuple[float, np.ndarray]:
    """Return seconds of the draws, and each draw's log density: it hangs on every coordinate."""
    settings = bx.DESettings(chains=1, warmup=WARMUP, draws=DRAWS, cores=threads)
    fit = bx.fit_de(study, DESIGN, method=method, settings=settings)
    ran = fit.diagnostics["threads_per_chain"]
    if ran != threads:
        raise SystemExit(f"{method} ran with {ran} threads where {threads} were asked for.")
    return fit.diagnostics["seconds"][0]["sampling"], np.asarray(fit.posterior["sample_stats"]["lp"])


def ratio(seconds: dict[str, list[float]]) -> float:
    """Median over the rounds of the time by one thread over that by two."""
    one, two = (seconds[str(threads)] for threads in THREADS)
    return statistics.median(a / b for a, b in zip(one, two, strict=True))


if __name__ == "__main__":
    raise SystemExit(main())
