"""The report of a fit of any program of the ladder, in the same order as that of a differential-expression run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pandas as pd

from bayesexpr import plots
from bayesexpr.posterior.verdict import Verdict
from bayesexpr.report.checks import check_context, diagnostics_of
from bayesexpr.report.figures import Image, image
from bayesexpr.report.page import Report, environment
from bayesexpr.report.posterior import SECTIONS

if TYPE_CHECKING:
    from bayesexpr.calibration.certificate import Certificate

_ROWS = 500  # quantities that are listed
_PANELS, _LINES = 6, 30  # variables drawn, and elements of each


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
                images=_intervals(content.parameters) if key == "sure" else [],
                **(check_context(content.certificate) if key == "trust" else {}),
            )  # fmt: skip

        return make

    return Report(content.title, {key: maker(key) for key in SECTIONS})


def _intervals(parameters: pd.DataFrame) -> list[Image]:
    """Draw the intervals of the first elements of every variable."""
    variable = parameters.index.str.replace(r"\[.*", "", regex=True)
    images = []
    for name in list(dict.fromkeys(variable))[:_PANELS]:
        rows = parameters[variable == name]
        shown = rows.head(_LINES)
        of = f"the first {len(shown)} of {len(rows)} elements" if len(rows) > len(shown) else f"{len(shown)} in all"
        images.append(
            image(
                plots.plot_parameters(shown, name=str(name)).figure,
                f"Posterior means and 90 % intervals of {name}, {of}.",
                f"{name}: posterior mean and 90 % interval ({of}).",
            )
        )
    return images
