"""Every figure draws, says its units, takes names as text and leaves no global state."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from fake_analysis import HOSTILE, counts, table
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bayesexpr import plots
from bayesexpr.effect_plots import LFSR_COLORS, LFSR_LIMITS

RESULTS, TRUTH = table(600, hostile=True)
COUNTS, SAMPLES, CONDITION = counts(RESULTS, TRUTH)
RNG = np.random.default_rng(0)
SPLIT = pd.DataFrame(
    {
        "biology": RESULTS["dispersion"],
        "read_assignment": 0.3 / (1 + RESULTS["baseMean"]),
        "sampling": 1 / (1 + RESULTS["baseMean"]),
        "normalisation": 1e-4,
    }
)
THETA = xr.Dataset(
    {"theta": (("chain", "draw", "gene"), RNG.normal(size=(4, 100, len(HOSTILE))))}, coords={"gene": list(HOSTILE)}
)

FIGURES: dict[str, tuple[Callable[[Axes], Axes], str, str]] = {
    "ma": (lambda ax: plots.plot_ma(RESULTS, ax=ax), "normalised counts", "log2 fold change"),
    "volcano": (lambda ax: plots.plot_volcano(RESULTS, ax=ax), "log2 fold change", "-log10 s-value"),
    "dispersion": (
        lambda ax: plots.plot_dispersion(RESULTS["baseMean"], RESULTS["dispersion"], ([1, 100], [2, 0.05]), ax=ax),
        "normalised counts",
        "1 / phi",
    ),
    "diagnostics": (
        lambda ax: plots.plot_diagnostics(RESULTS["rhat"], RESULTS["ess_bulk"], rhat_limit=1.02, min_ess=400, ax=ax),
        "effective draws",
        "R-hat",
    ),
    "energy": (lambda ax: plots.plot_energy(RNG.normal(size=(4, 200)), ax=ax), "nats", "density"),
    "library": (
        lambda ax: plots.plot_library_sizes(SAMPLES, COUNTS.sum(axis=1), CONDITION, ax=ax),
        "million counts",
        "",
    ),
    "pca": (lambda ax: plots.plot_pca(np.log2(COUNTS + 1), list(HOSTILE[:8]), CONDITION, ax=ax), "% of variance", "%"),
    "intervals": (
        lambda ax: plots.plot_intervals(RESULTS, threshold=1, ax=ax),
        "gene",
        "log2 fold change (95 % interval)",
    ),
    "variance": (
        lambda ax: plots.plot_variance_split(RESULTS["baseMean"], SPLIT, ax=ax),
        "normalised counts",
        "share of the variance",
    ),
    "forest": (lambda ax: plots.plot_forest(THETA, name="theta", ax=ax), "theta (mean, 50 % and 90 % interval", ""),
    "curve": (
        lambda ax: plots.plot_prob_curve([0, 1, 2], RNG.random((3, 12)), list(HOSTILE), ax=ax),
        "log2 fold change",
        "P(",
    ),
    "truth": (
        lambda ax: plots.plot_truth(
            RESULTS["log2FoldChange"], RESULTS["ci_lower"], RESULTS["ci_upper"], TRUTH["true_log2fc"], ax=ax
        ),
        "true log2 fold change",
        "interval",
    ),
}


def draw(figure: Figure) -> None:
    with pytest.MonkeyPatch.context() as patch:
        # the font of the figures has no Chinese; the report leaves those glyphs to the browser
        patch.setattr("matplotlib._text_helpers.warn_on_missing_glyph", lambda *_: None)
        figure.savefig(io.BytesIO(), format="png", dpi=60)


@pytest.mark.parametrize("name", FIGURES)
def test_draws_on_the_axes_given_and_names_units(name: str) -> None:
    function, x_words, y_words = FIGURES[name]
    ax = plots.new_axes()
    assert function(ax) is ax
    assert x_words in ax.get_xlabel()
    assert y_words in ax.get_ylabel()
    draw(ax.figure)  # type: ignore[arg-type]


def test_makes_a_figure_of_its_own_without_pyplot() -> None:
    before = dict(mpl.rcParams)
    ax = plots.plot_ma(RESULTS)
    assert ax.figure is not plots.plot_ma(RESULTS).figure
    assert dict(mpl.rcParams) == before
    if "matplotlib.pyplot" in sys.modules:
        assert sys.modules["matplotlib.pyplot"].get_fignums() == []


def test_top_genes_show_counts_beside_both_intervals() -> None:
    top = RESULTS.head(len(HOSTILE))
    left, right = plots.plot_top_genes(top, COUNTS, CONDITION)
    assert "normalised count" in left.get_xlabel()
    assert {text.get_text() for text in right.get_legend().get_texts()} == {"averaged", "if changed"}
    ticks = [text.get_text() for text in left.get_yticklabels()]
    assert ticks[0].startswith("<script>")
    assert max(map(len, ticks)) <= 22
    assert all(character.isprintable() for tick in ticks for character in tick)
    draw(left.figure)


def test_replicates_are_a_bar_behind_the_counts_of_each_group() -> None:
    top = RESULTS.head(3)
    gene = top["gene"].iloc[1]
    drawn = {gene: np.random.default_rng(1).poisson(50, (400, len(COUNTS)))}
    bars = [
        c
        for c in plots.plot_top_genes(top, COUNTS, CONDITION, replicates=drawn)[0].collections
        if c.get_alpha() == 0.25
    ]
    assert len(bars) == 2  # one gene in two groups
    for bar, group in zip(bars, ("untrt", "trt"), strict=True):
        ((low, _), (high, _)) = bar.get_segments()[0]
        inside = drawn[gene][:, np.array(CONDITION) == group] + 0.5
        assert 0.88 < ((low <= inside) & (inside <= high)).mean() < 0.95


def test_called_genes_are_counted_in_the_legend() -> None:
    ax = plots.plot_volcano(RESULTS, y="lfsr")
    called = RESULTS["qvalue"] < 0.05
    words = [text.get_text() for text in ax.get_legend().get_texts()]
    assert f"up, q < 0.05 ({(called & (RESULTS['log2FoldChange'] > 0)).sum()})" in words
    assert ax.get_ylabel() == "-log10 lfsr"


def test_genes_are_coloured_by_how_sure_their_sign_is() -> None:
    """Every answered gene is drawn once, in the colour of its lfsr, darker where surer; called ones as triangles."""
    for function in (plots.plot_ma, plots.plot_volcano):
        ax = function(RESULTS)
        drawn = {}
        for cloud in ax.collections:
            color = mpl.colors.to_hex(cloud.get_facecolor()[0]) if len(cloud.get_offsets()) else ""
            drawn[color] = drawn.get(color, 0) + len(cloud.get_offsets())
        lfsr = RESULTS.loc[RESULTS["lfsr"].notna() & (RESULTS["baseMean"] > 0), "lfsr"]
        wanted = np.bincount(np.digitize(lfsr, LFSR_LIMITS), minlength=len(LFSR_COLORS))
        assert [drawn.get(color.lower(), 0) for color in LFSR_COLORS] == wanted.tolist()
    lightness = [0.2126 * r + 0.7152 * g + 0.0722 * b for r, g, b in map(mpl.colors.to_rgb, LFSR_COLORS)]
    assert lightness[:4] == sorted(lightness[:4])


def test_shares_of_variance_add_up_and_need_a_variance() -> None:
    ax = plots.plot_variance_split(RESULTS["baseMean"], SPLIT)
    tops = [path.vertices[:, 1].max() for c in ax.collections for path in c.get_paths()]
    assert max(tops) == pytest.approx(1.0)
    draw(plots.plot_variance_split(RESULTS["baseMean"], SPLIT * np.nan).figure)  # type: ignore[arg-type]
    draw(plots.plot_intervals(RESULTS.iloc[:0]).figure)  # type: ignore[arg-type]


def test_large_clouds_are_rasterised_and_small_ones_are_not() -> None:
    large, _ = table(20_000)
    assert any(cloud.get_rasterized() for cloud in plots.plot_ma(large).collections)
    assert not any(cloud.get_rasterized() for cloud in plots.plot_ma(RESULTS).collections)


def test_coverage_is_stated() -> None:
    ax = plots.plot_truth([0, 0, 0, 0], [-1, -1, -1, 1], [1, 1, 1, 2], [0, 0.5, -0.5, 0])
    assert ax.get_title() == "75.0 % of 4 intervals hold the truth"


def test_nothing_called_and_nothing_answered_still_draw() -> None:
    quiet = RESULTS.assign(qvalue=0.9)
    draw(plots.plot_ma(quiet).figure)  # type: ignore[arg-type]
    empty = RESULTS.assign(lfsr=np.nan)
    for function in (plots.plot_ma, plots.plot_volcano):
        draw(function(empty).figure)  # type: ignore[arg-type]
    draw(plots.plot_pca(np.zeros((1, 3)), ["one"]).figure)  # type: ignore[arg-type]
    draw(plots.plot_library_sizes(["a"], [0]).figure)  # type: ignore[arg-type]
    frame = pd.DataFrame(columns=RESULTS.columns)
    draw(plots.plot_ma(frame.astype({"qvalue": float, "baseMean": float, "log2FoldChange": float})).figure)  # type: ignore[arg-type]
