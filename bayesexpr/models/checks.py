"""Checks of the data given to a program: one sentence for what is wrong, with the index of the first offender."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bayesexpr.errors import InputError

LARGEST_INTEGER = 2**31 - 1
"""Stan's integers have 32 bits."""

Size = int | str


def keys(program: str, data: Any, known: Mapping[str, str], required: Iterable[str]) -> None:
    """Check that `data` maps names, has no unknown ones and all that are needed.

    Raises
    ------
    InputError
        With the keys the program takes.
    """
    if not isinstance(data, Mapping):
        raise InputError(f"the data of {program} map names to values; they are a {type(data).__name__}.")
    unknown = sorted(repr(str(key)[:80]) for key in data if key not in known)
    if unknown:
        raise InputError(f"{program} does not know data {', '.join(unknown[:5])}; it takes {', '.join(known)}.")
    for key in required:
        if key not in data:
            raise InputError(f"{program} needs {key}: {known[key]}.")


def whole(
    name: str, value: Any, shape: tuple[Size, ...], *, low: int = 0, high: int = LARGEST_INTEGER
) -> NDArray[np.int64]:
    """Return an array of whole numbers from `low` to `high`.

    Parameters
    ----------
    name
        What messages call it.
    value
        Nested lists, an array or a number.
    shape
        Length of each axis, or its letter where any length from one on will do.
    """
    array = _numbers(name, value, shape)
    with np.errstate(invalid="ignore"):
        bad = ~np.isfinite(array) | (array < low) | (array > high) | (array != np.floor(array))
    limit = "2^31 - 1" if high == LARGEST_INTEGER else str(high)
    _refuse(name, array, bad, f"whole numbers from {low} to {limit}")
    return array.astype(np.int64)


def real(
    name: str,
    value: Any,
    shape: tuple[Size, ...],
    *,
    above: float = -math.inf,
    high: float = math.inf,
) -> NDArray[np.float64]:
    """Return an array of finite numbers above `above` and at most `high`; see :func:`whole`."""
    array = _numbers(name, value, shape)
    with np.errstate(invalid="ignore"):
        bad = ~np.isfinite(array) | (array <= above) | (array > high)
    rule = "finite numbers" + (f" above {above:g}" if above > -math.inf else "")
    _refuse(name, array, bad, rule + (f", at most {high:g}" if high < math.inf else ""))
    return array


def simplex(name: str, value: Any, size: Size = "K") -> NDArray[np.float64]:
    """Return proportions: numbers from 0 to 1 that sum to one, within 1e-6; see :func:`whole`."""
    array = _numbers(name, value, (size,))
    with np.errstate(invalid="ignore"):
        bad = ~np.isfinite(array) | (array < 0) | (array > 1)
    _refuse(name, array, bad, "proportions, numbers from 0 to 1")
    if abs(array.sum() - 1) > 1e-6:
        most = int(array.argmax())
        raise InputError(
            f"{name} sums to one; its {len(array)} parts sum to {array.sum():.9g}, of which the largest, "
            f"{label(name, [most])}, is {array[most]:.9g}. Divide by the sum."
        )
    return array


def others(count: int) -> str:
    """Say in brackets how many entries break a rule of which the first is named; nothing if it is the only one."""
    return f" ({count} such entries)" if count > 1 else ""


def label(name: str, index: Iterable[int]) -> str:
    """``name[i][j]``, as Python and JSON index."""
    return name + "".join(f"[{int(i)}]" for i in index)


def _numbers(name: str, value: Any, shape: tuple[Size, ...]) -> NDArray[np.float64]:
    array = np.asarray(value) if isinstance(value, np.ndarray | np.generic) else np.asarray(_nested(name, value))
    if array.dtype.kind not in "iuf" and array.size:
        raise InputError(f"{name} holds numbers; it was given {array.dtype} values.")
    want = "".join(f"[{n}]" for n in shape) or "one number"
    fits = array.ndim == len(shape) and all(
        isinstance(n, str) or n == m for n, m in zip(shape, array.shape, strict=True)
    )
    if not fits or 0 in array.shape:
        got = "".join(f"[{n}]" for n in array.shape) or "one number"
        raise InputError(f"{name} is {want}{', with no axis empty' if 0 in array.shape else ''}; it was given {got}.")
    return array.astype(np.float64)


def _nested(name: str, value: Any, depth: int = 0) -> Any:
    """Turn nested lists into an array, level by level, so that whatever is no number has an index."""
    if isinstance(value, bool) or value is None or isinstance(value, str | bytes | Mapping):
        raise InputError(f"{name} is {_short(value)}, which is no number.")
    if isinstance(value, int | float | np.number):
        try:
            return float(value)
        except OverflowError:
            raise InputError(f"{name} is a number of {len(str(abs(value)))} digits, beyond any limit.") from None
    if depth == 4 or not isinstance(value, Iterable):
        raise InputError(f"{name} is {_short(value)}, which is no number.")
    rows = [_nested(f"{name}[{i}]", item, depth + 1) for i, item in enumerate(value)]
    shapes = [np.shape(row) for row in rows]
    for i, found in enumerate(shapes):
        if found != shapes[0]:
            raise InputError(f"{name} is no full table: {name}[0] has shape {shapes[0]}, {name}[{i}] has {found}.")
    return np.asarray(rows, dtype=np.float64)


def _short(value: Any) -> str:
    if isinstance(value, list | tuple | Mapping):
        return f"a nested {type(value).__name__}"
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:37]}..."


def _refuse(name: str, array: NDArray[np.float64], bad: NDArray[np.bool_], rule: str) -> None:
    if not bad.any():
        return
    first = np.argwhere(bad)[0]
    more = others(int(bad.sum()))
    raise InputError(f"{name} holds {rule}; {label(name, first)} is {array[tuple(first)]:.17g}{more}.")
