"""Data for Stan: written with all digits, or refused by name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bayesexpr.errors import OptionError
from bayesexpr.stan.inputs import place_data, to_json


def test_numbers_and_arrays_keep_shape_type_and_digits() -> None:
    values = {"N": 3, "flag": True, "x": np.array([[0.1, 1e-300], [2.0, 1 / 3]]), "none": np.zeros((2, 0))}
    back = json.loads(to_json(values))
    assert back == {"N": 3, "flag": 1, "x": [[0.1, 1e-300], [2.0, 1 / 3]], "none": [[], []]}


@pytest.mark.parametrize("bad", [np.nan, np.inf, [1.0, -np.inf], 2**31, [0, -(2**31)], "text", [None]])
def test_what_stan_would_misread_is_refused_by_name(bad: Any) -> None:
    with pytest.raises(OptionError, match="'counts'"):
        to_json({"counts": bad})


def test_the_name_of_the_data_file_is_its_content(tmp_path: Path) -> None:
    one = place_data(tmp_path, {"x": 1})
    other = place_data(tmp_path, {"x": 2})
    given = tmp_path / "given.json"
    given.write_bytes((tmp_path / one).read_bytes())
    (tmp_path / one).unlink()
    assert one != other
    assert place_data(tmp_path, given) == one
    assert json.loads((tmp_path / one).read_text()) == {"x": 1}


def test_a_missing_data_file_is_said(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="cannot be read"):
        place_data(tmp_path, tmp_path / "absent.json")
