"""From a fit to the calibration of its own design, to its certificate, by the commands and with real fits."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import bayesexpr as bx
from bayesexpr.cli import main
from bayesexpr.models.negative_binomial_de import NegativeBinomialDE
from bayesexpr.stan.toolchain import Toolchain

pytestmark = pytest.mark.needs_stan

GENES, STUDIES, FITS = 12, 4, 20


def command(*arguments: object) -> int:
    with pytest.raises(SystemExit) as end:
        main([str(a) for a in arguments])
    return int(end.value.code or 0)


def test_a_study_is_calibrated_in_its_own_design(
    toolchain: Toolchain, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """12 genes in 3 donors under two treatments, seed 5; four simulated studies, too few for a verdict."""
    rng = np.random.default_rng(5)
    design = np.tile([-0.5, 0.5], 3)[:, None]
    counts = NegativeBinomialDE().simulate({"genes": GENES, "design": design}, rng)[1]["count"]
    samples = pd.DataFrame({"donor": np.repeat(["x", "y", "z"], 2), "dex": ["a", "b"] * 3})
    samples.index = pd.Index([f"s{k}" for k in range(6)], name="sample")
    samples.to_csv(tmp_path / "samples.csv")
    genes = [f"g{k}" for k in range(GENES)]
    pd.DataFrame(counts, samples.index, genes).to_csv(tmp_path / "counts.csv")
    run, short = tmp_path / "run", ("--chains", 2, "--warmup", 100, "--draws", 100, "--cores", 1, "--quiet")
    files = (tmp_path / "counts.csv", tmp_path / "samples.csv")
    asked = ("--design", "~ donor + dex", "--contrast", "dex,b,a")
    assert command("de", *files, "-o", run, *asked, *short) == 0
    capsys.readouterr()
    campaign = tmp_path / "campaign"
    assert command("sbc", run, "-o", campaign, "--simulations", STUDIES, "--quiet") == 3
    assert f"bayesexpr check {run} --campaign {campaign}" in capsys.readouterr().out
    summary = json.loads((campaign / "summary.json").read_text())
    assert (summary["verdict"], summary["simulations"]["failed"]) == ("INCONCLUSIVE", 0)
    made = json.loads((campaign / "campaign.json").read_text())
    assert made["study"]["conditions"]["genes"] == GENES
    assert command("check", run, "--campaign", campaign, "--quiet") == 0
    said = capsys.readouterr().out
    assert (
        f"by nuts ({STUDIES} simulations of this study's own design, {GENES} genes): INCONCLUSIVE; only {STUDIES} sim"
        in said
    )


def test_a_program_is_calibrated_for_its_own_data(toolchain: Toolchain, tmp_path: Path) -> None:
    """Three genes of beta_binomial, 20 simulations: those of the program's scenario have one gene."""
    data = {"count": [40, 3, 900], "total": [20_000, 10_000, 30_000]}
    fit = bx.fit("beta_binomial", data, chains=2, warmup=200, draws=200, seed=1, cores=1)
    campaign = bx.calibration.sbc(fit, simulations=FITS, folder=tmp_path / "c")
    assert "theta[2]" in campaign.table.names
    assert campaign.verdict.status == "PASS"
    record = fit.check(campaign=tmp_path / "c").record
    assert record is not None
    assert (record["verdict"], record["method"], record["simulations"]) == ("PASS", "nuts", FITS)
    assert record["design"] == "this study's own design"
