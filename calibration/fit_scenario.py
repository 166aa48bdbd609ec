"""The scenario of a finished fit: simulated studies of its own design, for its own program, options and priors.

A program's committed record has a small scenario of the program's own. Here samples, designs, size factors, lengths and
partitions are those of the fit. Of genes that are replicates of each other there are at most `GENES`: hundreds of fits
of a whole transcriptome are beyond anyone's patience, and what is ranked (hyperparameters, sums over genes, a few
genes) is there with fifty as with twenty thousand.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from bayesexpr.de_fit import DEFit
from bayesexpr.empirical_bayes.gene_integration import spread
from bayesexpr.models.base import Model
from bayesexpr.names import GENE

from .digests import digest_of
from .fitted_study import inputs_of, program_of
from .scenarios import ModelScenario

if TYPE_CHECKING:
    from bayesexpr.program_fit import Fit

GENES = 50
"""Most genes of a simulated study. Those of a larger fit whose lengths stand in are evenly spread over its genes."""

_OF_GENES = "effective_length"  # the one condition with a value for every gene, its last dimension


@dataclass(frozen=True)
class FitScenario(ModelScenario):
    """Studies of the design of a fit."""

    label: str = "study"

    def facts(self) -> dict[str, Any]:
        """Say what the studies are of, so that campaigns can tell each other apart by more than a digest.

        Returns
        -------
        dict
            ``program``, ``options``, ``priors`` (as text), and ``conditions``: numbers as they are, arrays by digest.
        """
        return {
            "program": self.model.NAME,
            "options": dict(self.model.options),
            "priors": {name: str(self.model.prior(name)) for name in self.model.PRIORS},
            "conditions": {name: _short(value) for name, value in sorted(self.given.items())},
        }


def program_and_design(fit: DEFit | Fit) -> tuple[Model, dict[str, Any]]:
    """Return the program of a fit, with its options and priors, and what studies of its design are conditional on.

    Raises
    ------
    InputError
        The fit's data do not say all that a simulation needs.
    """
    if isinstance(fit, DEFit):
        model: Model = program_of(fit)
        data: Mapping[str, Any] = inputs_of(fit, program_of(fit))
    else:
        model, data = fit.model, fit.data
    given = model.conditions(data)
    return model, few_genes(model, {name: _array(value) for name, value in given.items()})


def few_genes(model: Model, given: Mapping[str, Any], most: int = GENES) -> dict[str, Any]:
    """Cut the conditions of a simulation to at most so many genes, where genes are replicates of each other.

    Genes of a composition, whose outcome has no other dimension, are not: all of them are kept.
    """
    genes = int(given.get("genes", 0))
    if genes <= most or len(model.DIMS[model.OUTCOME]) < 2 or model.DIMS[model.OUTCOME][-1] != GENE:
        return dict(given)
    few = {**given, "genes": most}
    if _OF_GENES in given:
        few[_OF_GENES] = given[_OF_GENES][..., spread(genes, most)]
    return few


def _array(value: Any) -> Any:
    """Make lists arrays, whether the data were read from a file or given in Python; leave numbers as they are."""
    array = np.asarray(value)
    return array if array.ndim else array.item()


def _short(value: Any) -> Any:
    return value if np.ndim(value) == 0 else digest_of(value)[:12]
