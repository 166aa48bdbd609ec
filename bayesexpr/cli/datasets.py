"""``bayesexpr datasets``: data to try things on."""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.argument("name", required=False)
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), default=Path(), help="Where to put it [default: here]."
)
def datasets(name: str | None, output: Path) -> None:
    """List the data sets, or bring the one called NAME."""
    from bayesexpr.datasets import DATASETS, bring

    if name is None:
        for one in DATASETS.values():
            click.echo(f"{one.name}: {one.what}")
        return
    folder = bring(name, output)
    chosen = DATASETS[name]
    click.echo(f"{folder}")
    click.echo(
        f'bayesexpr de {folder}/counts.csv.gz {folder}/samples.csv -o run --design "{chosen.design}" '
        f"--contrast {chosen.contrast}"
    )
