"""The other algorithms of Stan, for programs small enough for CSV, through cmdstanpy.

cmdstanpy is imported only here and only when called for; its log is silenced, since what matters is raised.
"""

from __future__ import annotations

import logging
import re
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bayesexpr.errors import OptionError, SamplingError, ToolchainError
from bayesexpr.stan.chains import ChainProgress
from bayesexpr.stan.inputs import place_data, to_json
from bayesexpr.stan.output import SAMPLER_COLUMNS, by_variable, read_chains
from bayesexpr.stan.sampling import Inits, run_nuts
from bayesexpr.stan.settings import SamplerSettings

METHODS = ("nuts", "pathfinder", "laplace", "advi", "optimize")
_GRAD_SAMPLES = (10, 20, 40, 80)


@dataclass(frozen=True)
class MethodDraws:
    """What an algorithm gave.

    Attributes
    ----------
    method : str
    variables : dict
        Variable of the program to array [chain, draw, its own dimensions]; one chain for all methods but
        NUTS, and one draw for ``optimize``.
    diagnostics : dict
        Column to array [chain, draw]: the sampler's seven columns (NUTS); ``lp__`` and ``lp_approx__``, the
        log densities (up to a constant) of the posterior and of the approximation, of which the log ratios
        for a Pareto k-hat are the difference (pathfinder, laplace, advi); ``lp__`` (optimize).
    """

    method: str
    variables: dict[str, NDArray[np.float64]]
    diagnostics: dict[str, NDArray[np.float64]]

    @property
    def log_ratios(self) -> NDArray[np.float64]:
        """Log importance ratios [chain, draw] of an approximation."""
        return self.diagnostics["lp__"] - self.diagnostics["lp_approx__"]


def run_method(
    executable: Path,
    method: str,
    data: Mapping[str, Any] | Path,
    settings: SamplerSettings,
    *,
    inits: Inits | None = None,
    options: Mapping[str, Any] | None = None,
    binary: bool = False,
    progress: ChainProgress | None = None,
) -> MethodDraws:
    """Run one algorithm and return its draws; nothing is left on disk.

    Parameters
    ----------
    executable : pathlib.Path
    method : str
        One of ``METHODS``. Pathfinder runs ``settings.chains`` paths of ``settings.draws`` draws each and
        returns them all, not resampled: they are draws of the approximation, to be weighted by
        ``log_ratios``.
    data : Mapping or pathlib.Path
    settings : SamplerSettings
        What a method has no use for is ignored.
    inits : Mapping or sequence of Mapping, optional
        Starting values; methods other than NUTS take the first.
    options : Mapping, optional
        Further arguments of cmdstanpy's function (not NUTS, which takes all from ``settings``).
    binary, progress : optional
        As in :func:`bayesexpr.stan.sampling.run_nuts`; NUTS only.

    Raises
    ------
    OptionError
        There is no such method.
    SamplingError
        The algorithm failed; the message has the last lines that it wrote.
    """
    if method not in METHODS:
        raise OptionError(f"a method is one of {', '.join(METHODS)}; it is {method!r}.")
    with _scratch() as folder:
        if method == "nuts":
            return _nuts(executable, data, settings, inits, binary, progress, folder)
        arguments: dict[str, Any] = {"data": str(folder / place_data(folder, data)), "seed": settings.seed}
        start = _first(inits)
        if start is not None:
            (folder / "inits.json").write_bytes(to_json(start))
            arguments["inits"] = str(folder / "inits.json")
        arguments |= {"output_dir": str(folder), "sig_figs": 18, "refresh": 1000}
        run = {"pathfinder": _pathfinder, "laplace": _laplace, "advi": _advi, "optimize": _optimize}[method]
        return run(_model(executable), settings, arguments, dict(options or {}))


def generate_quantities(
    executable: Path, data: Mapping[str, Any] | Path, parameters: Mapping[str, NDArray[np.float64]], *, seed: int = 1
) -> dict[str, NDArray[np.float64]]:
    """Evaluate a program's generated quantities at given parameters.

    Parameters
    ----------
    executable : pathlib.Path
    data : Mapping or pathlib.Path
    parameters : Mapping
        Every parameter of the program to array [draw, its own dimensions], on the constrained scale.
    seed : int

    Returns
    -------
    dict
        Variable to array [draw, its own dimensions].
    """
    columns: list[str] = []
    blocks = []
    for name, values in parameters.items():
        array = np.asarray(values, dtype=np.float64)
        for index in np.ndindex(*array.shape[1:][::-1]):
            columns.append(".".join([name, *(str(i + 1) for i in index[::-1])]))
            blocks.append(array[(slice(None), *index[::-1])])
    draws = len(blocks[0])
    table = np.column_stack([np.zeros((draws, len(SAMPLER_COLUMNS))), *blocks])
    with _scratch() as folder:
        data_file = place_data(folder, data)
        header = _GQ_HEADER.format(draws=draws) + ",".join([*SAMPLER_COLUMNS, *columns])
        np.savetxt(folder / "fitted.csv", table, fmt="%.17g", delimiter=",", header=header, comments="")
        command = ["id=1", "random", f"seed={seed}", "data", f"file={data_file}", "output", "file=quantities.csv"]
        command += ["sig_figs=18", "method=generate_quantities", "fitted_params=fitted.csv"]
        names, values = _run_to_csv(executable, command, folder, "quantities.csv")
    return by_variable(names, values)


def log_prob(
    executable: Path,
    data: Mapping[str, Any] | Path,
    unconstrained: NDArray[np.float64],
    *,
    jacobian: bool = True,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Evaluate a program's log density and gradient at unconstrained points, with all digits.

    Parameters
    ----------
    executable : pathlib.Path
    data : Mapping or pathlib.Path
    unconstrained : array [point, parameter]
    jacobian : bool
        Whether the log Jacobian of the constraining transforms is included.

    Returns
    -------
    tuple of array
        Log densities [point], without the constants that ``~`` drops, and gradients [point, parameter].
    """
    points = np.atleast_2d(np.asarray(unconstrained, dtype=np.float64))
    with _scratch() as folder:
        data_file = place_data(folder, data)
        (folder / "points.json").write_bytes(to_json({"params_r": points}))
        command = ["id=1", "data", f"file={data_file}", "output", "file=lp.csv", "sig_figs=18"]
        command += ["method=log_prob", "unconstrained_params=points.json", f"jacobian={int(jacobian)}"]
        _, values = _run_to_csv(executable, command, folder, "lp.csv")
    return values[:, 0], values[:, 1:]


# A fitted-parameters file is read as the output of a sampler run: these are the settings its reader looks
# for.
_GQ_HEADER = """# method = sample (Default)
#   sample
#     num_samples = {draws}
#     num_warmup = 0
#     save_warmup = false
#     thin = 1 (Default)
#     algorithm = hmc (Default)
#       hmc
#         engine = nuts (Default)
#         metric = diag_e (Default)
# id = 1 (Default)
"""


def _nuts(
    executable: Path,
    data: Mapping[str, Any] | Path,
    settings: SamplerSettings,
    inits: Inits | None,
    binary: bool,
    progress: ChainProgress | None,
    folder: Path,
) -> MethodDraws:
    files = run_nuts(executable, data, settings, output_dir=folder, inits=inits, binary=binary, progress=progress)
    chains = read_chains(files)
    draws = np.stack([np.asarray(chain.draws, dtype=np.float64) for chain in chains])
    sampler = np.stack([chain.sampler for chain in chains])
    diagnostics = {name: sampler[..., column] for column, name in enumerate(SAMPLER_COLUMNS)}
    return MethodDraws("nuts", by_variable(chains[0].names, draws), diagnostics)


def _pathfinder(
    model: Any, settings: SamplerSettings, arguments: dict[str, Any], options: dict[str, Any]
) -> MethodDraws:
    defaults = {
        "num_paths": settings.chains,
        "num_single_draws": settings.draws,
        "draws": settings.draws * settings.chains,
        "psis_resample": False,
    }
    with _reported("pathfinder"):
        fit = model.pathfinder(**arguments, **(defaults | options))
        return _gather("pathfinder", fit.column_names, fit.draws(), "lp__", "lp_approx__")


def _laplace(model: Any, settings: SamplerSettings, arguments: dict[str, Any], options: dict[str, Any]) -> MethodDraws:
    start = {"inits": arguments.pop("inits")} if "inits" in arguments else {}
    defaults = {"draws": settings.draws, "opt_args": start}
    with _reported("laplace"):
        fit = model.laplace_sample(**arguments, **(defaults | options))
        return _gather("laplace", fit.column_names, fit.draws(), "log_p__", "log_q__")


def _advi(model: Any, settings: SamplerSettings, arguments: dict[str, Any], options: dict[str, Any]) -> MethodDraws:
    with _reported("advi"):
        fit = _variational(model, {"draws": settings.draws} | arguments | options)
        return _gather("advi", fit.column_names, np.asarray(fit.variational_sample), "log_p__", "log_g__")


def _variational(model: Any, arguments: dict[str, Any]) -> Any:
    """Run ADVI; where its draws leave the density's range, with twice the draws for a gradient, as Stan advises."""
    for grad_samples in _GRAD_SAMPLES[:-1]:
        try:
            return model.variational(**{"grad_samples": grad_samples} | arguments)
        except RuntimeError as error:
            if "gradient calculation failed" not in str(error) or "grad_samples" in arguments:
                raise
    return model.variational(**{"grad_samples": _GRAD_SAMPLES[-1]} | arguments)


def _optimize(model: Any, settings: SamplerSettings, arguments: dict[str, Any], options: dict[str, Any]) -> MethodDraws:
    with _reported("optimize"):
        fit = model.optimize(**arguments, **options)
        return _gather("optimize", fit.column_names, np.atleast_2d(fit.optimized_params_np), "lp__", None)


def _gather(
    method: str, columns: tuple[str, ...], draws: NDArray[np.float64], target: str, approximation: str | None
) -> MethodDraws:
    """Part the columns of one CSV into variables and the two log densities."""
    names = [re.sub(r"\[(.*)\]", lambda match: "." + match[1].replace(",", "."), name) for name in columns]
    values = np.asarray(draws, dtype=np.float64)[None]
    if not np.isfinite(values).all():
        column = int(np.argwhere(~np.isfinite(values))[0][-1])
        raise SamplingError(f"{method} gave a value of {names[column]!r} that is not finite. Use NUTS.")
    diagnostics = {"lp__": values[..., names.index(target)]}
    if approximation is not None:
        diagnostics["lp_approx__"] = values[..., names.index(approximation)]
    kept = [column for column, name in enumerate(names) if not name.endswith("__")]
    return MethodDraws(method, by_variable([names[c] for c in kept], values[..., kept]), diagnostics)


def _model(executable: Path) -> Any:
    try:
        import cmdstanpy
    except ImportError:
        raise ToolchainError(
            "this method needs cmdstanpy, which is not installed. Run `pip install 'bayesexpr[stan]'`."
        ) from None
    return cmdstanpy.CmdStanModel(exe_file=str(executable))


@contextmanager
def _reported(method: str) -> Iterator[None]:
    """Keep cmdstanpy from writing to the console, and put its exceptions in our words."""
    logger = logging.getLogger("cmdstanpy")
    before, logger.disabled = logger.disabled, True
    try:
        yield
    except (RuntimeError, ValueError, TimeoutError) as error:
        last = "\n".join(str(error).strip().splitlines()[-12:])
        raise SamplingError(
            f"{method} failed. Try NUTS, or other starting values; the end of its log:\n{last}"
        ) from None
    finally:
        logger.disabled = before


@contextmanager
def _scratch() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="bayesexpr-") as name:
        yield Path(name)


def _first(inits: Inits | None) -> Mapping[str, Any] | None:
    if inits is None or isinstance(inits, Mapping):
        return inits
    return inits[0]


def _run_to_csv(
    executable: Path, arguments: list[str], folder: Path, output: str
) -> tuple[list[str], NDArray[np.float64]]:
    """Run a program once in ``folder`` and read the header and the numbers of the CSV that it writes."""
    done = subprocess.run(
        [executable.absolute(), *arguments],
        cwd=folder,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    if done.returncode != 0:
        last = "\n".join((done.stdout + done.stderr).strip().splitlines()[-12:])
        raise SamplingError(f"{executable.name} failed with exit code {done.returncode}; the end of its log:\n{last}")
    with (folder / output).open(encoding="utf-8") as stream:
        lines = [line for line in stream if line.strip() and not line.startswith("#")]
    rows = [np.array(line.split(","), dtype=np.float64) for line in lines[1:]]
    return lines[0].strip().split(","), np.array(rows)
