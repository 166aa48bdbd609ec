"""The rendered text of the measurement programs, every variant, as reviewed: ``tests/golden/NAME[.option=value].stan``.

``BAYESEXPR_GOLDEN=write pytest tests/unit/test_measurement_programs_text.py`` writes them anew.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from bayesexpr.models.base import Model
from bayesexpr.models.coverage_decay import CoverageDecay
from bayesexpr.models.langmuir import Langmuir
from bayesexpr.models.spike_in import SpikeIn
from bayesexpr.models.transcript_compatibility import TranscriptCompatibility
from bayesexpr.stan.program import render

GOLDEN = Path(__file__).parents[1] / "golden"
PROGRAMS: tuple[type[Model], ...] = (TranscriptCompatibility, SpikeIn, Langmuir, CoverageDecay)


def variants() -> Iterator[tuple[str, dict[str, str]]]:
    for program in PROGRAMS:
        names = list(program.OPTIONS)
        for values in itertools.product(*(program.OPTIONS[name].choices for name in names)):
            options = dict(zip(names, values, strict=True))
            differs = [f"{n}={v}" for n, v in options.items() if v != program.OPTIONS[n].default]
            yield ".".join([program.NAME, *differs]), options


@pytest.mark.parametrize(("name", "options"), list(variants()), ids=[name for name, _ in variants()])
def test_rendered_text_is_the_golden_file(name: str, options: dict[str, str]) -> None:
    code = render(name.split(".")[0], options).code
    file = GOLDEN / f"{name}.stan"
    if os.environ.get("BAYESEXPR_GOLDEN") == "write":
        file.write_text(code)
    assert code == file.read_text()
    assert "//%" not in code
    assert "/*=" not in code
