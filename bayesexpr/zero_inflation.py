"""Where structural zeros are needed: the zero-inflated against the plain negative binomial, gene by gene."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bayesexpr.errors import InputError
from bayesexpr.models.zero_inflated_negative_binomial import ZeroInflatedNegativeBinomial
from bayesexpr.posterior.leave_one_out import LeaveOneOut, leave_one_out
from bayesexpr.program_fit import Fit

if TYPE_CHECKING:
    import pandas as pd

STANDARD_ERRORS = 2.0
"""Standard errors by which the inflated model must predict better for its zeros to count as needed."""


def compare(inflated: Fit, plain: Fit) -> pd.DataFrame:
    """Compare two fits of ``zero_inflated_negative_binomial`` to the same counts by how they predict left-out cells.

    Parameters
    ----------
    inflated
        With zero_inflation = effects or constant.
    plain
        With zero_inflation = none.

    Returns
    -------
    pandas.DataFrame
        One row per gene: ``elpd_difference`` (inflated minus plain, natural log, summed over cells), its
        ``standard_error``, the largest ``pareto_k`` of either (above 0.7: not reliable), and ``needed``: whether the
        difference is over two standard errors above zero.

    Raises
    ------
    InputError
        The fits are not of that kind, or not of the same counts.
    """
    import pandas as pd

    for found, none in ((inflated, False), (plain, True)):
        right = isinstance(found.model, ZeroInflatedNegativeBinomial)
        if not right or (found.model.options["zero_inflation"] == "none") != none:
            raise InputError(
                "a fit with zero inflation is compared with one of zero_inflation = none; they are "
                f"{inflated.model.NAME} {inflated.model.options} and {plain.model.NAME} {plain.model.options}."
            )
    if not np.array_equal(inflated.data["count"], plain.data["count"]):
        raise InputError("models are compared on the same counts; those of the two fits differ.")
    with_zeros, without = _of(inflated), _of(plain)
    difference = with_zeros.elpd - without.elpd
    cells = len(difference)
    error = np.sqrt(cells * difference.var(axis=0, ddof=1))
    total = difference.sum(axis=0)
    return pd.DataFrame(
        {
            "elpd_difference": total,
            "standard_error": error,
            "pareto_k": np.maximum(with_zeros.pareto_k, without.pareto_k).max(axis=0),
            "needed": total > STANDARD_ERRORS * error,
        }
    )


def _of(found: Fit) -> LeaveOneOut:
    values = found.add("log_likelihood").posterior["log_likelihood"]["counts"].to_numpy()
    return leave_one_out(values.reshape(-1, *values.shape[2:]))
