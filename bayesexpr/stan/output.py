"""Reading what the chains wrote, and refusing whatever is not whole.

Two forms are read. Plain CSV (any CmdStan) is parsed row by row into a float32 memory map, so that memory
does not grow with the number of draws. The binary form (the embedded tool chain) has comments and sampler
columns in the CSV, draws in ``<stem>.draws`` (little-endian float32, one row per draw) and their names in
``<stem>.names``.

Both are checked before anything is returned: settings, chain number, seed and data of the header, number of
rows and columns, complete footer, finite values, and no two chains alike.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bayesexpr.errors import SamplingError

SAMPLER_COLUMNS = (
    "lp__",
    "accept_stat__",
    "stepsize__",
    "treedepth__",
    "n_leapfrog__",
    "divergent__",
    "energy__",
)
_BLOCK = 1 << 24  # values looked at together


@dataclass(frozen=True)
class ChainFile:
    """Where one chain wrote, and what it was told.

    Attributes
    ----------
    chain : int
        Number of the chain, from 1.
    seed : int
        Its seed: that of the fit, unless the chain was run again.
    csv : pathlib.Path
        Its CSV file.
    draws, names : pathlib.Path or None
        The binary draws and the names of their columns; None where all is in the CSV.
    """

    chain: int
    seed: int
    csv: Path
    draws: Path | None = None
    names: Path | None = None


@dataclass(frozen=True)
class ChainFiles:
    """What a run of the sampler left behind.

    Attributes
    ----------
    folder : pathlib.Path
        The run's own folder.
    chains : tuple of ChainFile
    data_file : str
        Name of the data file, which carries the digest of its content.
    warmup, draws, thin : int
        Iterations as they were asked for.
    retries : tuple of str
        One sentence for each time a chain was run again.
    """

    folder: Path
    chains: tuple[ChainFile, ...]
    data_file: str
    warmup: int
    draws: int
    thin: int
    retries: tuple[str, ...] = ()


@dataclass(frozen=True)
class ChainDraws:
    """One chain, read and checked.

    Attributes
    ----------
    names : tuple of str
        Names of the columns of ``draws``, in Stan's form ``beta.3.1``.
    sampler : float64 array [draw, 7]
        The columns ``SAMPLER_COLUMNS``.
    draws : float32 array or memory map [draw, column]
    warmup_seconds, sampling_seconds : float
        From the footer.
    """

    names: tuple[str, ...]
    sampler: NDArray[np.float64]
    draws: NDArray[np.float32]
    warmup_seconds: float
    sampling_seconds: float


def read_chains(files: ChainFiles) -> tuple[ChainDraws, ...]:
    """Read all chains of a run.

    Raises
    ------
    SamplingError
        A chain is cut short, has values that are not finite, or belongs to another run, or two chains are
        alike.
    """
    chains = tuple(read_chain(files, number) for number in range(len(files.chains)))
    for later, chain in enumerate(chains):
        if chain.names != chains[0].names:
            raise _fault(files.chains[later].csv, "its columns are not those of the first chain")
        for earlier in range(later):
            if _alike(chains[earlier], chain):
                raise _fault(
                    files.chains[later].csv,
                    f"its draws are those of chain {files.chains[earlier].chain}: one file is a copy",
                )
    return chains


def read_chain(files: ChainFiles, position: int) -> ChainDraws:
    """Read and check one chain of a run, by its position from 0."""
    file = files.chains[position]
    rows = -(-files.draws // files.thin)
    with _CsvReader(file.csv) as reader:
        _check_header(reader, files, file)
        if file.draws is not None and file.names is not None:
            names = tuple(file.names.read_text(encoding="utf-8").split("\n")[:-1])
            sampler = _read_sampler(reader, rows)
            draws = _open_binary(file.draws, rows, len(names))
        else:
            names, sampler, draws = _read_plain(reader, rows)
        warmup_seconds, sampling_seconds = reader.footer()
    _check_finite(file.csv, SAMPLER_COLUMNS, sampler)
    _check_finite(file.draws or file.csv, names, draws)
    return ChainDraws(names, sampler, draws, warmup_seconds, sampling_seconds)


def is_whole(file: ChainFile, rows: int) -> str | None:
    """Say quickly what is missing from a finished chain's files; None if nothing seems to be."""
    try:
        with file.csv.open("rb") as stream:
            stream.seek(max(0, file.csv.stat().st_size - 4096))
            if b"(Total)" not in stream.read():
                return "the footer of its CSV file is missing"
        if file.draws is not None and file.names is not None:
            columns = file.names.read_bytes().count(b"\n")
            size = file.draws.stat().st_size
            if size != 4 * rows * columns:
                return f"its draws are {size} bytes instead of {4 * rows * columns}"
    except OSError as error:
        return f"{error.filename}: {error.strerror}"
    return None


def by_variable(names: Sequence[str], draws: NDArray[Any]) -> dict[str, NDArray[Any]]:
    """Gather columns into one array per variable of the program.

    Parameters
    ----------
    names : sequence of str
        Names of columns, ``beta.1.1``, ``beta.2.1``...: Stan writes arrays with the first index fastest.
    draws : array [..., column]

    Returns
    -------
    dict
        Variable to array [..., its own dimensions].
    """
    found: dict[str, list[int]] = {}
    for column, name in enumerate(names):
        found.setdefault(name.split(".", 1)[0], []).append(column)
    result = {}
    for variable, columns in found.items():
        shape = tuple(int(i) for i in names[columns[-1]].split(".")[1:])
        if columns[-1] - columns[0] + 1 != len(columns) or len(columns) != int(np.prod(shape)):
            raise SamplingError(f"the columns of {variable!r} are not one whole array: found {len(columns)}.")
        values = draws[..., columns[0] : columns[-1] + 1]
        lead = values.shape[:-1]
        reversed_axes = values.reshape(*lead, *shape[::-1])
        axes = [*range(len(lead)), *range(len(lead) + len(shape) - 1, len(lead) - 1, -1)]
        result[variable] = reversed_axes.transpose(axes)
    return result


class _CsvReader:
    """Comments before the header, the header, rows and the footer of one CSV file, in one pass."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.config: dict[tuple[str, str], str] = {}
        self.columns: tuple[str, ...] = ()
        self._comments: list[str] = []

    def __enter__(self) -> _CsvReader:
        try:
            self._stream = self.path.open("rb")
        except OSError as error:
            raise _fault(self.path, f"it cannot be opened ({error.strerror})") from None
        parents: dict[int, str] = {}
        for line in self._stream:
            if not line.startswith(b"#"):
                self.columns = tuple(line.decode(errors="replace").rstrip("\r\n").split(","))
                break
            text = line[1:].decode(errors="replace").rstrip()
            key, _, value = text.strip().partition(" = ")
            depth = (len(text) - len(text.lstrip())) // 2
            parents[depth] = key
            if value:
                parent = parents.get(depth - 1, "") if depth else ""
                self.config[parent, key] = value.removesuffix(" (Default)")
        if not self.columns:
            self._stream.close()
            raise _fault(self.path, "it has no header")
        return self

    def __exit__(self, *_: object) -> None:
        self._stream.close()

    def rows(self) -> Iterator[NDArray[np.float64]]:
        """Give each row of numbers; a row that is not whole is a fault."""
        width = len(self.columns)
        for number, line in enumerate(self._stream):
            if line.startswith(b"#"):
                self._comments.append(line.decode(errors="replace"))
                continue
            if not line.strip():
                continue
            fields = line.split(b",")
            if len(fields) != width or not line.endswith(b"\n"):
                raise _fault(self.path, f"row {number + 1} has {len(fields)} of {width} values: it was cut")
            try:
                yield np.array(fields, dtype=np.float64)
            except ValueError:
                raise _fault(self.path, f"row {number + 1} has a value that is no number") from None

    def footer(self) -> tuple[float, float]:
        """Seconds of warm-up and of sampling; to be asked for after the last row."""
        times = {}
        for comment in self._comments:
            for phase in ("Warm-up", "Sampling", "Total"):
                if comment.rstrip().endswith(f"seconds ({phase})"):
                    times[phase] = float(comment.split("seconds")[0].split()[-1])
        if "Total" not in times:
            raise _fault(self.path, "its footer is missing: the chain did not reach its end")
        return times.get("Warm-up", 0.0), times.get("Sampling", 0.0)


def _fault(path: Path, what: str) -> SamplingError:
    place = f"the output {path.name} in {str(path.parent)!r}"
    return SamplingError(f"{place} cannot be used: {what}. Run the fit again.")


def _check_header(reader: _CsvReader, files: ChainFiles, file: ChainFile) -> None:
    expected = {
        ("", "id"): (file.chain, "number of the chain"),
        ("random", "seed"): (file.seed, "seed"),
        ("sample", "num_samples"): (files.draws, "number of draws"),
        ("sample", "num_warmup"): (files.warmup, "number of warm-up iterations"),
        ("sample", "thin"): (files.thin, "thinning"),
        ("data", "file"): (files.data_file, "data file"),
    }
    for key, (value, what) in expected.items():
        found = reader.config.get(key)
        if found != str(value):
            raise _fault(file.csv, f"its header gives {found} as the {what}, this run has {value}")
    if reader.columns[: len(SAMPLER_COLUMNS)] != SAMPLER_COLUMNS:
        found = ", ".join(reader.columns[:7])
        raise _fault(file.csv, f"it begins with the columns {found}, not those of NUTS")


def _read_sampler(reader: _CsvReader, rows: int) -> NDArray[np.float64]:
    read = list(reader.rows())
    _check_rows(reader.path, len(read), rows)
    return np.array(read).reshape(rows, len(reader.columns))[:, : len(SAMPLER_COLUMNS)]


def _check_rows(path: Path, found: int, expected: int) -> None:
    if found != expected:
        raise _fault(path, f"it has {found} draws instead of {expected}")


def _open_binary(path: Path, rows: int, columns: int) -> NDArray[np.float32]:
    try:
        size = path.stat().st_size
    except OSError as error:
        raise _fault(path, f"it cannot be opened ({error.strerror})") from None
    if size != 4 * rows * columns:
        raise _fault(path, f"it has {size} bytes; {rows} draws of {columns} values are {4 * rows * columns}")
    if not size:
        return np.zeros((rows, columns), np.float32)
    return np.memmap(path, dtype="<f4", mode="r", shape=(rows, columns))


def _read_plain(reader: _CsvReader, rows: int) -> tuple[tuple[str, ...], NDArray[np.float64], NDArray[np.float32]]:
    """Stream the rows into ``<stem>.npy`` beside the CSV, which is then mapped for reading."""
    lead = len(SAMPLER_COLUMNS)
    names = reader.columns[lead:]
    sampler = np.empty((rows, lead))
    if not names:
        return (), _read_sampler(reader, rows), np.zeros((rows, 0), np.float32)
    target = reader.path.with_suffix(".npy")
    partial = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        draws = np.lib.format.open_memmap(partial, mode="w+", dtype=np.float32, shape=(rows, len(names)))
        count = 0
        for row in reader.rows():
            if count < rows:
                sampler[count] = row[:lead]
                with np.errstate(over="ignore"):
                    draws[count] = row[lead:]
            count += 1
        _check_rows(reader.path, count, rows)
        draws.flush()
        del draws
        partial.replace(target)
    except OSError as error:
        place = repr(str(target))
        raise SamplingError(f"{place} cannot be written: {error.strerror}. Free some disk.") from None
    finally:
        partial.unlink(missing_ok=True)
    return names, sampler, np.load(target, mmap_mode="r", allow_pickle=False)


def _check_finite(path: Path, names: Sequence[str], values: NDArray[Any]) -> None:
    step = max(1, _BLOCK // max(1, values.shape[1]))
    for start in range(0, len(values), step):
        block = values[start : start + step]
        # One pass without a temporary: a sum is finite unless a term is not, or it overflows.
        with np.errstate(invalid="ignore", over="ignore"):
            if np.isfinite(block.sum(dtype=np.float64)):
                continue
        bad = np.argwhere(~np.isfinite(block))
        if len(bad):
            draw, column = bad[0]
            raise _fault(path, f"draw {start + draw + 1} of {names[column]!r} is {block[draw, column]}")


def _alike(a: ChainDraws, b: ChainDraws) -> bool:
    """Whether two chains hold the same draws: chains of different seeds or numbers never do."""
    if np.array_equal(a.sampler[:, [0, 6]], b.sampler[:, [0, 6]]):
        return True
    step = max(1, _BLOCK // max(1, a.draws.shape[1]))
    return a.draws.size > 0 and all(
        np.array_equal(a.draws[i : i + step], b.draws[i : i + step]) for i in range(0, len(a.draws), step)
    )
