"""The calibration record that belongs to a fit: same program, same options, same priors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bayesexpr.errors import InputError
from bayesexpr.models.base import Model
from bayesexpr.posterior.verdict import Finding

from .measured import Measured
from .program_sbc import METHODS, plan
from .record import FOLDER, read_record
from .severity import Severity


def matched_record(model: Model, method: str, folder: Path = FOLDER) -> dict[str, Any] | None:
    """Find the record of a program with its options and priors, by the fit's own method if there is one.

    Its simulated studies have the design of the record's own scenario, not that of the fit.

    Returns
    -------
    dict or None
        ``scenario``, ``method``, ``same_method``, ``verdict``, ``simulations``, ``quantities`` (their number),
        ``severity`` (what so many simulations would have caught, in words) and ``reason``; None where no record
        matches.
    """
    if not folder.is_dir():
        return None
    own = plan(model, method=method)[1].digest() if method in METHODS else None
    scenario = plan(model)[0].digest()
    found = []
    for path in sorted(folder.glob(f"{model.NAME}-*.json")):
        try:
            record = read_record(path)
        except InputError:
            continue
        if record["backend_digest"] == own or record["scenario_digest"] == scenario:
            found.append(record)
    if not found:
        return None
    best = max(found, key=lambda record: (record["backend_digest"] == own, record["simulations"]["finished"]))
    return {
        "scenario": best["scenario"],
        "method": best["backend"],
        "same_method": best["backend_digest"] == own,
        "verdict": best["verdict"],
        "simulations": best["simulations"]["finished"],
        "quantities": len(best.get("quantities", ())),
        "severity": str(Severity(**best["severity"])) if best.get("severity") else "",
        "reason": best["reasons"][0] if best["reasons"] else "",
    }


def finding(model: Model, record: dict[str, Any] | None, method: str, aside: str = "") -> Finding:
    """Say what the record of a program says, or that there is none: what was never calibrated asks for care.

    Parameters
    ----------
    record
        Of :func:`matched_record`, or of :func:`.matched_campaign.matched_campaign`, which has a ``design``.
    aside
        A sentence about a campaign that could not be taken.
    """
    way = "`bayesexpr sbc RUN --simulations 200` tries this study's own design."
    if record is None:
        text = (
            f"No calibration record is committed for {model.NAME} with these options and priors by {method}: whether "
            f"its posteriors mean what they say was not tried. {way}"
        )
        return Measured(1, f"{text} {aside}".rstrip(), topic="calibration")
    own = "design" in record
    other = "" if record["same_method"] else f" not by {method} but"
    studies = f"of {record['design']}" if own else f"of {record['scenario']}, not of this study's design"
    text = (
        f"Simulation-based calibration of this program, options and priors{other} by {record['method']} "
        f"({record['simulations']} simulations {studies}): {record['verdict']}; {record['reason']}."
    )
    text += "" if record["same_method"] else f" It does not try {method} itself."
    text += "" if own else f" {way}"
    severity = 0 if record["verdict"] == "PASS" else 2 if record["verdict"] == "FAIL" and record["same_method"] else 1
    return Measured(max(severity, int(bool(aside))), f"{text} {aside}".rstrip(), topic="calibration")
