"""Every program of the ladder by its name."""

from __future__ import annotations

from typing import Any

from bayesexpr.errors import OptionError
from bayesexpr.models.adaptive_shrinkage import AdaptiveShrinkage
from bayesexpr.models.base import Model
from bayesexpr.models.beta_binomial import BetaBinomial
from bayesexpr.models.coverage_decay import CoverageDecay
from bayesexpr.models.dirichlet_multinomial import DirichletMultinomial
from bayesexpr.models.gamma_poisson import GammaPoisson
from bayesexpr.models.gaussian_linear import GaussianLinear
from bayesexpr.models.hierarchical_expression import HierarchicalExpression
from bayesexpr.models.langmuir import Langmuir
from bayesexpr.models.negative_binomial_de import NegativeBinomialDE
from bayesexpr.models.spike_in import SpikeIn
from bayesexpr.models.transcript_compatibility import TranscriptCompatibility
from bayesexpr.models.variance_components import VarianceComponents
from bayesexpr.models.zero_inflated_negative_binomial import ZeroInflatedNegativeBinomial

# In the order in which one climbs them; a new program is one import and one line.
_LADDER: tuple[type[Model], ...] = (
    BetaBinomial,
    GammaPoisson,
    DirichletMultinomial,
    TranscriptCompatibility,
    HierarchicalExpression,
    NegativeBinomialDE,
    ZeroInflatedNegativeBinomial,
    GaussianLinear,
    VarianceComponents,
    AdaptiveShrinkage,
    SpikeIn,
    Langmuir,
    CoverageDecay,
)
_BY_NAME = {program.NAME: program for program in _LADDER}


def names() -> tuple[str, ...]:
    """Names of all programs, from the simplest up."""
    return tuple(_BY_NAME)


def get(name: str) -> type[Model]:
    """Return the class of a program.

    Raises
    ------
    OptionError
        If there is none of that name; the message lists them.
    """
    if name not in _BY_NAME:
        raise OptionError(f"there is no program {str(name)[:80]!r}; there are: {', '.join(_BY_NAME)}.")
    return _BY_NAME[name]


def describe(name: str) -> dict[str, Any]:
    """Return what ``bayesexpr models --json`` tells of a program, as plain data."""
    program = get(name)
    return {
        "name": program.NAME,
        "summary": program.SUMMARY,
        "options": {
            key: {"choices": list(option.choices), "default": option.default, "what": option.what}
            for key, option in program.OPTIONS.items()
        },
        "priors": {
            key: {"default": str(slot.default), "statement": slot.statement} for key, slot in program.PRIORS.items()
        },
        "data": dict(program.DATA),
        "outcome": program.OUTCOME,
        "parameters": dict(program.PARAMETERS),
        "exact": program.exact is not Model.exact,
    }
