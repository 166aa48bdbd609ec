"""Files that a Stan program reads: data, starting values and metric as JSON, checked as they are written."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from bayesexpr.errors import OptionError

_LARGEST_INTEGER = 2**31 - 1


def to_json(values: Mapping[str, Any]) -> bytes:
    """Return the JSON text of a program's data or starting values.

    Parameters
    ----------
    values : Mapping
        Name to number or array; booleans become 0 and 1.

    Raises
    ------
    OptionError
        A value is not finite, not numeric, or an integer beyond 32 bits, which Stan would misread.
    """
    plain = {}
    for name, value in values.items():
        array = np.asarray(value)
        if array.dtype.kind == "b":
            array = array.astype(np.int64)
        if array.dtype.kind == "f":
            if not np.isfinite(array).all():
                bad = array[~np.isfinite(array)][0]
                raise OptionError(f"numbers given to Stan are finite; {name!r} has {bad}.")
            array = array.astype(np.float64)
        elif array.dtype.kind in "iu":
            if array.size and (array.max() > _LARGEST_INTEGER or array.min() < -_LARGEST_INTEGER):
                raise OptionError(f"integers given to Stan have at most 32 bits; {name!r} has {array.max()}.")
        elif array.size:
            raise OptionError(f"what is given to Stan is numeric; {name!r} is of type {array.dtype}.")
        plain[name] = array.tolist()
    return json.dumps(plain, allow_nan=False).encode()


def place_data(folder: Path, data: Mapping[str, Any] | Path) -> str:
    """Put the data into a run's folder and return the name of their file, which has the content's digest.

    A file is linked, not copied: its name in the chains' headers is then a proof of which data they saw.
    """
    if isinstance(data, Path):
        try:
            with data.open("rb") as stream:
                digest = hashlib.file_digest(stream, "sha256").hexdigest()
        except OSError as error:
            raise OptionError(f"the data file {str(data)!r} cannot be read: {error.strerror}.") from None
        name = f"data-{digest[:16]}.json"
        (folder / name).symlink_to(data.absolute())
        return name
    text = to_json(data)
    name = f"data-{hashlib.sha256(text).hexdigest()[:16]}.json"
    (folder / name).write_bytes(text)
    return name
