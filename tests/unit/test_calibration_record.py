"""Records: judged again from their counts, fresh by digest, and not to be changed by hand."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import fake_calibration as fake
import numpy as np
import pytest

from bayesexpr.calibration.backend import ExactBackend, FunctionBackend
from bayesexpr.calibration.campaign import run_campaign
from bayesexpr.calibration.evidence import record_path
from bayesexpr.calibration.record import FOLDER, make_record, read_record, stale, verdict_of, write_record
from bayesexpr.calibration.result import Campaign
from bayesexpr.calibration.scenarios import ModelScenario
from bayesexpr.calibration.verdict import PASS
from bayesexpr.errors import InputError
from bayesexpr.models import registry
from bayesexpr.models.priors import Dirichlet


def campaign(sample: object = fake.exact, n: int = 60) -> Campaign:
    return run_campaign(fake.SCENARIO, FunctionBackend(sample), simulations=n)  # type: ignore[arg-type]


@pytest.mark.parametrize("sample", [fake.exact, fake.narrow, fake.sticky])
def test_a_record_is_judged_again_to_the_same_verdict(tmp_path: Path, sample: object) -> None:
    made = campaign(sample)
    record = read_record(write_record(made, tmp_path))
    again = verdict_of(record)
    assert again.status == made.verdict.status == record["verdict"]
    np.testing.assert_allclose(
        [q.adjusted for q in again.quantities], [q.adjusted for q in made.verdict.quantities], rtol=1e-12
    )
    assert again.severity == made.verdict.severity


def test_duplicate_quantities_stay_duplicates_in_the_record() -> None:
    """Ranks of a number and of its logarithm are one test; equal counts by chance are two."""
    model = registry.get("gamma_poisson")()
    made = run_campaign(ModelScenario(model), ExactBackend(model), simulations=40, replicate=False)
    again = verdict_of(make_record(made))
    assert again.severity == made.verdict.severity
    assert len({q.pvalue for q in made.verdict.quantities if q.name != "log_lik"}) == 1


def test_a_changed_record_is_refused(tmp_path: Path) -> None:
    path = write_record(campaign(n=20), tmp_path)
    record = json.loads(path.read_text())
    record["verdict"] = "FAIL"
    path.write_text(json.dumps(record))
    with pytest.raises(InputError, match="was changed after"):
        read_record(path)
    path.write_text("{}")
    with pytest.raises(InputError, match="no calibration record"):
        read_record(path)


def test_a_record_is_stale_once_program_or_simulator_change() -> None:
    model = registry.get("dirichlet_multinomial")()
    scenario, backend = ModelScenario(model), ExactBackend(model)
    record = make_record(run_campaign(scenario, backend, simulations=20, replicate=False))
    assert stale(record, scenario, backend) == []
    other = replace(model, priors={"theta": Dirichlet(1.0, 1.0)})
    assert "the simulator" in stale(record, ModelScenario(other), backend)[0]
    assert "the program" in stale(record, scenario, ExactBackend(model, draws=500))[0]
    assert "the simulator" in stale(record, replace(scenario, given={"genes": 6, "total": 500}), backend)[0]


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.json")), ids=lambda p: p.stem)
def test_committed_records_are_whole_and_pass(path: Path) -> None:
    record = read_record(path)
    verdict = verdict_of(record)
    assert verdict.status == record["verdict"] == PASS


@pytest.mark.parametrize("program", registry.names())
def test_committed_records_are_fresh(program: str) -> None:
    from bayesexpr.calibration.program_sbc import plan

    path = record_path(program)
    if not path.exists():
        pytest.skip(f"{program} has no record yet")
    assert stale(read_record(path), *plan(program)) == []
