"""A posterior on disk: written by blocks, read back lazily, with whatever names a study brings."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from de_posterior import CHAINS, DRAWS, Made, gene_blocks, make
from fake_analysis import HOSTILE

from bayesexpr.errors import InputError
from bayesexpr.names import COUNTS, GENE, SAMPLE
from bayesexpr.posterior import store

G = len(HOSTILE)


def write(made: Made, path: Path, genes: list[str], size: int = 5) -> dict[str, Any]:
    """Write a store; return what was written."""
    full = made.full
    hyper = made.at.hyper(made.theta, full["log_size_factor"])
    names = np.asarray(made.plan.column_names, dtype=object)
    coords = {
        "chain": np.arange(CHAINS),
        "draw": np.arange(DRAWS),
        GENE: np.asarray(genes, dtype=object),
        SAMPLE: [f"<script>{s}" for s in range(full["S"])],
        store.TESTED: list(names[made.plan.tested_columns]),
        store.OTHER: list(names[made.plan.nuisance_columns]),
        store.COMPONENT: list(made.plan.partitions().labels) if full["C"] > 1 else ["changed"],
        "other_term": list(made.plan.nuisance_terms),
    }
    sampler = {
        "lp": np.zeros((CHAINS, DRAWS)),
        "diverging": np.zeros((CHAINS, DRAWS), dtype=bool),
        "energy": np.random.default_rng(3).normal(size=(CHAINS, DRAWS)),
    }
    constant = {
        "projector": ((store.COMPONENT, store.TESTED, "tested_coefficient_in"), full["component"]),
        "log_size_factor": ((SAMPLE,), full["log_size_factor"]),
    }
    store.create(path, hyper, sampler, coords, full["count"], constant)
    blocks = list(gene_blocks(made.arrays, made.maps, made.at, full, size))
    for block in blocks:
        block.probability[:, 0] = np.arange(full["C"]) == 1  # a draw that is certain: zeros are values
        store.write_block(path, block)
    joined = {n: np.concatenate([getattr(b, n) for b in blocks], axis=2) for n in store.GENE_VARIABLES}
    return {**hyper, **joined}


@pytest.fixture
def made() -> Made:
    return make(G)


def test_what_was_written_is_read_back(made: Made, tmp_path: Path) -> None:
    path = tmp_path / store.POSTERIOR
    written = write(made, path, list(HOSTILE))
    with store.open_tree(path) as tree:
        posterior = tree["posterior"]
        for name, values in written.items():
            assert np.array_equal(posterior[name].to_numpy(), values), name
        assert posterior["alpha"].dims == ("chain", "draw", GENE)
        assert posterior["beta"].dims == ("chain", "draw", GENE, store.TESTED)
        assert posterior["gamma"].dims == ("chain", "draw", GENE, store.OTHER)
        assert posterior["probability"].dims == ("chain", "draw", GENE, store.COMPONENT)
        assert posterior["log_f"].dims == ("chain", "draw", SAMPLE)
        assert posterior["tau"].dims == ("chain", "draw", "other_term")
        assert posterior["m"].dims == ("chain", "draw", store.TESTED)
        assert tree["sample_stats"]["diverging"].dtype == bool
        assert tree["observed_data"][COUNTS].dims == (SAMPLE, GENE)
        assert np.array_equal(tree["observed_data"][COUNTS], made.full["count"])


def test_hostile_names_survive(made: Made, tmp_path: Path) -> None:
    path = tmp_path / store.POSTERIOR
    write(made, path, list(HOSTILE))
    with store.open_tree(path) as tree:
        assert tree["posterior"][GENE].to_numpy().tolist() == list(HOSTILE)
        assert tree["observed_data"][GENE].to_numpy().tolist() == list(HOSTILE)
        assert tree["observed_data"][SAMPLE].to_numpy().tolist()[0] == "<script>0"
        one = tree["posterior"]["alpha"].sel({GENE: HOSTILE[0]})
        assert one.shape == (CHAINS, DRAWS)
        assert tree["posterior"][store.COMPONENT].to_numpy().tolist()[0] == "null"


def test_arviz_reads_it(made: Made, tmp_path: Path) -> None:
    from arviz_stats import ess

    path = tmp_path / store.POSTERIOR
    write(made, path, list(HOSTILE))
    with store.open_tree(path) as tree:
        assert isinstance(tree, xr.DataTree)
        found = ess(tree, var_names=["alpha", "s"])
        assert found["alpha"].sizes[GENE] == G


@pytest.mark.parametrize("size", [1, 5, G, 1000])
def test_blocks_are_read_in_any_size(made: Made, tmp_path: Path, size: int) -> None:
    path = tmp_path / store.POSTERIOR
    written = write(made, path, list(HOSTILE))
    parts = list(store.read_blocks(path, size))
    assert [p.genes.start for p in parts] == list(range(0, G, size))
    for name in store.GENE_VARIABLES:
        assert np.array_equal(np.concatenate([getattr(p, name) for p in parts], axis=2), written[name])


def test_a_few_genes(made: Made, tmp_path: Path) -> None:
    path = tmp_path / store.POSTERIOR
    written = write(made, path, list(HOSTILE))
    block = store.read_genes(path, np.array([7, 2]))
    assert np.array_equal(block.beta, written["beta"][:, :, [7, 2]])
    assert np.array_equal(block.probability, written["probability"][:, :, [7, 2]])
    assert store.read_genes(path, np.array([3])).alpha.shape == (CHAINS, DRAWS, 1)


@pytest.mark.parametrize("change", [{"compressor": {"id": "zstd"}}, {"dtype": "<f8"}, {"chunks": [1, DRAWS, 256]}])
def test_another_layout_is_refused(made: Made, tmp_path: Path, change: dict[str, Any]) -> None:
    path = tmp_path / store.POSTERIOR
    write(made, path, list(HOSTILE))
    layout = path / "posterior" / "alpha" / ".zarray"
    layout.write_text(json.dumps(json.loads(layout.read_text()) | change))
    with pytest.raises(InputError, match=r"draws of alpha .*\.zarray says otherwise"):
        store.read_genes(path, np.array([3]))


def test_draws_cut_short_are_refused(made: Made, tmp_path: Path) -> None:
    path = tmp_path / store.POSTERIOR
    write(made, path, list(HOSTILE))
    file = path / "posterior" / "alpha" / "0.0.0"
    file.write_bytes(file.read_bytes()[:-4])
    with pytest.raises(InputError, match=r"numbers where .* belong"):
        list(store.read_blocks(path))


def test_what_a_design_does_not_have_is_empty(tmp_path: Path) -> None:
    """No other terms: no room for their effects on disk, an array without columns when read."""
    from bayesexpr.posterior.de_draws import GeneBlock

    path = tmp_path / store.POSTERIOR
    coords = {
        "chain": np.arange(1),
        "draw": np.arange(3),
        GENE: ["g1", "g2"],
        SAMPLE: ["a", "b"],
        store.TESTED: ["x"],
        store.OTHER: [],
        store.COMPONENT: ["changed"],
        "other_term": [],
    }
    hyper = {"mu_alpha": np.zeros((1, 3)), "tau": np.zeros((1, 3, 0)), "m": np.zeros((1, 3, 0))}
    store.create(path, hyper, {"lp": np.zeros((1, 3))}, coords, np.ones((2, 2), dtype=int), {})
    shape = (1, 3, 2)
    ones = np.ones(shape, dtype=np.float32)
    block = GeneBlock(slice(0, 2), ones, ones, ones[..., None], np.empty((*shape, 0), np.float32), ones[..., None])
    store.write_block(path, block)
    (back,) = store.read_blocks(path)
    assert back.gamma.shape == (1, 3, 2, 0)
    assert (back.beta == 1).all()
    with store.open_tree(path) as tree:
        assert "tau" not in tree["posterior"]
        assert "gamma" not in tree["posterior"]
