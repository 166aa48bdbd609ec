"""``bayesexpr sbc``: calibration of a program, or of the design of a finished run, by simulation."""

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
@click.argument("model", metavar="MODEL|RUN")
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), help="Folder of the campaign; of a RUN by default RUN/sbc."
)
@click.option("--simulations", type=click.IntRange(1), required=True, help="Simulated data sets.")
@click.option("--scenario", type=click.Path(path_type=Path), help="JSON file of sizes, designs and lengths.")
@click.option("--method", type=click.Choice(METHODS), help="nuts, or that of the run, unless given.")
@click.option("--seed", type=click.IntRange(1, 2**31 - 1), default=1, show_default=True)
@click.option("--workers", type=click.IntRange(1), default=1, show_default=True, help="Processes at once.")
@click.option("--scheduler", metavar="ADDRESS", help="Of a Dask cluster to run on, instead of --workers.")
@click.option("--replay", type=click.IntRange(0), metavar="NUMBER", help="Run this one simulation again, and tell all.")
@click.option("--quiet", is_flag=True, help="No progress.")
@model_options
def sbc(
    model: str,
    output: Path | None,
    simulations: int,
    scenario: Path | None,
    method: str | None,
    seed: int,
    workers: int,
    scheduler: str | None,
    replay: int | None,
    quiet: bool,
    settings: Sequence[str],
    priors: Sequence[str],
) -> int:
    """Simulation-based calibration of MODEL; run again with the same folder it resumes.

    With the folder of a finished RUN, of the run's own program, options, priors and sampler, for studies of its design:
    samples, covariates, size factors and lengths are those of the run; of genes that are replicates of each other there
    are at most 50. `bayesexpr check RUN` then shows it in the certificate. The name of a program is never taken for a
    folder: write ./NAME for a folder that is called as one.
    """
    from bayesexpr.calibration import sbc as run
    from bayesexpr.calibration.matched_campaign import INSIDE
    from bayesexpr.data.json_data import read_json
    from bayesexpr.errors import OptionError
    from bayesexpr.fitting import load
    from bayesexpr.models import registry

    if scheduler is not None and workers > 1:
        raise OptionError("give --workers (processes here) or --scheduler (a cluster's), not both.")
    what: dict[str, Any] = {
        "scenario": None if scenario is None else read_json(scenario),
        "options": read_settings(settings),
        "prior": read_priors(priors),
        "method": method,
    }
    fitted = model not in registry.names() and Path(model).is_dir()
    subject = load(model) if fitted else model
    if replay is not None:
        return _replay(subject, what, replay, seed)
    if output is None and not fitted:
        raise OptionError("a campaign of a program needs a folder: -o CAMPAIGN.")
    folder = output or Path(model) / INSIDE
    progress = None if quiet else _tell
    campaign = run(
        subject,
        simulations=simulations,
        seed=seed,
        folder=folder,
        workers=workers,
        scheduler=scheduler,
        progress=progress,
        **what,
    )
    click.echo(str(campaign.verdict))
    click.echo(f"campaign: {folder}")
    if fitted:
        click.echo(f"in the certificate: bayesexpr check {model}" + (f" --campaign {output}" if output else ""))
    return 0 if campaign.verdict.status == "PASS" else 3


def _replay(subject: Any, what: dict[str, Any], number: int, seed: int) -> int:
    """Print the row of one simulation, or the reason for which it failed."""
    from bayesexpr.calibration import plan
    from bayesexpr.calibration import replay as run_again

    row = run_again(*plan(subject, **what), number, seed=seed)
    click.echo(json.dumps({name: value for name, value in row.items() if name != "decisions"}))
    return 3 if "reason" in row else 0


def _tell(progress: object) -> None:
    print(f"\r{progress}", end="", file=sys.stderr, flush=True)
