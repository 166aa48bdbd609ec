"""A fitted differential-expression study: asked for contrasts, saved, loaded, reported."""

from __future__ import annotations

import resource
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bayesexpr.data.counts import CountData
from bayesexpr.data.design import Design
from bayesexpr.effect import Effect, check_thresholds, compute_effect, exceedance_of, variance_of
from bayesexpr.errors import InputError
from bayesexpr.names import GENE
from bayesexpr.posterior.store import POSTERIOR, open_tree
from bayesexpr.posterior.verdict import Verdict
from bayesexpr.run import write_run

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr
    from matplotlib.axes import Axes

    from bayesexpr.calibration.certificate import Certificate
    from bayesexpr.progress import Progress
    from bayesexpr.report import Report

TRUTH = "truth.csv"


@dataclass(frozen=True, eq=False)
class DEFit:
    """The posterior of a study, with what it was made from.

    Attributes
    ----------
    folder
        Where the posterior is; :meth:`save` copies it elsewhere.
    data, design
        The study and its design.
    genes
        One row per gene of the study: mean normalised count, dispersion, diagnostics, status, whether it was fitted.
    verdict
        Whether the fit can be trusted, in words.
    diagnostics
        Numbers behind the verdict.
    record
        What ``run.json`` says: program, settings, seeds, versions, digests, timings.
    warnings
        Sentences that the reader of a result should know.
    """

    folder: Path
    data: CountData
    design: Design
    genes: pd.DataFrame
    verdict: Verdict
    diagnostics: Mapping[str, Any]
    record: Mapping[str, Any]
    warnings: tuple[str, ...] = ()
    keeper: Any = field(default=None, repr=False)

    @cached_property
    def posterior(self) -> xr.DataTree:
        """Draws in ArviZ's schema, read lazily: groups posterior, sample_stats, observed_data, constant_data."""
        return open_tree(self.folder / POSTERIOR)

    @cached_property
    def unchanged(self) -> float | None:
        """Posterior mean of the share of genes whose tested effect is exactly zero; None without a spike."""
        group = self.posterior["posterior"]
        return float(group["weight"].isel(component=0).mean()) if "weight" in group else None

    @cached_property
    def projectors(self) -> Any:
        """Projectors [C, K, K] of the components of the tested effect."""
        return np.asarray(self.posterior["constant_data"]["projector"])

    @cached_property
    def size_factors(self) -> Any:
        """Posterior mean [S] of the size factors."""
        return np.exp(np.asarray(self.posterior["posterior"]["log_f"])).mean(axis=(0, 1))

    @cached_property
    def shared(self) -> xr.Dataset:
        """Draws of the parameters that all genes share."""
        group = self.posterior["posterior"].to_dataset()
        return group[sorted(str(name) for name, values in group.data_vars.items() if GENE not in values.dims)]

    def contrast(
        self,
        factor: str | Sequence[str] | Mapping[str, float],
        level: str | None = None,
        reference: str | None = None,
        *,
        lfc_threshold: float = 1.0,
        rope: float | None = None,
        ci: float = 0.95,
        threads: int = 1,
    ) -> Effect:
        """Ask the posterior for a contrast; nothing is fitted again.

        Parameters
        ----------
        factor, level, reference
            ``("dex", "trt", "untrt")``, the name of a numeric column or of a coefficient, or weights on coefficients:
            see :meth:`bayesexpr.data.design.Design.contrast`.
        lfc_threshold
            log2 fold change of ``prob_gt``, P(|LFC| > lfc_threshold).
        rope
            Largest log2 fold change that counts as no change; log2 1.1 unless given.
        ci
            Probability inside the intervals.

        Raises
        ------
        DesignError
            There is no such factor, level or coefficient.
        InputError
            A threshold is negative, or `ci` is not between 0 and 1.
        """
        check_thresholds(lfc_threshold, rope, ci)
        spec = factor if level is None else (str(factor), level, str(reference))
        return compute_effect(
            self.folder / POSTERIOR,
            self.genes,
            self.design,
            self.projectors,
            self.design.contrast(spec),
            lfc_threshold=lfc_threshold,
            rope=rope,
            ci=ci,
            unchanged=self.unchanged,
            threads=threads,
        )

    def diagnose(self) -> Verdict:
        """Return the verdict; its ``summary`` is one line."""
        return self.verdict

    def variance_split(self, effect: Effect) -> pd.DataFrame:
        """Split the variance of every gene's log2 fold change: biology, read assignment, sampling, normalisation.

        One row per gene, missing where it was not fitted; read assignment is missing throughout where the data have
        no inferential replicates. The formulas are in :mod:`bayesexpr.posterior.variance_split`.
        """
        return variance_of(self, effect)

    def check(
        self,
        *,
        seed: int = 1,
        truth: pd.DataFrame | None = None,
        campaign: str | Path | None = None,
        progress: Progress | None = None,
    ) -> Certificate:
        """Check the fit: predictive checks, outlying counts, leave-one-out, prior sensitivity, calibration.

        Parameters
        ----------
        seed
            Of everything random in the checks.
        truth
            Columns ``gene`` and ``true_log2fc``, known for the first contrast of a simulated study; what the run was
            given by default.
        campaign
            CAMPAIGN folder of this very design and program, made by ``bx.calibration.sbc(fit, ...)``; by default that
            in the RUN folder, if there is one, else the committed record of the program is shown.
        progress
            Told where the check is.

        Returns
        -------
        Certificate
            Its ``summary`` is the verdict with the weakest point; ``write(run)`` adds it to a RUN folder.

        Raises
        ------
        InputError
            `campaign` is none, or of another design, program, option or prior.
        """
        from bayesexpr.calibration.checking import check_study

        known = self.truth if truth is None else truth
        return check_study(self, seed=seed, truth=known, campaign=campaign, progress=progress)

    def to_datatree(
        self, *groups: str, genes: Sequence[str] | None = None, seed: int = 1, prior_draws: int = 500
    ) -> xr.DataTree:
        """Return the posterior of some genes in memory, with groups that are computed from it: ready for ArviZ.

        Parameters
        ----------
        groups
            ``log_likelihood`` and ``posterior_predictive``, from the draws; ``prior`` and ``prior_predictive``, by the
            simulator: parameters from the prior, and in the same draw the counts of so many genes. The log likelihood
            is that of a count given the draw and the gene's other counts, whose component is summed out, as
            leave-one-out needs it; many of its Pareto k-hats will be bad, and :meth:`check` integrates instead.
        genes
            Names; all fitted genes unless given.
        seed
            Of the replicates and the simulator.
        prior_draws
            Simulations.

        Raises
        ------
        InputError
            There is no such group or gene, or a group would have more than 50 million numbers.
        """
        from bayesexpr.de_groups import datatree

        return datatree(self, groups, genes, seed, prior_draws)

    def plot_ppc(self, gene: str, ax: Axes | None = None, seed: int = 1) -> Axes:
        """Plot the counts of one gene over what the fitted model predicts for each sample.

        Raises
        ------
        InputError
            There is no such gene, or it was not fitted.
        """
        from bayesexpr import check_plots
        from bayesexpr.calibration.fitted_study import replicates_of_gene

        counts, replicated = replicates_of_gene(self, gene, np.random.default_rng(seed))
        return check_plots.plot_ppc(counts, replicated, self.data.samples, title=gene, ax=ax)

    def plot_exceedance(self, effect: Effect, genes: Sequence[str] | None = None, ax: Axes | None = None) -> Axes:
        """Plot P(|log2 fold change| > t) against t, of `genes` or of the six called ones with the largest effects.

        Raises
        ------
        InputError
            There is no such gene, or it was not fitted.
        """
        from bayesexpr import plots
        from bayesexpr.report import top_genes

        table = effect.table
        rows = top_genes(table, effect.calls().called, 6) if genes is None else table[table["gene"].isin(genes)]
        absent = set(genes or ()) - set(rows["gene"][rows["lfsr"].notna()])
        if absent:
            raise InputError(f"a gene that was fitted is needed; {min(absent)!r} is not one.")
        if rows.empty:
            raise InputError("no gene of this fit has an answer: there is nothing to plot.")
        return plots.plot_prob_curve(*exceedance_of(self, effect, rows), ax=ax)

    def plot_variance(self, effect: Effect, ax: Axes | None = None) -> Axes:
        """Plot against the mean count what makes log fold changes unsure; see :meth:`variance_split`."""
        from bayesexpr import plots

        return plots.plot_variance_split(self.genes["baseMean"], self.variance_split(effect), ax=ax)

    def plot_dispersion(self, ax: Axes | None = None) -> Axes:
        """Plot dispersion against mean count of every gene, with the learned trend."""
        from bayesexpr import plots

        posterior, shown = self.posterior["posterior"], self.genes[self.genes["fitted"]]
        mean = np.geomspace(shown["baseMean"].min(), shown["baseMean"].max(), 80)
        if "a0" in posterior:
            trend = float(posterior["a0"].mean()) + float(posterior["a1"].mean()) / mean
        else:
            trend = np.full_like(mean, float(posterior["dispersion"].mean()))
        return plots.plot_dispersion(shown["baseMean"], shown["dispersion"], (mean, trend), ax=ax)

    def plot_trace(self, axes: Sequence[Axes] | None = None) -> Any:
        """Plot the chains of the parameters that all genes share; see :func:`bayesexpr.plots.plot_trace`."""
        from bayesexpr import plots

        return plots.plot_trace(self.shared, axes=axes)

    def plot_rank(self, axes: Sequence[Axes] | None = None) -> Any:
        """Plot how the chains of the shared parameters rank; see :func:`bayesexpr.plots.plot_rank`."""
        from bayesexpr import plots

        return plots.plot_rank(self.shared, axes=axes)

    def plot_energy(self, ax: Axes | None = None) -> Axes:
        """Plot the energy of the chains and its steps.

        Raises
        ------
        InputError
            The method has no energy.
        """
        from bayesexpr import plots

        if self.diagnostics.get("ebfmi") is None:
            raise InputError(f"the chains of method {self.record.get('method')} have no energy; nuts has one.")
        return plots.plot_energy(self.posterior["sample_stats"]["energy"], ax=ax)

    def save(self, folder: str | Path) -> Path:
        """Write a RUN folder; an existing one is replaced only when the new one is whole.

        Returns
        -------
        pathlib.Path
            The folder.
        """
        target = Path(folder)
        with write_run(target) as part:
            shutil.copytree(self.folder / POSTERIOR, part / POSTERIOR)
            if self.truth is not None:
                self.truth.to_csv(part / TRUTH, index=False)
            self.write_record(part)
        return target

    def with_command(
        self, command: str, contrasts: Sequence[str], thresholds: Mapping[str, float | None], seconds: float
    ) -> DEFit:
        """Return the fit with the command that made it, what it asked, and what that took, in its record.

        `thresholds` are the keyword arguments of :meth:`contrast`.
        """
        usage = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
        used = max(one.ru_maxrss for one in usage)
        record = {
            **self.record,
            "command": command,
            "contrasts": list(contrasts),
            "thresholds": dict(thresholds),
            "seconds": {**self.record["seconds"], "total": seconds},
            "cpu_seconds": sum(one.ru_utime + one.ru_stime for one in usage),
            "peak_memory_gb": used / (2**30 if sys.platform == "darwin" else 2**20),
        }
        return replace(self, record=record)

    def write_record(self, folder: Path) -> None:
        """Write everything of a RUN but the draws."""
        from bayesexpr.de_folder import write_study

        write_study(self, folder)

    def asked(self, contrasts: Sequence[str] = (), lfc_threshold: float | None = None) -> list[Effect]:
        """Return the effects of `contrasts`, by default those that the run was made with, at the run's thresholds."""
        limits = dict(self.record.get("thresholds", {}))
        if lfc_threshold is not None:
            limits["lfc_threshold"] = lfc_threshold
        first = str(self.design.column_names[self.design.tested_columns[0]])
        return [self.contrast(text, **limits) for text in contrasts or self.record.get("contrasts") or (first,)]

    @cached_property
    def truth(self) -> pd.DataFrame | None:
        """Columns ``gene`` and ``true_log2fc`` that the run of a simulated study was given; None for others."""
        import pandas as pd

        file = self.folder / TRUTH
        if not file.is_file():
            return None
        return pd.read_csv(file, dtype={"gene": str}, keep_default_na=False)

    def sections(self, contrasts: Sequence[str] = (), lfc_threshold: float | None = None) -> Report:
        """Return the report in sections, for notebooks: summary, asked, trust, changed, sure, again.

        Parameters
        ----------
        contrasts
            As ``"dex,trt,untrt"``; those that the run was made with by default.
        lfc_threshold
            log2 fold change t of P(|LFC| > t); that of the run by default.
        """
        return self._report(self.asked(contrasts, lfc_threshold), None if contrasts else self.truth)

    def report(
        self, path: str | Path, effects: Sequence[Effect] | None = None, truth: pd.DataFrame | None = None
    ) -> Path:
        """Write the HTML report.

        Parameters
        ----------
        path
            The HTML file; replaced if it exists.
        effects
            What to report; the contrasts that the run was made with by default.
        truth
            Columns ``gene`` and ``true_log2fc``, known for the first effect of a simulated study.
        """
        known = self.truth if truth is None and effects is None else truth
        return self._report(effects or self.asked(), known).write(path)

    def _report(self, effects: Sequence[Effect], truth: pd.DataFrame | None) -> Report:
        from bayesexpr.de_content import report_content
        from bayesexpr.report import posterior_report

        return posterior_report(report_content(self, effects, truth))
