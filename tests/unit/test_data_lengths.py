"""Effective lengths, TPM and compositions by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from bayesexpr.data.lengths import (
    aitchison_distance,
    closure,
    clr,
    effective_length,
    effective_length_distribution,
    length_bias,
    log_offset,
    tpm,
)
from bayesexpr.errors import InputError


def test_effective_length() -> None:
    np.testing.assert_array_equal(effective_length([700, 200, 150], 200), [501, 1, 0])


def test_effective_length_with_a_distribution_by_hand() -> None:
    # Fragments of 1, 2, 3 with weights 1, 2, 1. Length 2: (1 * 2 + 2 * 1) / 3. Length 10: (10 + 2 * 9 + 8) / 4.
    np.testing.assert_allclose(effective_length_distribution([2, 10, 1, 0], [1, 2, 1]), [4 / 3, 9, 1, 0], rtol=1e-12)


def test_distribution_at_one_length_is_the_simple_formula() -> None:
    weights = np.zeros(300)
    weights[199] = 0.7
    lengths = np.array([100, 199, 200, 201, 5000])
    np.testing.assert_allclose(
        effective_length_distribution(lengths, weights), effective_length(lengths, 200), rtol=1e-12
    )


@pytest.mark.parametrize("weights", [[], [0.0, 0.0], [-1.0, 2.0], [math.nan, 1.0], [[1.0]]])
def test_impossible_distributions(weights: list[float]) -> None:
    with pytest.raises(InputError, match="weights of fragment lengths"):
        effective_length_distribution([100], weights)


def test_offset_is_centred_within_genes() -> None:
    lengths = np.array([[100.0, 5.0], [400.0, 5.0]])
    offset = log_offset(lengths)
    np.testing.assert_allclose(offset, [[-math.log(2), 0], [math.log(2), 0]], atol=1e-12)
    np.testing.assert_allclose(log_offset(lengths * 7), offset, atol=1e-12)
    with pytest.raises(InputError, match="effective lengths must be positive"):
        log_offset([[1.0, 0.0]])


def test_tpm_by_hand() -> None:
    # Rates 1, 2, 5 per nucleotide.
    np.testing.assert_allclose(tpm([100, 400, 50], [100, 200, 10]), [125000, 250000, 625000], rtol=1e-12)
    np.testing.assert_allclose(tpm([[1, 1], [10, 30]], [1, 1]).sum(axis=1), 1e6)


def test_residual_bias_of_full_lengths() -> None:
    np.testing.assert_allclose(length_bias([1000, 250, 100], 200), [0.8, 0.2, 0.0])
    # It is what the expected count over the full length keeps, up to one nucleotide.
    length = 2000.0
    assert length_bias(length, 200) == pytest.approx(effective_length(length, 200) / length, abs=1 / length)


def test_closure_by_hand_and_scale() -> None:
    np.testing.assert_allclose(closure([1, 1, 2]), [0.25, 0.25, 0.5])
    np.testing.assert_allclose(closure([[1, 3], [5, 5]]), [[0.25, 0.75], [0.5, 0.5]])
    np.testing.assert_allclose(closure(np.array([1, 1, 2]) * 17), closure([1, 1, 2]))
    for bad in ([0, 0], [-1, 2], [math.inf, 1]):
        with pytest.raises(InputError, match="parts of a composition"):
            closure(bad)


def test_clr_by_hand() -> None:
    # Geometric mean of 1, 2, 4 is 2.
    np.testing.assert_allclose(clr([1, 2, 4]), [-math.log(2), 0, math.log(2)], atol=1e-12)
    np.testing.assert_allclose(clr([3, 6, 12]), clr([1, 2, 4]), atol=1e-12)
    assert clr([5, 1, 9, 2]).sum() == pytest.approx(0.0, abs=1e-12)
    with pytest.raises(InputError, match="parts of a composition must be positive"):
        clr([1, 0])


def test_aitchison_distance_by_hand() -> None:
    # clr(1, 2, 4) = (-l, 0, l), clr(4, 2, 1) = (l, 0, -l), l = log 2: distance sqrt(8) l.
    assert aitchison_distance([1, 2, 4], [4, 2, 1]) == pytest.approx(math.sqrt(8) * math.log(2))
    assert aitchison_distance([1, 2, 4], [10, 20, 40]) == pytest.approx(0.0, abs=1e-12)
    assert aitchison_distance([1, 2, 4], [1, 2, 5]) > 0.1
