"""The ways to sample a differential-expression study: what each needs built, and how each is run."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from bayesexpr.empirical_bayes.whitening import WarmStart, starting_points
from bayesexpr.errors import OptionError, ToolchainError
from bayesexpr.models.de_core import PART
from bayesexpr.models.negative_binomial_de import NegativeBinomialDE
from bayesexpr.names import METHODS, STARTS
from bayesexpr.progress import Progress
from bayesexpr.stan.output import ChainDraws, read_chains
from bayesexpr.stan.program import StanProgram
from bayesexpr.stan.settings import SamplerSettings

ACCEPTANCE = 0.65
"""Target acceptance: the optimum of HMC in high dimension (Beskos et al. 2013, Bernoulli 19:1501). The coordinates are
whitened, so the step is limited by their number, not by a narrow place that a smaller step would have to find."""

STEP = 1.45
"""Step size times the fourth root of the number of coordinates, found stable from 2,000 to 200,000 of them: the scaling
of HMC on a product (same source). The adaptation starts there."""

MAX_TREEDEPTH = 8
"""Trajectories that mix take 31 or 63 steps; the bound keeps the adaptation from taking 1,023."""

MANY_GENES = 25_000
"""Above it NUTS makes two iterations for each draw kept. What all genes share (the slab's mean and scale, the weights)
waits for the doubtful genes to change their minds: an iteration is worth a fifth of an independent draw with 20,000
genes, and 6 to 10 % with the 33,469 of airway, where 4,000 iterations would be too few for 400 effective draws; and the
posterior of so many genes is large enough on disk already."""

OVERDISPERSION = 3.0
"""Standard deviations of overdispersed starts in those of the approximation: chains that begin so far apart and end
alike have forgotten where they began."""

BLOCKED_ITERATIONS = 4
"""Iterations of the blocked sampler for each draw kept: one costs a tenth of NUTS's at 2,000 genes, less above."""

EB_COUNTS = 2_000_000
"""Above so many counts (genes times samples) ``auto`` takes empirical Bayes: exact sampling takes a good part of an
hour there, and the more genes there are, the closer the approximation is."""

NUTS_GENES = 5_000
"""Up to so many genes ``auto`` takes NUTS, the reference: done in a minute or two. Beyond, the blocked sampler."""


@dataclass(frozen=True)
class DESettings:
    """How to fit, apart from what to fit.

    Attributes
    ----------
    chains, warmup, draws
        NUTS chains, and iterations of each. Chains start from an approximation of the posterior, so that the warm-up
        only has to find the step size and forget the start. `draws` are those that are kept; empirical Bayes has no
        chains, and keeps so many in all.
    thin
        Iterations for each draw kept; by default 1 by NUTS (2 where more than 25,000 genes are fitted), 4 by the
        blocked sampler, which makes as many for each of the warm-up, too.
    seed
        Of everything random in the fit.
    cores
        All of the machine's by default. As many chains run at once; where there are twice as many cores, or more, the
        genes are shared out, 512 at a time, among threads within each chain, whose draws are the same whatever the
        number of threads.
    starts
        Where chains start: at draws from the ``approximation`` of the posterior, or ``overdispersed``, at draws from a
        distribution with three times its standard deviations; those need a longer warm-up.
    """

    chains: int = 4
    warmup: int = 200
    draws: int = 1000
    thin: int | None = None
    seed: int = 1
    cores: int = field(default_factory=lambda: len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1)
    starts: str = STARTS[0]

    def __post_init__(self) -> None:
        if self.starts not in STARTS:
            raise OptionError(f"starts is one of {', '.join(STARTS)}; it is {self.starts!r}.")
        given = {name: value for name, value in asdict(self).items() if name != "starts"}
        SamplerSettings(**{**given, "thin": self.thin_for("nuts", 1)})  # checks them before anything is compiled

    def thin_for(self, method: str, genes: int) -> int:
        """Return the iterations for each draw kept, for a fit of so many genes."""
        if self.thin is not None:
            return self.thin
        return BLOCKED_ITERATIONS if method == "blocked" else 2 if genes > MANY_GENES else 1


@dataclass(frozen=True)
class Method:
    """A way to sample, and why it was chosen."""

    name: str
    reason: str


def choose_method(asked: str, model: NegativeBinomialDE, genes: int, samples: int) -> Method:
    """Decide how to sample a study of so many genes and samples.

    Raises
    ------
    OptionError
        There is no such method, or it does not serve the program's options.
    """
    if asked not in METHODS:
        raise OptionError(f"there is no method {asked!r}; there is: {', '.join(METHODS)}.")
    obstacle = _no_kernel(model)
    if asked == "blocked" and obstacle:
        raise OptionError(f"method blocked needs the program's kernel, and {obstacle}. Use method nuts.")
    if asked != "auto":
        return Method(asked, "as asked")
    if obstacle:
        return Method("nuts", f"chosen because {obstacle}")
    if genes > NUTS_GENES and genes * samples > EB_COUNTS:
        return Method("eb", f"chosen because there are more than {EB_COUNTS:,} counts; blocked is exact, and slower")
    if genes > NUTS_GENES:
        return Method("blocked", f"chosen because there are more than {NUTS_GENES:,} genes; nuts would take longer")
    return Method("nuts", f"chosen because there are at most {NUTS_GENES:,} genes")


def _no_kernel(model: NegativeBinomialDE) -> str:
    return "" if model.options["density"] == "kernel" else f"there is none with density={model.options['density']}"


@dataclass(frozen=True)
class Built:
    """What was compiled.

    Attributes
    ----------
    library
        The kernel's core; None where the program has none.
    executable, binary
        The Stan program, and whether it writes binary output; None where Stan does not sample.
    digest
        Of the Stan program's text, kernel and options.
    versions
        Of what compiled and runs it.
    threaded
        Whether a chain can share its genes among threads.
    """

    library: Path | None
    executable: Path | None
    binary: bool
    digest: str
    versions: Mapping[str, str]
    threaded: bool = False

    def threads(self, settings: DESettings, genes: int) -> int:
        """Return among how many threads a chain shares its genes: the cores left to it, one for each part at most."""
        return max(1, min(settings.cores // settings.chains, -(-genes // PART))) if self.threaded else 1


def build(model: NegativeBinomialDE, method: str, news: Progress) -> Built:
    """Compile what a method needs, or find it compiled.

    Raises
    ------
    ToolchainError
        A tool chain cannot be built here.
    """
    from bayesexpr.stan.compiler import compile_program, has_threads
    from bayesexpr.stan.kernels import shared_library
    from bayesexpr.stan.program import render
    from bayesexpr.stan.toolchain import ensure

    program = render(model.NAME, model.options)
    if method == "eb":
        return Built(library_or_none(program, news), None, True, program.digest, {})
    library = shared_library(program, progress=news.say) if program.kernel else None
    if method == "blocked":
        return Built(library, None, True, program.digest, {}, threaded=True)
    toolchain = ensure(progress=news.say)
    executable = compile_program(program, toolchain, progress=news.say)
    versions = {"stan": toolchain.version, "tool_chain": toolchain.kind}
    threaded = library is not None and has_threads(executable, toolchain)
    return Built(library, executable, toolchain.binary_output, program.digest, versions, threaded)


Sample = Callable[
    [NegativeBinomialDE, Mapping[str, Any], WarmStart, Built, DESettings, Path, Progress],
    tuple[tuple[ChainDraws, ...], SamplerSettings],
]
"""A sampler of the joint posterior, as :func:`sample_nuts`."""


def library_or_none(program: StanProgram, news: Progress) -> Path | None:
    """Return the kernel's core, or None where the program has none or there is no compiler: NumPy does, too."""
    from bayesexpr.stan.kernels import shared_library

    if not program.kernel:
        return None
    try:
        return shared_library(program, progress=news.say)
    except ToolchainError as error:
        news.say(f"without the compiled kernel, which makes this several times slower: {error}")
        return None


def sample_nuts(
    model: NegativeBinomialDE,
    inputs: Mapping[str, Any],
    warm: WarmStart,
    built: Built,
    settings: DESettings,
    scratch: Path,
    news: Progress,
) -> tuple[tuple[ChainDraws, ...], SamplerSettings]:
    """Sample by Stan's NUTS in the whitened coordinates.

    Returns
    -------
    chains, settings
        What was drawn, and how.
    """
    from bayesexpr.stan.sampling import run_nuts

    if built.executable is None:
        raise ValueError("NUTS needs a compiled program")
    genes = len(warm.whitening.center)
    thin = settings.thin_for("nuts", genes)
    sampler = SamplerSettings(
        chains=settings.chains,
        warmup=settings.warmup,
        draws=settings.draws * thin,
        thin=thin,
        seed=settings.seed,
        cores=settings.cores,
        metric="unit_e",  # the coordinates are whitened: variances estimated from a short warm-up would only add noise
        step_size=STEP * warm.whitening.center.size**-0.25,
        max_treedepth=MAX_TREEDEPTH,
        adapt_delta=ACCEPTANCE,
    )
    files = run_nuts(
        built.executable,
        model.stan_data(inputs, whitening=warm.whitening),
        sampler,
        output_dir=scratch,
        inits=_starts(warm, settings),
        binary=built.binary,
        progress=news.sampling,
    )
    return read_chains(files), sampler


def sample_blocked(
    model: NegativeBinomialDE,
    inputs: Mapping[str, Any],
    warm: WarmStart,
    built: Built,
    settings: DESettings,
    scratch: Path,
    news: Progress,
) -> tuple[tuple[ChainDraws, ...], SamplerSettings]:
    """Sample genes and hyperparameters in turn; see :mod:`bayesexpr.blocked`.

    Returns
    -------
    chains, settings
        What was drawn, and how.
    """
    from bayesexpr.blocked.sampling import sample

    if built.library is None:
        raise ValueError("the blocked sampler needs the kernel's core")
    thin = settings.thin_for("blocked", len(warm.whitening.center))
    sampler = SamplerSettings(
        chains=settings.chains,
        warmup=settings.warmup * thin,
        draws=settings.draws * thin,
        thin=thin,
        seed=settings.seed,
        cores=settings.cores,
        metric="unit_e",
    )
    chains = sample(
        model, model.complete(inputs), warm, built.library, sampler, scratch, news.sampling, _starts(warm, settings)
    )
    return chains, sampler


def _starts(warm: WarmStart, settings: DESettings) -> list[dict[str, Any]]:
    """Whitened coordinates for each chain to start at."""
    drawn = starting_points(warm, settings.chains, np.random.default_rng([settings.seed, 2]))
    far = OVERDISPERSION if settings.starts == "overdispersed" else 1.0
    return [{name: far * values for name, values in start.items()} for start in drawn]
