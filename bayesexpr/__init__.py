"""Bayesian models of gene expression on Stan, with their calibration shown.

Names are loaded when they are first used, so that importing the package costs next to nothing.
"""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import version as _version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bayesexpr import calibration, priors
    from bayesexpr.data.counts import CountData
    from bayesexpr.data.design import Design, build_design
    from bayesexpr.data.readers import read_counts
    from bayesexpr.de import fit_de
    from bayesexpr.de_fit import DEFit
    from bayesexpr.de_sampling import DESettings
    from bayesexpr.effect import Effect
    from bayesexpr.errors import BayesexprError, InputError, SamplingError, ToolchainError
    from bayesexpr.fitting import fit, load, simulate
    from bayesexpr.models.priors import (
        Beta,
        Dirichlet,
        Exponential,
        Gamma,
        HalfNormal,
        InverseGamma,
        LogNormal,
        Normal,
    )
    from bayesexpr.program_fit import Fit
    from bayesexpr.quant import quantify
    from bayesexpr.shrinkage import shrink

_HOME = {
    "CountData": "data.counts",
    "Design": "data.design",
    "build_design": "data.design",
    "read_counts": "data.readers",
    "DESettings": "de_sampling",
    "fit_de": "de",
    "DEFit": "de_fit",
    "Effect": "effect",
    "BayesexprError": "errors",
    "InputError": "errors",
    "SamplingError": "errors",
    "ToolchainError": "errors",
    "Fit": "program_fit",
    "fit": "fitting",
    "load": "fitting",
    "simulate": "fitting",
    "Beta": "models.priors",
    "Dirichlet": "models.priors",
    "Exponential": "models.priors",
    "Gamma": "models.priors",
    "HalfNormal": "models.priors",
    "InverseGamma": "models.priors",
    "LogNormal": "models.priors",
    "Normal": "models.priors",
    "quantify": "quant",
    "shrink": "shrinkage",
}
_MODULES = ("calibration", "priors")
__all__ = [
    "BayesexprError",
    "Beta",
    "CountData",
    "DEFit",
    "DESettings",
    "Design",
    "Dirichlet",
    "Effect",
    "Exponential",
    "Fit",
    "Gamma",
    "HalfNormal",
    "InputError",
    "InverseGamma",
    "LogNormal",
    "Normal",
    "SamplingError",
    "ToolchainError",
    "build_design",
    "calibration",
    "fit",
    "fit_de",
    "load",
    "priors",
    "quantify",
    "read_counts",
    "shrink",
    "simulate",
]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        return _version("bayesexpr")
    if name in _MODULES:
        return import_module(f"bayesexpr.{name}")
    if name not in _HOME:
        raise AttributeError(f"module 'bayesexpr' has no attribute {name!r}")
    value = getattr(import_module(f"bayesexpr.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME, *_MODULES})
