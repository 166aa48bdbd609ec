"""What every program of the ladder has: options, priors, a data builder, a simulator and its own names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from bayesexpr.errors import OptionError
from bayesexpr.models.priors import Prior

Draws = dict[str, NDArray[Any]]


class Complete(dict[str, Any]):
    """Data that were checked, turned into arrays and completed with the defaults: not to be checked again."""


@dataclass(frozen=True)
class Option:
    """A structural choice of a template.

    Attributes
    ----------
    choices
        Values that the template knows; the first is the default.
    what
        One line for ``bayesexpr models``.
    """

    choices: tuple[str, ...]
    what: str

    @property
    def default(self) -> str:
        """Value where the user says nothing."""
        return self.choices[0]


@dataclass(frozen=True)
class PriorSlot:
    """A prior of a program: its default and, in words, the statement about the world that it encodes."""

    default: Prior
    statement: str


@dataclass(frozen=True)
class Model:
    """A program of the ladder with the user's choices; change it with ``dataclasses.replace``.

    A subclass says, as class variables, its ``NAME``, ``SUMMARY``, ``OPTIONS`` and ``PRIORS``; the keys of its ``DATA``
    and its ``PARAMETERS`` with their shapes; the dimensions (``DIMS``) of parameters and outcome; which key is the
    ``OUTCOME``; a small ``SCENARIO`` to simulate when none is given; and ``ADAPT_DELTA``, the acceptance that NUTS aims
    at, nearer to one where the posterior has corners that need short steps.

    Attributes
    ----------
    options
        Structural choices, checked against ``OPTIONS`` and completed with the defaults.
    priors
        Priors that differ from the defaults; numbers are data, so none of them recompiles a program.

    Raises
    ------
    OptionError
        If an option, its value, a prior's name or its family does not exist.
    """

    options: Mapping[str, str] = field(default_factory=dict)
    priors: Mapping[str, Prior] = field(default_factory=dict)

    NAME: ClassVar[str]
    SUMMARY: ClassVar[str]
    OPTIONS: ClassVar[Mapping[str, Option]] = {}
    PRIORS: ClassVar[Mapping[str, PriorSlot]] = {}
    DATA: ClassVar[Mapping[str, str]]
    PARAMETERS: ClassVar[Mapping[str, str]]
    DIMS: ClassVar[Mapping[str, tuple[str, ...]]] = {}
    OUTCOME: ClassVar[str] = "count"
    SCENARIO: ClassVar[Mapping[str, Any]] = {}
    ADAPT_DELTA: ClassVar[float] = 0.8

    def __post_init__(self) -> None:
        for name, value in self.options.items():
            if name not in self.OPTIONS:
                raise OptionError(f"{self.NAME} has no option {name!r}; it has {_listed(self.OPTIONS)}.")
            if value not in self.OPTIONS[name].choices:
                known = ", ".join(self.OPTIONS[name].choices)
                raise OptionError(f"option {name} of {self.NAME} is one of {known}; it was given {value!r}.")
        for name, prior in self.priors.items():
            if name not in self.PRIORS:
                raise OptionError(f"{self.NAME} has no prior {name!r}; it has {_listed(self.PRIORS)}.")
            wanted = self.PRIORS[name].default.family
            if prior.family != wanted:
                raise OptionError(
                    f"prior {name} of {self.NAME} is a {wanted}: its numbers may change, its family may not; "
                    f"it was given {prior}."
                )
        complete = {name: option.default for name, option in self.OPTIONS.items()} | dict(self.options)
        object.__setattr__(self, "options", complete)

    @property
    def template(self) -> str:
        """File name of the Stan template."""
        return f"{self.NAME}.stan"

    def prior(self, name: str) -> Any:
        """Return the user's prior or the default."""
        return self.priors.get(name, self.PRIORS[name].default)

    def complete(self, data: Mapping[str, Any]) -> Mapping[str, Any]:
        """Check the user's data and return arrays for every key of ``DATA``, defaults filled in.

        What comes out may be given wherever `data` is asked for; as a :class:`Complete` it is not checked again.

        Raises
        ------
        InputError
            If a value breaks a rule; the message names its index.
        """
        raise NotImplementedError

    def stan_data(self, data: Mapping[str, Any], *, prior_only: bool = False) -> dict[str, Any]:
        """Check the user's data and return all that the program's data block names.

        Parameters
        ----------
        data
            The keys of ``DATA``.
        prior_only
            Leave the likelihood out: the posterior is then the prior.

        Raises
        ------
        InputError
            If a value breaks a rule; the message names its index.
        """
        raise NotImplementedError

    def simulate(self, data: Mapping[str, Any], rng: np.random.Generator) -> tuple[Draws, dict[str, Any]]:
        """Draw parameters from the prior and data from the likelihood, in NumPy, independent of the Stan program.

        Parameters
        ----------
        data
            What the simulation is conditional on (sizes, designs, lengths): ``DATA`` without the outcome.

        Returns
        -------
        parameters, data
            Parameters by the names of ``PARAMETERS``; `data` completed with the simulated outcome.
        """
        raise NotImplementedError

    def conditions(self, data: Mapping[str, Any]) -> dict[str, Any]:
        """Return what a simulation of such data is conditional on: what :meth:`simulate` takes.

        The default are all data but the outcome.
        """
        full = self.complete(data)
        return {key: full[key] for key in self.DATA if key != self.OUTCOME and key in full}

    def replicate(
        self, parameters: Mapping[str, Any], data: Mapping[str, Any], rng: np.random.Generator
    ) -> NDArray[Any]:
        """Draw the outcome anew, in its own shape, for one draw of the parameters."""
        raise NotImplementedError

    def exact(self, data: Mapping[str, Any], draws: int, rng: np.random.Generator) -> Draws:
        """Draw from the closed-form posterior: ``draws`` values of each of ``PARAMETERS`` along the first axis.

        Raises
        ------
        OptionError
            If the program, or the variant chosen, has none.
        """
        raise OptionError(f"{self.NAME} has no closed-form posterior with these options; fit it with nuts.")

    def posterior(self, draws: Draws, data: Mapping[str, Any]) -> Draws:
        """Turn the program's draws into ``PARAMETERS``; leading axes (chain, draw) are kept.

        The default passes on what the program already calls by its name in ``PARAMETERS``.
        """
        return {name: value for name, value in draws.items() if name in self.PARAMETERS}

    def log_density(self, parameters: Mapping[str, Any], data: Mapping[str, Any]) -> float:
        """Log joint density of parameters (constrained scale, no Jacobian) and data: the twin of the program."""
        raise NotImplementedError

    def log_lik(self, parameters: Mapping[str, Any], data: Mapping[str, Any]) -> NDArray[np.float64]:
        """Pointwise log likelihood in the shape of the outcome, for one draw of the parameters."""
        raise NotImplementedError

    def coords(self, data: Mapping[str, Any]) -> dict[str, list[Any]]:
        """Return the labels of the dimensions in ``DIMS``."""
        return {}


def _listed(names: Mapping[str, Any]) -> str:
    return ", ".join(names) if names else "none"
