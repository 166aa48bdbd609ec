"""A study by this package: ``python ours.py study.npz answer.npz '{"sampler": "nuts", "options": {}, ...}'``.

Samplers: ``nuts`` and ``blocked`` as a fit takes them, starting values and whitening included; ``published``, the
chapter's program as ``calibration/published.py`` has it, by Stan's NUTS as it comes. Compiling is not counted.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from exchange import used

from bayesexpr.calibration.published import PROGRAM
from bayesexpr.de_sampling import DESettings, build, sample_blocked, sample_nuts
from bayesexpr.empirical_bayes.whitening import warm_start
from bayesexpr.models.negative_binomial_de import NegativeBinomialDE
from bayesexpr.posterior.de_draws import ChainArrays
from bayesexpr.progress import Silent
from bayesexpr.stan.compiler import compile_program
from bayesexpr.stan.output import ChainDraws, read_chains
from bayesexpr.stan.sampling import run_nuts
from bayesexpr.stan.settings import SamplerSettings
from bayesexpr.stan.toolchain import ensure

INPUTS = ("count", "design", "nuisance_design", "log_size_factor")


def main(study: str, answer: str, asked: dict[str, Any]) -> None:
    found = np.load(study)
    inputs = {name: found[name] for name in INPUTS if name in found.files}
    with tempfile.TemporaryDirectory() as scratch:
        if asked["sampler"] == "published":
            out = published(inputs, found["start_alpha"], asked, Path(scratch))
        else:
            out = of_the_model(inputs, asked, Path(scratch))
    np.savez(answer, versions=f"Stan {ensure().version}", **out)


def of_the_model(inputs: dict[str, Any], asked: dict[str, Any], scratch: Path) -> dict[str, Any]:
    """Sample ``negative_binomial_de`` with the options asked for."""
    model = NegativeBinomialDE(options=asked["options"])
    full = model.complete(inputs)
    at, sampler = model.layout(full), asked["sampler"]
    built = build(model, "blocked" if sampler == "blocked" else "nuts", Silent())
    begun = used()
    settings = DESettings(draws=asked["draws"], warmup=asked["warmup"], seed=asked["seed"], cores=1)
    warm = warm_start(model, full, np.random.default_rng([settings.seed, 1]), built.library)
    sample = sample_blocked if sampler == "blocked" else sample_nuts
    chains, _ = sample(model, inputs, warm, built, settings, scratch, Silent())
    maps = warm.whitening
    spent = used() - begun
    arrays = ChainArrays.find(chains[0].names, [c.draws for c in chains], (at.H, full["G"], at.P))
    theta = maps.theta(arrays.zeta)
    psi = maps.psi(arrays.block(slice(0, full["G"]), full["G"], at.P).astype(float), theta)
    hyper = at.hyper(theta, full["log_size_factor"])
    genes = {"alpha": psi[..., 0], "log_phi": at.log_phi(psi, hyper), "b": at.effect(psi, hyper)[..., 0]}
    if not at.trend:
        del genes["log_phi"]  # one for all genes: among the hyperparameters
    if full["R"]:
        genes["gamma"] = at.other_effects(psi, hyper, full["nuisance_term"])[..., 0]
    return {"theta": theta, **genes, **counted(chains, spent)}


def published(inputs: dict[str, Any], alpha: Any, asked: dict[str, Any], scratch: Path) -> dict[str, Any]:
    """Sample the chapter's program, one dispersion for all genes as published, its defects mended."""
    toolchain = ensure()
    executable = compile_program(PROGRAM, toolchain)
    count, x = inputs["count"], inputs["design"][:, 0]
    data = {"G": count.shape[1], "S": count.shape[0], "K": 1, "count": count, "x": x, "x_reported": x}
    data |= {"log_size_factor": inputs["log_size_factor"], "mu_alpha_mean": 4.0, "uniform_phi": 0}
    begun = used()
    settings = SamplerSettings(warmup=asked["warmup"], draws=asked["draws"], seed=asked["seed"])
    inits = {"alpha": alpha}
    files = run_nuts(executable, data, settings, output_dir=scratch, inits=inits, binary=toolchain.binary_output)
    chains = read_chains(files)
    spent = used() - begun
    names, draws = chains[0].names, np.stack([c.draws for c in chains]).astype(float)

    def pick(*stems: str) -> Any:
        return draws[:, :, [i for i, name in enumerate(names) if name.split(".")[0] in stems]]

    theta = pick("mu_alpha", "sigma_alpha", "sigma_beta", "shift", "log_phi")
    return {"theta": theta, "alpha": pick("alpha"), "b": pick("beta"), **counted(chains, spent)}


def counted(chains: tuple[ChainDraws, ...], spent: float) -> dict[str, Any]:
    """Numbers of the sampler; of its columns the fifth is leapfrog steps, the sixth divergences."""
    stats = np.stack([c.sampler for c in chains])
    return {"cpu_seconds": spent, "steps": np.nanmean(stats[..., 4]), "divergences": np.nansum(stats[..., 5])}


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], json.loads(sys.argv[3]))
