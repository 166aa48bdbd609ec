"""Shrunken effects and local false sign rates from estimates and standard errors of any source."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from bayesexpr.errors import InputError
from bayesexpr.fitting import fit
from bayesexpr.models.adaptive_shrinkage import AdaptiveShrinkage
from bayesexpr.posterior.decisions import qvalue, svalue
from bayesexpr.program_fit import Fit

if TYPE_CHECKING:
    import pandas as pd


def shrink(
    estimate: ArrayLike,
    standard_error: ArrayLike,
    *,
    names: Sequence[str] | None = None,
    shape: str = "normal",
    **settings: Any,
) -> pd.DataFrame:
    """Learn a unimodal prior from all estimates and return every effect under it.

    Parameters
    ----------
    estimate, standard_error
        [N], in any unit; of log fold changes from another tool, for instance.
    names
        [N] index of the table.
    shape
        ``normal``, ``uniform`` or ``half_uniform`` components of the prior.
    settings
        Of :func:`bayesexpr.fitting.fit`: prior, method, chains, seed, cores, ...

    Returns
    -------
    pandas.DataFrame
        One row per effect; see :func:`shrunken_effects`.

    Raises
    ------
    InputError
        An estimate is not finite, or a standard error not above zero.
    """
    data = {"estimate": estimate, "standard_error": standard_error}
    return shrunken_effects(fit("adaptive_shrinkage", data, options={"shape": shape}, **settings), names)


def shrunken_effects(found: Fit, names: Sequence[str] | None = None) -> pd.DataFrame:
    """Tabulate the effects of a fit of ``adaptive_shrinkage``.

    Returns
    -------
    pandas.DataFrame
        ``estimate, standard_error, mean, sd`` (of the effect), ``lfsr`` (probability that the more probable sign is
        wrong, zero counting as wrong), ``svalue`` (its running mean), ``lfdr`` (probability of exactly zero, from which
        effects of a fraction of their standard error cannot be told) and ``qvalue`` (its running mean).
    """
    import pandas as pd

    if not isinstance(found.model, AdaptiveShrinkage):
        raise InputError(f"effects are shrunken by adaptive_shrinkage; this is a fit of {found.model.NAME}.")
    data: Mapping[str, Any] = found.model.complete(found.data)
    if names is not None and len(names) != len(data["estimate"]):
        raise InputError(f"names are as many as estimates; there are {len(names)} for {len(data['estimate'])}.")
    effect = found.model.shrunken(found.draws("weight"), data)
    lfsr = np.clip(1 - np.maximum(effect["negative"], effect["positive"]), 0.0, 1.0)
    return pd.DataFrame(
        {
            "estimate": data["estimate"],
            "standard_error": data["standard_error"],
            "mean": effect["mean"],
            "sd": effect["sd"],
            "lfsr": lfsr,
            "svalue": svalue(lfsr),
            "lfdr": effect["zero"],
            "qvalue": qvalue(effect["zero"]),
        },
        index=pd.Index(list(names), name="gene") if names is not None else None,
    )
