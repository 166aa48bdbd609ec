"""Reading chains: whole output is read exactly, and each of the known faults is refused."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bayesexpr.errors import SamplingError
from bayesexpr.stan.output import ChainFiles, by_variable, read_chains
from bayesexpr.stan.sampling import run_nuts
from bayesexpr.stan.settings import SamplerSettings

SETTINGS = SamplerSettings(chains=3, warmup=4, draws=9, thin=2, seed=11, cores=3)


@pytest.fixture(params=[False, True], ids=["csv", "binary"])
def files(request: pytest.FixtureRequest, fake_executable: Path, tmp_path: Path) -> ChainFiles:
    return run_nuts(fake_executable, {"mode": 0}, SETTINGS, output_dir=tmp_path / "run", binary=request.param)


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def test_whole_output_is_read(files: ChainFiles) -> None:
    chains = read_chains(files)
    assert len(chains) == 3
    for chain in chains:
        assert chain.names == ("beta.1", "beta.2", "beta.3")
        assert chain.sampler.shape == (5, 7)
        assert chain.sampler.dtype == np.float64
        assert chain.draws.shape == (5, 3)
        assert chain.draws.dtype == np.float32
        assert (chain.sampler[:, 4] == 7).all()
        assert (chain.warmup_seconds, chain.sampling_seconds) == (0.5, 0.25)


def test_both_forms_hold_the_same_draws(fake_executable: Path, tmp_path: Path) -> None:
    plain = read_chains(run_nuts(fake_executable, {}, SETTINGS, output_dir=tmp_path))
    binary = read_chains(run_nuts(fake_executable, {}, SETTINGS, output_dir=tmp_path, binary=True))
    for a, b in zip(plain, binary, strict=True):
        np.testing.assert_array_equal(a.draws, b.draws)
        np.testing.assert_array_equal(a.sampler, b.sampler)


def test_a_missing_footer_is_refused(files: ChainFiles) -> None:
    csv = files.chains[1].csv
    csv.write_text(csv.read_text().split("# \n#  Elapsed")[0])
    with pytest.raises(SamplingError, match="footer is missing"):
        read_chains(files)


@pytest.mark.parametrize("cut", [1, 3, 12])
def test_a_row_cut_short_is_refused(files: ChainFiles, cut: int) -> None:
    csv = files.chains[1].csv
    rows, footer = csv.read_text().split("# \n#  Elapsed")
    csv.write_text(rows[: -1 - cut * 4] + "\n# \n#  Elapsed" + footer)
    lost = rows[-1 - cut * 4 :]
    if "," in lost:
        with pytest.raises(SamplingError, match="it was cut"):
            read_chains(files)
    csv.write_text(rows[:-5])
    with pytest.raises(SamplingError, match=r"it was cut|footer"):
        read_chains(files)


def test_a_lost_row_is_refused(files: ChainFiles) -> None:
    csv = files.chains[2].csv
    lines = csv.read_text().splitlines(keepends=True)
    last = max(i for i, line in enumerate(lines) if not line.startswith("#"))
    csv.write_text("".join(lines[:last] + lines[last + 1 :]))
    with pytest.raises(SamplingError, match="4 draws instead of 5"):
        read_chains(files)


@pytest.mark.parametrize("value", ["nan", "inf", "-nan"])
def test_a_value_that_is_not_finite_is_refused(files: ChainFiles, value: str) -> None:
    file = files.chains[0]
    if file.draws is not None:
        draws = np.fromfile(file.draws, dtype="<f4")
        draws[7] = float(value)
        draws.tofile(file.draws)
        expected = r"draw 3 of 'beta\.2'"
    else:
        lines = file.csv.read_text().splitlines(keepends=True)
        number = [i for i, line in enumerate(lines) if not line.startswith("#")][3]
        cells = lines[number].split(",")
        cells[8] = value
        lines[number] = ",".join(cells)
        file.csv.write_text("".join(lines))
        expected = r"draw 3 of 'beta\.2'"
    with pytest.raises(SamplingError, match=expected):
        read_chains(files)


def test_a_copied_chain_is_refused(files: ChainFiles) -> None:
    one, two = files.chains[:2]
    shutil.copy(one.csv, two.csv)
    for a, b in ((one.draws, two.draws), (one.names, two.names)):
        if a is not None and b is not None:
            shutil.copy(a, b)
    with pytest.raises(SamplingError, match="number of the chain"):
        read_chains(files)
    edit(two.csv, "# id = 1", "# id = 2")
    with pytest.raises(SamplingError, match="one file is a copy"):
        read_chains(files)


def test_copied_binary_draws_are_refused(fake_executable: Path, tmp_path: Path) -> None:
    files = run_nuts(fake_executable, {}, SETTINGS, output_dir=tmp_path, binary=True)
    one, two = files.chains[0].draws, files.chains[2].draws
    assert one is not None
    assert two is not None
    shutil.copy(one, two)
    with pytest.raises(SamplingError, match="those of chain 1: one file is a copy"):
        read_chains(files)


def test_a_chain_of_other_data_is_refused(files: ChainFiles, fake_executable: Path, tmp_path: Path) -> None:
    binary = files.chains[0].draws is not None
    other = run_nuts(fake_executable, {"columns": 3}, SETTINGS, output_dir=tmp_path, binary=binary)
    swapped = replace(files, chains=(files.chains[0], other.chains[1], files.chains[2]))
    with pytest.raises(SamplingError, match="data file"):
        read_chains(swapped)


def test_a_chain_of_another_seed_is_refused(files: ChainFiles, fake_executable: Path, tmp_path: Path) -> None:
    binary = files.chains[0].draws is not None
    settings = replace(SETTINGS, seed=12)
    other = run_nuts(fake_executable, {"mode": 0}, settings, output_dir=tmp_path, binary=binary)
    shutil.copy(other.chains[1].csv, files.chains[1].csv)
    with pytest.raises(SamplingError, match="gives 12 as the seed, this run has 11"):
        read_chains(files)


def test_binary_draws_of_the_wrong_size_are_refused(fake_executable: Path, tmp_path: Path) -> None:
    files = run_nuts(fake_executable, {}, SETTINGS, output_dir=tmp_path, binary=True)
    draws = files.chains[0].draws
    assert draws is not None
    draws.write_bytes(draws.read_bytes()[:-1])
    with pytest.raises(SamplingError, match="59 bytes; 5 draws of 3 values are 60"):
        read_chains(files)


def test_columns_become_variables_first_index_fastest() -> None:
    names = ["mu", "beta.1.1", "beta.2.1", "beta.1.2", "beta.2.2", "beta.1.3", "beta.2.3"]
    found = by_variable(names, np.arange(7.0)[None])
    assert list(found) == ["mu", "beta"]
    assert found["mu"].shape == (1,)
    np.testing.assert_array_equal(found["beta"], [[[1, 3, 5], [2, 4, 6]]])


def test_columns_that_are_no_whole_array_are_refused() -> None:
    with pytest.raises(SamplingError, match="'beta'"):
        by_variable(["beta.1", "beta.3"], np.zeros((1, 2)))
