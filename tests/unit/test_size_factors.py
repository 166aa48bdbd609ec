"""Size factors against values worked out by hand from the published definitions."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from bayesexpr.data.readers import read_counts
from bayesexpr.data.size_factors import (
    METHODS,
    median_of_ratios,
    read_size_factors,
    size_factors,
    spike_in,
    tmm,
    total,
    upper_quartile,
)
from bayesexpr.errors import CountsError, OptionError


def geometric(values: list[float]) -> np.ndarray:
    array = np.array(values)
    return array / math.exp(np.log(array).mean())


def test_median_of_ratios_by_hand() -> None:
    # Genes 1-3 are counted in both samples; geometric means 20, 30, 8. Ratios of sample 1: 1/2, 1/3, 1/4.
    counts = [[10, 10, 2, 0, 7], [40, 90, 32, 0, 0]]
    np.testing.assert_allclose(median_of_ratios(counts), geometric([1 / 3, 3.0]), rtol=1e-10)


def test_median_of_ratios_of_an_even_number_is_taken_in_logs() -> None:
    # Two genes: log ratios are averaged, so that the ratios' geometric mean is the median.
    counts = [[1, 1], [4, 16]]
    np.testing.assert_allclose(median_of_ratios(counts), [math.sqrt(1 / 2 * 1 / 4), math.sqrt(2 * 4)], rtol=1e-10)


def test_positive_counts_when_no_gene_is_everywhere() -> None:
    # S = 3. Roots of products of the positive counts: gene 1 (4 * 16)^(1/3) = 4, gene 2 (1 * 27)^(1/3) = 3, gene 3
    # (2 * 4)^(1/3) = 2. Ratios: sample 1 4/4, 1/3; sample 2 16/4, 2/2; sample 3 27/3, 4/2; medians in logs.
    counts = [[4, 1, 0], [16, 0, 2], [0, 27, 4]]
    medians = [math.sqrt(1 * 1 / 3), math.sqrt(4 * 1), math.sqrt(9 * 2)]
    np.testing.assert_allclose(median_of_ratios(counts), geometric(medians), rtol=1e-10)


def tmm_by_loops(counts: np.ndarray, reference: int) -> list[float]:
    """Robinson and Oshlack's definition, gene by gene, for tables without ties."""
    sizes = counts.sum(axis=1)
    factors = []
    for sample in range(len(counts)):
        genes = []
        for own, other in zip(counts[sample], counts[reference], strict=True):
            if own > 0 and other > 0:
                p, q = own / sizes[sample], other / sizes[reference]
                weight = 1 / ((sizes[sample] - own) / (sizes[sample] * own)
                              + (sizes[reference] - other) / (sizes[reference] * other))  # fmt: skip
                genes.append((math.log2(p / q), (math.log2(p) + math.log2(q)) / 2, weight))
        size = len(genes)
        cut_m, cut_a = math.floor(0.3 * size), math.floor(0.05 * size)
        by_m = sorted(genes)[cut_m : size - cut_m]
        by_a = sorted(genes, key=lambda gene: gene[1])[cut_a : size - cut_a]
        kept = [gene for gene in by_m if gene in by_a]
        mean = sum(m * w for m, _, w in kept) / sum(w for _, _, w in kept)
        factors.append(sizes[sample] * 2 ** (0.0 if sample == reference else mean))
    return factors


def test_tmm_by_hand() -> None:
    rng = np.random.default_rng(3)
    counts = rng.negative_binomial(2.0, 0.005, size=(4, 60)) * np.array([1, 3, 1, 2])[:, None]
    counts[1, :5] *= 40
    counts[:, -3:] = 0
    expressed = counts[:, counts.any(axis=0)]
    quartiles = np.array([np.percentile(row, 75) for row in expressed]) / counts.sum(axis=1)
    reference = int(np.argmin(np.abs(quartiles - quartiles.mean())))
    np.testing.assert_allclose(tmm(counts), geometric(tmm_by_loops(counts, reference)), rtol=1e-10)


def test_tmm_removes_what_a_few_loud_genes_do_to_the_total() -> None:
    """Two samples with the same expression but for one gene: TMM finds the depth ratio, the total does not."""
    rng = np.random.default_rng(4)
    base = rng.integers(50, 5000, size=200)
    counts = np.array([base, base])
    counts[1, 0] = base.sum()
    np.testing.assert_allclose(tmm(counts), 1.0, rtol=1e-10)
    np.testing.assert_allclose(median_of_ratios(counts), 1.0, rtol=1e-10)
    assert total(counts)[1] > 1.3


def test_upper_quartile_by_hand() -> None:
    # Without the gene that nobody has: 1 2 3 4 5 -> 4; 10 20 30 40 100 -> 40.
    counts = [[1, 2, 3, 4, 5, 0], [10, 20, 30, 40, 100, 0]]
    np.testing.assert_allclose(upper_quartile(counts), geometric([4, 40]), rtol=1e-10)


def test_total_and_spike_in_by_hand() -> None:
    counts = [[1, 2, 7], [10, 20, 10]]
    np.testing.assert_allclose(total(counts), geometric([10, 40]), rtol=1e-10)
    np.testing.assert_allclose(spike_in(counts, [True, True, False]), geometric([3, 30]), rtol=1e-10)


@pytest.mark.parametrize("method", METHODS)
def test_relations(method: str) -> None:
    rng = np.random.default_rng(5)
    counts = rng.poisson(np.exp(rng.normal(6.0, 1.0, size=300)), size=(5, 300)) + 1
    base = size_factors(counts, method)
    assert np.log(base).mean() == pytest.approx(0.0, abs=1e-12)
    with_empty = np.hstack([np.zeros((5, 50), dtype=int), counts])
    np.testing.assert_allclose(size_factors(with_empty, method), base, rtol=1e-10)
    order = rng.permutation(300)
    np.testing.assert_allclose(size_factors(counts[:, order], method), base, rtol=1e-10)
    scaled = counts.copy()
    scaled[2] *= 4
    ratio = size_factors(scaled, method) / base
    # The weights of TMM depend on the depth, which matters little where log ratios are near 0.05; all else is exact.
    np.testing.assert_allclose(ratio / ratio[0], [1, 1, 4, 1, 1], rtol=5e-3 if method == "tmm" else 1e-10)


def test_offsets_are_taken_out_first() -> None:
    rng = np.random.default_rng(6)
    counts = rng.integers(100, 1000, size=(3, 50)).astype(float)
    offset = np.log([[1.0], [2.0], [0.5]]) * np.ones((3, 50))
    np.testing.assert_allclose(
        size_factors(counts * np.exp(offset), log_offset=offset), size_factors(counts), rtol=1e-12
    )


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: upper_quartile([[0, 0, 0, 0, 1], [1, 2, 3, 4, 5]]), "that of sample 1 is 0"),
        (lambda: tmm([[1, 0], [0, 1]]), "TMM needs genes that a sample shares"),
        (lambda: total([[0, 0], [1, 2]]), "sample 1 has none"),
        (lambda: total([[1, -1], [1, 2]]), "non-negative"),
        (lambda: total([[1, math.nan], [1, 2]]), "non-negative"),
        (lambda: spike_in([[1, 0], [1, 2]], [False, True]), "sample 1 has none"),
        (lambda: spike_in([[1, 0], [1, 2]], [False, False]), "at least one of 2 genes"),
    ],
)
def test_what_cannot_be_normalised(call: object, message: str) -> None:
    with pytest.raises(CountsError, match=message):
        call()  # type: ignore[operator]


def test_unknown_method() -> None:
    with pytest.raises(OptionError, match="'median_of_ratios', 'tmm', 'upper_quartile', 'total'; found 'rle'"):
        size_factors([[1, 2], [3, 4]], "rle")


def test_factors_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "factors.csv"
    path.write_text("sample,factor\nb,4\na,1\n")
    np.testing.assert_allclose(read_size_factors(path, ("a", "b")), [0.5, 2.0])
    path.write_text("sample,factor\nb,0\na,1\n")
    with pytest.raises(CountsError, match=r"sample 'b' is 0.0 \(line 2"):
        read_size_factors(path, ("a", "b"))
    path.write_text("sample,factor\nb,1\n")
    with pytest.raises(CountsError, match="'a' of the sample table are not in"):
        read_size_factors(path, ("a", "b"))
    path.write_text("sample,factor,more\nb,1,1\n")
    with pytest.raises(CountsError, match="two columns"):
        read_size_factors(path, ("a", "b"))


def test_airway_factors_are_those_published(shared_data: Path) -> None:
    """DESeq2's size factors of the airway study, as printed in its Bioconductor workflow, up to a common factor."""
    published = [1.0236476, 0.8961667, 1.1794861, 0.6700538, 1.1776714, 1.3990365, 0.9207787, 0.9445141]
    data = read_counts(shared_data / "airway/counts.csv.gz", shared_data / "airway/samples.csv")
    np.testing.assert_allclose(median_of_ratios(data.counts), geometric(published), rtol=1e-6)
