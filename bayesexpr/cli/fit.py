"""``bayesexpr fit`` and ``bayesexpr quant``: any program of the ladder, and transcripts from ambiguous fragments."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from bayesexpr.cli.options import model_options, read_priors, read_settings, sampler_options

METHODS = ("nuts", "pathfinder", "laplace", "advi", "exact")


@click.command()
@click.argument("model")
@click.argument("data", type=click.Path(path_type=Path))
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path), help="Folder of the run.")
@click.option("--method", type=click.Choice(METHODS), default="nuts", show_default=True)
@click.option("--thin", type=click.IntRange(1), default=1, show_default=True, help="Keep every so many draws.")
@click.option(
    "--prior-draws", type=click.IntRange(0), default=0, show_default=True, help="Simulations of prior and outcome."
)
@model_options
@sampler_options(warmup=1000, draws=1000)
def fit(
    model: str,
    data: Path,
    output: Path,
    method: str,
    thin: int,
    prior_draws: int,
    settings: Sequence[str],
    priors: Sequence[str],
    chains: int,
    warmup: int,
    draws: int,
    seed: int,
    cores: int | None,
    quiet: bool,
) -> None:
    """Fit the program MODEL to DATA, a JSON file with the keys that `bayesexpr models` lists."""
    from bayesexpr.fitting import fit as run
    from bayesexpr.progress import Silent, Terminal
    from bayesexpr.run import check_replaceable

    check_replaceable(output)
    made = run(
        model,
        data,
        options=read_settings(settings),
        prior=read_priors(priors),
        method=method,
        chains=chains,
        warmup=warmup,
        draws=draws,
        seed=seed,
        cores=cores,
        thin=thin,
        prior_draws=prior_draws,
        progress=Silent() if quiet else Terminal(chains),
        output_dir=output,
    )
    click.echo(made.summary().head(20).to_string())
    click.echo(made.diagnose().summary)
    click.echo(f"run: {output}")
    click.echo(f"report: {made.report(output / 'report.html')}")


@click.command()
@click.argument("eq_classes", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path), help="Folder of the run.")
@click.option(
    "--lengths", type=click.Path(path_type=Path), help="Table of effective lengths, if not beside the classes."
)
@click.option("--ci", default=0.95, show_default=True, help="Probability inside the intervals.")
@click.option("--method", type=click.Choice(METHODS[:-1]), default="nuts", show_default=True)
@click.option("--thin", type=click.IntRange(1), default=1, show_default=True, help="Keep every so many draws.")
@click.option("--sets-only", is_flag=True, help="Fit nothing: say which transcripts the data can tell apart.")
@model_options
@sampler_options(warmup=500, draws=1000)
def quant(
    eq_classes: Sequence[Path],
    output: Path,
    lengths: Path | None,
    ci: float,
    method: str,
    thin: int,
    sets_only: bool,
    settings: Sequence[str],
    priors: Sequence[str],
    chains: int,
    warmup: int,
    draws: int,
    seed: int,
    cores: int | None,
    quiet: bool,
) -> None:
    """Transcript abundances with their uncertainty from EQ_CLASSES: salmon or kallisto output, one per sample."""
    from bayesexpr.progress import Silent, Terminal
    from bayesexpr.quant import quantify, tell_apart
    from bayesexpr.run import check_replaceable

    check_replaceable(output)
    if sets_only:
        table = tell_apart(list(eq_classes), lengths=lengths, output_dir=output)
        for sample, rows in table.groupby("sample", sort=False):
            loose = rows[~rows["identifiable"]]
            click.echo(f"{sample}: {len(rows) - len(loose)} transcripts of {len(rows)} can be told apart.")
            click.echo(f"{sample}: the others form {loose['set'].nunique()} sets.")
        click.echo(f"run: {output}")
        return
    found = quantify(
        list(eq_classes),
        lengths=lengths,
        options=read_settings(settings),
        prior=read_priors(priors),
        method=method,
        chains=chains,
        warmup=warmup,
        draws=draws,
        seed=seed,
        cores=cores,
        thin=thin,
        ci=ci,
        progress=Silent() if quiet else Terminal(chains),
        output_dir=output,
    )
    for sample, made in found.fits.items():
        click.echo(f"{sample}: {made.diagnose().summary}")
    for status, number in found.table["status"].value_counts().items():
        click.echo(f"{status}: {number} transcripts")
    click.echo(f"run: {output}")
