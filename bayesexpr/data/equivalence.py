"""Equivalence classes of fragments, as salmon and kallisto write them.

A class is a set of transcripts; its count is the number of fragments that fit all of these transcripts and no other.
The counts of the classes are sufficient for the abundances of the transcripts. Salmon can also write, for each
transcript of a class, a weight: the probability of the class's fragments given the transcript, effective length
included, up to a factor per class.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from ..errors import CountsError
from .counts import LARGEST_COUNT
from .identifiers import checked_names, listed
from .localfile import local_path, read_bytes, read_text
from .tables import read_table

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

SALMON_CLASSES = ("eq_classes.txt.gz", "eq_classes.txt")
SALMON_ESTIMATES = ("quant.sf", "quant.sf.gz")
KALLISTO_CLASSES = "pseudoalignments.ec"
KALLISTO_COUNTS = "pseudoalignments.tsv"
KALLISTO_NAMES = "transcripts.txt"
KALLISTO_ESTIMATES = ("abundance.tsv", "abundance.tsv.gz")
_PSEUDO = "_pseudo"
# Length, effective length and estimated count, by the header of either program.
_COLUMNS = {
    ("Name", "Length", "EffectiveLength", "TPM", "NumReads"): (1, 2, 4),
    ("target_id", "length", "eff_length", "est_counts", "tpm"): (1, 2, 3),
}


@dataclass(frozen=True, eq=False)
class EquivalenceClasses:
    """Fragments of one sample: C classes of T transcripts.

    Attributes
    ----------
    transcripts
        T names.
    count
        [C] fragments of each class.
    compatibility
        [C, T] sparse: 1, or the tool's weight, where the transcript is in the class.
    weighted
        Whether the entries are the tool's weights, which have the effective lengths in them.
    length, effective_length, estimate
        [T] lengths and expected counts of the tool; None where no table of estimates was found.
    source
        File of the classes.
    """

    transcripts: tuple[str, ...]
    count: IntArray
    compatibility: sparse.csr_matrix
    weighted: bool
    source: Path
    length: FloatArray | None = None
    effective_length: FloatArray | None = None
    estimate: FloatArray | None = None

    @property
    def total(self) -> int:
        """Fragments in all classes."""
        return int(self.count.sum())


def read_equivalence_classes(path: str | Path, lengths: str | Path | None = None) -> EquivalenceClasses:
    """Read the classes of one sample.

    Parameters
    ----------
    path
        A folder of salmon (run with ``--dumpEq`` or ``--dumpEqWeights``) or of ``kallisto pseudo``, or in it the file
        ``eq_classes.txt[.gz]`` or ``pseudoalignments.ec``.
    lengths
        Table of effective lengths, ``quant.sf`` or ``abundance.tsv``. By default the one of the same folder; for a
        kallisto folder whose path has a part named ``X_pseudo``, also that of the path with ``X`` in its place.

    Raises
    ------
    CountsError
        A file is missing, cut short or damaged, a class is empty or names a transcript that does not exist, a count
        or a weight is not a valid number, or the table of lengths has other transcripts. The message has the line.
    """
    found = local_path(path)
    if found.is_dir():
        found = _classes_of(found)
    if found.name in (KALLISTO_CLASSES, KALLISTO_COUNTS):
        folder = found.parent
        classes = _read_kallisto(folder)
        table = _first(folder, KALLISTO_ESTIMATES) or _first(_without_pseudo(folder), KALLISTO_ESTIMATES)
    else:
        classes = _read_salmon(found)
        table = _first(found.parent, SALMON_ESTIMATES) or _first(found.parent.parent, SALMON_ESTIMATES)
    chosen = Path(lengths) if lengths is not None else table
    return classes if chosen is None else _with_estimates(classes, chosen)


def _first(folder: Path, names: tuple[str, ...]) -> Path | None:
    return next((folder / name for name in names if (folder / name).is_file()), None)


def _without_pseudo(folder: Path) -> Path:
    """Return the folder of ``kallisto quant`` that stands beside one of ``kallisto pseudo``."""
    return Path(*[part.removesuffix(_PSEUDO) or part for part in folder.absolute().parts])


def _classes_of(folder: Path) -> Path:
    for place in (folder, folder / "aux_info"):
        found = _first(place, (*SALMON_CLASSES, KALLISTO_CLASSES))
        if found is not None:
            return found
    raise CountsError(
        f"a folder must hold aux_info/{SALMON_CLASSES[0]} (salmon quant --dumpEq) or {KALLISTO_CLASSES} (kallisto "
        f"pseudo); {str(folder)!r} has neither."
    )


def _read_salmon(path: Path) -> EquivalenceClasses:
    lines = read_text(path).split("\n")
    while lines and not lines[-1].strip():
        lines.pop()
    T, C = (_whole(lines[i] if i < len(lines) else "", path, i + 1) for i in (0, 1))
    if len(lines) != 2 + T + C:
        raise CountsError(
            f"eq_classes must have 2 + {T} names + {C} classes = {2 + T + C} lines; {str(path)!r} has {len(lines)}. "
            "It was cut short or is of another program: copy it again."
        )
    names = checked_names(lines[2 : 2 + T], "transcript", str(path))
    rows = [line.split() for line in lines[2 + T :]]
    counts: list[int] = []
    sizes: list[int] = []
    ids: list[int] = []
    weights: list[float] = []
    weighted = False
    for number, row in enumerate(rows, start=3 + T):
        try:
            size = int(row[0])
            members, rest, count = row[1 : 1 + size], row[1 + size : -1], int(row[-1])
            if size < 1 or len(row) not in (size + 2, 2 * size + 2):
                raise ValueError
            ids.extend(map(int, members))
            weights.extend(map(float, rest) if rest else [1.0] * size)
        except (ValueError, IndexError):
            raise CountsError(_salmon_rule(row, number, path)) from None
        weighted = weighted or bool(rest)
        counts.append(count)
        sizes.append(size)
    return _assemble(names, counts, sizes, ids, weights, weighted, path, first_line=3 + T)


def _salmon_rule(row: list[str], line: int, path: Path) -> str:
    rule = "a class must be written `k id1..idk [weight1..weightk] count` with whole numbers and k of at least 1"
    if row and row[0] == "0":
        rule = "a class must have at least one transcript"
    shown = " ".join(row)
    return f"{rule}; line {line} of {str(path)!r} is {shown[:60]!r}."


def _read_kallisto(folder: Path) -> EquivalenceClasses:
    for name in (KALLISTO_CLASSES, KALLISTO_COUNTS, KALLISTO_NAMES):
        if not (folder / name).is_file():
            raise CountsError(f"a folder of kallisto pseudo must hold {name}; {str(folder)!r} does not.")
    names = checked_names(read_text(folder / KALLISTO_NAMES).split(), "transcript", str(folder / KALLISTO_NAMES))
    path = folder / KALLISTO_CLASSES
    sizes: list[int] = []
    ids: list[int] = []
    for number, line in enumerate(_lines(path), start=1):
        try:
            index, members = line.split("\t")
            row = list(map(int, members.split(",")))
            if int(index) != number - 1:
                raise ValueError
        except ValueError:
            raise CountsError(
                f"line {number} of {KALLISTO_CLASSES} must be `{number - 1}<tab>id,id,...` with at least one id; "
                "that "
                f"of {str(path)!r} is {line[:60]!r}."
            ) from None
        ids.extend(row)
        sizes.append(len(row))
    counts = _kallisto_counts(folder / KALLISTO_COUNTS, len(sizes))
    return _assemble(names, counts, sizes, ids, [1.0] * len(ids), False, path, first_line=1)


def _kallisto_counts(path: Path, classes: int) -> list[int]:
    lines = _lines(path)
    counts = []
    for number, line in enumerate(lines, start=1):
        fields = line.split("\t")
        try:
            if len(fields) != 2 or int(fields[0]) != number - 1:
                raise ValueError
            counts.append(int(fields[1]))
            if not 0 <= counts[-1] <= LARGEST_COUNT:
                raise ValueError
        except ValueError:
            raise CountsError(
                f"line {number} of {KALLISTO_COUNTS} must be `{number - 1}<tab>count`, with a count from 0 to "
                f"{LARGEST_COUNT}; that of {str(path)!r} is {line[:60]!r}."
            ) from None
    if len(lines) != classes:
        raise CountsError(
            f"{KALLISTO_COUNTS} must have one count for each of the {classes} classes of {KALLISTO_CLASSES}; "
            f"{str(path)!r} has {len(lines)} lines. One of the two was cut short."
        )
    return counts


def _lines(path: Path) -> list[str]:
    return read_text(path).rstrip("\n").split("\n")


def _whole(text: str, path: Path, line: int) -> int:
    if not text.strip().isdecimal():
        raise CountsError(f"line {line} of eq_classes must be a whole number; that of {str(path)!r} is {text[:60]!r}.")
    return int(text)


def _assemble(
    names: tuple[str, ...],
    counts: list[int],
    sizes: list[int],
    ids: list[int],
    weights: list[float],
    weighted: bool,
    path: Path,
    first_line: int,
) -> EquivalenceClasses:
    """Check what the lines said and put it into a matrix; class c was read from line first_line + c."""
    pointer = np.concatenate([[0], np.cumsum(np.asarray(sizes, dtype=np.int64))])
    member, weight = np.asarray(ids, dtype=np.int64), np.asarray(weights, dtype=np.float64)
    row = np.repeat(np.arange(len(sizes)), sizes)

    def refuse(rule: str, bad: NDArray[np.bool_], rows: IntArray, values: NDArray[np.generic]) -> None:
        if bad.any():
            first = int(np.argmax(bad))
            raise CountsError(
                f"{rule}; line {rows[first] + first_line} of {str(path)!r} has {values[first]} ({int(bad.sum())} "
                "such "
                "entries). The file is damaged, or of another index."
            )

    count = np.asarray(counts, dtype=np.float64)  # not yet checked: may be beyond 64 bits
    refuse(
        f"counts of classes must lie between 0 and {LARGEST_COUNT}",
        (count < 0) | (count > LARGEST_COUNT),
        np.arange(len(sizes)),
        count,
    )
    refuse(
        f"ids of transcripts must lie between 0 and {len(names) - 1}",
        (member < 0) | (member >= len(names)),
        row,
        member,
    )
    refuse("weights must be positive numbers", ~(np.isfinite(weight) & (weight > 0)), row, weight)
    order = np.lexsort((member, row))
    repeated = np.zeros(len(member), dtype=bool)
    repeated[order[1:]] = (np.diff(member[order]) == 0) & (np.diff(row[order]) == 0)
    refuse("a class must name a transcript once", repeated, row, member)
    matrix = sparse.csr_matrix((weight, member, pointer), shape=(len(sizes), len(names)))
    matrix.sort_indices()
    return EquivalenceClasses(names, count.astype(np.int64), matrix, weighted, path)


def _with_estimates(classes: EquivalenceClasses, path: Path) -> EquivalenceClasses:
    table = read_table(path)
    if table.header not in _COLUMNS:
        raise CountsError(f"{path} must have the columns of salmon or kallisto; it has {listed(table.header, 8)}.")
    values = table.numbers(_COLUMNS[table.header])
    bad = (values < 0).any(axis=1) | (values[:, 1] <= 0)
    if bad.any():
        line = table.lines[int(np.argmax(bad))]
        raise CountsError(
            f"effective lengths must be positive and counts not negative; line {line} of {path} breaks this."
        )
    position = {name: i for i, name in enumerate(table.names)}
    missing = [name for name in classes.transcripts if name not in position]
    if missing:
        raise CountsError(
            f"every transcript must have an effective length in {path}; {listed(missing)} have none. Were classes "
            "and "
            "lengths made with one index?"
        )
    chosen = values[[position[name] for name in classes.transcripts]].T
    return replace(classes, length=chosen[0], effective_length=chosen[1], estimate=chosen[2])


def read_tool_draws(folder: str | Path) -> tuple[tuple[str, ...], FloatArray]:
    """Read the bootstrap or Gibbs draws of salmon.

    Parameters
    ----------
    folder
        Folder of salmon, run with ``--numBootstraps`` or ``--numGibbsSamples``.

    Returns
    -------
    transcripts
        T names.
    draws
        [draw, T] counts.

    Raises
    ------
    CountsError
        There are none, or the file is not a whole number of draws of 64-bit numbers.
    """
    place = local_path(folder) / "aux_info" / "bootstrap"
    names = tuple(read_text(place / "names.tsv.gz").split())
    raw = read_bytes(place / "bootstraps.gz")
    if len(raw) % (8 * len(names)):
        raise CountsError(
            f"bootstraps.gz must hold 8 bytes for each of the {len(names)} transcripts in every draw; "
            f"{str(place / 'bootstraps.gz')!r} holds {len(raw)} bytes. Copy it again."
        )
    return names, np.frombuffer(raw, dtype="<f8").reshape(-1, len(names)).astype(np.float64)
