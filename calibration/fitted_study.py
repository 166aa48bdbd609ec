"""A finished differential-expression fit as the checks read it: its model, its data, and its draws in thin slices."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bayesexpr.distributions import Float
from bayesexpr.empirical_bayes.gene_integration import Hyper, spread
from bayesexpr.empirical_bayes.laplace import Study
from bayesexpr.errors import InputError
from bayesexpr.models.base import Complete
from bayesexpr.models.de_layout import Layout
from bayesexpr.models.negative_binomial_de import NegativeBinomialDE
from bayesexpr.models.priors import parse_prior
from bayesexpr.posterior.de_draws import GeneBlock, linear_predictor
from bayesexpr.posterior.predictive import replicate_counts
from bayesexpr.posterior.store import POSTERIOR, read_blocks, read_genes

if TYPE_CHECKING:
    from bayesexpr.de_fit import DEFit

_HYPER = ("mu_alpha", "sigma_alpha", "a0", "a1", "sigma_phi", "dispersion", "m", "s", "tau", "weight", "log_f")
_OF_GENES = ("alpha", "log_phi", "beta", "gamma", "probability")


@dataclass(frozen=True, eq=False)
class FittedStudy:
    """What the checks need of a fit.

    Attributes
    ----------
    model, full
        The program with the fit's options and priors; its completed data, of the fitted genes.
    hyper
        Draws [draw, ...] of the hyperparameters, the chains one after another.
    genes, samples
        Names; genes are the fitted ones.
    chains
        Number of chains.
    path
        The zarr store.
    """

    model: NegativeBinomialDE
    full: Complete
    hyper: dict[str, Float]
    genes: tuple[str, ...]
    samples: tuple[str, ...]
    chains: int
    path: Path

    @classmethod
    def of(cls, fit: DEFit) -> FittedStudy:
        """Put a fit's model and data together again."""
        model, tree = program_of(fit), fit.posterior
        full = model.complete(inputs_of(fit, model))
        group = tree["posterior"]
        hyper = {name: group[name].to_numpy().astype(float) for name in _HYPER if name in group}
        chains, draws = hyper["mu_alpha"].shape
        flat = {name: value.reshape(chains * draws, *value.shape[2:]) for name, value in hyper.items()}
        flat.setdefault("tau", np.empty((chains * draws, 0)))
        if "log_f" not in flat or flat["log_f"].ndim == 1:
            flat["log_f"] = np.broadcast_to(full["log_size_factor"], (chains * draws, full["S"]))
        if group.sizes["gene"] != full["G"]:
            raise InputError(
                f"the run holds {group.sizes['gene']} genes with draws, its counts {full['G']}. Fit again."
            )
        genes = tuple(gene for gene, fitted in zip(fit.data.genes, fit.data.expressed, strict=True) if fitted)
        return cls(model, full, flat, genes, tuple(fit.data.samples), chains, fit.folder / POSTERIOR)

    @cached_property
    def at(self) -> Layout:
        """Where the model's quantities stand."""
        return self.model.layout(self.full)

    @property
    def draws(self) -> int:
        """Draws of all chains."""
        return len(self.hyper["mu_alpha"])

    @cached_property
    def unconstrained(self) -> Float:
        """Hyperparameters [draw, H] on the whole real line."""
        rows = [{name: value[i] for name, value in self.hyper.items()} for i in range(self.draws)]
        return np.stack([self.at.theta(row, self.full["log_size_factor"]) for row in rows])

    def study(self) -> Study:
        """Return the study for approximations of genes given hyperparameters."""
        return Study.of(self.model, self.full)

    def hyper_for_integrals(self) -> Hyper:
        """Return the few draws of the hyperparameters under which genes are integrated out."""
        return Hyper.of(self.at, self.unconstrained, self.full["log_size_factor"], self.full["G"])

    def thinned_hyper(self, number: int) -> dict[str, Float]:
        """Return about `number` draws, evenly spread over all chains."""
        pick = spread(self.draws, number)
        return {name: value[pick] for name, value in self.hyper.items()}

    def blocks(self) -> Iterator[GeneBlock]:
        """Read the genes block by block; chains one after another: arrays [1, draw, gene, ...]."""
        for block in read_blocks(self.path):
            yield flat_block(block, self.draws)


def program_of(fit: DEFit) -> NegativeBinomialDE:
    """Return the program of a fit, with its options and priors."""
    # a record has six digits of every number: a default is taken whole, or no calibration record would be of it
    usual = NegativeBinomialDE()
    given = {name: text for name, text in fit.record["priors"].items() if text != str(usual.prior(name))}
    priors = {name: parse_prior(text) for name, text in given.items()}
    return NegativeBinomialDE(options=fit.record["options"], priors=priors)


def inputs_of(fit: DEFit, model: NegativeBinomialDE) -> dict[str, Any]:
    """Return the data that a fit was made of, by the names of the program; genes are the fitted ones."""
    data, plan = fit.data.subset_genes(fit.data.expressed), fit.design
    inputs: dict[str, Any] = {
        "count": data.counts,
        "design": plan.matrix[:, plan.tested_columns],
        "nuisance_design": plan.matrix[:, plan.nuisance_columns],
        "nuisance_term": plan.nuisance_term_index,
        "log_size_factor": fit.posterior["constant_data"]["log_size_factor"].to_numpy(),
    }
    if model.options["effects"] == "spike_slab":
        inputs["component"] = fit.projectors
    if data.lengths is not None:
        inputs["effective_length"] = data.lengths
    return inputs


def replicates_of_gene(fit: DEFit, gene: str, rng: np.random.Generator) -> tuple[Any, Any]:
    """Draw replicates [draw, S] of one gene; return its counts [S] first.

    Raises
    ------
    InputError
        There is no such gene, or it has no count.
    """
    fitted = FittedStudy.of(fit)
    if gene not in fitted.genes:
        known = gene in fit.data.genes
        rule = "has no count in any sample, so it was not fitted" if known else "is not in the study"
        raise InputError(f"gene {gene!r} {rule}. Name a gene whose status is not all_zero.")
    place = np.array([fitted.genes.index(gene)])
    block = read_genes(fitted.path, place)
    cut = {**fitted.full, "log_length": fitted.full["log_length"][:, place]}
    flat = flat_block(block, fitted.draws)
    mu = np.exp(linear_predictor(flat, fitted.hyper["log_f"][None], cut)[0])
    drawn = replicate_counts(mu, np.exp(flat.log_phi[0].astype(float)), flat.probability[0], rng)
    return fitted.full["count"][:, place[0]], drawn[:, :, 0]


def take_draws(block: GeneBlock, draws: np.ndarray[Any, np.dtype[np.intp]]) -> GeneBlock:
    """Return some draws of a block."""
    return GeneBlock(block.genes, **{name: getattr(block, name)[:, draws] for name in _OF_GENES})


def take_genes(block: GeneBlock, places: np.ndarray[Any, np.dtype[np.intp]]) -> GeneBlock:
    """Return some genes of a block, by their places in it, numbered from zero."""
    return GeneBlock(slice(0, len(places)), **{name: getattr(block, name)[:, :, places] for name in _OF_GENES})


def flat_block(block: GeneBlock, draws: int) -> GeneBlock:
    """Put the chains of a block one after another."""
    arrays = {name: getattr(block, name) for name in _OF_GENES}
    return GeneBlock(block.genes, **{name: a.reshape(1, draws, *a.shape[2:]) for name, a in arrays.items()})


def finite_genes(block: GeneBlock) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Which genes of a block have finite draws only."""
    finite = [np.isfinite(getattr(block, name)) for name in _OF_GENES]
    return np.asarray(np.logical_and.reduce([a.all(axis=(0, 1, *range(3, a.ndim))) for a in finite]))
