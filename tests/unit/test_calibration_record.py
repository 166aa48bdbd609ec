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
from bayesexpr.calibration.controls import BUGS, NO_BUG, STICKY, Bug
from bayesexpr.calibration.evidence import FAST, TIERS, record_path, recorded_size, samplers
from bayesexpr.calibration.program_sbc import plan
from bayesexpr.calibration.published import DEFECTS, NONE
from bayesexpr.calibration.record import FOLDER, make_record, read_record, stale, verdict_of, write_record
from bayesexpr.calibration.result import Campaign
from bayesexpr.calibration.scenarios import ModelScenario
from bayesexpr.calibration.verdict import INCONCLUSIVE, PASS
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


@pytest.mark.parametrize(("name", "method"), [(name, method) for name in registry.names() for method in samplers(name)])
def test_committed_records_are_there_fresh_and_large_enough(name: str, method: str) -> None:
    """A program without a record, or changed since its record was made, needs `make evidence`."""
    record = read_record(record_path(name, method=method))
    assert record["backend"] == method
    assert stale(record, *plan(name, method=method)) == []
    assert record["simulations"]["planned"] >= recorded_size(name)


def test_every_program_has_a_tier() -> None:
    assert set(registry.names()) >= FAST
    sizes = {name: recorded_size(name) for name in registry.names()}
    assert {name for name, size in sizes.items() if size == TIERS["release"]} == FAST
    assert {size for name, size in sizes.items() if name not in FAST} == {TIERS["pull_request"]}


LATER = {"mean-field normal": TIERS["release"]}
"""Sizes at which real fits catch what exact posteriors catch at the error's tier: six of ten campaigns of 200 do."""


def test_planted_errors_are_recorded_and_caught() -> None:
    """Real fits, as many as `make evidence` makes: detection as the tiers ask, and no false alarm."""
    record = read_record(planted.RECORD)
    assert planted.stale(record) == []
    assert planted.is_fresh(planted.RECORD, planted.MOST)
    found = {(o["bug"], o["simulations"]): o for o in record["outcomes"]}
    for bug in planted.PLANTED:
        assert found[bug.name, TIERS["smoke"]]["campaigns"] >= 20
        assert found[bug.name, TIERS["pull_request"]]["campaigns"] >= 10
        assert found[bug.name, TIERS["release"]]["campaigns"] >= 2
    for bug in BUGS:
        tier = LATER.get(bug.name, bug.tier)
        sizes = [size for name, size in found if name == bug.name and size >= tier]
        assert sizes or bug.tier == TIERS["release"]
        for one in (found[bug.name, size] for size in sizes):
            assert one["caught"] >= 0.95 * one["campaigns"], bug.name
            assert one["kind"], bug.name
    for (name, _), one in found.items():
        if name == NO_BUG.name:
            assert one["status"] == {PASS: one["campaigns"]}
        if name == STICKY.name:
            assert one["status"] == {INCONCLUSIVE: one["campaigns"]}
            assert one["reason"].startswith("autocorrelation")


@pytest.mark.parametrize(("tier", "fits"), [([], 2000), (["--tier", "pull_request"], 400), (["--tier", "smoke"], 40)])
def test_planted_errors_are_fitted_for_two_campaigns_of_a_tier(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, tier: list[str], fits: int
) -> None:
    """A record that is fresh and large enough is left alone, one with fewer fits is made."""
    asked: list[int] = []

    class Counted:
        def __init__(self, bugs: tuple[Bug, ...], folder: Path) -> None:
            self.bugs, self.rows = bugs, range(0)

        def extend(self, fits: int, workers: int) -> None:
            asked.append(fits)
            self.rows = range(fits)

        def outcomes(self) -> list[dict[str, object]]:
            return []

    monkeypatch.setattr(planted, "Fits", Counted)
    command = [*tier, "--record", str(tmp_path / "record.json"), "--work", str(tmp_path)]
    assert planted.main(command) == 0
    assert max(asked) == read_record(tmp_path / "record.json")["simulations"] == fits
    before = len(asked)
    assert planted.main(command) == 0
    assert len(asked) == before
    assert not planted.is_fresh(tmp_path / "record.json", fits + 1)
    assert not planted.is_fresh(tmp_path / "other.json", 1)
    kept = (tmp_path / "record.json").read_bytes()
    assert planted.main([*command, "--all", planted.PLANTED[0].name]) == 0  # nothing is known of the other errors yet
    assert (tmp_path / "record.json").read_bytes() == kept


def test_campaigns_of_one_size_share_no_first_stage_and_repeat_alarms_on_the_next() -> None:
    """Ranks at both ends in the first 20 of 60 fits, even in the others: an alarm that is not borne out."""
    ranks = [(99 * (i % 2)) if i < 20 else 5 * (i % 20) + 2 for i in range(60)]
    rows = {i: made_row(i, rank) for i, rank in enumerate(ranks)}
    told = planted.campaigns(NO_BUG, rows, 20)
    assert [one.status for one in told] == [PASS, PASS, PASS]
    assert [bool(one.quantity) for one in told] == [True, False, False]
    twice = {i: made_row(i, 99 * (i % 2)) for i in range(40)}
    assert [one.status for one in planted.campaigns(NO_BUG, twice, 20)] == ["FAIL", "FAIL"]
    summed = planted.outcome(told)
    assert (summed["campaigns"], summed["caught"], summed["alarmed"]) == (3, 0, 1)
    assert planted.campaigns(NO_BUG, rows, 40) == []
    del rows[30]
    assert planted.campaigns(NO_BUG, rows, 20) == []


def made_row(index: int, rank: int) -> dict[str, object]:
    common = {"names": ["q"], "uses_data": [False], "diagnostics": {}}
    return {"index": index, "rank": [rank], **common, **{k: [1.0] for k in ("truth", "mean", "sd", "ess", "rhat")}}


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
