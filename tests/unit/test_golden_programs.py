"""Every variant of the ladder's programs against ``tests/golden/NAME[.option=value].stan``, as reviewed.

``BAYESEXPR_GOLDEN=write pytest tests/unit/test_golden_programs.py`` writes them anew.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from bayesexpr.models import registry
from bayesexpr.stan.program import render

GOLDEN = Path(__file__).resolve().parents[1] / "golden"
LADDER = (
    "beta_binomial",
    "gamma_poisson",
    "dirichlet_multinomial",
    "hierarchical_expression",
    "negative_binomial_de",
    "zero_inflated_negative_binomial",
    "gaussian_linear",
    "variance_components",
    "adaptive_shrinkage",
)


def variants() -> Iterator[tuple[str, str, Mapping[str, str]]]:
    """File name, program and options of every combination of options."""
    for name in LADDER:
        options = registry.get(name).OPTIONS
        for values in itertools.product(*(option.choices for option in options.values())):
            chosen = dict(zip(options, values, strict=True))
            differs = [f"{key}={value}" for key, value in chosen.items() if value != options[key].default]
            yield ".".join([name, *differs]), name, chosen


@pytest.mark.parametrize(("file", "name", "options"), [pytest.param(*v, id=v[0]) for v in variants()])
def test_a_program_renders_as_it_did(file: str, name: str, options: Mapping[str, str]) -> None:
    golden, code = GOLDEN / f"{file}.stan", render(name, options).code
    if os.environ.get("BAYESEXPR_GOLDEN") == "write":
        golden.write_text(code, encoding="utf-8")
    assert code == golden.read_text(encoding="utf-8")
    assert "//%" not in code
    assert "/*=" not in code


def test_variants_differ() -> None:
    texts = [render(name, options).code for _, name, options in variants()]
    assert len(set(texts)) == len(texts)


@pytest.mark.parametrize("name", registry.names())
def test_every_data_line_is_explained(name: str) -> None:
    options = {key: option.default for key, option in registry.get(name).OPTIONS.items()}
    code = render(name, options).code
    block = code[code.index("\ndata {") : code.index("\n}", code.index("\ndata {"))]
    lines = [line for line in block.splitlines()[2:] if line.strip() and not line.strip().startswith("//")]
    bare = [line for line in lines if "//" not in line]
    # numbers of priors stand under one comment, and so does whitening
    allowed = ("_mean;", "_sd;", "_shape;", "_scale;", "_rate;", "_b;", "count;", "estimate;", "standard_error;")
    allowed += ("_max;", "_concentration;", "nuisance_design;", "center;", "scale;", "slope;", "driver;")
    allowed += ("_variance;", "_spread;")
    assert all(line.endswith(allowed) for line in bare), bare
    assert "prior_only; // 1: leave the likelihood out" in block


@pytest.mark.parametrize("name", registry.names())
def test_a_program_computes_nothing_that_sampling_does_not_need(name: str) -> None:
    options = {key: option.default for key, option in registry.get(name).OPTIONS.items()}
    assert "generated quantities" not in render(name, options).code
