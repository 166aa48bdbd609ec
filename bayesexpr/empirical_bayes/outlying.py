"""Counts far outside what all the other counts predict for them: each left out, its gene's parameters integrated.

An outlying count pulls the posterior of its gene along, most of all its dispersion, so that a handful of that
posterior's draws do not tell how improbable the count is, nor which of the gene's counts it is. They do tell where it
is not: only genes with some count far in the tails of a few draws are looked at, and of those the counts that are not
in the middle, which is why a fit can say of every count what a full check says of it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bayesexpr.distributions import Float
from bayesexpr.empirical_bayes.gene_integration import Hyper
from bayesexpr.empirical_bayes.laplace import Study
from bayesexpr.empirical_bayes.leave_one_out import POINTS, leave_one_out
from bayesexpr.posterior.predictive import holm

SEED = 1
"""Of the integration points, for every fit and check: both are to say the same of a count."""

SUSPECT = 0.03
"""Tail probability in a few draws below which a count makes its gene suspect. Of the genes of counts made 4 to 20 times
as large, those that turned out to be outlying had a count with less than half of it."""

ASIDE = 0.15
"""Tail probability in a few draws below which a count of a suspect gene is left out. An outlier widens its gene's
dispersion until it is hardly improbable itself: 0.035 was the largest of any that turned out to be one."""

AGAIN = 1e-3
"""Tail probability from a gene's first points above which a count gets no points of its own: those of counts that
turned out to be outlying were below a tenth of it, however heavy the tail of their weights."""

ROUGH_POINTS, ROUGH = 64, 0.01
"""Points of a first look, with the hyperparameters at their mean, and the tail probability there below which a count is
looked at closely. Of 677 counts, made 3 to 30 times as large, that turned out to be outlying it was below 3e-4."""

LEVEL = 0.05
"""Holm-adjusted tail probability, over all counts of the study, below which a count is called outlying: the chance of
any false one in the table."""


def confirmed_tails(study: Study, hyper: Hyper, screened: Float, threads: int = 1) -> Float:
    """Tail probabilities of all counts, exact where it matters.

    Parameters
    ----------
    study, hyper
        The whole study and draws of its hyperparameters.
    screened
        [sample, gene] tail probability of every count in a few draws of the posterior, which has seen the count.
    threads
        Blocks of genes worked on at once.

    Returns
    -------
    array [sample, gene]
        Leave-one-out tail probabilities of the doubted counts of suspect genes, one for all others.
    """
    doubted = (screened < ASIDE) & (screened < SUSPECT).any(axis=0)
    tails = np.ones(screened.shape)
    for at, number, again_below in ((hyper.at_centre(), ROUGH_POINTS, 0.0), (hyper, POINTS, AGAIN)):
        genes = np.flatnonzero(doubted.any(axis=0))
        if not genes.size:
            break
        cells = doubted[:, genes]
        found = leave_one_out(
            study.subset(genes),
            at,
            SEED,
            genes=genes,
            cells=cells,
            number=number,
            again_below=again_below,
            threads=threads,
        )
        tails[doubted] = found.tail[cells]
        doubted = ~(tails >= ROUGH)  # a tail that the rough points cannot tell, too
    return tails


def outlying(tails: Float) -> NDArray[np.bool_]:
    """Whether each count is outlying, given the tail probabilities of all counts of the study [sample, gene]."""
    return np.asarray(holm(tails) < LEVEL)
