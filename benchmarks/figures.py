"""Draw the README's figure from a finished demo: ``python benchmarks/figures.py demo-run``."""

from __future__ import annotations

import sys
from pathlib import Path

import pandas as pd


def main(demo: Path) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    from bayesexpr import plots

    table = pd.read_csv(demo / "run" / "results.csv")
    truth = pd.read_csv(demo / "simulated_donors" / "truth.csv.gz").set_index("gene")["true_log2fc"]
    answered = table[table["status"] != "all_zero"]
    figure = Figure(figsize=(11, 4.6), layout="constrained")
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2)
    plots.plot_truth(
        answered["log2FoldChange"],
        answered["ci_lower"],
        answered["ci_upper"],
        truth.reindex(answered["gene"]).to_numpy(),
        ax=left,
    )
    plots.plot_volcano(table, ax=right)
    target = Path(__file__).resolve().parents[1] / "docs" / "demo.png"
    target.parent.mkdir(exist_ok=True)
    figure.savefig(target, dpi=110)
    print(target)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
