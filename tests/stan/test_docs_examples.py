"""Pages of the documentation whose Python compiles or fits: run as they stand, on a smaller study."""

from __future__ import annotations

import sys
from pathlib import Path

import pandas as pd
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "unit"))
from docs_pages import run_page

from bayesexpr.datasets import bring
from bayesexpr.stan.toolchain import Toolchain

GENES = 200


def test_the_five_minute_start(toolchain: Toolchain, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    bring("simulated_donors", tmp_path)
    counts = tmp_path / "simulated_donors" / "counts.csv.gz"
    table = pd.read_csv(counts, index_col=0)
    (table.iloc[:GENES] if len(table) > len(table.columns) else table.iloc[:, :GENES]).to_csv(counts)
    names = run_page("start.md", tmp_path)
    assert len(names["table"]) == GENES
    assert names["again"].design.formula == "~ donor + treatment"
    assert (tmp_path / "volcano.png").stat().st_size > 1000


def test_calibrating_ones_own_program(toolchain: Toolchain, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names = run_page("how_to/calibrating.md", tmp_path)
    assert names["campaign"].verdict.status == "PASS"
    assert names["failed"].verdict.status == "FAIL"
    assert (tmp_path / "calibration.html").stat().st_size > 10_000
