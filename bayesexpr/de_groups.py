"""Groups of ArviZ's schema that a study's run does not hold: computed for some genes when they are asked for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bayesexpr.errors import InputError
from bayesexpr.names import COUNTS, GENE, SAMPLE
from bayesexpr.posterior.de_draws import linear_predictor
from bayesexpr.posterior.predictive import log_likelihood, replicate_counts
from bayesexpr.posterior.store import read_genes

if TYPE_CHECKING:
    import xarray as xr

    from bayesexpr.calibration.fitted_study import FittedStudy
    from bayesexpr.de_fit import DEFit

GROUPS = ("log_likelihood", "posterior_predictive", "prior", "prior_predictive")
LARGEST = 50_000_000
"""Numbers in a group; four bytes each, and several times that while it is made."""


def datatree(
    fit: DEFit, groups: Sequence[str], genes: Sequence[str] | None, seed: int, prior_draws: int
) -> xr.DataTree:
    """Return the posterior of some genes with the named groups; see :meth:`bayesexpr.DEFit.to_datatree`."""
    import xarray as xr

    from bayesexpr.calibration.fitted_study import FittedStudy

    unknown = [group for group in groups if group not in GROUPS]
    if unknown:
        raise InputError(f"a group is one of {', '.join(GROUPS)}; it is {unknown[0]!r}.")
    if prior_draws < 1:
        raise InputError(f"there is at least one draw from the prior; {prior_draws} are asked for.")
    fitted = FittedStudy.of(fit)
    names = list(fitted.genes) if genes is None else list(genes)
    place = _places(fitted, names)
    rows = max([fitted.draws if "prior" not in group else prior_draws for group in groups], default=0)
    if rows * fitted.full["S"] * len(names) > LARGEST:
        raise InputError(
            f"{len(names):,} genes x {fitted.full['S']} samples x {rows:,} draws are more than {LARGEST:,} numbers. "
            "Name fewer genes."
        )
    tree = xr.DataTree.from_dict(
        {
            name: node.to_dataset().sel({GENE: names}) if GENE in node.dims else node.to_dataset()
            for name, node in fit.posterior.children.items()
        }
    )
    made = _outcomes(fitted, place, np.random.default_rng([seed, 0])) if {*groups} & {*GROUPS[:2]} else {}
    made |= _simulations(fit, fitted, place, prior_draws, seed) if {*groups} & {*GROUPS[2:]} else {}
    for group in groups:
        tree[group] = xr.DataTree(_labelled(fitted, made[group], names))
    return tree


def _places(fitted: FittedStudy, names: Sequence[str]) -> NDArray[np.int64]:
    where = {gene: i for i, gene in enumerate(fitted.genes)}
    absent = [name for name in names if name not in where]
    if absent or not names:
        what = f"{absent[0]!r} is not one" if absent else "none is named"
        raise InputError(f"genes that were fitted are needed; {what}. `fit.genes` says which were.")
    return np.array([where[name] for name in names], dtype=np.int64)


def _outcomes(
    fitted: FittedStudy, place: NDArray[np.int64], rng: np.random.Generator
) -> dict[str, dict[str, NDArray[Any]]]:
    """Log likelihood and replicates [chain, draw, S, gene] of the genes at `place`."""
    from bayesexpr.calibration.fitted_study import flat_block

    block = flat_block(read_genes(fitted.path, place), fitted.draws)
    cut = {**fitted.full, "log_length": fitted.full["log_length"][:, place]}
    mu = np.exp(linear_predictor(block, fitted.hyper["log_f"][None], cut)[0])
    phi, probability = np.exp(block.log_phi[0].astype(float)), block.probability[0]
    weight = fitted.hyper.get("weight", np.ones((fitted.draws, 1)))
    counts = fitted.full["count"][:, place]
    told: dict[str, NDArray[Any]] = {
        "log_likelihood": log_likelihood(counts, mu, phi, np.log(weight)).cell.astype(np.float32),
        "posterior_predictive": replicate_counts(mu, phi, probability, rng),
    }
    shape = (fitted.chains, fitted.draws // fitted.chains)
    return {name: {COUNTS: values.reshape(*shape, *values.shape[1:])} for name, values in told.items()}


def _simulations(
    fit: DEFit, fitted: FittedStudy, place: NDArray[np.int64], draws: int, seed: int
) -> dict[str, dict[str, NDArray[Any]]]:
    """Parameters from the prior, and in the same draw the counts that so many genes would have in these samples."""
    model, full = fitted.model, fitted.full
    given: dict[str, Any] = {**full, "count": full["count"][:, place]}
    if model.options["effects"] != "spike_slab":
        given.pop("component", None)
    if fit.data.lengths is not None:
        lengths = fit.data.lengths[..., fit.data.expressed]
        given["effective_length"] = lengths[..., place]
    conditions = model.conditions(given)
    drawn = [model.simulate(conditions, rng) for rng in np.random.default_rng([seed, 1]).spawn(draws)]
    names = [name for name in drawn[0][0] if name in model.PARAMETERS and np.size(drawn[0][0][name])]
    return {
        "prior": {name: np.stack([p[name] for p, _ in drawn])[None] for name in names},
        "prior_predictive": {COUNTS: np.stack([data["count"] for _, data in drawn])[None]},
    }


def _labelled(fitted: FittedStudy, values: dict[str, NDArray[Any]], genes: Sequence[str]) -> xr.Dataset:
    import xarray as xr

    dims = {**fitted.model.DIMS, COUNTS: (SAMPLE, GENE)}
    variables = {}
    for name, array in values.items():
        inner = dims.get(name, tuple(f"{name}_dim_{k}" for k in range(array.ndim - 2)))
        variables[name] = (("chain", "draw", *inner), array)
    return xr.Dataset(variables, coords={GENE: list(genes), SAMPLE: list(fitted.samples)})
