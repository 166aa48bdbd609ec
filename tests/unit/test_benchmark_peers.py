"""What the comparison with other programs asks of them, keeps of what was measured and says of it; nothing is timed."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest


def test_peers_that_are_not_installed_are_skipped_with_the_way_to_install(
    module: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    peers = module("peers")
    peers.needed("numpy")  # the control: what is there is not skipped
    with pytest.raises(peers.NotInstalledError, match="no_such_sampler is not installed; make bench-peers"):
        peers.needed("no_such_sampler")
    monkeypatch.setenv("PATH", "")
    with pytest.raises(
        peers.NotInstalledError, match="Rscript is not installed; on Debian: apt-get install r-bioc-edger"
    ):
        peers.needed("edgeR")


def test_what_was_measured_stays_where_a_peer_is_not_installed(
    module: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    peers = module("peers")
    record: dict[str, Any] = {"same_model": {"numpyro": {"cpu_seconds": 9.0}}}
    monkeypatch.setattr(peers, "read", lambda name, folder: record)
    monkeypatch.setattr(peers, "write", lambda name, new, folder: record.update(new))
    monkeypatch.setattr(peers, "draw", lambda found, target, title: None)
    monkeypatch.setitem(peers.SAME_MODEL["numpyro"], "needs", "no_such_sampler")
    monkeypatch.setitem(peers.SAME_MODEL["nutpie"], "needs", "no_such_sampler")
    monkeypatch.setattr(sys, "argv", ["peers.py", "--only", "numpyro", "--only", "nutpie"])
    assert peers.main() == 0
    assert "numpyro: recorded" in capsys.readouterr().out
    assert "not installed" in record["same_model"]["nutpie"]["skipped"]
    monkeypatch.setattr(sys, "argv", ["peers.py", "--only", "numpyro", "--again"])
    assert peers.main() == 0
    assert "what is recorded stays" in capsys.readouterr().out
    assert record["same_model"]["numpyro"] == {"cpu_seconds": 9.0}


def test_ours_is_measured_again_for_other_code(
    module: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    peers, measuring = module("peers"), module("measuring")
    asked: list[str] = []
    for kind in ("same_model", "chapter", "count_test"):
        monkeypatch.setattr(peers, kind, lambda name, sizes: asked.append(name) or {"cpu_seconds": 1.0})
    monkeypatch.setattr(peers, "RESULTS", tmp_path)
    monkeypatch.setattr(peers, "draw", lambda found, target, title: None)
    monkeypatch.setattr(sys, "argv", ["peers.py"])
    every = [*peers.SAME_MODEL, *peers.CHAPTER, *peers.TESTS]
    ours = ["nuts", "blocked", "ours_200", "ours_1000"]
    for digest, expected in (("a", every), ("a", []), ("b", ours)):
        asked.clear()
        monkeypatch.setattr(peers, "code_digest", lambda digest=digest: digest)
        assert peers.main() == 0
        assert asked == expected
    found = measuring.read("peers", tmp_path)
    assert found["same_model"]["nuts"]["code"] == "b"
    assert "code" not in found["same_model"]["numpyro"]


def test_a_trial_of_the_peers_records_nothing(
    module: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    peers, measuring = module("peers"), module("measuring")
    asked: list[tuple[str, Any]] = []
    for kind in ("same_model", "chapter", "count_test"):
        monkeypatch.setattr(peers, kind, lambda name, sizes: asked.append((name, sizes)) or {"cpu_seconds": 1.0})
    before = (peers.FIGURE.read_bytes(), measuring.read("peers"))
    monkeypatch.setattr(sys, "argv", ["peers.py", "--trial"])
    assert peers.main() == 0
    assert [name for name, _ in asked] == [*peers.SAME_MODEL, *peers.CHAPTER, *peers.TESTS]
    assert {sizes for _, sizes in asked} == {peers.TRIAL}
    assert (peers.FIGURE.read_bytes(), measuring.read("peers")) == before
    assert "recorded" not in capsys.readouterr().out
    for sizes, most in ((peers.TRIAL, 40), (peers.RECORDED, 500)):
        assert max(sizes.of(peers.SAME_MODEL["numpyro"])[part] for part in ("warmup", "draws")) == most


def test_densities_that_differ_are_not_timed(module: Any) -> None:
    peers = module("peers")
    study: dict[str, Any] = {"density": np.array([-100.0, -120.0, -90.0])}
    peers.study_parity("other", study, study["density"] + 7.0)  # a constant is left out
    assert study["parity"] < 1e-12
    with pytest.raises(SystemExit, match="is not ours"):
        peers.study_parity("other", study, study["density"] * [1.0, 1.0, 1.001])


def test_what_programs_read_is_what_was_written(module: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    peers, exchange = module("peers"), module("peer_programs.exchange")
    study = peers.flagship_study(40)
    np.savez(tmp_path / "study.npz", **study)
    read = exchange.Study.read(str(tmp_path / "study.npz"))
    assert set(read.start) == set(read.points[2]) == set(exchange.NAMES)
    assert np.array_equal(read.points[2]["d"], study["point_d"][2])
    assert np.array_equal(np.ravel([read.start[name] for name in exchange.HYPER]), study["start_theta"][:9])
    assert np.isfinite(study["density"]).all()
    assert len(set(study["density"])) == 3
    assert set(read.prior) >= {"mu_alpha_mean", "weight_concentration", "size_factor_sd", "nu"}


def test_quantities_of_a_peer_are_on_our_scales(module: Any) -> None:
    peers = module("peers")
    rng = np.random.default_rng(1)
    answer: dict[str, Any] = {name: rng.normal(size=(2, 5)) for name in peers.HYPER}
    answer |= {"v": rng.normal(size=(2, 5, 7)), "alpha": rng.normal(size=(2, 5, 3)), "e": rng.normal(size=(2, 5, 3))}
    d, u = rng.normal(size=(2, 2, 5, 3))
    b = answer["m"][..., None] + np.exp(answer["log_s"])[..., None] * d
    gamma = np.exp(answer["log_tau"])[..., None] * u
    answer |= {"d": d, "u": u}
    theta, genes = peers.quantities(answer, {})
    assert theta.shape == (2, 5, len(peers.HYPER) + 7)
    assert np.allclose(genes[..., 6:], np.concatenate([b, gamma], axis=-1))
    a0, a1 = (np.exp(answer[name][0, 0]) for name in ("log_a0", "log_a1"))
    sigma_phi = 0.85 / (1 + np.exp(-answer["logit_sigma_phi"][0, 0]))
    expected = sigma_phi * answer["e"][0, 0] - np.log(a0 + a1 * np.exp(-answer["alpha"][0, 0]))
    assert np.allclose(genes[0, 0, 3:6], expected)


def test_an_effect_is_weighed_with_the_probability_of_change(module: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Against the model's own likelihoods, at a draw of 40 genes from near the data."""
    peers = module("peers")
    study = peers.flagship_study(40)
    point = {key.removeprefix("point_"): value[:1][None] for key, value in study.items() if key.startswith("point_")}
    del point["theta"]
    theta, genes = peers.of_a_peer(point)
    model = peers.NegativeBinomialDE()
    full = model.complete({key: study[key] for key in ("count", "design", "nuisance_design", "log_size_factor")})
    psi = np.column_stack([point[name][0, 0] for name in ("alpha", "e", "d", "u")])
    hyper = model.layout(full).hyper(theta[0, 0], full["log_size_factor"])
    joint = np.log(hyper["weight"]) + model.component_log_lik(psi, hyper, full)
    expected = np.exp(joint[:, 1] - np.logaddexp(joint[:, 0], joint[:, 1]))
    found = peers.probability_of_change(theta, genes, study)
    assert np.allclose(found[0, 0], expected, atol=1e-9)
    assert found.std() > 0.02
    assert np.allclose(peers.quantities(point, study)[1][0, 0, 2 * psi.shape[0] : 3 * psi.shape[0]], found * genes["b"])


def test_calls_of_a_test_are_held_against_the_truth(module: Any) -> None:
    found = pd.DataFrame({"log2_fold_change": [1.0, 0.5, 0.0], "adjusted_p": [0.01, 0.04, 0.5]}, index=["a", "b", "c"])
    truth = pd.Series([1.5, 0.0, 0.0, 2.0], index=["a", "b", "c", "filtered"])
    used = module("measuring").Usage(10.0, 9.0, 1.0)
    record = module("peers").against_truth(found, truth, used)
    assert (record["calls"], record["false_discovery_rate"], record["power"]) == (2, 0.5, 0.5)
    assert record["rmse_log2"] == pytest.approx(np.sqrt((0.25 + 0.25) / 3), abs=1e-4)
    nothing = found.assign(adjusted_p=np.nan)
    assert module("peers").against_truth(nothing, truth, used)["false_discovery_rate"] == 0.0
