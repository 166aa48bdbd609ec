"""Options that several commands share, and the reading of their values."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import click

from bayesexpr.errors import OptionError
from bayesexpr.models.priors import Prior, parse_prior

Decorator = Callable[[Any], Any]


def model_options(command: Any) -> Any:
    """Add ``--set`` and ``--prior``."""
    command = click.option(
        "--prior", "priors", multiple=True, metavar="NAME=FAMILY(NUMBERS)", help="A prior other than the default."
    )(command)
    return click.option(
        "--set", "settings", multiple=True, metavar="OPTION=VALUE", help="A structural option of the program."
    )(command)


def sampler_options(warmup: int, draws: int) -> Decorator:
    """Add ``--chains``, ``--warmup``, ``--draws``, ``--seed``, ``--cores`` and ``--quiet``."""

    def add(command: Any) -> Any:
        for option in (
            click.option("--quiet", is_flag=True, help="No progress."),
            click.option("--cores", type=click.IntRange(1), help="Cores to use [default: all]."),
            click.option("--seed", type=click.IntRange(1, 2**31 - 1), default=1, show_default=True),
            click.option("--draws", type=click.IntRange(1), default=draws, show_default=True, help="Per chain."),
            click.option("--warmup", type=click.IntRange(0), default=warmup, show_default=True, help="Per chain."),
            click.option("--chains", type=click.IntRange(1), default=4, show_default=True),
        ):
            command = option(command)
        return command

    return add


def read_settings(settings: Sequence[str]) -> dict[str, str]:
    """Read ``option=value`` pairs."""
    return dict(_pair(text, "--set") for text in settings)


def read_priors(priors: Sequence[str]) -> dict[str, Prior]:
    """Read ``name=family(numbers)`` pairs."""
    return {name: parse_prior(value) for name, value in (_pair(text, "--prior") for text in priors)}


def _pair(text: str, option: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name.strip() or not value.strip():
        raise OptionError(f"{option} takes NAME=VALUE; it was given {text!r}.")
    return name.strip(), value.strip()
