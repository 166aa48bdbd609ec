"""``bayesexpr report``: the HTML report of a finished run."""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.option("-o", "--output", type=click.Path(path_type=Path), help="HTML file [default: RUN/report.html].")
@click.option("--contrast", "contrasts", multiple=True, metavar="FACTOR,LEVEL,REFERENCE", help="As in `bayesexpr de`.")
@click.option("--lfc", default=1.0, show_default=True, help="log2 fold change t of prob_gt, P(|LFC| > t).")
def report(run: Path, output: Path | None, contrasts: tuple[str, ...], lfc: float) -> None:
    """Write the report of RUN, of the contrasts it was made with or of others: nothing is fitted again."""
    from bayesexpr.de_fit import load

    fit = load(run)
    asked = contrasts or tuple(fit.record.get("contrasts", ()))
    effects = [fit.contrast(text, lfc_threshold=lfc) for text in asked] or None
    click.echo(fit.report(output or run / "report.html", effects))
