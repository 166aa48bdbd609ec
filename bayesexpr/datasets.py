"""Data sets to try things on: a bundled simulated study whose truth is known, and public ones on disk."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np

from bayesexpr.errors import InputError

BUNDLED = "simulated_donors"
BUNDLED_SEED = 20_261_120
_FILES = ("counts.csv.gz", "samples.csv", "truth.csv.gz")


@dataclass(frozen=True)
class Dataset:
    """A data set and the command that analyses it."""

    name: str
    what: str
    design: str
    contrast: str


DATASETS = {
    BUNDLED: Dataset(
        BUNDLED,
        "2,000 genes x 8 samples (4 donors, untreated and treated), simulated, 15 % of the genes changed, truth known",
        "~ donor + treatment",
        "treatment,treated,untreated",
    )
}


def bring(name: str, folder: str | Path) -> Path:
    """Copy the files of a data set into `folder` / `name` and return that folder.

    Raises
    ------
    InputError
        There is no such data set, or the place is taken by something else.
    """
    if name not in DATASETS:
        raise InputError(f"there is no data set {name!r}; there is: {', '.join(DATASETS)}.")
    target = Path(folder) / name
    try:
        target.mkdir(parents=True, exist_ok=True)
        for file in _FILES:
            source = resources.files("bayesexpr") / "bundled" / file
            with source.open("rb") as reader, (target / f".{file}.part").open("wb") as writer:
                shutil.copyfileobj(reader, writer)
            (target / f".{file}.part").replace(target / file)
    except OSError as error:
        raise InputError(f"{str(target)!r} cannot be written: {error.strerror}. Choose another folder.") from None
    return target


def simulate_bundled(seed: int = BUNDLED_SEED) -> dict[str, Any]:
    """Simulate the bundled study from ``negative_binomial_de``'s own NumPy simulator.

    Depths differ by a factor of three, dispersions follow a trend with realistic scatter (biological coefficient of
    variation 17 % for well expressed genes), donors differ by a third of a natural-log unit, and 15 % of the genes
    change, by a Student-t with four degrees of freedom.

    Parameters
    ----------
    seed
        Another seed gives another study of the same kind.

    Returns
    -------
    dict
        Data frames ``counts`` (genes x samples), ``samples`` and ``truth`` (gene, true_log2fc).
    """
    import pandas as pd

    from bayesexpr.data.design import build_design
    from bayesexpr.models.negative_binomial_de import NegativeBinomialDE
    from bayesexpr.names import to_log2

    rng = np.random.default_rng(seed)
    donors = [f"D{k}" for k in range(1, 5) for _ in range(2)]
    treatment = ["untreated", "treated"] * 4
    names = [f"{d}_{t}" for d, t in zip(donors, treatment, strict=True)]
    samples = pd.DataFrame({"donor": donors, "treatment": treatment}, index=pd.Index(names, name="sample"))
    # treated minus untreated is the effect: the levels in this order
    ordered = samples.assign(treatment=pd.Categorical(treatment, ["untreated", "treated"]))
    plan = build_design("~ donor + treatment", ordered)
    depth = np.array([0.55, 0.9, 1.2, 1.65, 0.8, 1.0, 1.3, 0.95])
    hyper = {
        "mu_alpha": np.array(4.5),
        "sigma_alpha": np.array(2.0),
        "a0": np.array(0.03),
        "a1": np.array(2.0),
        "sigma_phi": np.array(0.6),
        "s": np.array(0.6),
        "m": np.zeros(1),
        "weight": np.array([0.85, 0.15]),
        "tau": np.array([0.3]),
        "log_f": np.log(depth) - np.log(depth).mean(),
    }
    given = {
        "genes": 2000,
        "design": plan.matrix[:, plan.tested_columns],
        "nuisance_design": plan.matrix[:, plan.nuisance_columns],
        "nuisance_term": plan.nuisance_term_index,
    }
    drawn, simulated = NegativeBinomialDE().simulate(given, rng, hyper)
    genes = [f"gene{g:04d}" for g in range(1, 2001)]
    change = np.where(drawn["component"] > 0, drawn["beta"][:, 0], 0.0)
    return {
        "counts": pd.DataFrame(simulated["count"].T, index=pd.Index(genes, name="gene"), columns=names),
        "samples": samples,
        "truth": pd.DataFrame({"gene": genes, "true_log2fc": to_log2(change).round(6)}),
    }


def write_bundled(folder: Path) -> None:
    """Write the bundled study's files: what ``make bundled`` calls."""
    import gzip

    frames = simulate_bundled()
    folder.mkdir(parents=True, exist_ok=True)
    frames["samples"].to_csv(folder / "samples.csv")
    for name, index in (("counts", True), ("truth", False)):
        text = frames[name].to_csv(index=index).encode()
        (folder / f"{name}.csv.gz").write_bytes(gzip.compress(text, mtime=0))
