"""Which check catches which defect of the published program; ``python -m bayesexpr.calibration.published_checks``.

Simulation-based calibration finds what changes the posterior of parameters. A wrong ``log_lik`` beside a right model, a
prior that says nothing, an estimand with another name than its value: these have checks of their own, and the table
says which is blind to what.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

from bayesexpr.errors import BayesexprError, CompilationError
from bayesexpr.stan.methods import generate_quantities, log_prob
from bayesexpr.stan.program import StanProgram

from .campaign import identify
from .compiled import compiled, ready
from .digests import digest_of
from .mutation import outcome_of
from .published import DEFECTS, MU_ALPHA, NONE, Defect, PublishedBackend, PublishedScenario, log_lik, stan_data
from .ranks import Floats
from .record import FOLDER, read_record, seal
from .store import write_atomically
from .verdict import INCONCLUSIVE

RECORD = FOLDER / "planted" / "published.json"
SIZES = (20, 200)
SEED = 5
_LARGEST_LOG_PHI = np.log(2e9)
_OLD_SYNTAX = "data { int<lower=1> G; int<lower=0> expression[G]; } parameters { real a; } model { a ~ normal(0, 1); }"


@dataclass(frozen=True)
class Finding:
    """What one check said of one defect."""

    defect: str
    check: str
    caught: bool
    words: str

    def __str__(self) -> str:
        return f"{self.defect} | {self.check}: {'caught' if self.caught else 'not seen'} ({self.words})"


def density_agrees(backend: PublishedBackend) -> Finding:
    """Whether the program's log density and the model's, in NumPy, differ by a constant: 3 data sets, 4 points each."""
    defect, path = backend.defect, ready(backend.compiled).path
    spreads = []
    for seed in range(3):
        rng = np.random.default_rng([SEED, seed])
        _, data = PublishedScenario().simulate(rng)
        points = [_reasonable(rng, defect) for _ in range(4)]
        theirs, _ = log_prob(
            path, stan_data(defect, data), np.stack([_unconstrained(p, defect) for p in points]), jacobian=False
        )
        spreads.append(np.ptp(theirs - [_log_density(p, data) for p in points]))
    worst = float(max(spreads))
    return Finding(defect.name, "log density", not worst <= 1e-6, f"differs by {worst:.2g}")


def log_lik_agrees(backend: PublishedBackend) -> Finding:
    """Whether the ``log_lik`` that the program states is that of the model, at 4 points."""
    defect = backend.defect
    rng = np.random.default_rng(SEED)
    _, data = PublishedScenario().simulate(rng)
    points = [_reasonable(rng, defect) for _ in range(4)]
    names = ("mu_alpha", "sigma_alpha", "sigma_beta", "alpha", "beta", "shift", "log_phi")
    parameters = {name: np.stack([np.asarray(p[name]) for p in points]) for name in names}
    if defect.common_phi:
        parameters["log_phi"] = parameters["log_phi"][:, :1]
    depth = 0.0 if defect.equal_depth else np.array(data["log_depth"])
    log_f = depth + np.column_stack([np.zeros(4), parameters["shift"]])
    path = ready(backend.compiled).path
    stated = generate_quantities(path, stan_data(defect, data), parameters, seed=1)["log_lik"]
    ours = log_lik({**parameters, "log_f": log_f}, np.asarray(data["count"]))
    worst = float(np.max(np.abs(stated - ours) / np.abs(ours)))
    return Finding(defect.name, "log_lik", not worst <= 1e-8, f"relative error {worst:.2g}")


def estimand_is_the_total_change(backend: PublishedBackend) -> Finding:
    """Whether a change of log2 ratio 2 in ten genes of 10 000 counts is reported as 2 +- 0.05."""
    rng = np.random.default_rng(SEED)
    p, data = PublishedScenario().simulate(rng)
    p |= {"alpha": np.full(10, np.log(1e4)), "beta": 2 * np.log(2) * np.tile([1.0, -1.0], 5)}
    eta = p["alpha"] + np.array([-0.5] * 3 + [0.5] * 3)[:, None] * p["beta"] + p["log_f"][:, None]
    data["count"] = rng.poisson(np.exp(eta))
    found = backend.fit(data, SEED).draws["beta"].mean(axis=(0, 1)) / np.log(2)
    size = float(np.mean(np.abs(found)))
    return Finding(backend.defect.name, "estimand", abs(size - 2.0) > 0.05, f"a log2 change of 2 is told as {size:.2f}")


def prior_allows_what_studies_show(backend: PublishedBackend) -> Finding:
    """Whether the prior reaches the over-dispersion that RNA-seq shows: beyond 0.01, at least one gene in a hundred."""
    rng = np.random.default_rng(SEED)
    log_phi = np.log(rng.uniform(0, 2e9, 4000)) if backend.defect.uniform_phi else rng.normal(np.log(10.0), 1.0, 4000)
    share = float(np.mean(np.exp(-log_phi) > 0.01))
    words = f"P(dispersion > 0.01) = {share:.2g} a priori"
    return Finding(backend.defect.name, "prior predictive", share < 0.01, words)


def an_empty_sample_is_fitted(backend: PublishedBackend) -> Finding:
    """Whether a study whose first sample is empty is fitted."""
    _, data = PublishedScenario().simulate(np.random.default_rng(SEED))
    data["count"] = data["count"].copy()
    data["count"][0] = 0
    try:
        backend.fit(data, SEED)
    except BayesexprError as error:
        return Finding(backend.defect.name, "empty sample", True, str(error).split(";")[0].split("\n")[0][:80])
    return Finding(backend.defect.name, "empty sample", False, "fitted")


def recovery_of_one_simulation(backend: PublishedBackend) -> Finding:
    """Check as the text does: whether 90 % intervals hold the truth in one simulated study of 100 genes.

    What it would take for an alarm is a share outside the central 99 % of a binomial.
    """
    p, data = PublishedScenario(100).simulate(np.random.default_rng(SEED))
    draws = backend.fit(data, SEED).draws
    inside = 0
    for name in ("alpha", "beta"):
        low, high = np.quantile(draws[name].reshape(-1, 100), [0.05, 0.95], axis=0)
        inside += int(((low <= p[name]) & (p[name] <= high)).sum())
    low, high = stats.binom.interval(0.99, 200, 0.9)
    return Finding(backend.defect.name, "recovery plot", not low <= inside <= high, f"{inside / 2:.0f} % of intervals")


CHECKS: tuple[Callable[[PublishedBackend], Finding], ...] = (
    density_agrees,
    log_lik_agrees,
    estimand_is_the_total_change,
    prior_allows_what_studies_show,
    an_empty_sample_is_fitted,
    recovery_of_one_simulation,
)


def calibration(backend: PublishedBackend, sizes: Sequence[int], workers: int, folder: Path) -> list[Finding]:
    """Simulation-based calibration with growing numbers of simulations until it fails."""
    found = []
    for size in sizes:
        place = folder / f"{backend.defect.number}-{size}"
        outcome = outcome_of(
            backend.defect.name,
            PublishedScenario(),
            backend,
            simulations=size,
            seed=SEED,
            workers=workers,
            folder=place,
        )
        found.append(Finding(backend.defect.name, f"SBC, {size}", outcome.caught, outcome.words))
        if outcome.caught:
            break
    return found


def one_simulation_is_no_calibration(folder: Path) -> Finding:
    """Defect 7: whether a campaign of one simulation is told from a calibration."""
    found = outcome_of("", PublishedScenario(), PublishedBackend(), simulations=1, seed=SEED, workers=1, folder=folder)
    return Finding("one simulation with given hyperparameters", "SBC, 1", found.status == INCONCLUSIVE, found.status)


def old_syntax_is_refused() -> Finding:
    """Defect 8: whether the program's array syntax is refused with words."""
    name = "array syntax of Stan before 2.33"
    try:
        compiled(StanProgram("old_syntax", _OLD_SYNTAX))
    except CompilationError as error:
        return Finding(name, "compiler", True, str(error).split("\n")[0])
    return Finding(name, "compiler", False, "compiled")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run all checks on all defects, and on none; returns 1 if the program without a defect is not passed by all."""
    parser = argparse.ArgumentParser(prog="bayesexpr.calibration.published_checks", description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES, help="sizes of campaigns, growing")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--work", type=Path, default=Path("evidence"), help="folder of the campaigns")
    parser.add_argument("--record", type=Path, default=RECORD)
    parser.add_argument("--all", action="store_true", help="also if the record is fresh")
    chosen = parser.parse_args(arguments)
    if not chosen.all and chosen.record.exists() and not stale(read_record(chosen.record)):
        print("published program: fresh", file=sys.stderr)
        return 0
    folder = chosen.work / "published"
    findings = [old_syntax_is_refused(), one_simulation_is_no_calibration(folder / "one")]
    for defect in (NONE, *DEFECTS):
        backend = PublishedBackend(defect).prepare()
        findings += [check(backend) for check in CHECKS]
        findings += calibration(backend, chosen.sizes, chosen.workers, folder)
        print(*(f for f in findings if f.defect == defect.name), sep="\n", file=sys.stderr)
    chosen.record.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(chosen.record, json.dumps(make_record(findings), sort_keys=True, indent=1) + "\n")
    return int(any(f.caught for f in findings if f.defect == NONE.name))


def make_record(findings: Sequence[Finding]) -> dict[str, Any]:
    """Return the record of the findings, as plain data."""
    backend = PublishedBackend().prepare()
    identity = identify(PublishedScenario(), backend, simulations=max(SIZES), seed=SEED, L=99)
    return seal({**identity, "checks_digest": _checks_digest(), "findings": [asdict(f) for f in findings]})


def stale(record: dict[str, Any]) -> list[str]:
    """Say what has changed since the record was made; nothing if it is fresh."""
    now = {
        "scenario_digest": PublishedScenario().digest(),
        "backend_digest": PublishedBackend().digest(),
        "checks_digest": _checks_digest(),
    }
    return [f"{key} of the published program changed. Run `make evidence`." for key in now if record[key] != now[key]]


def _checks_digest() -> str:
    return digest_of(*CHECKS, [repr(defect) for defect in DEFECTS])


def _reasonable(rng: np.random.Generator, defect: Defect) -> dict[str, Any]:
    """Draw parameters from the prior; with one dispersion for all genes where the program has one."""
    p, _ = PublishedScenario().simulate(rng)
    p["shift"] = p["log_f"][1:] - np.array(PublishedScenario().log_depth)[1:]
    if defect.common_phi:
        p["log_phi"] = np.full(10, p["log_phi"][0])
    return p


def _unconstrained(p: dict[str, Any], defect: Defect) -> Floats:
    log_phi = p["log_phi"][:1] if defect.common_phi else p["log_phi"]
    scales = np.log([p["sigma_alpha"], p["sigma_beta"]])
    bounded = np.log(_LARGEST_LOG_PHI - log_phi)
    return np.concatenate([[p["mu_alpha"]], scales, p["alpha"], p["beta"], p["shift"], bounded])


def _log_density(p: dict[str, Any], data: dict[str, Any]) -> float:
    """Log joint density of the model, without constants."""
    normal = stats.norm.logpdf
    prior = normal(p["mu_alpha"], MU_ALPHA, 1.17) + stats.lognorm.logpdf(p["sigma_alpha"], 0.3, scale=np.exp(0.4))
    prior += stats.lognorm.logpdf(p["sigma_beta"], 0.3, scale=np.exp(-0.4))
    prior += normal(p["alpha"], p["mu_alpha"], p["sigma_alpha"]).sum() + normal(p["beta"], 0, p["sigma_beta"]).sum()
    prior += normal(p["shift"], 0, 0.05).sum() + normal(p["log_phi"], np.log(10.0), 1.0).sum()
    log_f = np.array(data["log_depth"]) + np.append(0.0, p["shift"])
    return float(prior + log_lik({**p, "log_f": log_f}, data["count"]).sum())


if __name__ == "__main__":
    # By its own name: digests of its functions hold the name of their module.
    from bayesexpr.calibration import published_checks

    sys.exit(published_checks.main())
