"""``bayesexpr sbc`` by itself: verdict, exit code, resuming, and one simulation run again."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bayesexpr.cli import main

COMMAND = ["sbc", "dirichlet_multinomial", "--method", "exact", "--simulations", "25", "--quiet", "--seed", "3"]


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as end:
        main([*COMMAND, *arguments])
    return int(end.value.code or 0)


def test_a_simulation_is_run_again_to_its_ranks(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("-o", str(tmp_path / "c")) == 0
    assert "PASS: 25 of 25 simulations" in capsys.readouterr().out
    assert run("-o", str(tmp_path / "c")) == 0  # resumes
    capsys.readouterr()
    kept = json.loads((tmp_path / "c" / "fits" / "0-000007.json").read_text().partition("\n")[2])
    assert run("-o", str(tmp_path / "c"), "--replay", "7") == 0
    again = json.loads(capsys.readouterr().out)
    for name in ("index", "names", "rank", "truth", "mean"):
        assert again[name] == kept[name]
    summary = json.loads((tmp_path / "c" / "summary.json").read_text())
    assert "--replay NUMBER" in summary["replay"]


def test_a_simulation_that_fails_again_says_why(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    scenario = tmp_path / "s.json"
    scenario.write_text(json.dumps({"genes": 5, "total": -3}))
    assert run("-o", str(tmp_path / "c"), "--scenario", str(scenario), "--replay", "0") == 3
    assert "reason" in json.loads(capsys.readouterr().out)


def test_wrong_options_are_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("-o", str(tmp_path / "c"), "--workers", "2", "--scheduler", "tcp://127.0.0.1:1") == 2
    assert "not both" in capsys.readouterr().err
    assert run("-o", str(tmp_path / "c"), "--method", "blocked") == 2
    assert "one of negative_binomial_de" in capsys.readouterr().err
