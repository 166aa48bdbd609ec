"""What a report shows of the checks of a fit: the figures and tables of its certificate."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pandas as pd

from bayesexpr.report.figures import Image, image

if TYPE_CHECKING:
    from bayesexpr.calibration.certificate import Certificate

_ROWS = 20  # of each table


@dataclass(frozen=True)
class CheckTable:
    """A table of the certificate: its first column names the rows; `more` rows are left to ``check.json``."""

    caption: str
    table: pd.DataFrame
    first: str
    more: int


def check_figures(certificate: Certificate) -> list[Image]:
    """Draw what the certificate has tables for."""
    has = certificate.tables
    images = []
    if "trend" in has and len(has["trend"]):
        images.append(
            image(
                certificate.plot_dispersion().figure,
                "Dispersion by moments against mean count, observed and in tables replicated from the fit.",
                "Does the fitted model make data as spread out as these? Points outside the band: genes of that "
                "abundance vary more, or less, than the model thinks.",
            )
        )
    if "pit" in has:
        images.append(
            image(
                certificate.plot_pit().figure,
                "Histogram of the probability of a smaller count, each count predicted from all the others.",
                "Every count predicted from all the others. A flat histogram is a model that is neither too sure (high "
                "ends) nor too unsure (a hump).",
            )
        )
    for quantity in dict.fromkeys(has["samples"]["quantity"]) if "samples" in has else ():
        images.append(
            image(
                certificate.plot_samples(quantity).figure,
                f"{quantity} of every sample over its values in replicated tables.",
                f"{quantity}: each sample against what the fitted model would make of it.",
            )
        )
    if "pareto_k" in has and certificate.numbers.get("k_threshold") is not None:
        images.append(
            image(
                certificate.plot_pareto_k().figure,
                "Number of observations by Pareto k-hat of their leave-one-out prediction.",
                "Whether leave-one-out can be believed: predictions right of the line are not reliable.",
            )
        )
    if "sensitivity" in has and certificate.numbers.get("sensitivity_threshold") is not None:
        images.append(
            image(
                certificate.plot_sensitivity().figure,
                "Sensitivity of posteriors to the strongest prior against sensitivity to the likelihood.",
                "How much would the answer move with the priors? Each point is a quantity; above the dashed line the "
                "prior matters, and left of the other the data say little.",
            )
        )
    return images


def check_tables(certificate: Certificate) -> list[CheckTable]:
    """Choose the tables that are to be read, shortened."""
    made = []
    outliers = certificate.outliers
    if len(outliers):
        caption = "Outlying counts: improbable given all the others, adjusted for their number (Holm)"
        made.append(_table(outliers, caption))
    for name, caption in (
        ("overall", "The whole table against its replicates"),
        ("sensitivity", "Sensitivity to priors and likelihood (power-scaling)"),
        ("loo", "Leave-one-out prediction"),
        ("decisions", "Error rates as stated, and as they came true"),
    ):
        if name in certificate.tables and len(certificate.tables[name]):
            made.append(_table(certificate.tables[name], caption))
    return made


def _table(table: pd.DataFrame, caption: str) -> CheckTable:
    first, *others = table.columns
    shown = table.head(_ROWS).set_index(first)
    labels = {name: str(name).replace("_", " ") for name in others}
    return CheckTable(caption, shown.rename(columns=labels), str(first), max(0, len(table) - _ROWS))


def check_context(certificate: Certificate | None) -> dict[str, Any]:
    """Names that the template ``checks.html`` uses."""
    return {
        "certificate": certificate,
        "check_images": [] if certificate is None else check_figures(certificate),
        "check_tables": [] if certificate is None else check_tables(certificate),
    }
