"""Fitting any program of the ladder: the one place where model, data, Stan and diagnostics meet."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bayesexpr import de_folder, program_fit
from bayesexpr.data.json_data import read_json
from bayesexpr.errors import InputError, OptionError
from bayesexpr.models import registry
from bayesexpr.models.base import Draws, Model
from bayesexpr.models.priors import Prior, parse_prior
from bayesexpr.posterior.diagnostics import count_divergences, count_saturated, ebfmi
from bayesexpr.posterior.importance import pareto_k
from bayesexpr.posterior.parameter_verdict import judge_approximation, judge_exact, judge_parameters
from bayesexpr.posterior.support import check_support
from bayesexpr.posterior.verdict import Verdict
from bayesexpr.program_fit import Fit, checked, labelled, outcome_variable, parameter_table
from bayesexpr.progress import Progress, Silent
from bayesexpr.run import RUN_RECORD
from bayesexpr.stan.settings import MAX_SEED, SamplerSettings

if TYPE_CHECKING:
    import xarray as xr

    from bayesexpr.de_fit import DEFit

METHODS = ("nuts", "pathfinder", "laplace", "advi", "exact")
_SAMPLER = {
    "lp__": "lp",
    "accept_stat__": "acceptance_rate",
    "stepsize__": "step_size",
    "treedepth__": "tree_depth",
    "n_leapfrog__": "n_steps",
    "divergent__": "diverging",
    "energy__": "energy",
    "lp_approx__": "lp_approximation",
}


@dataclass(frozen=True)
class _Raw:
    """What a method gave: the program's own draws, columns of the method, and what made them."""

    draws: Draws
    columns: Draws
    program: Mapping[str, Any]
    seconds: Mapping[str, float]


def fit(
    model: str,
    data: Mapping[str, Any] | str | os.PathLike[str],
    *,
    options: Mapping[str, str] | None = None,
    prior: Mapping[str, Prior | str] | None = None,
    method: str = "nuts",
    chains: int = 4,
    warmup: int = 1000,
    draws: int = 1000,
    seed: int | None = None,
    cores: int | None = None,
    thin: int = 1,
    adapt_delta: float | None = None,
    prior_draws: int = 0,
    progress: Progress | None = None,
    output_dir: str | os.PathLike[str] | None = None,
) -> Fit:
    """Fit a program of the ladder.

    Parameters
    ----------
    model
        Its name; ``bayesexpr models`` lists them with their data, options and priors.
    data
        Its data, or a JSON file of them.
    options
        Structural choices.
    prior
        Priors that differ from the defaults, as ``Beta(1, 1)`` or ``"beta(1, 1)"``.
    method
        ``nuts``; ``exact`` (independent draws of the closed form, where there is one); or an approximation:
        ``pathfinder``, ``laplace``, ``advi``. Draws of an approximation are not reweighted; its Pareto k-hat says
        how far it is from the posterior.
    chains, warmup, draws, thin
        Chains, iterations of each before and after the warm-up, and which of these are kept. An approximation gives
        one chain: laplace and advi of `draws` draws, pathfinder of `chains` paths of `draws` each.
    seed
        Of everything random in the fit; drawn, and recorded, unless given.
    cores
        Processes at once; all of the machine's by default.
    adapt_delta
        Acceptance that NUTS aims at; the program's own unless given. Nearer to one, steps are shorter and divergences
        fewer.
    prior_draws
        Simulations of parameters and outcome for the groups ``prior`` and ``prior_predictive``; none unless asked for.
    progress
        Told where the fit is.
    output_dir
        RUN folder to write.

    Returns
    -------
    Fit

    Raises
    ------
    InputError
        The data, an option, a prior or a setting breaks a rule.
    ToolchainError, SamplingError
        Stan cannot be built here, or the computation failed.
    """
    given = dict(data) if isinstance(data, Mapping) else read_json(data)
    chosen = registry.get(model)(options=options or {}, priors=_priors(prior or {}))
    if method not in METHODS:
        raise OptionError(f"a method is one of {', '.join(METHODS)}; it is {method!r}.")
    settings = SamplerSettings(
        chains=chains,
        warmup=warmup,
        draws=draws,
        thin=thin,
        seed=int(np.random.default_rng().integers(1, MAX_SEED)) if seed is None else seed,
        cores=_cores() if cores is None else cores,
        adapt_delta=chosen.ADAPT_DELTA if adapt_delta is None else adapt_delta,
    )
    inputs = chosen.stan_data(given)
    full = checked(chosen, given)
    start = time.monotonic()
    raw = _exact(chosen, full, settings) if method == "exact" else _run(chosen, inputs, method, settings, progress)
    posterior = chosen.posterior(raw.draws, full)
    check_support(chosen, posterior)
    diagnostics, verdict = _judge(method, posterior, raw.columns, settings)
    record = {
        "kind": program_fit.KIND,
        "command": f"bayesexpr.fit({model!r}, ..., method={method!r}, seed={settings.seed})",
        "program": model,
        "options": dict(chosen.options),
        "priors": {name: chosen.prior(name).text() for name in chosen.PRIORS},
        "method": method,
        "settings": asdict(settings),
        "inputs_digest": _digest(inputs),
        **raw.program,
        "versions": {"python": platform.python_version()} | {p: metadata.version(p) for p in _PACKAGES},
        "seconds": {**raw.seconds, "total": time.monotonic() - start},
        "status": "done",
    }
    tree = _tree(chosen, full, posterior, raw.columns)
    made = Fit(chosen, given, tree, verdict, diagnostics, record)
    if prior_draws:
        made = made.add("prior", "prior_predictive", seed=settings.seed, prior_draws=prior_draws)
    if output_dir is not None:
        made.save(output_dir)
    return made


def simulate(
    model: str,
    data: Mapping[str, Any] | None = None,
    *,
    options: Mapping[str, str] | None = None,
    prior: Mapping[str, Prior | str] | None = None,
    seed: int,
) -> tuple[Draws, dict[str, Any]]:
    """Draw parameters of a program from its prior, and data from them.

    Parameters
    ----------
    model, options, prior
        As in :func:`fit`.
    data
        What the simulation is conditional on: sizes, designs, lengths. A small example of the program's own unless
        given.
    seed
        Of the simulation.

    Returns
    -------
    parameters, data
        The truth, by the names that a fit gives its draws; and data for :func:`fit`.
    """
    chosen = registry.get(model)(options=options or {}, priors=_priors(prior or {}))
    return chosen.simulate(chosen.SCENARIO if data is None else data, np.random.default_rng(seed))


def load(folder: str | os.PathLike[str]) -> Fit | DEFit:
    """Open a RUN folder, of any program or of a differential-expression study.

    Raises
    ------
    InputError
        The folder is not a finished run.
    """
    root = Path(folder)
    try:
        record = json.loads((root / RUN_RECORD).read_text(encoding="utf-8"))
        kind = record["kind"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{str(root)!r} is not a finished run: {error}. Name the folder given as -o.") from None
    if kind == program_fit.KIND:
        return program_fit.load(root, record)
    if kind == de_folder.KIND:
        return de_folder.load(root)
    inside = sorted(path.parent.name for path in root.glob(f"*/{RUN_RECORD}"))
    way = f"Name one of the runs in it: {', '.join(inside[:6])}." if inside else "It holds no fit."
    raise InputError(f"{str(root)!r} is not a finished run of one fit, but of kind {str(kind)[:40]!r}. {way}")


_PACKAGES = ("bayesexpr", "numpy", "scipy", "pandas", "xarray", "zarr")


def _priors(given: Mapping[str, Prior | str]) -> dict[str, Prior]:
    return {name: parse_prior(prior) if isinstance(prior, str) else prior for name, prior in given.items()}


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _digest(inputs: Mapping[str, Any]) -> str:
    digest = hashlib.sha256()
    for name in sorted(inputs):
        array = np.ascontiguousarray(inputs[name])
        digest.update(f"{name} {array.dtype} {array.shape}\n".encode() + array.tobytes())
    return digest.hexdigest()


def _exact(model: Model, data: Mapping[str, Any], settings: SamplerSettings) -> _Raw:
    start = time.monotonic()
    shape = (settings.chains, settings.kept_draws)
    flat = model.exact(data, shape[0] * shape[1], np.random.default_rng(settings.seed))
    draws = {name: np.reshape(value, (*shape, *np.shape(value)[1:])) for name, value in flat.items()}
    return _Raw(draws, {}, {}, {"sampling": time.monotonic() - start})


def _run(
    model: Model, inputs: Mapping[str, Any], method: str, settings: SamplerSettings, progress: Progress | None
) -> _Raw:
    from bayesexpr.stan.compiler import compile_program
    from bayesexpr.stan.methods import run_method
    from bayesexpr.stan.program import render
    from bayesexpr.stan.toolchain import ensure

    news = progress or Silent()
    start = time.monotonic()
    toolchain = ensure(progress=news.say)
    program = render(model.template.removesuffix(".stan"), model.options)
    executable = compile_program(program, toolchain, progress=news.say)
    compiled = time.monotonic()
    # ADVI's own test of convergence refuses good fits and passes bad ones; the Pareto k-hat judges it.
    further = {"require_converged": False} if method == "advi" else None
    found = run_method(executable, method, inputs, settings, options=further, progress=news.sampling)
    news.close()
    made_by = {"program_digest": program.digest, "stan": toolchain.version, "tool_chain": toolchain.kind}
    seconds = {"compile": compiled - start, "sampling": time.monotonic() - compiled}
    return _Raw(found.variables, found.diagnostics, made_by, seconds)


def _judge(method: str, posterior: Draws, columns: Draws, settings: SamplerSettings) -> tuple[dict[str, Any], Verdict]:
    if method == "exact":
        return {}, judge_exact()
    if method != "nuts":
        k = pareto_k(columns["lp__"] - columns["lp_approx__"])
        return {"pareto_k": k}, judge_approximation(method, k)
    table = parameter_table(posterior)
    diagnostics: dict[str, Any] = {
        "divergences": count_divergences(columns["divergent__"]),
        "ebfmi": ebfmi(columns["energy__"]),
        "saturated": count_saturated(columns["treedepth__"], settings.max_treedepth),
        "leapfrogs_per_draw": float(columns["n_leapfrog__"].mean()),
        "step_size": columns["stepsize__"][:, -1],
        "max_rhat": float(table["rhat"].max()),
        "min_ess_bulk": float(table["ess_bulk"].min()),
        "min_ess_tail": float(table["ess_tail"].min()),
    }
    verdict = judge_parameters(
        table,
        divergences=diagnostics["divergences"],
        ebfmi=diagnostics["ebfmi"],
        n_chains=settings.chains,
        n_draws=settings.kept_draws,
    )
    return diagnostics, verdict


def _tree(model: Model, data: Mapping[str, Any], posterior: Draws, columns: Draws) -> xr.DataTree:
    import xarray as xr

    sampler = {_SAMPLER[name]: values for name, values in columns.items()}
    if "diverging" in sampler:
        sampler["diverging"] = sampler["diverging"].astype(bool)
    constant = {key: data[key] for key in model.DATA if key != model.OUTCOME and key in data}
    groups = {
        "posterior": labelled(model, data, posterior, ("chain", "draw")),
        "sample_stats": labelled(model, data, sampler, ("chain", "draw")),
        "observed_data": labelled(model, data, {outcome_variable(model): data[model.OUTCOME]}),
        "constant_data": labelled(model, data, constant),
    }
    return xr.DataTree.from_dict(groups)
