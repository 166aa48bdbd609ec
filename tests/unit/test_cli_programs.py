"""``bayesexpr fit`` and ``bayesexpr quant`` without Stan: exact fits, sets without a fit, mistakes in one line."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from bayesexpr.cli import main
from bayesexpr.models import registry

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    """Run a command in an empty folder: exit code, stdout, stderr."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(warnings, "showwarning", warnings.showwarning)  # main replaces it

    def command(*arguments: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as left:
            main(list(arguments))
        said = capsys.readouterr()
        assert isinstance(left.value.code, int)
        return left.value.code, said.out, said.err

    return command


def test_an_exact_fit_with_its_prior(run: Run, tmp_path: Path) -> None:
    (tmp_path / "one.json").write_text(json.dumps({"count": [500], "total": [20_000_000]}))
    asked = ["fit", "beta_binomial", "one.json", "-o", "run", "--method", "exact", "--prior-draws", "50", "--quiet"]
    code, out, err = run(*asked, "--prior", "theta=beta(0.01, 99.99)")
    assert (code, err) == (0, "")
    assert "theta[0]" in out
    page = tmp_path / "run" / "report.html"
    assert out.splitlines()[-1] == f"report: {page}"
    assert "beta(0.01, 99.99)" in page.read_text(encoding="utf-8")
    assert {f.name for f in (tmp_path / "run" / "posterior.zarr").iterdir() if f.is_dir()} >= {
        "posterior",
        "prior",
        "prior_predictive",
        "observed_data",
    }


MISTAKES: list[tuple[str, dict[str, Any], str]] = [
    ("beta_binomial", {"count": [3, 11], "total": [10, 10]}, "count[1] is 11 of total[1] = 10"),
    (
        "gamma_poisson",
        {"count": [3], "effective_length": [-5], "total": 9, "transcriptome_length": 9},
        "effective_length[0] is -5",
    ),
    ("dirichlet_multinomial", {"count": [3, -1]}, "count[1] is -1"),
    (
        "transcript_compatibility",
        {"count": [3, 4], "compatibility": [[0, 0]], "transcript_length": [500]},
        "class 1 has none",
    ),
    (
        "transcript_compatibility",
        {"count": [3], "compatibility": [[0, 0]], "transcript_length": [-500]},
        "transcript_length[0] is -500",
    ),
    (
        "transcript_compatibility",
        {"count": [3], "compatibility": [[0, 0], [0, 1]], "effective_length": [-5]},
        "effective_length[0] is -5",
    ),
    ("hierarchical_expression", {"count": [[3, 4]], "effective_length": [100, -1]}, "effective_length[1] is -1"),
    (
        "negative_binomial_de",
        {"count": [[3, 4], [1, 2]], "design": [[0], [1]], "effective_length": [100, -1]},
        "effective_length[1] is -1",
    ),
    ("zero_inflated_negative_binomial", {"count": [[3, 0.5]]}, "count[0][1] is 0.5"),
    ("gaussian_linear", {"expression": [[1.0], ["x"]], "design": [[0], [1]]}, "expression[1][0] is 'x'"),
    ("variance_components", {"expression": [[[1.0], [2.0]]]}, "expression has 1 biological"),
    ("adaptive_shrinkage", {"estimate": [1, 2], "standard_error": [1, 0]}, "standard_error[1] is 0"),
    ("spike_in", {"count": [[3, 4]], "molecules": [[3, -2]]}, "molecules[0][1] is -2"),
    ("langmuir", {"intensity": [3, 4], "concentration": [1, -8]}, "concentration[1] is -8"),
    ("coverage_decay", {"count": [3, 4], "distance": [-1, 4]}, "distance[0] is -1"),
]


@pytest.mark.parametrize(("name", "data", "message"), MISTAKES)
def test_a_mistake_is_one_line_with_its_index(
    run: Run, tmp_path: Path, name: str, data: dict[str, Any], message: str
) -> None:
    (tmp_path / "data.json").write_text(json.dumps(data))
    code, out, err = run("fit", name, "data.json", "-o", "run")
    assert (code, out) == (2, "")
    assert message in err
    assert err.count("\n") == 1
    assert not (tmp_path / "run").exists()


def test_every_program_has_a_mistake_above() -> None:
    assert {name for name, _, _ in MISTAKES} == set(registry.names())


@pytest.mark.parametrize("name", registry.names())
def test_every_program_is_printed_and_described(run: Run, name: str) -> None:
    code, out, _ = run("stancode", name)
    assert code == 0
    assert out.startswith(f"/* {name}: ")
    assert "\nmodel {" in out


def classes(place: Path, lines: str) -> Path:
    (place / "aux_info").mkdir(parents=True)
    (place / "aux_info" / "eq_classes.txt").write_text("\n".join(lines.split("|")) + "\n")
    rows = "".join(f"{name}\t500\t400\t1\t1\n" for name in "abc")
    (place / "quant.sf").write_text("Name\tLength\tEffectiveLength\tTPM\tNumReads\n" + rows)
    return place


def test_what_can_be_told_apart_is_said_without_a_fit(run: Run, tmp_path: Path) -> None:
    classes(tmp_path / "one", "3|2|a|b|c|2 0 1 10|1 2 4")
    classes(tmp_path / "two", "3|2|a|b|c|2 0 1 10|1 0 4")
    code, out, err = run("quant", "one", "two", "-o", "run", "--sets-only")
    assert (code, err) == (0, "")
    assert "one: 1 transcripts of 3 can be told apart" in out
    assert "two: 3 transcripts of 3" in out
    table = pd.read_csv(tmp_path / "run" / "identifiability.csv")
    assert table.loc[table["sample"] == "one", "identifiable"].tolist() == [False, False, True]
    assert json.loads((tmp_path / "run" / "run.json").read_text())["status"] == "done"


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ("3|2|a|b|c|2 0 1 10|0 4", "line 7"),
        ("3|2|a|b|c|2 0 7 10|1 2 4", "line 6"),
        ("3|2|a|b|c|2 0 1 -10|1 2 4", "line 6"),
    ],
)
def test_a_damaged_file_of_classes_is_one_line(run: Run, tmp_path: Path, lines: str, message: str) -> None:
    classes(tmp_path / "one", lines)
    code, out, err = run("quant", "one", "-o", "run")
    assert (code, out) == (2, "")
    assert message in err
    assert err.count("\n") == 1
