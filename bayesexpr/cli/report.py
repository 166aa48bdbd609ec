"""``bayesexpr report``: the report of a finished run or campaign, as a page and as an executed notebook."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from bayesexpr.errors import InputError
from bayesexpr.report.notebook import TIMEOUT, notebook_report


@click.command()
@click.argument("folder", metavar="RUN|CAMPAIGN", type=click.Path(path_type=Path))
@click.option("-o", "--output", type=click.Path(path_type=Path), help="HTML file [default: report.html in the folder].")
@click.option("--contrast", "contrasts", multiple=True, metavar="FACTOR,LEVEL,REFERENCE", help="As in `bayesexpr de`.")
@click.option("--lfc", type=float, help="log2 fold change t of prob_gt [default: as the run was made].")
@click.option("--timeout", default=TIMEOUT, show_default=True, help="Seconds that a cell of the notebook may take.")
def report(folder: Path, output: Path | None, contrasts: tuple[str, ...], lfc: float | None, timeout: float) -> None:
    """Write the report of RUN, of the contrasts it was made with or of others, or that of CAMPAIGN.

    A notebook is executed and kept beside the page; nothing is fitted again.
    """
    name, parameters = _notebook_of(folder, contrasts, lfc)
    for file in notebook_report(name, parameters, output or folder / "report.html", timeout=timeout):
        click.echo(file)


def _notebook_of(folder: Path, contrasts: tuple[str, ...], lfc: float | None) -> tuple[str, dict[str, Any]]:
    """Name the notebook of a folder, with its parameters; a folder that is not whole is refused before it runs."""
    from bayesexpr.calibration import load as load_campaign
    from bayesexpr.fitting import load as load_run

    if (folder / "campaign.json").is_file():
        if contrasts or lfc is not None:
            raise InputError(f"{str(folder)!r} is a campaign: it has no contrasts and no --lfc.")
        load_campaign(folder)
        return "calibration_report", {"CAMPAIGN": str(folder)}
    load_run(folder)
    asked = {"CONTRASTS": list(contrasts)} | ({} if lfc is None else {"LFC": lfc})
    return "posterior_report", {"RUN": str(folder), **asked}
