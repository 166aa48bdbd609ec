"""Figures of the report as images inside the page, each with a text for those who cannot see it."""

from __future__ import annotations

import base64
import io
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from bayesexpr import plots
from bayesexpr.posterior.variance_split import ASSIGNMENT
from bayesexpr.report.content import ContrastContent, ReportContent, top_genes

if TYPE_CHECKING:
    import xarray as xr


@dataclass(frozen=True)
class Image:
    """A figure: data URI, alternative text, caption (plain texts), and the share of the page it asks for."""

    source: str
    alt: str
    caption: str
    wide: bool = False


def overview(content: ReportContent) -> list[Image]:
    """Library sizes and principal components."""
    names = [str(name) for name in content.samples.index]
    totals = np.asarray(content.library_sizes, dtype=float)
    ax = plots.plot_library_sizes(names, totals, content.groups)
    low, high = totals.min() / 1e6, totals.max() / 1e6
    images = [
        image(
            ax.figure,
            f"Bars of the library sizes of {len(names)} samples, from {low:.3g} to {high:.3g} million counts.",
            "Library sizes. The size factors, which are estimated with the effects, take differences in depth out.",
        )
    ]
    if content.log_counts is not None:
        ax = plots.plot_pca(content.log_counts, names, content.groups)
        images.append(
            image(
                ax.figure,
                f"Scatter plot of the first two principal components of {len(names)} samples. "
                f"Horizontal axis: {ax.get_xlabel()}; vertical axis: {ax.get_ylabel()}.",
                "Principal components of normalised log counts. Samples that lie close have similar expression; "
                "what separates them should be something you know.",
            )
        )
    return images


def trust(content: ReportContent) -> list[Image]:
    """Diagnostics of the genes, energy of the chains, dispersions."""
    table = content.contrasts[0].table
    ess = np.fmin(table["ess_bulk"].to_numpy(float), table["ess_tail"].to_numpy(float))
    rhat = table["rhat"].to_numpy(float)
    known = np.isfinite(rhat) & np.isfinite(ess)
    images = []
    if known.any():
        images.append(
            image(
                plots.plot_diagnostics(rhat, ess, rhat_limit=content.rhat_limit, min_ess=content.min_ess).figure,
                f"Scatter plot of R-hat against effective draws of {known.sum()} genes: "
                f"largest R-hat {rhat[known].max():.3f}, fewest effective draws {ess[known].min():.0f}.",
                "Every gene's own diagnostics: R-hat near 1 means that the chains agree; left of the dotted line "
                "there are too few effective draws.",
            )
        )
    if content.energy is not None:
        images.append(
            image(
                plots.plot_energy(content.energy).figure,
                "Densities of the energy of the draws and of its steps from draw to draw.",
                "Energy. The steps should reach about as wide as the energy itself: the chains then move freely.",
            )
        )
    dispersion = table["dispersion"].to_numpy(float)
    images.append(
        image(
            plots.plot_dispersion(table["baseMean"], dispersion, content.dispersion_trend).figure,
            "Scatter plot of every gene's dispersion against its mean count on logarithmic axes"
            + (", with the learned trend." if content.dispersion_trend is not None else "."),
            "Dispersion: the biological variance relative to the squared mean. Genes with little information lie near "
            "the trend, which they share.",
        )
    )
    return images


def chains(draws: xr.Dataset | None) -> list[Image]:
    """Ranks of the draws of several chains, of the quantities that mix worst."""
    if draws is None or draws.sizes["chain"] < 2:
        return []
    panels = plots.plot_rank(draws)
    return [
        image(
            panels[0].figure,
            f"Differences between the ECDF of each chain's ranks and the uniform, of {len(panels)} quantities.",
            f"Do the chains explore the same? Each line is a chain: how its draws rank among all draws, for the "
            f"{len(panels)} quantities that mix worst. Lines that wander about zero are as they should be; one that "
            "stays on its own side of it is a chain that saw something else.",
            wide=True,
        )
    ]


def changes(content: ReportContent, contrast: ContrastContent) -> list[Image]:
    """MA plot, volcano plot and the top genes of a contrast."""
    up = contrast.called & (contrast.table["log2FoldChange"].to_numpy(float) > 0)
    counts = f"{int(up.sum())} genes are called up and {int((contrast.called & ~up).sum())} down"
    images = [
        image(
            plots.plot_ma(contrast.table).figure,
            f"Scatter plot of log2 fold change against mean normalised count; {counts}.",
            "Effect against abundance. Estimates of genes with few counts are drawn towards zero, not thrown about. "
            "Triangles: called genes; the darker a gene, the surer its sign.",
        ),
        image(
            plots.plot_volcano(contrast.table).figure,
            f"Volcano plot: minus log10 s-value against log2 fold change; {counts}.",
            "Sureness against effect, coloured by the probability that this gene's sign is wrong (lfsr). The flat top "
            "is what this number of draws can resolve: no error rate is ever 0.",
        ),
    ]
    top = top_genes(contrast.table, contrast.called)
    top = top[top["gene"].isin(content.normalised_counts.columns)]
    if len(top):
        behind = "over the range of 90 % of the counts that the fit would make again, " if content.replicates else ""
        axes = plots.plot_top_genes(top, content.normalised_counts, content.groups, replicates=content.replicates)
        images.append(
            image(
                axes[0].figure,
                f"Normalised counts of {len(top)} genes in every sample beside their posterior log2 fold changes.",
                f"The genes with the largest effects among those called: every sample's normalised count, {behind}and "
                f"the posterior mean with its {100 * content.interval:g} % interval, averaged over the possibility of "
                "no change and given that there is one.",
                wide=True,
            )
        )
    return images


def sureness(contrast: ContrastContent, interval: float) -> list[Image]:
    """Intervals of the called genes, P(|LFC| > t), what the doubt is made of, and the truth of a simulated study."""
    images = []
    called = contrast.table[contrast.called]
    if len(called):
        ax = plots.plot_intervals(called, interval=interval, threshold=contrast.lfc_threshold)
        images.append(
            image(
                ax.figure,
                f"Posterior intervals of the log2 fold changes of {len(called)} called genes, by their means.",
                f"Every called gene: its {100 * interval:g} % interval, in the order of the estimates. Dotted: a "
                f"change of {contrast.lfc_threshold:g} (log2). An interval that reaches zero belongs to a gene that "
                "may not change.",
            )
        )
    if contrast.curve is not None:
        thresholds, probability, genes = contrast.curve
        images.append(
            image(
                plots.plot_prob_curve(thresholds, probability, genes).figure,
                f"Curves of the probability that |log2 fold change| exceeds a threshold, for {len(genes)} genes.",
                "How large is the change? Read off the probability that it exceeds the size that matters to you.",
            )
        )
    if contrast.variance is not None and contrast.variance.notna().any(axis=None):
        words = _shares(contrast.variance)
        images.append(
            image(
                plots.plot_variance_split(contrast.table["baseMean"], contrast.variance).figure,
                f"Shares of the variance of log fold changes against mean count; of the median gene: {words}.",
                f"What makes a change unsure (of the median gene: {words}). Sampling: few fragments were counted; "
                "deeper sequencing helps. Biology: replicates differ; only more replicates help. Normalisation: the "
                f"depth of the samples is itself estimated. Read assignment: {_assignment(contrast.variance)}",
            )
        )
    if contrast.truth is not None:
        joined = contrast.table.merge(contrast.truth, on="gene", how="inner")
        ax = plots.plot_truth(joined["log2FoldChange"], joined["ci_lower"], joined["ci_upper"], joined["true_log2fc"])
        images.append(
            image(
                ax.figure,
                f"Posterior means and intervals against the true log2 fold changes. {ax.get_title()}.",
                "This study was simulated, so the truth is known: points on the line are estimated exactly.",
            )
        )
    return images


def _shares(variance: pd.DataFrame) -> str:
    """Say how much of the median gene's variance each part is."""
    shares = variance.div(variance.sum(axis=1, min_count=1), axis=0).median()
    known = ", ".join(f"{str(name).replace('_', ' ')} {100 * share:.0f} %" for name, share in shares.dropna().items())
    return known if shares.notna().all() else f"{known}; read assignment not known from this input"


def _assignment(variance: pd.DataFrame) -> str:
    """Say what the doubt about the origin of fragments does to the genes, or why it is not known."""
    if variance[ASSIGNMENT].isna().all():
        return (
            "not known from this input, and taken as certain. Counts read from salmon or kallisto folders in which "
            "every sample has inferential replicates tell how sure it was."
        )
    beyond = int(((variance[ASSIGNMENT] > 0) & (variance["biology"] == 0)).sum())
    text = "fragments fit several transcripts, and the quantification had to divide them."
    if not beyond:
        return text
    genes = "1 gene it is" if beyond == 1 else f"{beyond:,} genes it is"
    return f"{text} In {genes} more than what samples differ by: there the intervals are too narrow."


def image(figure: object, alt: str, caption: str, wide: bool = False) -> Image:
    """Make an SVG whose texts stay texts, so that the reader's own fonts supply every script."""
    assert isinstance(figure, Figure)
    buffer, layout = io.BytesIO(), figure.get_layout_engine()
    figure.dpi = 150
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "bayesexpr"}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        if layout is not None:
            layout.execute(figure)
            figure.set_layout_engine("none")
        # what ``savefig`` does, but for a second drawing that is thrown away
        FigureCanvasSVG(figure).print_svg(buffer, metadata={"Date": None})  # type: ignore[no-untyped-call]
    encoded = base64.b64encode(buffer.getvalue()).decode("ascii")
    return Image(source=f"data:image/svg+xml;base64,{encoded}", alt=alt, caption=caption, wide=wide)
