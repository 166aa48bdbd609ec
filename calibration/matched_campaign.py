"""The campaign that was made for a fit: of its very program and design, or refused with what differs."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bayesexpr.errors import InputError, OptionError
from bayesexpr.models.base import Model
from bayesexpr.posterior.verdict import Finding

from .fit_scenario import FitScenario
from .matched_record import finding, matched_record
from .program_sbc import plan
from .saved import load
from .store import CAMPAIGN

if TYPE_CHECKING:
    from bayesexpr.de_fit import DEFit
    from bayesexpr.program_fit import Fit

INSIDE = "sbc"
"""Folder in a RUN folder where a campaign of the run's design is looked for, and made by default."""


def calibration_of(
    fit: DEFit | Fit, model: Model, campaign: str | os.PathLike[str] | None = None
) -> tuple[dict[str, Any] | None, Finding]:
    """Find what is known of the calibration of a fit's program: for its own design if that was tried.

    Parameters
    ----------
    fit, model
        The fit, and its program.
    campaign
        CAMPAIGN folder of the fit's design; by default that in the RUN folder, if there is one. Without a campaign the
        committed record of the program is taken.

    Returns
    -------
    record, finding
        Record as :func:`.matched_record.matched_record` describes it.

    Raises
    ------
    InputError
        `campaign` is none, or is of another program or design. One that is found in the RUN folder is left aside then,
        and the finding says so.
    """
    method = str(fit.record["method"])
    if campaign is not None:
        record = matched_campaign(fit, campaign)
        return record, finding(model, record, method)
    aside = ""
    if fit.folder is not None and (fit.folder / INSIDE / CAMPAIGN).is_file():
        try:
            record = matched_campaign(fit, fit.folder / INSIDE)
            return record, finding(model, record, method)
        except InputError as error:
            aside = f"Left aside: {error}"
    known = matched_record(model, method)
    return known, finding(model, known, method, aside)


def matched_campaign(fit: DEFit | Fit, folder: str | os.PathLike[str]) -> dict[str, Any]:
    """Read the campaign of a fit's design, judged again from its ranks.

    Returns
    -------
    dict
        As of :func:`.matched_record.matched_record`, with ``design``: a sentence about the simulated studies. A
        campaign that has not run to its end is INCONCLUSIVE.

    Raises
    ------
    InputError
        The folder holds no campaign, or one of another program or design.
    """
    root = Path(folder)
    try:
        identity = json.loads((root / CAMPAIGN).read_text(encoding="utf-8"))
        method = identity["backend"]
        found = identity["scenario_digest"], identity["backend_digest"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{str(root)!r} is not a campaign: {error}. Make one of this fit: `bayesexpr sbc RUN -o CAMPAIGN`."
        ) from None
    own, _ = plan(fit, method="nuts")  # which every program has; what is simulated is the same for all
    assert isinstance(own, FitScenario)
    facts = own.facts()
    if found != (own.digest(), _sampler_digest(fit, method)):
        raise InputError(
            f"the campaign in {str(root)!r} is not of this fit: {_difference(identity, facts)}. Make one that "
            "is: `bayesexpr sbc RUN -o CAMPAIGN`."
        )
    record: dict[str, Any] = {
        "scenario": identity["scenario"],
        "method": method,
        "same_method": method == fit.record["method"],
        "design": _sizes(facts["conditions"]),
        "quantities": 0,
        "severity": "",
    }
    try:
        campaign = load(root)
    except InputError as error:
        done = len(list((root / "fits").glob("0-*.json")))
        return record | {"verdict": "INCONCLUSIVE", "simulations": done, "reason": str(error).removesuffix(".")}
    verdict = campaign.verdict
    return record | {
        "verdict": verdict.status,
        "simulations": verdict.finished,
        "quantities": len(verdict.quantities),
        "severity": "" if verdict.severity is None else str(verdict.severity),
        "reason": verdict.reasons[0] if verdict.reasons else "",
    }


def _sampler_digest(fit: DEFit | Fit, method: str) -> str:
    """Digest of a sampler of the fit's program; empty where it has no such sampler."""
    try:
        return plan(fit, method=method)[1].digest()
    except OptionError:
        return ""


def _difference(identity: Mapping[str, Any], own: Mapping[str, Any]) -> str:
    """Say the first thing in which a campaign and a fit differ."""
    made = identity.get("study")
    if not isinstance(made, Mapping):
        return f"it simulates {identity.get('scenario')}, not the design of a fit"
    if made["program"] != own["program"]:
        return f"its program is {made['program']}, the fit's is {own['program']}"
    for kind, word in (("options", "option "), ("priors", "prior "), ("conditions", "")):
        for name in sorted({*made[kind], *own[kind]}):
            theirs, ours = made[kind].get(name), own[kind].get(name)
            if theirs != ours:
                if kind != "conditions":
                    return f"its {word}{name} is {theirs}, the fit has {ours}"
                told = isinstance(theirs, int) or isinstance(ours, int)
                return f"it has {name} = {theirs}, the fit {ours}" if told else f"its {name} is another"
    return "its simulator, program or sampler's settings are not those of this version of bayesexpr"


def _sizes(conditions: Mapping[str, Any]) -> str:
    """Say how many genes were simulated, where that is a matter of choice."""
    return (
        f"this study's own design, {conditions['genes']} genes" if "genes" in conditions else "this study's own design"
    )
