"""Reading a program's data from JSON: strict where Python's own reader lets through what JSON does not have."""

from __future__ import annotations

import json
from os import PathLike
from pathlib import Path
from typing import Any

from bayesexpr.errors import InputError

LARGEST_FILE = 2 * 1024**3
"""Bytes beyond which a file of data is refused: JSON of that size would not fit in memory once read."""


def read_json(path: str | PathLike[str]) -> dict[str, Any]:
    """Read one JSON object.

    Raises
    ------
    InputError
        The file cannot be read, is no JSON object, names a key twice, nests too deeply, or holds NaN or Infinity.
    """
    file = Path(path)
    shown = repr(str(file))
    try:
        if file.stat().st_size > LARGEST_FILE:
            raise InputError(f"a data file has at most 2 GiB; {shown} has {file.stat().st_size} bytes.")
        text = file.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise InputError(f"the data file {shown} cannot be read: {error.strerror or error}.") from None
    except UnicodeDecodeError as error:
        raise InputError(f"{shown} is not UTF-8 text (byte {error.start}).") from None

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        seen: dict[str, Any] = {}
        for key, value in pairs:
            if key in seen:
                raise InputError(f"a key occurs once; {key[:80]!r} occurs again in {shown}.")
            seen[key] = value
        return seen

    def constant(word: str) -> Any:
        raise InputError(f"numbers are finite; {shown} holds {word}. Remove such entries before the fit.")

    def integer(digits: str) -> int:
        if len(digits) > 20:
            raise InputError(f"counts are at most 2^31 - 1; {shown} holds an integer of {len(digits)} digits.")
        return int(digits)

    try:
        value = json.loads(text, object_pairs_hook=unique, parse_constant=constant, parse_int=integer)
    except json.JSONDecodeError as error:
        raise InputError(f"{shown} is not JSON: {error.msg}, line {error.lineno}, column {error.colno}.") from None
    except RecursionError:
        raise InputError(f"the lists in {shown} nest too deeply; data have at most four levels.") from None
    if not isinstance(value, dict):
        raise InputError(f'{shown} holds one JSON object, as {{"count": [...]}}; it holds a {type(value).__name__}.')
    return value
