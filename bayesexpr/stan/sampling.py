"""Sampling: run NUTS on a compiled program, each fit in a folder of its own.

All file names on a chain's command line are relative to that folder, so a path may hold any character.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bayesexpr.errors import OptionError, SamplingError
from bayesexpr.stan.chains import ChainProgress, Task, run_chains
from bayesexpr.stan.inputs import place_data, to_json
from bayesexpr.stan.output import SAMPLER_COLUMNS, ChainFile, ChainFiles, is_whole
from bayesexpr.stan.settings import MAX_SEED, SamplerSettings

Inits = Mapping[str, Any] | Sequence[Mapping[str, Any]]
InverseMetric = NDArray[np.float64] | Sequence[NDArray[np.float64]]
MARGIN = 1.2  # free disk asked for, over the estimate
_CSV_DIGITS = 9  # enough for float32
_CSV_BYTES = 12  # of one value of that many digits, with its comma
_SAMPLER_BYTES = 24  # of one value with all its digits


def run_nuts(
    executable: Path,
    data: Mapping[str, Any] | Path,
    settings: SamplerSettings,
    *,
    output_dir: Path,
    inits: Inits | None = None,
    inverse_metric: InverseMetric | None = None,
    binary: bool = False,
    progress: ChainProgress | None = None,
    timeout: float | None = None,
) -> ChainFiles:
    """Sample with NUTS, one process per chain.

    Parameters
    ----------
    executable : pathlib.Path
        From :func:`bayesexpr.stan.compiler.compile_program`.
    data : Mapping or pathlib.Path
        The program's data, or a JSON file of them.
    settings : SamplerSettings
    output_dir : pathlib.Path
        Folder in which the run makes a new folder for itself; it is made if missing.
    inits : Mapping or sequence of Mapping, optional
        Starting values by parameter, for all chains or one Mapping per chain; what is not named is drawn at
        random.
    inverse_metric : array or sequence of array, optional
        Inverse metric to start from (or to use, when nothing adapts), for all chains or one per chain:
        [parameter] for ``diag_e``, [parameter, parameter] for ``dense_e``, on the unconstrained scale.
    binary : bool
        Write draws in binary form; only programs of the embedded tool chain can
        (``Toolchain.binary_output``).
    progress : callable, optional
        Told (chain from 1, iteration, iterations in all, whether it warms up), about a hundred times per
        chain.
    timeout : float, optional
        Seconds after which a chain is ended and the run fails.

    Returns
    -------
    ChainFiles
        To be read with :func:`bayesexpr.stan.output.read_chains`.

    Raises
    ------
    OptionError
        Data, starting values or metric cannot be given to Stan.
    SamplingError
        A chain failed, or its output is not whole. A chain killed from outside is first run again, twice at
        most, with the same data and a seed derived from its own.
    """
    _check_number(inits, settings, "starting values")
    _check_number(inverse_metric, settings, "inverse metrics")
    folder = _new_folder(output_dir)
    try:
        data_file = place_data(folder, data)
        for chain in range(1, settings.chains + 1):
            values = _of_chain(inits, chain)
            if values is not None:
                (folder / f"inits_{chain}.json").write_bytes(to_json(values))
            metric = _of_chain(inverse_metric, chain)
            if metric is not None:
                (folder / f"metric_{chain}.json").write_bytes(to_json({"inv_metric": metric}))
        return _run(executable, folder, data_file, settings, binary, progress, timeout)
    except BaseException as error:
        if not isinstance(error, SamplingError):  # what a failed chain left says why it failed
            shutil.rmtree(folder, ignore_errors=True)
        if isinstance(error, OSError):
            raise SamplingError(f"{str(folder)!r} cannot be written: {error.strerror}.") from None
        raise


def _run(
    executable: Path,
    folder: Path,
    data_file: str,
    settings: SamplerSettings,
    binary: bool,
    progress: ChainProgress | None,
    timeout: float | None,
) -> ChainFiles:
    seeds = dict.fromkeys(range(1, settings.chains + 1), settings.seed)
    measured = False

    def task(chain: int) -> Task:
        file = _chain_file(folder, chain, seeds[chain], binary)
        outputs = tuple(path for path in (file.csv, file.draws, file.names) if path is not None)
        arguments = _arguments(folder, chain, seeds[chain], data_file, settings, binary)
        return Task(chain, (str(executable.absolute()), *arguments), folder, outputs)

    def again(killed: Task, attempt: int) -> Task:
        words = np.random.SeedSequence([settings.seed, killed.chain, attempt]).generate_state(1)
        seeds[killed.chain] = int(words[0]) % MAX_SEED + 1
        return task(killed.chain)

    def finished(done: Task) -> str | None:
        return is_whole(_chain_file(folder, done.chain, seeds[done.chain], binary), settings.kept_draws)

    def enough_disk(started: Task) -> str | None:
        nonlocal measured
        if measured:
            return None
        columns = _columns(_chain_file(folder, started.chain, 1, binary))
        measured = columns is not None
        return _disk_obstacle(folder, columns, settings, binary) if columns is not None else None

    retries = run_chains(
        [task(chain) for chain in seeds],
        cores=settings.cores,
        again=again,
        finished=finished,
        progress=progress,
        on_start=enough_disk,
        timeout=timeout,
        threads=settings.threads,
    )
    files = tuple(_chain_file(folder, chain, seed, binary) for chain, seed in seeds.items())
    return ChainFiles(folder, files, data_file, settings.warmup, settings.draws, settings.thin, retries)


def _new_folder(output_dir: Path) -> Path:
    try:
        output_dir.mkdir(parents=True, exist_ok=True)
        return Path(tempfile.mkdtemp(prefix="chains-", dir=output_dir.absolute()))
    except OSError as error:
        raise SamplingError(
            f"a folder for the chains cannot be made in {str(output_dir)!r}: {error.strerror}. Choose another."
        ) from None


def _chain_file(folder: Path, chain: int, seed: int, binary: bool) -> ChainFile:
    stem = folder / f"chain_{chain}"
    csv = stem.with_suffix(".csv")
    if binary:
        return ChainFile(chain, seed, csv, stem.with_suffix(".draws"), stem.with_suffix(".names"))
    return ChainFile(chain, seed, csv)


def _arguments(
    folder: Path, chain: int, seed: int, data_file: str, settings: SamplerSettings, binary: bool
) -> list[str]:
    """Command line of one chain, in CmdStan's language."""
    iterations = settings.warmup + settings.draws
    line = [f"id={chain}", "random", f"seed={seed}", "data", f"file={data_file}"]
    if (folder / f"inits_{chain}.json").exists():
        line.append(f"init=inits_{chain}.json")
    elif settings.init_radius is not None:
        line.append(f"init={settings.init_radius!r}")
    line += ["output", f"file=chain_{chain}.csv", f"refresh={max(1, iterations // 100)}"]
    line += ["sig_figs=18", "binary=1"] if binary else [f"sig_figs={_CSV_DIGITS}"]
    line += ["method=sample", f"num_samples={settings.draws}", f"num_warmup={settings.warmup}"]
    line += ["save_warmup=0", f"thin={settings.thin}", "adapt", f"engaged={int(settings.adapts)}"]
    if settings.adapts:
        line.append(f"delta={settings.adapt_delta!r}")
        for name in ("init_buffer", "term_buffer", "window"):
            if getattr(settings, name) is not None:
                line.append(f"{name}={getattr(settings, name)}")
    line += ["algorithm=hmc", "engine=nuts", f"max_depth={settings.max_treedepth}"]
    line.append(f"metric={settings.metric}")
    if (folder / f"metric_{chain}.json").exists():
        line.append(f"metric_file=metric_{chain}.json")
    if settings.step_size is not None:
        line.append(f"stepsize={settings.step_size!r}")
    return line


def _check_number(given: object, settings: SamplerSettings, what: str) -> None:
    if isinstance(given, Sequence) and len(given) != settings.chains:
        raise OptionError(
            f"{what} are given once, or once per chain; there are {len(given)} for {settings.chains} chains."
        )


def _of_chain(given: Any, chain: int) -> Any:
    return given[chain - 1] if isinstance(given, Sequence) else given


def _columns(file: ChainFile) -> int | None:
    """Columns of a chain's output, as soon as its header is on disk."""
    try:
        if file.names is not None:
            return file.names.read_bytes().count(b"\n") or None
        with file.csv.open("rb") as stream:
            for line in stream:
                if not line.startswith(b"#"):
                    return line.count(b",") + 1 if line.endswith(b"\n") else None
    except OSError:
        pass
    return None


def _disk_obstacle(folder: Path, columns: int, settings: SamplerSettings, binary: bool) -> str | None:
    """Say that the draws will not fit on the disk, if so, before any is made."""
    rows = settings.kept_draws * settings.chains
    # Plain CSV is followed by its float32 copy, which is what is read.
    value = 4 if binary else _CSV_BYTES + 4
    needed = MARGIN * rows * (columns * value + len(SAMPLER_COLUMNS) * _SAMPLER_BYTES)
    status = os.statvfs(folder)
    free = status.f_bavail * status.f_frsize
    if needed <= free:
        return None
    return (
        f"the draws of this fit need about {needed / 1e9:.3g} GB of disk and {str(folder.parent)!r} has "
        f"{free / 1e9:.3g} GB free. Free some space, write elsewhere, or keep fewer draws (draws, thin)."
    )
