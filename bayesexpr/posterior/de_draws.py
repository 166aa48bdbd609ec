"""From what the chains of ``negative_binomial_de`` wrote to the posterior of every gene, a block of genes at a time.

The sampler writes whitened coordinates. Here they become intercepts, dispersions and effects, and each draw gets the
conditional probability of every component of its tested effect, which the program had summed out.
"""

from __future__ import annotations

import mmap
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import special

from bayesexpr.distributions import Float
from bayesexpr.models.de_layout import Layout, Whitening

Single = NDArray[np.float32]

GENES_PER_BLOCK = 256


@dataclass(frozen=True)
class GeneBlock:
    """Posterior of some genes; arrays are [chain, draw, gene, ...], natural logarithms.

    Attributes
    ----------
    genes
        Which genes of the fit.
    alpha, log_phi
        Log mean in an average library; log precision.
    beta
        [..., K] tested effect, given that it is not zero.
    gamma
        [..., R] effects of all other columns.
    probability
        [..., C] conditional probability of each component; one component: ones.
    """

    genes: slice
    alpha: Single
    log_phi: Single
    beta: Single
    gamma: Single
    probability: Single

    def thin(self, every: int) -> GeneBlock:
        """Keep every so many draws of each chain."""
        return GeneBlock(self.genes, *(values[:, ::every] for values in self._draws()))

    def of(self, genes: NDArray[np.int64]) -> GeneBlock:
        """Keep some of these genes, by their places in this block; they are numbered anew."""
        return GeneBlock(slice(0, len(genes)), *(values[:, :, genes] for values in self._draws()))

    def _draws(self) -> tuple[Single, ...]:
        return self.alpha, self.log_phi, self.beta, self.gamma, self.probability


def release(values: NDArray[Any]) -> None:
    """Let the system take back the memory of an array that is mapped to a file; the file and the array stay."""
    mapped = getattr(values, "_mmap", None)
    if mapped is not None and hasattr(mmap, "MADV_DONTNEED"):
        mapped.madvise(mmap.MADV_DONTNEED)


@dataclass(frozen=True)
class ChainArrays:
    """What the chains wrote, by variable, without a copy of the genes' coordinates.

    Attributes
    ----------
    zeta
        [chain, draw, H].
    z
        For each chain [draw, G * P], genes fastest.
    """

    zeta: Float
    z: tuple[NDArray[np.float32], ...]

    @classmethod
    def find(cls, names: tuple[str, ...], draws: list[NDArray[np.float32]], sizes: tuple[int, int, int]) -> ChainArrays:
        """Cut the columns of ``zeta`` and ``z`` out of each chain's draws [draw, column]; `sizes` is (H, G, P)."""
        H, G, P = sizes
        zeta, z = names.index("zeta.1"), names.index("z.1.1")
        return cls(
            zeta=np.stack([chain[:, zeta : zeta + H] for chain in draws]).astype(float),
            z=tuple(chain[:, z : z + G * P] for chain in draws),
        )

    def block(self, genes: slice, G: int, P: int) -> Single:
        """Coordinates [chain, draw, gene, P] of some genes."""
        out = np.empty((len(self.z), len(self.z[0]), genes.stop - genes.start, P), dtype=np.float32)
        for chain, values in enumerate(self.z):
            for p in range(P):
                out[chain, :, :, p] = values[:, p * G + genes.start : p * G + genes.stop]
            release(values)  # a page that is read brings its neighbours: whole chains would pile up
        return out


def gene_slices(genes: int, size: int = GENES_PER_BLOCK) -> list[slice]:
    """Cut so many genes into blocks."""
    return [slice(start, min(start + size, genes)) for start in range(0, genes, size)]


def gene_block(
    chains: ChainArrays,
    whitening: Whitening,
    at: Layout,
    full: Mapping[str, Any],
    theta: Float,
    hyper: Mapping[str, Float],
    genes: slice,
) -> GeneBlock:
    """Turn what the chains wrote of some genes into their posterior.

    Parameters
    ----------
    full
        The model's completed data.
    theta, hyper
        [chain, draw, H] hyperparameters on the real line, and on their own scales.
    """
    psi = whitening.psi(chains.block(genes, full["G"], at.P).astype(float), theta, genes)
    alpha, log_phi, beta = psi[..., 0], at.log_phi(psi, dict(hyper)), at.effect(psi, dict(hyper))
    gamma = at.other_effects(psi, dict(hyper), full["nuisance_term"])
    probability = component_probability(alpha, log_phi, beta, gamma, hyper, full, genes)
    return GeneBlock(genes, *(a.astype(np.float32) for a in (alpha, log_phi, beta, gamma, probability)))


def component_probability(
    alpha: Float,
    log_phi: Float,
    beta: Float,
    gamma: Float,
    hyper: Mapping[str, Float],
    full: Mapping[str, Any],
    genes: slice,
) -> Float:
    """Conditional probability [..., g, C] of every component in every draw.

    What does not differ between components (binomial coefficients, for one) is left out of the likelihoods.
    """
    C = full["C"]
    if C == 1:
        return np.ones((*alpha.shape, 1))
    log_joint = np.empty((*alpha.shape, C))
    log_joint[...] = np.log(hyper["weight"])[..., None, :]
    phi = np.exp(log_phi)
    count, length = full["count"][:, genes], full["log_length"][:, genes]
    for s in range(full["S"]):
        base = alpha + hyper["log_f"][..., s, None] + length[s]
        if full["R"]:
            base = base + gamma @ full["nuisance_design"][s]
        rows, row_of = np.unique(full["component_design"][:, s], axis=0, return_inverse=True)
        total = count[s] + phi
        for r, row in enumerate(rows):
            eta = base + beta @ row if row.any() else base
            term = count[s] * eta - total * np.log1p(np.exp(eta - log_phi))
            log_joint[..., row_of == r] += term[..., None]
    return np.asarray(special.softmax(log_joint, axis=-1))


def linear_predictor(block: GeneBlock, log_f: Float, full: Mapping[str, Any]) -> Float:
    """Log mean [chain, draw, sample, gene, component] of every count.

    Parameters
    ----------
    log_f
        [chain, draw, S] log size factors of the same draws.
    """
    base = block.alpha[:, :, None].astype(float) + log_f[..., None] + full["log_length"][:, block.genes]
    base = base + np.einsum("sr,adgr->adsg", full["nuisance_design"], block.gamma, optimize=True)
    change = np.einsum("csk,adgk->adsgc", full["component_design"], block.beta, optimize=True)
    return np.asarray(base[..., None] + change)


def contrast_values(block: GeneBlock, projectors: Float, tested: Float, other: Float) -> Float:
    """Natural log change of a contrast under every component, [draw of all chains, gene, component].

    Parameters
    ----------
    projectors
        [C, K, K] of the components.
    tested, other
        Weights [K] and [R] of the contrast on the tested and on the other columns.
    """
    on_beta = np.einsum("k,ckl->cl", tested, projectors)
    value = np.einsum("adgl,cl->adgc", block.beta, on_beta, optimize=True)
    if np.any(other):
        value = value + (block.gamma @ other)[..., None]
    return np.asarray(value.reshape(-1, *value.shape[2:]))


def average_effect(block: GeneBlock, projectors: Float) -> Float:
    """Average the tested effect over the components of each draw: [chain, draw, gene, K], smooth, fit for R-hat."""
    return np.asarray(np.einsum("adgc,ckl,adgl->adgk", block.probability, projectors, block.beta, optimize=True))
