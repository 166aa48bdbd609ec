"""The flagship in plain Stan, ``flagship.stan``, sampled by its NUTS as it comes; called as :mod:`exchange` says."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from exchange import NAMES, Study, answer, used

from bayesexpr.stan.compiler import compile_program
from bayesexpr.stan.methods import log_prob
from bayesexpr.stan.output import by_variable, read_chains
from bayesexpr.stan.program import StanProgram
from bayesexpr.stan.sampling import run_nuts
from bayesexpr.stan.settings import SamplerSettings
from bayesexpr.stan.toolchain import ensure

SOURCE = Path(__file__).with_name("flagship.stan")


def program(study: Study, settings: dict[str, Any]) -> dict[str, Any]:
    """Evaluate the density, and sample where chains are asked for."""
    toolchain = ensure()
    executable = compile_program(StanProgram("flagship", SOURCE.read_text(encoding="utf-8")), toolchain)
    data = {name: value for name, value in study.data.items() if name != "log_factorial"} | dict(study.prior)
    data |= {name: study.data[name][:, 0] for name in ("design", "nuisance_design")}
    data["S"], data["G"] = study.data["count"].shape
    points = np.array([np.concatenate([np.ravel(point[name]) for name in NAMES]) for point in study.points])
    out: dict[str, Any] = {"log_density": log_prob(executable, data, points)[0]}
    if not settings["chains"]:
        return out
    sampler = SamplerSettings(
        warmup=settings["warmup"],
        draws=settings["draws"],
        chains=settings["chains"],
        seed=settings["seed"],
        adapt_delta=settings["target_accept"],
    )
    begun = used()
    with tempfile.TemporaryDirectory() as scratch:
        files = run_nuts(
            executable,
            data,
            sampler,
            output_dir=Path(scratch),
            inits=dict(study.start),
            binary=toolchain.binary_output,
        )
        chains = read_chains(files)
        draws = np.stack([chain.draws for chain in chains]).astype(float)
    out |= {"cpu_seconds": used() - begun, **by_variable(chains[0].names, draws)}
    stats = np.stack([chain.sampler for chain in chains])
    # of the sampler's columns the fifth is leapfrog steps, the sixth divergences
    return out | {"steps": stats[..., 4].mean(), "divergences": stats[..., 5].sum()}


if __name__ == "__main__":
    answer(program, f"Stan {ensure().version}")
