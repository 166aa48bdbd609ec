"""``bayesexpr de``: counts in, a table of genes with their posterior effects and a report out."""

from __future__ import annotations

import shlex
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bayesexpr.cli.options import model_options, read_priors, read_settings, sampler_options
from bayesexpr.errors import InputError
from bayesexpr.names import METHODS, STARTS

if TYPE_CHECKING:
    from bayesexpr.data.counts import CountData
    from bayesexpr.effect import Effect


@click.command()
@click.argument("counts", type=click.Path(path_type=Path))
@click.argument("samples", type=click.Path(path_type=Path))
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path), help="Folder of the run.")
@click.option("--design", required=True, help='Formula, such as "~ batch + condition".')
@click.option(
    "--contrast",
    "contrasts",
    multiple=True,
    required=True,
    metavar="FACTOR,LEVEL,REFERENCE",
    help="What to compare; may be given several times. Also a numeric column or a coefficient.",
)
@click.option("--tested", help="Term whose effect may be exactly zero [default: that of the first contrast].")
@click.option("--lfc", default=1.0, show_default=True, help="log2 fold change t of prob_gt, P(|LFC| > t).")
@click.option("--rope", type=float, help="Largest log2 fold change that counts as none [default: log2 1.1].")
@click.option("--ci", default=0.95, show_default=True, help="Probability inside the intervals.")
@click.option(
    "--method",
    type=click.Choice(METHODS),
    default="auto",
    show_default=True,
    help="nuts: Stan's; blocked: the same posterior in less time; eb: an approximation in seconds; auto: by size.",
)
@click.option(
    "--starts",
    type=click.Choice(STARTS),
    default=STARTS[0],
    show_default=True,
    help="Where chains start: overdispersed tests that they forget it, and needs a longer --warmup.",
)
@click.option("--scheduler", metavar="ADDRESS", help="Dask scheduler whose workers sample the genes (method eb).")
@click.option("--lengths", type=click.Path(path_type=Path), help="Effective lengths, per gene or gene x sample.")
@click.option(
    "--tx2gene", type=click.Path(path_type=Path), help="Transcript and gene, for salmon and kallisto folders."
)
@click.option("--layer", help="Layer of an .h5ad file that holds raw counts.")
@click.option(
    "--strand",
    type=click.Choice(("unstranded", "forward", "reverse")),
    default="unstranded",
    help="Column of STAR's ReadsPerGene files.",
)
@click.option("--size-factors", default="median_of_ratios", show_default=True, help="Method, or a file.")
@click.option("--truth", type=click.Path(path_type=Path), help="Known log2 fold changes (gene, true_log2fc) to show.")
@model_options
@sampler_options(warmup=200, draws=1000)
@click.option("--strict", is_flag=True, help="Exit with 4 where the fit is not trustworthy.")
def de(
    counts: Path,
    samples: Path,
    output: Path,
    design: str,
    contrasts: Sequence[str],
    tested: str | None,
    lfc: float,
    rope: float | None,
    ci: float,
    method: str,
    starts: str,
    scheduler: str | None,
    lengths: Path | None,
    tx2gene: Path | None,
    layer: str | None,
    strand: str,
    size_factors: str,
    truth: Path | None,
    settings: Sequence[str],
    priors: Sequence[str],
    chains: int,
    warmup: int,
    draws: int,
    seed: int,
    cores: int | None,
    quiet: bool,
    strict: bool,
) -> int:
    """Differential expression of COUNTS (any common format) with the sample table SAMPLES."""
    from bayesexpr.data.design import build_design
    from bayesexpr.data.readers import read_counts
    from bayesexpr.de import fit_de
    from bayesexpr.de_fit import TRUTH
    from bayesexpr.de_sampling import DESettings
    from bayesexpr.effect import check_thresholds
    from bayesexpr.progress import Silent, Terminal
    from bayesexpr.run import write_run

    began = time.monotonic()
    check_thresholds(lfc, rope, ci)
    options, prior = read_settings(settings), read_priors(priors)
    data = read_counts(counts, samples=samples, lengths=lengths, tx2gene=tx2gene, strand=strand, layer=layer)
    plan = build_design(design, data.sample_table)
    asked = [plan.contrast(text) for text in contrasts]  # a mistake is found before anything is fitted
    known, factors = read_truth(truth), _size_factors(size_factors, data)
    term = tested or _term_of(plan, contrasts[0])
    fit_settings = DESettings(chains=chains, warmup=warmup, draws=draws, seed=seed, starts=starts)
    fit_settings = fit_settings if cores is None else replace(fit_settings, cores=cores)
    with write_run(output) as part:
        fit = fit_de(
            data,
            design,
            tested=term,
            size_factors=factors,
            options=options,
            prior=prior,
            method=method,
            scheduler=scheduler,
            settings=fit_settings,
            progress=Silent() if quiet else Terminal(chains),
            folder=part,
        )
        thresholds: dict[str, Any] = {"lfc_threshold": lfc, "rope": rope, "ci": ci}
        effects = [fit.contrast(text, **thresholds, threads=fit_settings.cores) for text in contrasts]
        command = shlex.join(["bayesexpr", *sys.argv[1:]])
        fit = fit.with_command(command, list(contrasts), thresholds, time.monotonic() - began)
        fit.write_record(part)
        for effect in effects:
            effect.table.to_csv(part / (_file_name(effect, len(asked))), index=False)
        if known is not None:
            known.to_csv(part / TRUTH, index=False)
        fit.report(part / "report.html", effects, truth=known)
    _say(fit, effects, output, len(asked))
    return 4 if strict and not fit.verdict.passed else 0


def _term_of(plan: Any, contrast: str) -> str | None:
    """Name the term that a contrast asks about; None (the last of the formula) where it is no main effect."""
    factor = contrast.split(",")[0].strip()
    return factor if factor in plan.terms else None


def _size_factors(given: str, data: CountData) -> Any:
    from bayesexpr.data.size_factors import METHODS, read_size_factors

    return given if given in METHODS or not Path(given).is_file() else read_size_factors(given, data.samples)


def read_truth(path: Path | None) -> Any:
    """Read known log2 fold changes; None where no file is given."""
    import pandas as pd

    if path is None:
        return None
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False)
    except (OSError, ValueError) as error:
        raise InputError(f"the truth {str(path)!r} cannot be read: {error}.") from None
    if not {"gene", "true_log2fc"} <= set(table.columns):
        raise InputError(f"the truth has columns gene and true_log2fc; {str(path)!r} has {list(table.columns)}.")
    values = pd.to_numeric(table["true_log2fc"], errors="coerce")
    wrong = table[~values.abs().lt(float("inf")) | table["gene"].duplicated()]
    if len(wrong):
        gene, value = wrong.iloc[0][["gene", "true_log2fc"]]
        raise InputError(f"the truth has one finite number per gene; {str(path)!r} has {value!r} for gene {gene!r}.")
    return table.assign(true_log2fc=values)


def _file_name(effect: Effect, number: int) -> str:
    return "results.csv" if number == 1 else f"results_{effect.name}.csv"


def _say(fit: Any, effects: Sequence[Effect], output: Path, number: int) -> None:
    counts = ", ".join(f"{n} {status}" for status, n in sorted(fit.verdict.status_counts.items()))
    click.echo(fit.verdict.summary)
    click.echo(f"genes: {counts}")
    for effect in effects:
        chosen = effect.calls()
        click.echo(f"{effect.contrast.label}: {chosen.count} genes changed ({chosen.rule})")
        if chosen.warning:
            click.echo(f"  {chosen.warning}")
        click.echo(f"  table: {output / _file_name(effect, number)}")
    click.echo(f"report: {output / 'report.html'}")
