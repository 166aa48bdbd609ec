"""``bayesexpr sbc``: calibration of a program by simulation."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from bayesexpr.cli.options import model_options, read_priors, read_settings

METHODS = ("nuts", "pathfinder", "laplace", "advi", "exact", "blocked")


@click.command()
@click.argument("model")
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path), help="Folder of the campaign.")
@click.option("--simulations", type=click.IntRange(1), required=True, help="Simulated data sets.")
@click.option("--scenario", type=click.Path(path_type=Path), help="JSON file of sizes, designs and lengths.")
@click.option("--method", type=click.Choice(METHODS), default="nuts", show_default=True)
@click.option("--seed", type=click.IntRange(1, 2**31 - 1), default=1, show_default=True)
@click.option("--workers", type=click.IntRange(1), default=1, show_default=True, help="Processes at once.")
@click.option("--scheduler", metavar="ADDRESS", help="Of a Dask cluster to run on, instead of --workers.")
@click.option("--replay", type=click.IntRange(0), metavar="NUMBER", help="Run this one simulation again, and tell all.")
@click.option("--quiet", is_flag=True, help="No progress.")
@model_options
def sbc(
    model: str,
    output: Path,
    simulations: int,
    scenario: Path | None,
    method: str,
    seed: int,
    workers: int,
    scheduler: str | None,
    replay: int | None,
    quiet: bool,
    settings: Sequence[str],
    priors: Sequence[str],
) -> int:
    """Simulation-based calibration of MODEL; run again with the same folder it resumes."""
    from bayesexpr.calibration import sbc as run
    from bayesexpr.data.json_data import read_json
    from bayesexpr.errors import OptionError

    if scheduler is not None and workers > 1:
        raise OptionError("give --workers (processes here) or --scheduler (a cluster's), not both.")
    what: dict[str, Any] = {
        "scenario": None if scenario is None else read_json(scenario),
        "options": read_settings(settings),
        "prior": read_priors(priors),
        "method": method,
    }
    if replay is not None:
        return _replay(model, what, replay, seed)
    progress = None if quiet else _tell
    campaign = run(
        model,
        simulations=simulations,
        seed=seed,
        folder=output,
        workers=workers,
        scheduler=scheduler,
        progress=progress,
        **what,
    )
    click.echo(str(campaign.verdict))
    click.echo(f"campaign: {output}")
    return 0 if campaign.verdict.status == "PASS" else 3


def _replay(model: str, what: dict[str, Any], number: int, seed: int) -> int:
    """Print the row of one simulation, or the reason for which it failed."""
    from bayesexpr.calibration import plan
    from bayesexpr.calibration import replay as run_again

    row = run_again(*plan(model, **what), number, seed=seed)
    click.echo(json.dumps({name: value for name, value in row.items() if name != "decisions"}))
    return 3 if "reason" in row else 0


def _tell(progress: object) -> None:
    print(f"\r{progress}", end="", file=sys.stderr, flush=True)
