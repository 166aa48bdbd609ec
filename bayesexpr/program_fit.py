"""A fitted program of the ladder: its posterior, what it was made from, and whether it can be trusted."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bayesexpr.data.json_data import read_json
from bayesexpr.errors import InputError
from bayesexpr.models import registry
from bayesexpr.models.base import Complete, Draws, Model
from bayesexpr.models.priors import parse_prior
from bayesexpr.names import COUNTS
from bayesexpr.posterior.store import POSTERIOR
from bayesexpr.posterior.verdict import Verdict
from bayesexpr.run import DIAGNOSTICS, RUN_RECORD, write_json, write_run

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr
    from matplotlib.axes import Axes

    from bayesexpr.calibration.certificate import Certificate
    from bayesexpr.progress import Progress
    from bayesexpr.report import Report

KIND = "program"
DATA = "data.json"
GROUPS = ("log_likelihood", "posterior_predictive", "prior", "prior_predictive")
PRIOR_DRAWS = 500
"""Draws of the groups prior and prior_predictive."""


@dataclass(frozen=True, eq=False)
class Fit:
    """The posterior of a program, with what it was made from.

    Attributes
    ----------
    model
        The program with its options and priors.
    data
        What the user gave.
    posterior
        Draws in ArviZ's schema: groups posterior, sample_stats, observed_data, constant_data, and those that
        :meth:`add` brings.
    verdict
        Whether the fit can be trusted, in words.
    diagnostics
        Numbers behind the verdict.
    record
        What ``run.json`` says: program, settings, seeds, versions, digests, timings, status.
    folder
        RUN folder that it was read from; None for a fit that was made.
    """

    model: Model
    data: Mapping[str, Any]
    posterior: xr.DataTree
    verdict: Verdict
    diagnostics: Mapping[str, Any]
    record: Mapping[str, Any]
    folder: Path | None = None

    def diagnose(self) -> Verdict:
        """Return the verdict; its ``summary`` is one line."""
        return self.verdict

    @cached_property
    def parameters(self) -> pd.DataFrame:
        """Mean, sd, 5 %, 50 % and 95 % quantiles, R-hat and effective draws of every quantity."""
        return parameter_table({str(k): v.to_numpy() for k, v in self.variables().items()})

    def summary(self) -> pd.DataFrame:
        """Return :attr:`parameters`."""
        return self.parameters

    def check(
        self, *, seed: int = 1, campaign: str | os.PathLike[str] | None = None, progress: Progress | None = None
    ) -> Certificate:
        """Check the fit: predictive checks, leave-one-out, prior sensitivity, calibration.

        Parameters
        ----------
        seed
            Of everything random in the checks.
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
        from bayesexpr.calibration.checking_program import check_program

        return check_program(self, seed=seed, campaign=campaign, progress=progress)

    def plot_trace(self, *names: str, axes: Sequence[Axes] | None = None) -> NDArray[Any]:
        """Plot the chains of the named variables, or of all; see :func:`bayesexpr.plots.plot_trace`."""
        from bayesexpr import plots

        return plots.plot_trace(self.variables(*names), axes=axes)

    def plot_rank(self, *names: str, axes: Sequence[Axes] | None = None) -> NDArray[Any]:
        """Plot how the chains of the named variables, or of all, rank; see :func:`bayesexpr.plots.plot_rank`."""
        from bayesexpr import plots

        return plots.plot_rank(self.variables(*names), axes=axes)

    def plot_forest(self, *names: str, ax: Axes | None = None) -> Axes:
        """Plot means and intervals of the named variables, or of all, on one axis."""
        from bayesexpr import plots

        return plots.plot_forest(self.variables(*names), name=", ".join(names), ax=ax)

    def variables(self, *names: str) -> xr.Dataset:
        """Return the draws of the named variables, or of all: first the program's parameters, in its order.

        Raises
        ------
        InputError
            There is no such variable.
        """
        group = self.posterior["posterior"].to_dataset()
        unknown = [name for name in names if name not in group]
        if unknown:
            raise InputError(
                f"a variable is one of {', '.join(sorted(str(name) for name in group))}; it is {unknown[0]!r}."
            )
        place = {name: k for k, name in enumerate(self.model.PARAMETERS)}
        known = sorted((str(name) for name in group), key=lambda name: (place.get(name, len(place)), name))
        return group[list(names) or known]

    def sections(self, contrasts: Sequence[str] = (), lfc_threshold: float | None = None) -> Report:
        """Return the report in sections, for notebooks: summary, asked, trust, changed, sure, again.

        Raises
        ------
        InputError
            Contrasts or a threshold are given: only studies of differential expression have any.
        """
        from bayesexpr.program_content import program_content
        from bayesexpr.report import program_report

        if contrasts or lfc_threshold is not None:
            raise InputError(f"a run of {self.model.NAME} has no contrasts; leave them and the threshold out.")
        return program_report(program_content(self))

    def report(self, path: str | os.PathLike[str]) -> Path:
        """Write the HTML report; an existing file is replaced."""
        return self.sections().write(path)

    def draws(self, name: str) -> NDArray[Any]:
        """Return one quantity's draws, [chain * draw, its own dimensions]."""
        values = self.posterior["posterior"][name].to_numpy()
        return np.asarray(values.reshape(values.shape[0] * values.shape[1], *values.shape[2:]))

    def add(self, *groups: str, seed: int = 1, prior_draws: int = PRIOR_DRAWS) -> Fit:
        """Return a fit that also has the named groups, computed in Python.

        Parameters
        ----------
        groups
            ``log_likelihood`` and ``posterior_predictive``, from the draws; ``prior`` and ``prior_predictive``, by the
            simulator: parameters from the prior, and in the same draw an outcome from them.
        seed
            Of the replicates and of the simulator.
        prior_draws
            Simulations.

        Raises
        ------
        InputError
            There is no such group, or the data do not say what is needed to draw an outcome.
        """
        made = {}
        for group in groups:
            if group not in GROUPS:
                raise InputError(f"a group is one of {', '.join(GROUPS)}; it is {group!r}.")
            rng = np.random.default_rng(seed)
            prior = group.startswith("prior")
            made[group] = self._prior_group(group, rng, prior_draws) if prior else self._outcome_group(group, rng)
        tree = self.posterior.copy()
        for group, values in made.items():
            tree[group] = values
        return replace(self, posterior=tree)

    def _prior_group(self, group: str, rng: np.random.Generator, draws: int) -> xr.DataTree:
        import xarray as xr

        if draws < 1:
            raise InputError(f"there is at least one draw from the prior; {draws} are asked for.")
        given = self.model.conditions(self.data)
        drawn = [self.model.simulate(given, rng) for _ in range(draws)]
        if group == "prior":
            names = [name for name in drawn[0][0] if name in self.model.PARAMETERS]
            values = {name: np.stack([p[name] for p, _ in drawn])[None] for name in names}
        else:
            values = {outcome_variable(self.model): np.stack([d[self.model.OUTCOME] for _, d in drawn])[None]}
        return xr.DataTree(labelled(self.model, checked(self.model, self.data), values, ("chain", "draw")))

    def _outcome_group(self, group: str, rng: np.random.Generator) -> xr.DataTree:
        import xarray as xr

        data = checked(self.model, self.data)

        def each(make: Callable[[Draws], NDArray[Any]]) -> NDArray[Any]:
            rows = [make(p) for p in self._each_draw()]
            chains, draws = (self.posterior["posterior"].sizes[d] for d in ("chain", "draw"))
            return np.stack(rows).reshape(chains, draws, *np.shape(rows[0]))

        if group == "log_likelihood":
            values = each(lambda p: self.model.log_lik(p, data))
        else:
            values = each(lambda p: self.model.replicate(p, data, rng))
        variable = outcome_variable(self.model)
        return xr.DataTree(labelled(self.model, data, {variable: values}, ("chain", "draw")))

    def _each_draw(self) -> Iterator[Draws]:
        group = self.posterior["posterior"]
        arrays = {str(name): self.draws(str(name)) for name in group.data_vars}
        for i in range(group.sizes["chain"] * group.sizes["draw"]):
            yield {name: values[i] for name, values in arrays.items()}

    def with_command(self, command: str, seconds: float) -> Fit:
        """Return the fit with the command that made it, and how long that took, in its record."""
        record = {**self.record, "command": command, "seconds": {**self.record["seconds"], "total": seconds}}
        return replace(self, record=record)

    def save(self, folder: str | os.PathLike[str]) -> Path:
        """Write a RUN folder; an existing one is replaced only when the new one is whole.

        Returns
        -------
        pathlib.Path
            The folder.
        """
        target = Path(folder).absolute()
        with write_run(target) as part:
            self.posterior.to_zarr(part / POSTERIOR, mode="w", zarr_format=2, consolidated=False)
            write_json(part / DIAGNOSTICS, {**self.diagnostics, "verdict": self.verdict.to_dict()})
            write_json(part / DATA, {key: np.asarray(value).tolist() for key, value in self.data.items()})
            write_json(part / RUN_RECORD, self.record)
        return target


def load(root: Path, record: Mapping[str, Any]) -> Fit:
    """Open a RUN folder of a program; `record` is its ``run.json``.

    Raises
    ------
    InputError
        A file is missing or damaged.
    """
    import xarray as xr

    try:
        diagnostics = json.loads((root / DIAGNOSTICS).read_text(encoding="utf-8"))
        tree = xr.open_datatree(root / POSTERIOR, engine="zarr", consolidated=False)
        priors = {name: parse_prior(text) for name, text in record["priors"].items()}
        model = registry.get(record["program"])(options=record["options"], priors=priors)
        verdict = Verdict.from_dict(diagnostics.pop("verdict"))
        return Fit(model, read_json(root / DATA), tree, verdict, diagnostics, record, root)
    except (OSError, KeyError, ValueError) as error:
        raise InputError(f"{str(root)!r} is not a finished run: {error}. Fit again.") from None


def checked(model: Model, data: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return completed data where the model takes those without checking them again, else what was given."""
    full = model.complete(data)
    return full if isinstance(full, Complete) else data


def outcome_variable(model: Model) -> str:
    """Name of the outcome in the groups of ArviZ's schema."""
    return COUNTS if model.OUTCOME == "count" else model.OUTCOME


def labelled(
    model: Model, data: Mapping[str, Any], values: Mapping[str, Any], lead: tuple[str, ...] = ()
) -> xr.Dataset:
    """Put arrays into a Dataset with the dimensions and labels of the model.

    Parameters
    ----------
    values
        Variable to array; the outcome goes by the name of :func:`outcome_variable`.
    lead
        Dimensions before a variable's own.
    """
    import xarray as xr

    labels = model.coords(data)
    own = {outcome_variable(model): model.DIMS.get(model.OUTCOME, ())}
    variables = {}
    for name, value in values.items():
        array = np.asarray(value)
        rank = array.ndim - len(lead)
        dims = own.get(name) or model.DIMS.get(name, ())
        if len(dims) != rank:
            dims = tuple(f"{name}_dim_{k}" for k in range(rank))
        variables[name] = ((*lead, *dims), array)
    used = {d for dims, _ in variables.values() for d in dims}
    coords = {d: (d, np.asarray(labels[d])) for d in labels if d in used}
    sizes = {d: n for dims, array in variables.values() for d, n in zip(dims, array.shape, strict=True)}
    return xr.Dataset(variables, coords={d: np.arange(sizes[d]) for d in lead if d in sizes} | coords)


def parameter_table(draws: Mapping[str, NDArray[Any]]) -> pd.DataFrame:
    """Summarise draws [chain, draw, ...] of every quantity, one row each, named as ``theta[3]``."""
    import pandas as pd

    from bayesexpr.posterior.diagnostics import convergence

    names: list[str] = []
    columns = []
    for name, value in draws.items():
        shape = value.shape[2:]
        names += [name + (f"[{','.join(map(str, i))}]" if i else "") for i in np.ndindex(shape)]
        columns.append(value.reshape(*value.shape[:2], -1))
    flat = np.concatenate(columns, axis=2).astype(float)
    found = convergence(flat)
    low, middle, high = np.quantile(flat, (0.05, 0.5, 0.95), axis=(0, 1))
    return pd.DataFrame(
        {"mean": flat.mean(axis=(0, 1)), "sd": flat.std(axis=(0, 1)), "q5": low, "q50": middle, "q95": high}
        | {"rhat": found.rhat, "ess_bulk": found.ess_bulk, "ess_tail": found.ess_tail},
        index=names,
    )
