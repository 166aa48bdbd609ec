"""What a sampler of the flagship reads and answers: ``python PROGRAM study.npz answer.npz '{"chains": 4, ...}'``.

All parameters lie on the whole real line; effects are in units of their scales, which mixes better than the effects
themselves (tried by nutpie, with 300 and 1,000 genes). The answer has the log density at the study's points and, where
chains are asked for, draws [chain, draw, ...] by name, what sampling and compiling took, steps of a draw, and
divergences.
"""

from __future__ import annotations

import json
import resource
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

HYPER = (
    "mu_alpha",
    "log_sigma_alpha",
    "log_a0",
    "log_a1",
    "logit_sigma_phi",
    "m",
    "log_s",
    "log_weight_ratio",
    "log_tau",
)
NAMES = (*HYPER, "v", "alpha", "e", "d", "u")


@dataclass(frozen=True)
class Study:
    """Counts and designs, numbers of the priors, points to evaluate the density at, and where chains start."""

    data: Mapping[str, Any]
    prior: Mapping[str, Any]
    points: list[dict[str, Any]]
    start: Mapping[str, Any]

    @classmethod
    def read(cls, path: str) -> Study:
        """Read what peers.py wrote."""
        with np.load(path) as file:
            found = {name: file[name] for name in file.files}
        count = len(found["point_mu_alpha"])
        points = [{name: found[f"point_{name}"][i] for name in NAMES} for i in range(count)]
        names = ("count", "design", "nuisance_design", "log_size_factor", "basis", "log_factorial")
        start = {name: found[f"start_{name}"] for name in NAMES}
        return cls({name: found[name] for name in names}, json.loads(str(found["prior"])), points, start)


Program = Callable[[Study, dict[str, Any]], dict[str, Any]]
"""From a study and the settings, the answer; without chains only its ``log_density``."""


def answer(program: Program, versions: str) -> None:
    """Run a program as its command line says."""
    study, target, settings = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
    np.savez(target, versions=versions, **program(Study.read(study), settings))


def used() -> float:
    """Processor seconds of this process and its finished children so far."""
    usage = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in usage)
