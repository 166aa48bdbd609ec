"""What all figures share: axes outside of pyplot, colours, names as plain text."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import LogFormatterSciNotation, MaxNLocator
from numpy.typing import ArrayLike, NDArray

BLUE, VERMILLION, GREEN, ORANGE, SKY, PURPLE = "#0072B2", "#D55E00", "#009E73", "#E69F00", "#56B4E9", "#CC79A7"
GREY, INK = "#9A9A9A", "#222222"
GROUPS = (BLUE, VERMILLION, GREEN, ORANGE, PURPLE, SKY)
MARKERS = ("o", "^", "s", "D", "v", "P")

MANY = 1500  # points beyond which a cloud is rasterised
_LABEL_SIZE = 7.5
_RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
_NAME = 22  # characters of a name that are drawn


def new_axes(width: float = 5.2, height: float = 4.0) -> Axes:
    """Axes on a figure of their own (inches), outside of pyplot's list of figures."""
    return new_figure(width, height).add_subplot()


def new_figure(width: float, height: float) -> Figure:
    """Make a figure (inches) outside of pyplot's list of figures."""
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def cloud(ax: Axes, x: ArrayLike, y: ArrayLike, color: str, label: str, marker: str, size: float) -> None:
    """Scatter points; many of them are rasterised and more transparent."""
    many = len(np.asarray(x)) > MANY
    alpha = 0.35 if many else 0.75
    ax.scatter(
        x, y, s=size, c=color, marker=marker, alpha=alpha, linewidths=0, label=label, rasterized=many or None, zorder=2
    )


def write(
    ax: Axes, name: object, place: Sequence[float] | NDArray[Any], offset: tuple[int, int] = (4, 3), align: str = "left"
) -> None:
    """Write a name beside a point; `offset` in points."""
    ax.annotate(
        plain(name),
        (place[0], place[1]),
        offset,
        textcoords="offset points",
        horizontalalignment=align,
        fontsize=_LABEL_SIZE,
        color=INK,
        parse_math=False,
    )


def write_apart(ax: Axes, names: Sequence[object] | NDArray[Any], x: ArrayLike, y: ArrayLike) -> None:
    """Write names beside points, the first ones first; one that would lie on another is left out."""
    ax.autoscale_view()  # limits are otherwise set only when the figure is drawn
    figure = ax.figure.get_figure(root=True)
    inches = figure.get_size_inches() if figure else np.array([5.0, 4.0])
    size = 72 * inches * ax.get_position().size  # of the axes, in points, before the layout is made: near enough
    places = ax.transAxes.inverted().transform(ax.transData.transform(np.column_stack((x, y)))) * size
    taken: list[tuple[float, float, float, float]] = []
    for name, place, point in zip(names, places, np.column_stack((x, y)), strict=True):
        width, height = 0.62 * _LABEL_SIZE * len(plain(name)), 1.15 * _LABEL_SIZE
        for align, rise in (("left", 3), ("right", 3), ("left", -3 - height), ("right", -3 - height)):
            left = place[0] + 4 if align == "left" else place[0] - 4 - width
            box = (left, place[1] + rise, left + width, place[1] + rise + height)
            inside = left >= 0 and box[2] <= size[0] and box[1] >= 0
            if inside and all(box[2] < b[0] or b[2] < box[0] or box[3] < b[1] or b[3] < box[1] for b in taken):
                taken.append(box)
                write(ax, name, point, (4 if align == "left" else -4, round(rise)), align)
                break


def group_members(groups: Sequence[str] | None, size: int) -> list[tuple[str, NDArray[np.intp]]]:
    """List groups in the order of their first sample, each with the places of its samples."""
    if groups is None:
        return [("", np.arange(size))]
    values = np.asarray([str(group) for group in groups], dtype=object)
    return [(name, np.flatnonzero(values == name)) for name in dict.fromkeys(values)]


def plain(name: object) -> str:
    """Make a name fit to draw: one line, no control characters, not longer than a label may be."""
    text = "".join(c if c.isprintable() else " " for c in str(name)).strip()
    return text if len(text) <= _NAME else text[: _NAME - 1] + "…"


def tick_names(ax: Axes, places: ArrayLike, names: Sequence[object]) -> None:
    """Name the places of the vertical axis."""
    ax.yaxis.set_ticks(np.asarray(places), [plain(name) for name in names])
    for text in ax.yaxis.get_ticklabels():
        text.set_parse_math(False)


class Powers(LogFormatterSciNotation):
    """Powers of ten in plain text: as formulas they would take longer to draw than the points."""

    def __call__(self, x: float, pos: int | None = None) -> str:
        """Return the label of a tick."""
        formula = super().__call__(x, pos).removeprefix("$\\mathdefault{").removesuffix("}$")
        return re.sub(r"\^\{(-?\d+)\}", lambda found: found[1].translate(_RAISED), formula.replace("\\times", "×"))


def log_axis(ax: Axes, axis: str) -> None:
    """Make an axis logarithmic where anything positive is drawn on it: without data it would have no ticks."""
    limits = ax.dataLim.minposx if axis == "x" else ax.dataLim.minposy
    if np.isfinite(limits):
        (ax.set_xscale if axis == "x" else ax.set_yscale)("log")
        one = ax.xaxis if axis == "x" else ax.yaxis
        one.set_major_formatter(Powers())
        one.set_minor_formatter(Powers(labelOnlyBase=False))


def finish(ax: Axes, x_label: str, y_label: str) -> None:
    """Label the axes and take the frame away."""
    ax.set_xlabel(x_label)
    ax.set_ylabel(y_label)
    ax.spines[["top", "right"]].set_visible(False)
    if ax.get_xscale() == "linear":
        ax.xaxis.set_major_locator(MaxNLocator(6))


def legend(ax: Axes, *, above: bool = False, place: str = "best", marker_scale: float = 1.6) -> None:
    """Add a legend whose texts are not read as formulas: above the axes, or at a place inside."""
    where = {"loc": "lower left", "bbox_to_anchor": (0, 1), "ncols": 3} if above else {"loc": place}
    box = ax.legend(fontsize=8, frameon=True, framealpha=0.85, edgecolor="none", markerscale=marker_scale, **where)
    for text in box.get_texts():
        text.set_parse_math(False)
