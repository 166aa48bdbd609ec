"""Simulation-based calibration, checks and records.

``sbc`` is the way in; :mod:`~bayesexpr.calibration.campaign` runs any scenario with any backend, and
:mod:`~bayesexpr.calibration.verdict` judges ranks however they were made. Names are loaded when they are asked for.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

_HOME = {
    "sbc": "program_sbc",
    "plan": "program_sbc",
    "load": "saved",
    "posterior_sbc": "posterior_scenario",
    "PosteriorScenario": "posterior_scenario",
    "run_campaign": "campaign",
    "replay": "campaign",
    "Campaign": "result",
    "ModelScenario": "scenarios",
    "FunctionScenario": "scenarios",
    "ExactBackend": "backend",
    "FunctionBackend": "backend",
    "StanBackend": "stan_backend",
    "StanProgramBackend": "stan_backend",
    "RankTable": "table",
    "judge": "verdict",
    "Certificate": "certificate",
    "read_certificate": "certificate",
    "prior_predictive": "prior_checks",
    "PriorPredictive": "prior_checks",
    "Plausible": "scenarios",
    "decision_report": "decisions",
    "truth_metrics": "against_truth",
    "mutation_score": "mutation",
    "Verdict": "verdict",
    "uniformity_test": "uniformity",
    "coverage_table": "coverage",
    "rank_quantities": "ranks",
}
__all__ = sorted(_HOME)


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f".{_HOME[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME})
