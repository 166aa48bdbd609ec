"""Every exception that bayesexpr raises.

::

    BayesexprError
    ├── InputError (also ValueError)      what the user gave is wrong: exit code 2
    │   ├── CountsError                   the count table or the sample table
    │   ├── DesignError                   the formula, the design, a contrast
    │   └── OptionError                   an option, a prior, a setting
    ├── ToolchainError                    Stan cannot be built or run here: exit code 3
    │   └── CompilationError              a Stan program does not compile
    └── SamplingError                     a chain failed, or its output is not whole: exit code 3

A message states the rule, the value found with its gene, sample or line, and the way out.
"""

from __future__ import annotations


class BayesexprError(Exception):
    """Base of all exceptions of this package."""

    exit_code = 3


class InputError(BayesexprError, ValueError):
    """What the user gave breaks a rule."""

    exit_code = 2


class CountsError(InputError):
    """The count table or the sample table breaks a rule."""


class DesignError(InputError):
    """The formula, the design matrix or a contrast breaks a rule."""


class OptionError(InputError):
    """An option, a prior or a setting breaks a rule."""


class ToolchainError(BayesexprError):
    """Stan cannot be built or run on this machine as it stands."""


class CompilationError(ToolchainError):
    """A Stan program does not compile."""


class SamplingError(BayesexprError):
    """A chain failed, or what it wrote is not whole."""
