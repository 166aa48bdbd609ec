"""What the posterior says about a contrast, gene by gene.

The tested effect is a mixture: in each draw, component c (a set of levels that are equal) has a conditional posterior
probability ``weight``, and the contrast has a value ``lfc`` under it. The components are never drawn: all summaries
are of the mixture of all draws under all components, each with its weight (Rao-Blackwell), which is less noisy than
counting draws of the component.

Natural logarithms everywhere; `effect_table` turns them into log2.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, fields

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from bayesexpr import names
from bayesexpr.posterior import decisions

Floats = NDArray[np.float64]
_Chunk = tuple[ArrayLike, ArrayLike]

ROPE = float(np.log(1.1))
"""Default half-width of the region of no material change: a change by less than a tenth (natural log)."""

_ZERO = 1e-12  # a contrast between levels that a component holds equal is zero up to rounding


@dataclass(frozen=True)
class Effects:
    """Summaries of one contrast, each ``[gene]``, on the natural-log scale.

    Attributes
    ----------
    mean, sd
        Mean and standard deviation of the log change, averaged over the components.
    lower, upper
        Central interval of the log change.
    prob_gt
        P(|log change| > threshold).
    lfsr
        Local false sign rate, min(P(change <= 0), P(change >= 0)); never 0: (k + 1/2) / (L + 1) for a share k / L of
        the L draws.
    lfdr
        Probability of no material change: zero, |change| <= rope, or of the wrong sign; never 0, as above.
    prob_changed
        Probability of the components under which the contrast is not zero.
    changed_mean, changed_lower, changed_upper
        Mean and central interval given such a component.
    """

    mean: Floats
    sd: Floats
    lower: Floats
    upper: Floats
    prob_gt: Floats
    lfsr: Floats
    lfdr: Floats
    prob_changed: Floats
    changed_mean: Floats
    changed_lower: Floats
    changed_upper: Floats


def summarise(
    lfc: ArrayLike,
    weight: ArrayLike,
    *,
    threshold: float,
    rope: float = ROPE,
    interval: float = 0.95,
    is_null: ArrayLike | None = None,
) -> Effects:
    """Summarise a contrast for some genes.

    Parameters
    ----------
    lfc : array [draw, gene, component]
        Natural log of the fold change under each component, in each draw; the chains one after another.
    weight : array [draw, gene, component]
        Conditional posterior probability of the component in that draw; sums to one over components.
    threshold : float
        Natural log of the fold change of `prob_gt`.
    rope : float
        Natural log of the largest fold change that counts as no change.
    interval : float
        Probability inside the central interval.
    is_null : array [component] of bool, optional
        Components under which the contrast is zero by construction, beside those whose every value is zero up to
        rounding: the sign of a rounding error is no sign.

    Returns
    -------
    Effects
        Where the changed components have weight zero in every draw, the effect given a change is that of their draws
        with equal weights; where there is no such component, it is zero with an interval of width zero.

    Notes
    -----
    An interval's ends are quantiles of the mixture at positions that give the unweighted case its exact coverage: the
    i-th of L ordered draws is at i / (L + 1). At NumPy's default, (i - 1) / (L - 1), a 90 % interval of independent
    draws holds only 0.9 (L - 1) / (L + 1).
    """
    values = np.asarray(lfc, dtype=np.float64)
    weights = np.asarray(weight, dtype=np.float64)
    if values.ndim != 3 or values.shape != weights.shape:
        raise ValueError(
            f"lfc and weight are [draw, gene, component]; their shapes are {values.shape}, {weights.shape}"
        )
    n_draws, n_genes, n_components = values.shape
    null = np.array([np.abs(values[:, :, c]).max(initial=0.0) <= _ZERO for c in range(n_components)], dtype=bool)
    if is_null is not None:
        null = null | np.asarray(is_null, dtype=bool)
    x = np.ascontiguousarray(values[:, :, ~null].transpose(1, 2, 0)).reshape(n_genes, -1)
    w = np.ascontiguousarray(weights[:, :, ~null].transpose(1, 2, 0)).reshape(n_genes, -1) / n_draws
    zero = np.zeros(n_genes) if n_components == int((~null).sum()) else weights[:, :, null].sum(axis=(0, 2)) / n_draws
    changed = w.sum(axis=1)

    mean = np.einsum("gi,gi->g", w, x)
    centred = x - mean[:, None]
    sd = np.sqrt(np.einsum("gi,gi,gi->g", w, centred, centred) + zero * mean**2)
    above = np.einsum("gi,gi->g", w, x > 0)
    below = np.einsum("gi,gi->g", w, x < 0)
    outside = np.einsum("gi,gi->g", w, np.abs(x) > threshold)
    material = np.maximum(np.einsum("gi,gi->g", w, x > rope), np.einsum("gi,gi->g", w, x < -rope))
    total = changed + zero
    lfsr = 1.0 - np.maximum(above, below) / total
    lfdr = 1.0 - material / total

    # given a change; equal weights where the weights have vanished
    gone = changed <= np.finfo(np.float64).tiny
    given = np.where(gone[:, None], 1.0 / max(x.shape[1], 1), w / np.where(gone, 1.0, changed)[:, None])
    order = np.argsort(x, axis=1)
    ordered = np.take_along_axis(x, order, axis=1)
    tails = ((1.0 - interval) / 2.0, (1.0 + interval) / 2.0)
    lower, upper = _quantiles(ordered, np.take_along_axis(w, order, axis=1), zero, n_draws, tails)
    changed_lower, changed_upper = _quantiles(
        ordered, np.take_along_axis(given, order, axis=1), np.zeros(n_genes), n_draws, tails
    )
    return Effects(
        mean=mean,
        sd=sd,
        lower=lower,
        upper=upper,
        prob_gt=np.minimum(outside / total, 1.0),
        lfsr=_never_zero(lfsr, n_draws),
        lfdr=_never_zero(lfdr, n_draws),
        prob_changed=changed / total,
        changed_mean=np.einsum("gi,gi->g", given, x),
        changed_lower=changed_lower,
        changed_upper=changed_upper,
    )


def summarise_chunks(
    chunks: Iterable[_Chunk],
    *,
    threshold: float,
    rope: float = ROPE,
    interval: float = 0.95,
    is_null: ArrayLike | None = None,
    threads: int = 1,
) -> Effects:
    """Summarise chunks of genes, (lfc, weight) each, and put the results one after another; see `summarise`.

    At most ``threads + 1`` chunks are held at a time.
    """

    def work(chunk: _Chunk) -> Effects:
        lfc, weight = chunk
        return summarise(lfc, weight, threshold=threshold, rope=rope, interval=interval, is_null=is_null)

    with ThreadPoolExecutor(max(1, threads)) as pool:
        parts = list(_bounded_map(pool, work, chunks, max(1, threads) + 1))
    return Effects(
        **{
            field.name: np.concatenate([np.empty(0)] + [getattr(part, field.name) for part in parts])
            for field in fields(Effects)
        }
    )


def exceedance(lfc: ArrayLike, weight: ArrayLike, thresholds: ArrayLike) -> Floats:
    """P(|log change| > t) as ``[threshold, gene]`` for every threshold t (natural log); arrays as in `summarise`."""
    size = np.abs(np.asarray(lfc, dtype=np.float64))
    weights = np.asarray(weight, dtype=np.float64)
    total = weights.sum(axis=(0, 2))
    return np.stack([np.einsum("dgc,dgc->g", weights, size > t) / total for t in np.atleast_1d(np.asarray(thresholds))])


def effect_table(
    gene: ArrayLike,
    effects: Effects,
    *,
    base_mean: ArrayLike,
    dispersion: ArrayLike,
    rhat: ArrayLike,
    ess_bulk: ArrayLike,
    ess_tail: ArrayLike,
    status: ArrayLike,
) -> pd.DataFrame:
    """Make the table of results, one row per gene in the order given, log2 fold changes.

    Parameters
    ----------
    gene : array [gene] of str
    effects : Effects
        Summaries of the same genes; rows of genes without an answer are overwritten and may hold anything.
    base_mean, dispersion, rhat, ess_bulk, ess_tail : arrays [gene]
        Mean normalised count; posterior mean of 1 / phi; diagnostics of the contrast.
    status : array [gene] of str
        See `bayesexpr.posterior.verdict`. Genes whose status has no answer have missing values in all columns but
        ``gene``, ``baseMean`` and ``status``, and no part in s- and q-values.

    Returns
    -------
    pandas.DataFrame
        Columns `bayesexpr.names.RESULT_COLUMNS`.
    """
    status = np.asarray(status, dtype=object)
    answered = ~np.isin(status.astype(str), sorted(decisions.WITHOUT_ANSWER))

    def keep(values: ArrayLike) -> Floats:
        return np.where(answered, np.asarray(values, dtype=np.float64), np.nan)

    lfsr, lfdr = keep(effects.lfsr), keep(effects.lfdr)
    columns: dict[str, ArrayLike] = {
        "gene": np.asarray(gene, dtype=object),
        "baseMean": np.asarray(base_mean, dtype=np.float64),
        "log2FoldChange": names.to_log2(keep(effects.mean)),
        "lfcSE": names.to_log2(keep(effects.sd)),
        "ci_lower": names.to_log2(keep(effects.lower)),
        "ci_upper": names.to_log2(keep(effects.upper)),
        "prob_gt": keep(effects.prob_gt),
        "lfsr": lfsr,
        "svalue": decisions.svalue(lfsr),
        "lfdr": lfdr,
        "qvalue": decisions.qvalue(lfdr),
        "dispersion": keep(dispersion),
        "rhat": keep(rhat),
        "ess_bulk": keep(ess_bulk),
        "ess_tail": keep(ess_tail),
        "lfc_if_changed": names.to_log2(keep(effects.changed_mean)),
        "lfc_if_changed_lower": names.to_log2(keep(effects.changed_lower)),
        "lfc_if_changed_upper": names.to_log2(keep(effects.changed_upper)),
        "status": status,
    }
    return pd.DataFrame({column: columns[column] for column in names.RESULT_COLUMNS})


def _never_zero(probability: Floats, n_draws: int) -> Floats:
    return np.asarray((n_draws * np.clip(probability, 0.0, 1.0) + 0.5) / (n_draws + 1.0))


def _quantiles(x: Floats, w: Floats, zero: Floats, n_draws: int, tails: tuple[float, ...]) -> list[Floats]:
    """Quantiles of atoms ``x`` (sorted, ``[gene, atom]``) with weights ``w`` and an atom at 0 of weight ``zero``.

    The atom at zero may hold most of the probability: it is a step of two corners, where the others are single nodes.
    """
    n_genes, n_atoms = x.shape
    if n_atoms == 0:
        return [np.zeros(n_genes) for _ in tails]
    total = w.sum(axis=1) + zero
    until = np.cumsum(w, axis=1)
    middle = until - 0.5 * w
    middle += np.where(x > 0, zero[:, None], 0.0)

    def position(mass: Floats) -> Floats:
        share = mass / (total if mass.ndim == 1 else total[:, None])
        return np.asarray((share * n_draws + 0.5) / (n_draws + 1.0))

    node = position(middle)
    below_zero = np.einsum("gi,gi->g", w, x <= 0)
    step_start, step_end = position(below_zero), position(below_zero + zero)
    rows = np.arange(n_genes)
    out = []
    for p in tails:
        right = np.count_nonzero(node < p, axis=1)
        left = right - 1
        inside_left, inside_right = np.maximum(left, 0), np.minimum(right, n_atoms - 1)
        x_left, x_right = x[rows, inside_left], x[rows, inside_right]
        p_left, p_right = node[rows, inside_left], node[rows, inside_right]
        # the corner of the step at zero, where it lies between p and the next atom
        after = (zero > 0) & (step_end < p) & ((left < 0) | (x_left <= 0))
        before = (zero > 0) & (step_start >= p) & ((right >= n_atoms) | (x_right > 0))
        on_step = (zero > 0) & (step_start < p) & (step_end >= p)
        has_left, has_right = (left >= 0) | after, (right < n_atoms) | before
        x_left, p_left = np.where(after, 0.0, x_left), np.where(after, step_end, p_left)
        x_right, p_right = np.where(before, 0.0, x_right), np.where(before, step_start, p_right)
        gap = p_right - p_left
        share = np.where(gap > 0, (p - p_left) / np.where(gap > 0, gap, 1.0), 0.0)
        between = x_left + np.clip(share, 0.0, 1.0) * (x_right - x_left)
        value = np.where(has_left & has_right, between, np.where(has_left, x_left, x_right))
        out.append(np.where(on_step, 0.0, value))
    return out


def _bounded_map(
    pool: ThreadPoolExecutor, work: Callable[[_Chunk], Effects], items: Iterable[_Chunk], held: int
) -> Iterator[Effects]:
    """Map in order without running ahead of the workers: chunks are large and made on demand."""
    waiting: deque[Future[Effects]] = deque()
    for item in items:
        waiting.append(pool.submit(work, item))
        if len(waiting) >= held:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()
