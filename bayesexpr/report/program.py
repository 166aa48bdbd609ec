"""The report of a fit of any program of the ladder, in the same order as that of a differential-expression run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from bayesexpr import plots
from bayesexpr.chain_plots import LINES
from bayesexpr.posterior.verdict import Verdict
from bayesexpr.report.checks import check_context, diagnostics_of
from bayesexpr.report.figures import Image, chains, image
from bayesexpr.report.page import Report, environment
from bayesexpr.report.posterior import SECTIONS

if TYPE_CHECKING:
    import xarray as xr

    from bayesexpr.calibration.certificate import Certificate

_ROWS = 500  # quantities that are listed
_PANELS = 6  # variables drawn


@dataclass(frozen=True)
class ProgramContent:
    """Everything that the report of a program shows.

    Attributes
    ----------
    title, summary, command : str
        The program's name, what it is for, and the call that fitted it.
    options : mapping
        Structural choices.
    data : list of (key, shape, meaning)
    priors : list of (name, prior, statement about the world)
    parameters : pandas.DataFrame
        One row per quantity: mean, sd, quantiles, R-hat, effective draws.
    draws : xarray.Dataset
        Of all variables, [chain, draw, ...].
    meanings : mapping
        Variable to what it is.
    verdict : Verdict
    diagnostics : mapping
    provenance : mapping of mappings
    certificate : Certificate, optional
    """

    title: str
    summary: str
    command: str
    options: Mapping[str, str]
    data: list[tuple[str, str, str]]
    priors: list[tuple[str, str, str]]
    parameters: pd.DataFrame
    draws: xr.Dataset
    meanings: Mapping[str, str]
    verdict: Verdict
    diagnostics: Mapping[str, object]
    provenance: Mapping[str, Mapping[str, object]] = field(default_factory=dict)
    certificate: Certificate | None = None


def program_report(content: ProgramContent) -> Report:
    """Make the report of a program, with the sections of :func:`bayesexpr.report.posterior_report`."""

    def maker(key: str) -> Callable[[], str]:
        def make() -> str:
            judged: Any = content.certificate or content.verdict
            return environment().get_template(f"program/{key}.html").render(
                content=content,
                judged=judged,
                diagnosed=diagnostics_of(judged.findings),
                shown=content.parameters.head(_ROWS),
                images=_intervals(content.draws) if key == "sure" else [],
                chains=chains(content.draws) if key == "trust" else [],
                **(check_context(content.certificate) if key == "trust" else {}),
            )  # fmt: skip

        return make

    return Report(content.title, {key: maker(key) for key in SECTIONS})


def _intervals(draws: xr.Dataset) -> list[Image]:
    """Draw the intervals of the first elements of every variable."""
    images = []
    for name in list(draws.data_vars)[:_PANELS]:
        size = int(np.prod(draws[name].shape[2:]))
        shown = min(size, LINES)
        of = f"the first {shown} of {size:,} elements" if size > shown else f"{shown} in all"
        images.append(
            image(
                plots.plot_forest(draws[[name]], name=str(name)).figure,
                f"Posterior means with 50 % and 90 % intervals of {name}, {of}.",
                f"{name}: posterior mean, 50 % and 90 % interval ({of}).",
            )
        )
    return images
