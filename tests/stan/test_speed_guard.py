"""A regression of the kernel's speed is a failure: processor time of the same trajectories with and without it."""

from __future__ import annotations

import resource
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bayesexpr.models.de_layout import Whitening
from bayesexpr.models.negative_binomial_de import NegativeBinomialDE
from bayesexpr.stan.compiler import compile_program
from bayesexpr.stan.program import render
from bayesexpr.stan.sampling import run_nuts
from bayesexpr.stan.settings import SamplerSettings
from bayesexpr.stan.toolchain import Toolchain

pytestmark = pytest.mark.needs_stan

GENES, SAMPLES = 2000, 8
LEAST = 8.0
"""Pure Stan's processor time over the kernel's, start of the process and sampler included. The bound leaves room for
processors without wide vectors; a kernel that lost its vectors altogether, or is bypassed, falls below."""

TRAJECTORIES = SamplerSettings(
    chains=1, warmup=0, draws=15, metric="unit_e", step_size=1e-4, max_treedepth=5, adapt_engaged=False
)
"""Steps too short to turn: every draw takes 31 of them, whatever the density."""


def processor_seconds(executable: Path, data: Any, folder: Path) -> float:
    def used() -> float:
        total = resource.getrusage(resource.RUSAGE_CHILDREN)
        return total.ru_utime + total.ru_stime

    before = used()
    run_nuts(executable, data, TRAJECTORIES, output_dir=folder)
    return used() - before


def test_the_kernel_is_many_times_faster_than_stan_alone(toolchain: Toolchain, tmp_path: Path) -> None:
    """Least of two turns each, so that what else the machine does counts little; 2,000 genes x 8 samples, seed 1."""
    model = NegativeBinomialDE()
    design = np.where(np.arange(SAMPLES) % 2 == 0, -0.5, 0.5)[:, None]
    _, data = model.simulate({"genes": GENES, "design": design}, np.random.default_rng(1))
    maps = Whitening.plain(model.layout(model.complete(data)), GENES, mu_alpha=4.0)
    given = model.stan_data(data, whitening=maps)
    programs = {
        density: compile_program(render(model.NAME, {**model.options, "density": density}), toolchain)
        for density in ("kernel", "stan")
    }
    taken: dict[str, list[float]] = {density: [] for density in programs}
    for turn in range(2):
        for density, executable in programs.items():
            taken[density].append(processor_seconds(executable, given, tmp_path / f"{density}{turn}"))
    assert min(taken["stan"]) > LEAST * min(taken["kernel"]), taken
    # the negative control: against itself it is no faster
    assert min(taken["kernel"]) < LEAST * max(taken["kernel"])
