"""Sampler settings are checked when they are made."""

from __future__ import annotations

from typing import Any

import pytest

from bayesexpr.errors import OptionError
from bayesexpr.stan.settings import SamplerSettings


def test_thinning_keeps_the_first_of_each() -> None:
    assert SamplerSettings(draws=10, thin=3).kept_draws == 4


def test_cores_that_chains_leave_are_their_threads() -> None:
    assert [SamplerSettings(chains=4, cores=cores).threads for cores in (1, 4, 7, 8, 13)] == [1, 1, 1, 2, 3]


def test_nothing_adapts_without_a_warm_up() -> None:
    assert SamplerSettings().adapts
    assert not SamplerSettings(warmup=0).adapts
    assert not SamplerSettings(adapt_engaged=False).adapts


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("chains", 0),
        ("chains", 1.5),
        ("draws", 0),
        ("warmup", -1),
        ("seed", 0),
        ("seed", 2**31),
        ("cores", True),
        ("thin", 0),
        ("adapt_delta", 1.0),
        ("metric", "euclidean"),
        ("step_size", 0.0),
        ("step_size", float("nan")),
        ("window", -1),
    ],
)
def test_a_value_outside_its_range_is_refused(name: str, value: Any) -> None:
    with pytest.raises(OptionError, match=name):
        SamplerSettings(**{name: value})
