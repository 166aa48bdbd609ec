"""Records: judged again from their counts, fresh by digest, and not to be changed by hand."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import fake_calibration as fake
import numpy as np
import pytest

from bayesexpr.calibration import planted, published_checks, tables
from bayesexpr.calibration.backend import ExactBackend, FunctionBackend
from bayesexpr.calibration.campaign import run_campaign
from bayesexpr.calibration.controls import BUGS, NO_BUG
from bayesexpr.calibration.evidence import FAST, TIERS, record_path, recorded_size
from bayesexpr.calibration.program_sbc import plan
from bayesexpr.calibration.published import DEFECTS, NONE
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


@pytest.mark.parametrize("name", registry.names())
def test_committed_records_are_there_fresh_and_large_enough(name: str) -> None:
    """A program without a record, or changed since its record was made, needs `make evidence`."""
    record = read_record(record_path(name))
    assert stale(record, *plan(name)) == []
    assert record["simulations"]["planned"] >= recorded_size(name)


def test_every_program_has_a_tier() -> None:
    assert set(registry.names()) >= FAST
    sizes = {name: recorded_size(name) for name in registry.names()}
    assert {name for name, size in sizes.items() if size == TIERS["release"]} == FAST
    assert {size for name, size in sizes.items() if name not in FAST} == {TIERS["pull_request"]}


def test_planted_errors_are_recorded_and_caught() -> None:
    """Real fits: every error is planted, and caught by the size at which exact posteriors catch it, if that was run."""
    record = read_record(planted.RECORD)
    assert planted.stale(record) == []
    outcomes = record["outcomes"]
    caught = {o["bug"] for o in outcomes if o["status"] == "FAIL"}
    for bug in BUGS:
        largest = max(o["simulations"] for o in outcomes if o["bug"] == bug.name)
        assert largest >= TIERS["smoke"]
        assert bug.name in caught or largest < max(bug.tier, TIERS["smoke"]), bug.name
    assert {o["status"] for o in outcomes if o["bug"] == NO_BUG.name} == {PASS}


def test_the_published_programs_defects_are_recorded_and_caught() -> None:
    """Each of its defects by some check, the program without them by none."""
    record = read_record(published_checks.RECORD)
    assert published_checks.stale(record) == []
    caught = {f["defect"] for f in record["findings"] if f["caught"]}
    assert {defect.name for defect in DEFECTS} <= caught
    assert NONE.name not in caught
    assert len(caught) == len(DEFECTS) + 2  # one simulation is no calibration; its array syntax does not compile


def test_the_pages_show_the_records() -> None:
    """Make their tables anew with `python -m bayesexpr.calibration.tables`."""
    for page, sections in tables.PAGES.items():
        text = page.read_text(encoding="utf-8")
        assert tables.filled(text, sections) == text
    text = tables.README.read_text(encoding="utf-8")
    with pytest.raises(ValueError, match="no section"):
        tables.filled(text.replace("<!-- verdicts -->", ""))
