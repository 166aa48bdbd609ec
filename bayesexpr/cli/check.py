"""``bayesexpr check``: the certificate of a finished run."""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--truth", type=click.Path(path_type=Path), help="Known log2 fold changes (gene, true_log2fc).")
@click.option(
    "--campaign",
    type=click.Path(path_type=Path),
    help="Calibration of the run's own design, made by `bayesexpr sbc RUN`; RUN/sbc, if there is one.",
)
@click.option("--seed", type=click.IntRange(1, 2**31 - 1), default=1, show_default=True)
@click.option("--quiet", is_flag=True, help="No progress.")
@click.option("--strict", is_flag=True, help="Exit with 4 where the fit is not trustworthy.")
def check(run: Path, truth: Path | None, campaign: Path | None, seed: int, quiet: bool, strict: bool) -> int:
    """Check the fit in RUN: predictive checks, outlying counts, leave-one-out, priors, calibration."""
    from bayesexpr.calibration.certificate import CHECK
    from bayesexpr.calibration.outlying_cells import mark_outliers
    from bayesexpr.cli.de import read_truth
    from bayesexpr.de_fit import DEFit
    from bayesexpr.errors import InputError
    from bayesexpr.fitting import load
    from bayesexpr.progress import Silent, Terminal

    known, fit = read_truth(truth), load(run)
    progress = Silent() if quiet else Terminal(1)
    if isinstance(fit, DEFit):
        certificate = fit.check(seed=seed, truth=known, campaign=campaign, progress=progress)
    elif known is None:
        certificate = fit.check(seed=seed, campaign=campaign, progress=progress)
    else:
        raise InputError(f"--truth is of a differential-expression run; {str(run)!r} is of {fit.model.NAME}.")
    certificate.write(run)
    click.echo(str(certificate))
    marked = mark_outliers(run, set(certificate.outliers["gene"]))
    if marked:
        click.echo(f"status outlier in the results: {marked} more {'gene' if marked == 1 else 'genes'}")
    click.echo(f"check: {run / CHECK}")
    return 4 if strict and not certificate.passed else 0
