"""A study's RUN folder but for its draws: written, and opened as a fit again."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from bayesexpr.data.counts import CountData
from bayesexpr.data.design import build_design
from bayesexpr.data.sample_table import samples_from_record, samples_record
from bayesexpr.de_fit import DEFit
from bayesexpr.errors import InputError
from bayesexpr.posterior.verdict import Verdict
from bayesexpr.run import DIAGNOSTICS, RUN_RECORD, write_json

STUDY = "study.npz"
GENES = "genes.csv"
KIND = "differential_expression"


def write_study(fit: DEFit, folder: Path) -> None:
    """Write what :func:`load` reads: record, diagnostics, counts and the table of genes."""
    samples = samples_record(fit.data.sample_table)
    write_json(folder / RUN_RECORD, {**fit.record, "warnings": list(fit.warnings), "sample_table": samples})
    write_json(folder / DIAGNOSTICS, {**fit.diagnostics, "verdict": fit.verdict.to_dict()})
    arrays = {"counts": fit.data.counts, "genes": np.asarray(fit.data.genes, dtype=str)}
    for name in ("lengths", "assignment_variance"):
        if getattr(fit.data, name) is not None:
            arrays[name] = getattr(fit.data, name)
    np.savez_compressed(folder / STUDY, **arrays)  # type: ignore[arg-type]
    fit.genes.to_csv(folder / GENES, index=False)


def load(folder: str | Path) -> DEFit:
    """Open a RUN folder that :meth:`bayesexpr.DEFit.save` or ``bayesexpr de`` wrote.

    Raises
    ------
    InputError
        The folder is not a finished run of a differential-expression study.
    """
    import pandas as pd

    root = Path(folder)
    try:
        record = json.loads((root / RUN_RECORD).read_text(encoding="utf-8"))
        diagnostics = json.loads((root / DIAGNOSTICS).read_text(encoding="utf-8"))
        with np.load(root / STUDY, allow_pickle=False) as study:
            arrays = {name: study[name] for name in study.files}
        table = samples_from_record(record["sample_table"])
        genes = pd.read_csv(root / GENES, dtype={"gene": str, "status": str}, keep_default_na=False, na_values=[""])
        if len(genes) != len(arrays["genes"]) or "fitted" not in genes:
            raise ValueError(f"{GENES} has not a row for every gene")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{str(root)!r} is not a finished run: {error}. Name the folder that was given as -o."
        ) from None
    if record.get("kind") != KIND:
        raise InputError(
            f"{str(root)!r} holds a run of {record.get('program')}, not of a differential-expression study."
        )
    data = CountData(
        counts=arrays["counts"],
        genes=tuple(str(g) for g in arrays["genes"]),
        samples=tuple(table.index),
        sample_table=table,
        lengths=arrays.get("lengths"),
        assignment_variance=arrays.get("assignment_variance"),
    )
    genes["gene"] = list(data.genes)
    return DEFit(
        folder=root,
        data=data,
        design=build_design(record["design"], table, record["tested"]),
        genes=genes,
        verdict=Verdict.from_dict(diagnostics.pop("verdict")),
        diagnostics=diagnostics,
        record=record,
        warnings=tuple(record["warnings"]),
    )
