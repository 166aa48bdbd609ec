"""The figure of samplers: what processor time buys."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from targets import CHAPTER_GENES

CHAPTER = {"published": "published program", "ours": "ours"}


def draw(record: dict[str, Any], target: Path, title: str) -> None:
    """Draw effective draws per processor second of every sampler, of the least sure quantity of all.

    Parameters
    ----------
    record
        Of peers.py.
    target
        The image.
    title
        Of the first panel, on the same model; the second is on the published one.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    labels = {
        "numpyro": "NumPyro",
        "nutpie": "PyMC + nutpie",
        "stan": "plain Stan",
        "nuts": "nuts",
        "blocked": "blocked",
    }
    labels |= {
        f"{who}_{genes}": f"{words}, {genes:,} genes" for genes in CHAPTER_GENES for who, words in CHAPTER.items()
    }
    figure = Figure(figsize=(11, 3.6), layout="constrained")
    FigureCanvasAgg(figure)
    titles = {"same_model": title, "chapter": "the published model"}
    for panel, (section, words) in zip(figure.subplots(1, 2), titles.items(), strict=True):
        found = {k: v for k, v in record.get(section, {}).items() if "ess_per_cpu_second" in v}
        ours = [name in ("nuts", "blocked") or name.startswith("ours") for name in found]
        heights = [one["ess_per_cpu_second"] for one in found.values()]
        bars = panel.barh(
            [labels[name] for name in found], heights, color=["#0072b2" if mine else "#999999" for mine in ours]
        )
        panel.bar_label(bars, [f"{value:,.0f}" if value >= 100 else f"{value:.3g}" for value in heights], padding=3)
        panel.margins(x=0.2)
        panel.invert_yaxis()
        panel.set_title(words)
        panel.set_xlabel("least effective draws per processor second")
    target.parent.mkdir(exist_ok=True)
    figure.savefig(target, dpi=110)
