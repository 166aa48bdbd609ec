"""Prior distributions by their numbers or by statements about the world."""

from __future__ import annotations

from bayesexpr.models.prior_statements import from_statement
from bayesexpr.models.priors import (
    Beta,
    Dirichlet,
    Exponential,
    Gamma,
    HalfNormal,
    InverseGamma,
    LogNormal,
    Normal,
    Prior,
    parse_prior,
)

__all__ = [
    "Beta",
    "Dirichlet",
    "Exponential",
    "Gamma",
    "HalfNormal",
    "InverseGamma",
    "LogNormal",
    "Normal",
    "Prior",
    "from_statement",
    "parse_prior",
]
