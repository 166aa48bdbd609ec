"""Abundances of transcripts from equivalence classes: read, say what the data can tell apart, fit, tabulate."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from bayesexpr.data.equivalence import EquivalenceClasses, read_equivalence_classes
from bayesexpr.data.identifiability import Identifiability
from bayesexpr.data.identifiers import checked_names
from bayesexpr.errors import InputError
from bayesexpr.fitting import fit
from bayesexpr.models.priors import Prior
from bayesexpr.models.transcript_compatibility import TranscriptCompatibility
from bayesexpr.posterior.diagnostics import Convergence, convergence
from bayesexpr.program_fit import Fit
from bayesexpr.progress import Progress
from bayesexpr.run import RUN_RECORD, write_json, write_run

if TYPE_CHECKING:
    import pandas as pd

Float = NDArray[np.float64]

KIND = "quantification"
RESULTS = "results.csv"
SETS = "indistinguishable.csv"
IDENTIFIABILITY = "identifiability.csv"
_PLACES = ("aux_info", "eq_classes.txt", "eq_classes.txt.gz", "pseudoalignments.ec", "pseudoalignments.tsv")
_LEAST_ESS = 100.0  # per chain's hundred draws and more: below it an interval is not to be trusted
_LARGEST_RHAT = 1.05


@dataclass(frozen=True, eq=False)
class Quantification:
    """Transcript abundances of one or more samples.

    Attributes
    ----------
    fits
        Posterior of each sample.
    identifiability
        What the classes of each sample can tell apart.
    table
        One row per sample and transcript, in the order of the input: ``count`` (expected fragments of the
        transcript) and ``tpm``, each posterior mean with sd and interval; ``identifiable``; ``set``, the number of the
        set of transcripts that the data cannot tell apart (empty where identifiable); ``rhat``, ``ess_bulk`` and
        ``ess_tail`` of the log abundance; ``status``: ``ok``, ``no_fragments`` (in no class: near zero),
        ``not_identifiable``, ``high_rhat`` or ``low_ess``.
    sets
        One row per sample and set: its transcripts, and the sums over them, which the data do determine when the
        members are copies of each other.
    """

    fits: Mapping[str, Fit]
    identifiability: Mapping[str, Identifiability]
    table: pd.DataFrame
    sets: pd.DataFrame

    def save(self, folder: str | os.PathLike[str]) -> Path:
        """Write a RUN folder: ``results.csv``, ``indistinguishable.csv``, ``run.json``, and each sample's fit.

        The fit of a single sample is the RUN folder itself; those of several are folders in it, named as the samples.

        Returns
        -------
        pathlib.Path
            The folder.
        """
        target = Path(folder).absolute()
        with write_run(target) as part:
            if len(self.fits) == 1:
                next(iter(self.fits.values())).save(part)
            else:
                for name, fitted in self.fits.items():
                    fitted.save(part / name)
                write_json(part / RUN_RECORD, self._record())
            self.table.to_csv(part / RESULTS, index=False)
            self.sets.to_csv(part / SETS, index=False)
        return target

    def _record(self) -> dict[str, Any]:
        return {
            "kind": KIND,
            "samples": {name: dict(fitted.record) for name, fitted in self.fits.items()},
            "verdicts": {name: fitted.verdict.to_dict() for name, fitted in self.fits.items()},
            "status": "done",
        }


def quantify(
    paths: Sequence[str | Path],
    *,
    lengths: str | Path | None = None,
    options: Mapping[str, str] | None = None,
    prior: Mapping[str, Prior | str] | None = None,
    method: str = "nuts",
    chains: int = 4,
    warmup: int = 500,
    draws: int = 1000,
    seed: int | None = None,
    cores: int | None = None,
    thin: int = 1,
    ci: float = 0.95,
    progress: Progress | None = None,
    output_dir: str | os.PathLike[str] | None = None,
) -> Quantification:
    """Estimate the abundance of every transcript, with its uncertainty, from classes of ambiguous fragments.

    Parameters
    ----------
    paths
        One folder (or file of classes) per sample, of salmon with ``--dumpEq`` or of ``kallisto pseudo``; see
        :func:`bayesexpr.data.equivalence.read_equivalence_classes`.
    lengths
        Table of effective lengths (``quant.sf``, ``abundance.tsv``) where it is not beside the classes.
    options, prior, method, chains, warmup, draws, seed, cores, thin, progress
        As in :func:`bayesexpr.fitting.fit`.
    ci
        Probability of the intervals: equal tails.
    output_dir
        RUN folder to write.

    Raises
    ------
    InputError
        A file breaks a rule, a sample has no fragment or no effective lengths, or two samples have one name.
    ToolchainError, SamplingError
        Stan cannot be built here, or the computation failed.
    """
    import pandas as pd

    if not paths:
        raise InputError("quantification needs at least one folder or file of equivalence classes; none was given.")
    if not 0 < ci < 1:
        raise InputError(f"the probability of an interval lies between 0 and 1; it is {ci}.")
    names = _sample_names([Path(path) for path in paths])
    samples = [read_equivalence_classes(path, lengths) for path in paths]
    inputs = [model_data(classes) for classes in samples]
    fits, found, tables, sets = {}, {}, [], []
    for name, classes, data in zip(names, samples, inputs, strict=True):
        made = fit(
            TranscriptCompatibility.NAME,
            data,
            options=options,
            prior=prior,
            method=method,
            chains=chains,
            warmup=warmup,
            draws=draws,
            seed=seed,
            cores=cores,
            thin=thin,
            progress=progress,
        )
        fits[name] = made
        found[name] = TranscriptCompatibility().identifiability(data)
        tables.append(_table(name, classes, made, found[name], ci))
        sets.append(set_table(name, classes, made, found[name], ci))
    result = Quantification(fits, found, pd.concat(tables, ignore_index=True), pd.concat(sets, ignore_index=True))
    if output_dir is not None:
        result.save(output_dir)
    return result


def tell_apart(
    paths: Sequence[str | Path], *, lengths: str | Path | None = None, output_dir: str | os.PathLike[str] | None = None
) -> pd.DataFrame:
    """Say for several samples, without a fit, which transcripts the data can tell apart.

    Parameters
    ----------
    paths, lengths
        As in :func:`quantify`.
    output_dir
        RUN folder to write: the table as ``identifiability.csv``.

    Returns
    -------
    pandas.DataFrame
        ``sample``, and the columns of :func:`identifiable_transcripts`.

    Raises
    ------
    InputError
        As in :func:`quantify`.
    """
    import pandas as pd

    names = _sample_names([Path(path) for path in paths])
    tables = [identifiable_transcripts(path, lengths=lengths) for path in paths]
    for name, one in zip(names, tables, strict=True):
        one.insert(0, "sample", name)
    table = pd.concat(tables, ignore_index=True)
    if output_dir is not None:
        with write_run(Path(output_dir).absolute()) as part:
            table.to_csv(part / IDENTIFIABILITY, index=False)
            record = {"kind": KIND, "inputs": [str(path) for path in paths], "samples": list(names), "status": "done"}
            write_json(part / RUN_RECORD, record)
    return table


def identifiable_transcripts(path: str | Path, *, lengths: str | Path | None = None) -> pd.DataFrame:
    """Say, without a fit, which transcripts one sample's classes can tell apart; seconds for a whole transcriptome.

    Parameters
    ----------
    path, lengths
        As one of `paths`, and as `lengths`, of :func:`quantify`.

    Returns
    -------
    pandas.DataFrame
        ``transcript``; ``identifiable``; ``set``, the number of the set that the data cannot tell apart; ``block``,
        the number of the block of transcripts that share fragments; ``fragments``, how many fit the transcript.
    """
    import pandas as pd

    classes = read_equivalence_classes(path, lengths)
    found = TranscriptCompatibility().identifiability(model_data(classes))
    fits = classes.compatibility.astype(bool).T @ classes.count
    return pd.DataFrame(
        {
            "transcript": list(classes.transcripts),
            "identifiable": found.identifiable,
            "set": _numbered(found),
            "block": found.block,
            "fragments": fits,
        }
    )


def model_data(classes: EquivalenceClasses) -> dict[str, Any]:
    """Return the data of ``transcript_compatibility`` for one sample.

    The weights of range-factorised classes have the effective lengths in them: weight / length is the probability per
    fragment in both kinds of file.

    Raises
    ------
    InputError
        There is no fragment, or there are no effective lengths.
    """
    if classes.effective_length is None:
        raise InputError(
            f"effective lengths are needed beside {str(classes.source)!r}: quant.sf (salmon) or abundance.tsv "
            "(kallisto quant). Put it into the folder, or name it with lengths."
        )
    if classes.total == 0:
        raise InputError(f"a sample must have fragments; {str(classes.source)!r} has none in any class.")
    seen = classes.compatibility[classes.count > 0].tocoo()
    data = {
        "count": classes.count[classes.count > 0],
        "compatibility": np.stack([seen.row, seen.col], axis=1).astype(np.int64),
        "transcript_length": classes.effective_length,
        "transcripts": np.asarray(classes.transcripts),
    }
    if classes.weighted:
        data["weight"] = seen.data * classes.effective_length[seen.col]
    return data


def _sample_names(paths: Sequence[Path]) -> tuple[str, ...]:
    """Name samples after their folders."""
    names = []
    for path in paths:
        folder = path.absolute()
        while folder.name in _PLACES:
            folder = folder.parent
        names.append(folder.name)
    return checked_names(names, "sample", "the folders given")


def _flat(draws: Float) -> Float:
    return draws.reshape(-1, draws.shape[-1])


def _summary(name: str, draws: Float, ci: float) -> dict[str, Float]:
    """Posterior mean, sd and equal-tailed interval of draws [draw, n]."""
    low, high = np.quantile(draws, ((1 - ci) / 2, (1 + ci) / 2), axis=0)
    return {
        name: draws.mean(axis=0),
        f"{name}_sd": draws.std(axis=0, ddof=1),
        f"{name}_lower": low,
        f"{name}_upper": high,
    }


def _table(name: str, classes: EquivalenceClasses, made: Fit, found: Identifiability, ci: float) -> pd.DataFrame:
    import pandas as pd

    group = made.posterior["posterior"]
    mixing = convergence(group["log_lambda"].to_numpy())
    columns: dict[str, Any] = {
        "sample": name,
        "transcript": list(classes.transcripts),
        "length": classes.length,
        "effective_length": classes.effective_length,
        **_summary("count", _flat(group["expected_count"].to_numpy()), ci),
        **_summary("tpm", _flat(group["tpm"].to_numpy()), ci),
        "identifiable": found.identifiable,
        "set": _numbered(found),
        "rhat": mixing.rhat,
        "ess_bulk": mixing.ess_bulk,
        "ess_tail": mixing.ess_tail,
        "status": _status(classes, found, mixing),
    }
    return pd.DataFrame(columns)


def _numbered(found: Identifiability) -> Any:
    """Return the set's number of each transcript, missing where it is identifiable."""
    import pandas as pd

    return pd.arrays.IntegerArray(found.group.copy(), mask=found.group < 0)


def _status(classes: EquivalenceClasses, found: Identifiability, mixing: Convergence) -> list[str]:
    seen = np.bincount(classes.compatibility[classes.count > 0].indices, minlength=len(classes.transcripts)) > 0
    cases = (
        (mixing.rhat > _LARGEST_RHAT, "high_rhat"),
        (np.minimum(mixing.ess_bulk, mixing.ess_tail) < _LEAST_ESS, "low_ess"),
        (~seen, "no_fragments"),
        (~found.identifiable, "not_identifiable"),
    )
    return [str(s) for s in np.select([case for case, _ in cases], [text for _, text in cases], "ok")]


def set_table(name: str, classes: EquivalenceClasses, made: Fit, found: Identifiability, ci: float) -> pd.DataFrame:
    """Return the sums over each set of transcripts that one sample cannot tell apart; see :class:`Quantification`."""
    import pandas as pd

    group = made.posterior["posterior"]
    sets = [members for members in found.sets if len(members) > 1]
    column = np.repeat(np.arange(len(sets)), [len(members) for members in sets])
    row = np.concatenate([np.zeros(0, dtype=np.int64), *sets]).astype(np.int64)
    shape = (len(classes.transcripts), len(sets))
    membership = sparse.csr_array((np.ones(len(row)), (row, column)), shape=shape)  # dense: a transcriptome's square
    columns = {
        "sample": [name] * len(sets),
        "set": [int(found.group[members[0]]) for members in sets],
        "transcripts": [";".join(classes.transcripts[t] for t in members) for members in sets],
        **_summary("count", _flat(group["expected_count"].to_numpy()) @ membership, ci),
        **_summary("tpm", _flat(group["tpm"].to_numpy()) @ membership, ci),
    }
    return pd.DataFrame(columns)
