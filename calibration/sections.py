"""The report of a campaign, section by section: what was asked, whether it passed, how strong that is, and again."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from bayesexpr.report.figures import Image, image
from bayesexpr.report.page import Report, environment

from .verdict import RULES, QuantityVerdict

if TYPE_CHECKING:
    from .result import Campaign

_PANELS = 12
_FAILURES = 20  # failed simulations that are listed
_SECTIONS = ("summary", "asked", "trust", "sure", "again")


def calibration_report(campaign: Campaign) -> Report:
    """Make the report of a campaign: sections ``summary``, ``asked``, ``trust``, ``sure`` and ``again``."""
    identity = campaign.identity
    title = f"Calibration: {identity['scenario']}, inferred by {identity['backend']}"

    def maker(key: str) -> Callable[[], str]:
        def make() -> str:
            return environment().get_template(f"calibration/{key}.html").render(
                title=title,
                verdict=campaign.verdict,
                identity=identity,
                follows=_follows(identity),
                L=campaign.table.L,
                rules=RULES,
                failures=sorted(campaign.table.failures.items())[:_FAILURES],
                implausible=len(campaign.table.implausible),
                replication=campaign.replication,
                images=_images(campaign) if key == "trust" else [],
                rows=_rows(campaign) if key == "trust" else [],
                decisions=_decisions(campaign) if key == "sure" else [],
                replay=campaign.to_dict()["replay"] if key == "again" else "",
            )  # fmt: skip

        return make

    return Report(title, {key: maker(key) for key in _SECTIONS})


def _follows(identity: Mapping[str, Any]) -> list[tuple[str, object]]:
    """List what the ranks follow from; of studies of a fit's design also what that design is."""
    rows = [(name.replace("_", " "), value) for name, value in identity.items() if name not in ("versions", "study")]
    study = {f"study: {name}": value for name, value in identity.get("study", {}).items() if name != "program"}
    return [*rows, *((name, ", ".join(f"{k} {v}" for k, v in value.items())) for name, value in study.items() if value)]


def _images(campaign: Campaign) -> list[Image]:
    order = campaign.ordered
    if not order:
        return []
    weakest = campaign.weakest
    drawn = list(order[:_PANELS])
    axes = campaign.plot_ecdfs(drawn)
    every = (
        "all quantities"
        if len(drawn) == len(order)
        else f"the {len(drawn)} of {len(order)} quantities nearest to an alarm"
    )
    images = [
        image(
            axes[0].figure,
            f"ECDF differences of the ranks of {every}: {', '.join(drawn)}.",
            f"Ranks of the truth among the draws, for {every}. A sound program stays inside the band, which uniform "
            "ranks leave anywhere in one panel of twenty; red panels alarm, by the stricter rule of the verdict. A "
            "hump means that draws lie too high, a dip too low; first up, then down, that they are too narrow; first "
            "down, then up, that they are too wide.",
            wide=True,
        ),
        image(
            campaign.plot_ranks(weakest).figure,
            f"Histogram of the ranks of {weakest} among its draws, one rank for each simulation.",
            f"Rank histogram of {weakest}, the quantity nearest to an alarm, with the range of each bin (99 %).",
        ),
        image(
            campaign.plot_coverage(weakest).figure,
            f"Observed minus nominal coverage of central intervals of {weakest}.",
            f"Coverage of {weakest}: how much more, or less, often than stated its central intervals hold the truth.",
        ),
    ]
    if campaign.table.truth is not None and campaign.table.mean is not None:
        images.append(
            image(
                campaign.plot_estimates(weakest).figure,
                f"Scatter plot of posterior means of {weakest} against the truth of each simulation.",
                f"Posterior mean of {weakest} with two sds against the truth, one point for each simulation.",
            )
        )
    return images


def _rows(campaign: Campaign) -> list[dict[str, Any]]:
    """One row per quantity, those nearest to an alarm first."""
    found = {q.name: q for q in campaign.verdict.quantities}
    names = [*campaign.ordered, *(n for n in found if n not in campaign.ordered)]
    return [_row(found[name]) for name in names]


def _row(q: QuantityVerdict) -> dict[str, Any]:
    covered = q.coverage
    return {
        "quantity": q.name,
        "says": f"ALARM: likely {q.kind}" if q.alarm else "no alarm",
        "alarm": q.alarm,
        "numbers": (
            ("ranks", float(q.N)),
            ("p, ECDF", q.pvalue),
            ("90 % covers", covered.observed if covered else float("nan")),
            ("p, coverage", covered.pvalue if covered else float("nan")),
            ("p, adjusted", q.adjusted),
            ("contraction", q.sharpness.contraction if q.sharpness else float("nan")),
            ("mean z", q.sharpness.z_mean if q.sharpness else float("nan")),
            ("sd of z", q.sharpness.z_sd if q.sharpness else float("nan")),
        ),
    }


def _decisions(campaign: Campaign) -> list[Any]:
    """Rows of what was stated of genes and what came true."""
    report = campaign.decision_report()
    return [] if report is None else list(report.table().itertuples(index=False))
