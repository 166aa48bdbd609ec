"""The public surface of bayesexpr.calibration."""

from __future__ import annotations

import importlib

import pytest

import bayesexpr.calibration as calibration


def test_every_public_name_can_be_had() -> None:
    for name in calibration.__all__:
        assert callable(getattr(calibration, name))
        assert name in dir(calibration)


def test_no_module_hides_a_public_name() -> None:
    """A module named as a function would take its place once it is imported."""
    for name in calibration.__all__:
        with pytest.raises(ModuleNotFoundError):
            importlib.import_module(f"bayesexpr.calibration.{name}")


def test_a_name_that_is_not_there() -> None:
    with pytest.raises(AttributeError, match="no attribute 'sbcc'"):
        calibration.sbcc  # noqa: B018
