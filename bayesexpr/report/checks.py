"""What a report shows of the checks of a fit: its findings by topic, each with the figures and tables behind it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pandas as pd

from bayesexpr.posterior.verdict import TOPICS, Finding
from bayesexpr.report.figures import Image, image

if TYPE_CHECKING:
    from bayesexpr.calibration.certificate import Certificate

_ROWS = 20  # of each table

_INTRODUCTIONS = {
    "prediction": "Does the fitted model make data like these? Tables are replicated from the fit, and every count is "
    "predicted from all the others.",
    "calibration": "Do the posteriors of this program mean what they say? It was fitted many times to data simulated "
    "from known parameters.",
    "priors": "How much would the answer move if the priors were a little stronger or weaker?",
    "outliers": "Counts that are improbable given all the others may be errors, or biology that the model does not "
    "know: look at them before you believe their genes.",
    "truth": "This study was simulated, so what was stated can be held against what came true.",
}


@dataclass(frozen=True)
class CheckTable:
    """A table of the certificate: its first column names the rows; `more` rows are left to ``check.json``."""

    caption: str
    table: pd.DataFrame
    first: str
    more: int


@dataclass(frozen=True)
class CheckTopic:
    """One topic of the checks: heading, a sentence of introduction, findings, figures and tables."""

    heading: str
    introduction: str
    findings: list[Finding]
    images: list[Image]
    tables: list[CheckTable]
    facts: list[tuple[str, object]]


def check_topics(certificate: Certificate) -> list[CheckTopic]:
    """Sort what the certificate has into topics, in the order of a reader's questions; diagnostics are left out."""
    topics = []
    for topic, heading in TOPICS.items():
        if topic == "diagnostics":
            continue
        found = [finding for finding in certificate.findings if finding.topic == topic]
        images = {"prediction": _prediction, "priors": _priors}.get(topic, lambda _: [])(certificate)
        tables = _tables(certificate, topic)
        facts = _record(certificate) if topic == "calibration" else []
        if found or images or tables or facts:
            topics.append(CheckTopic(heading, _INTRODUCTIONS[topic], found, images, tables, facts))
    return topics


def diagnostics_of(findings: Sequence[Finding]) -> list[Finding]:
    """Pick the findings about the sampler."""
    return [finding for finding in findings if finding.topic == "diagnostics"]


def check_figures(certificate: Certificate) -> list[Image]:
    """Draw what the certificate has tables for."""
    return [*_prediction(certificate), *_priors(certificate)]


def _prediction(certificate: Certificate) -> list[Image]:
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
        name = quantity[:1].upper() + quantity[1:]
        images.append(
            image(
                certificate.plot_samples(quantity).figure,
                f"{name} of every sample over its values in replicated tables.",
                f"{name}: each sample against what the fitted model would make of it.",
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
    return images


def _priors(certificate: Certificate) -> list[Image]:
    if "sensitivity" not in certificate.tables or certificate.numbers.get("sensitivity_threshold") is None:
        return []
    return [
        image(
            certificate.plot_sensitivity().figure,
            "Sensitivity of posteriors to the strongest prior against sensitivity to the likelihood.",
            "Each point is a quantity; above the dashed line the prior matters, and left of the other the data say "
            "little.",
        )
    ]


_CAPTIONS = {
    "prediction": {"overall": "The whole table against its replicates", "loo": "Leave-one-out prediction"},
    "priors": {"sensitivity": "Sensitivity to priors and likelihood (power-scaling)"},
    "outliers": {"outliers": "Outlying counts: improbable given all the others, adjusted for their number (Holm)"},
    "truth": {"decisions": "Error rates as stated, and as they came true"},
}


def check_tables(certificate: Certificate) -> list[CheckTable]:
    """Choose the tables that are to be read, shortened."""
    return [table for topic in _CAPTIONS for table in _tables(certificate, topic)]


def _tables(certificate: Certificate, topic: str) -> list[CheckTable]:
    made = []
    for name, caption in _CAPTIONS.get(topic, {}).items():
        if name in certificate.tables and len(certificate.tables[name]):
            made.append(_table(certificate.tables[name], caption))
    return made


def _table(table: pd.DataFrame, caption: str) -> CheckTable:
    first, *others = table.columns
    shown = table.head(_ROWS).set_index(first)
    labels = {name: str(name).replace("_", " ") for name in others}
    return CheckTable(caption, shown.rename(columns=labels), str(first), max(0, len(table) - _ROWS))


def _record(certificate: Certificate) -> list[tuple[str, object]]:
    """List what the calibration record, of the program or of this design, says."""
    record = certificate.record
    if record is None:
        return []
    values = {
        "verdict": record["verdict"],
        "simulated studies": record["simulations"],
        "of": record.get("design", record["scenario"]),
        "fitted by": record.get("method"),
        "quantities ranked": record.get("quantities") or None,
        "so many simulations": record.get("severity") or None,
    }
    return [(name, value) for name, value in values.items() if value is not None]


def check_context(certificate: Certificate | None) -> dict[str, Any]:
    """Names that the template ``checks.html`` uses."""
    return {"certificate": certificate, "topics": [] if certificate is None else check_topics(certificate)}
