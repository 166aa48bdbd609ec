"""The tour of the programs: every cell runs without a word on stderr, in a minute once the programs are compiled."""

from __future__ import annotations

import re
import resource
from typing import Any

import pytest
from notebook_checks import check_executed

from bayesexpr.models import registry
from bayesexpr.report.notebook import execute, read_notebook
from bayesexpr.stan.compiler import compile_program
from bayesexpr.stan.program import render
from bayesexpr.stan.toolchain import Toolchain

pytestmark = pytest.mark.needs_stan

COMPILED: list[tuple[str, dict[str, str]]] = [
    ("transcript_compatibility", {}),
    ("hierarchical_expression", {}),
    ("negative_binomial_de", {"effects": "normal", "dispersion": "global"}),
    ("zero_inflated_negative_binomial", {"dispersion": "effects"}),
    ("variance_components", {}),
    ("adaptive_shrinkage", {}),
    ("spike_in", {}),
    ("langmuir", {}),
    ("coverage_decay", {"noise": "poisson"}),
]
"""The programs of which the tour takes no closed form."""


def seconds_of_children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


@pytest.fixture(scope="module")
def tour(toolchain: Toolchain, tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, float]:
    """The executed notebook, and the seconds of processor time that it took."""
    for name, options in COMPILED:
        compile_program(render(name, registry.get(name)(options=options).options), toolchain)
    before = seconds_of_children()
    notebook = execute("tour", folder=tmp_path_factory.mktemp("tour"))
    return notebook, seconds_of_children() - before


def printed(notebook: Any) -> str:
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    return "".join(out["text"] for cell in cells for out in cell.outputs if out.get("name") == "stdout")


def test_it_runs_within_a_minute(tour: tuple[Any, float]) -> None:
    notebook, seconds = tour
    check_executed(notebook)
    assert seconds < 60
    pictures = sum("image/png" in out.get("data", {}) for cell in notebook.cells for out in cell.get("outputs", []))
    assert pictures >= len(registry.names())


def test_every_program_has_its_section() -> None:
    texts = [cell.source for cell in read_notebook("tour").cells if cell.cell_type == "markdown"]
    headings = [line for text in texts for line in text.splitlines() if line.startswith("## `")]
    assert [re.findall("`(.*)`", line)[0] for line in headings] == list(registry.names())


def test_it_tells_the_numbers_of_the_text(tour: tuple[Any, float]) -> None:
    said = printed(tour[0])
    assert "θ = 2.50e-05" in said
    low, high = (float(x) for x in re.findall(r"2.50e-05, 95 % \[(.*), (.*)\]", said)[0])
    assert [low, high] == pytest.approx([2.29e-5, 2.72e-5], abs=0.01e-5)
    low, high = (float(x) for x in re.findall(r"500 fragments expected, 95 % \[(.*), (.*)\]", said)[0])
    assert [low, high] == pytest.approx([457.13, 544.77], abs=2)
    assert "{'A': True, 'B': False, 'C': False}" in said
    covered = [float(share) for share in re.findall(r"covered: ([\d.]+)", said)]
    for share, n in zip(covered, (100, 7, 100), strict=True):
        assert abs(share - 0.9) <= 3 * (0.09 / n) ** 0.5 + 0.5 / n
