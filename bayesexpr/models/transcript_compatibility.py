"""transcript_compatibility: abundances of transcripts from ambiguous fragments; the equations head the Stan program."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy import sparse, special

from bayesexpr.data.identifiability import Identifiability, connected_blocks, identifiability
from bayesexpr.data.lengths import closure
from bayesexpr.distributions import log_gamma_variate
from bayesexpr.errors import InputError
from bayesexpr.models import checks
from bayesexpr.models.base import Complete, Draws, Model, Option, PriorSlot
from bayesexpr.models.compatibility_forest import expectation_maximisation, grow, whiten
from bayesexpr.models.priors import Gamma, Normal
from bayesexpr.names import CLASS, TRANSCRIPT

Float = NDArray[np.float64]


@dataclass(frozen=True)
class TranscriptCompatibility(Model):
    """Poisson counts of classes of fragments over a sparse class-by-transcript matrix."""

    NAME: ClassVar[str] = "transcript_compatibility"
    SUMMARY: ClassVar[str] = "abundances of transcripts from fragments that fit more than one of them"
    OPTIONS: ClassVar[Mapping[str, Option]] = {
        "abundance": Option(
            ("log_normal", "gamma"),
            "prior of an abundance over that of the average transcript; the gamma's tail is light and pulls down short "
            "transcripts far above the average",
        ),
    }
    PRIORS: ClassVar[Mapping[str, PriorSlot]] = {
        "log_abundance": PriorSlot(
            Normal(-2.76, 2.35),
            "one transcript in twenty is over 100 times above or below the typical one, and the mean of all is one",
        ),
        "abundance": PriorSlot(
            Gamma(0.5, 0.5),
            "the mean of all is one, and transcripts differ by a factor of exp(2.2) = 9, one sd (abundance = gamma)",
        ),
    }
    DATA: ClassVar[Mapping[str, str]] = {
        "count": "[C] fragments of each class",
        "compatibility": "[N][2] pairs (class, transcript), from 0: fragments of the class fit the transcript",
        "weight": "[N] relative probability of the class's fragments given the transcript (default: 1)",
        "effective_length": "[C] effective length of each class, or, if not C long, [T] of each transcript "
        "(default: 1 for each class)",
        "transcript_length": "[T] effective length of each transcript, in place of effective_length",
        "total": "fragments expected in all; sets the scale of the prior (default: the sum of count)",
        "transcripts": "[T] names (default: numbers from 0)",
    }
    PARAMETERS: ClassVar[Mapping[str, str]] = {
        "log_lambda": "[T] natural log of the expected fragments per position of each transcript",
        "expected_count": "[T] fragments of each transcript: its share of the fragments, times their number",
        "tpm": "[T] transcripts per million",
    }
    DIMS: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "log_lambda": (TRANSCRIPT,),
        "expected_count": (TRANSCRIPT,),
        "tpm": (TRANSCRIPT,),
        "count": (CLASS,),
        "transcripts": (TRANSCRIPT,),
        "transcript_length": (TRANSCRIPT,),
    }
    SCENARIO: ClassVar[Mapping[str, Any]] = {
        "compatibility": [[0, 0], [1, 0], [1, 1], [2, 1], [3, 1], [3, 2], [4, 2], [5, 0], [5, 1], [5, 2]],
        "effective_length": [400.0, 600.0, 300.0, 500.0, 800.0, 200.0],
        "total": 1000,
    }

    def complete(self, data: Mapping[str, Any]) -> Complete:
        """Check the user's data and fill in the defaults.

        Returns
        -------
        Complete
            Beside the user's keys ``rate`` [C, T] sparse, expected fragments of a class per unit of lambda, up to a
            factor per class if ``by_class`` is False; ``exposure`` [T]; ``expected_rate``, fragments per position;
            unless ``by_class``, ``block`` [T] and ``block_of_class`` [C], the blocks of transcripts that share classes.

        Raises
        ------
        InputError
            A class is empty, an index does not exist, a length or a count breaks a rule; the message has the index.
        """
        if isinstance(data, Complete):
            return data
        checks.keys(self.NAME, data, self.DATA, ("count", "compatibility"))
        count = checks.whole("count", data["count"], ("C",))
        C = len(count)
        pairs = checks.whole("compatibility", data["compatibility"], ("N", 2))
        T = self._transcripts(data, pairs, C)
        M = _matrix(pairs, data.get("weight"), C, T)
        rate, exposure, by_class = _lengths(data, M)
        stray = (np.asarray(rate.sum(axis=1)).ravel() == 0) & (count > 0)
        _refuse("a class of length 0 has no fragments", stray, "count", count)
        total = float(checks.real("total", data.get("total", max(int(count.sum()), 1)), (), above=0))
        if not exposure.sum() > 0:
            raise InputError("some effective length is above zero, or no fragment could have been seen; all are 0.")
        given = {key: np.asarray(data[key]) for key in self.DATA if key in data}
        blocks = {}
        if not by_class:
            block = connected_blocks(rate)
            blocks = {"block": block, "block_of_class": block[rate.indices[rate.indptr[:-1]]]}
        return Complete(
            **given | {"count": count, "compatibility": pairs, "total": total},
            **blocks,
            rate=rate,
            exposure=exposure,
            by_class=by_class,
            expected_rate=total / exposure.sum(),
        )

    def _transcripts(self, data: Mapping[str, Any], pairs: NDArray[np.int64], C: int) -> int:
        """Return how many transcripts there are: what says so first, or else the largest index."""
        largest = int(pairs[:, 1].max()) + 1
        lengths = data.get("effective_length")
        if "transcripts" in data:
            T = len(data["transcripts"])
        elif "transcript_length" in data:
            T = len(data["transcript_length"])
        elif lengths is not None and len(lengths) != C:
            T = len(lengths)
        else:
            T = largest
        for column, size, what in ((0, C, "class"), (1, T, "transcript")):
            bad = pairs[:, column] >= size
            if bad.any():
                n = int(np.argmax(bad))
                raise InputError(
                    f"each {what} of compatibility is one of 0 to {size - 1}; compatibility[{n}] is "
                    f"{pairs[n].tolist()}."
                )
        return T

    def identifiability(self, data: Mapping[str, Any]) -> Identifiability:
        """Say, before any fit, which transcripts the data can tell apart.

        Where only the transcripts' lengths are known, a class without a fragment says nothing about which transcripts
        share it, and only classes with fragments count; a transcript in none of them is known to be near zero.
        """
        full = self.complete(data)
        if full["by_class"]:
            return identifiability(full["rate"])
        seen = full["rate"][full["count"] > 0]
        absent = (np.bincount(seen.indices, minlength=seen.shape[1]) == 0) & (full["exposure"] > 0)
        return identifiability(sparse.vstack([seen, sparse.diags(absent.astype(float))]))

    def stan_data(self, data: Mapping[str, Any], *, prior_only: bool = False) -> dict[str, Any]:
        """Return the program's data block, with the forest that its coordinates come from."""
        full = self.complete(data)
        exposure = full["exposure"]
        length = np.where(exposure > 0, exposure, 1.0)
        seen = full["count"] > 0
        count = full["count"][seen]
        A = sparse.csr_matrix(full["rate"][seen] @ sparse.diags(1 / length))
        A.sort_indices()
        shape, mean = self._moments()
        forest = grow(A, count)
        inverse_scale = shape / (mean * full["expected_rate"] * length)
        used = np.zeros(0, dtype=np.int64) if prior_only else count
        likelihood = A[: len(used)]
        eta = expectation_maximisation(likelihood, used, (exposure > 0) * float(not prior_only), shape, inverse_scale)
        center, scale = whiten(forest, likelihood, used, eta, shape)
        out = {
            "T": A.shape[1],
            "C": A.shape[0],
            "count": count,
            "N": A.nnz,
            "value": A.data,
            "transcript": A.indices + 1,
            "first": A.indptr + 1,
            "exposure": exposure,
            "length": length,
            "center": center,
            "scale": scale,
            "rate": full["expected_rate"],
            "prior_only": int(prior_only),
        }
        if self.options["abundance"] == "gamma":
            out |= {"shape": self.prior("abundance").shape, "inverse_scale": self.prior("abundance").rate}
        else:
            out |= {"log_mean": self.prior("log_abundance").mean, "log_sd": self.prior("log_abundance").sd}
        return out | forest.stan_data()

    def _moments(self) -> tuple[float, float]:
        """Return the shape of the gamma whose log has about the prior's sd, and the prior's mean."""
        if self.options["abundance"] == "gamma":
            prior = self.prior("abundance")
            return prior.shape, prior.shape / prior.rate
        prior = self.prior("log_abundance")
        return 1 / prior.sd, float(np.exp(prior.mean + prior.sd**2 / 2))

    def simulate(self, data: Mapping[str, Any], rng: np.random.Generator) -> tuple[Draws, dict[str, Any]]:
        """Draw abundances and counts; `data` holds ``compatibility``, the classes' ``effective_length``, ``total``.

        Raises
        ------
        InputError
            The lengths of the classes or the total are not given: fragments cannot be drawn without them.
        """
        lengths = data.get("effective_length")
        if lengths is None or "total" not in data or "transcript_length" in data:
            raise InputError("to simulate, give the effective_length of every class, and the total of fragments.")
        full = self.complete({**data, "count": np.zeros(len(lengths), dtype=np.int64)})
        T = full["rate"].shape[1]
        if self.options["abundance"] == "gamma":
            prior = self.prior("abundance")
            log_relative = log_gamma_variate(np.full(T, prior.shape), rng) - np.log(prior.rate)
        else:
            log_relative = self.prior("log_abundance").draw(rng, T)
        p: Draws = {"log_lambda": np.log(full["expected_rate"]) + log_relative}
        made = {**data, "count": self.replicate(p, full, rng)}
        return self.posterior(p, made), made

    def conditions(self, data: Mapping[str, Any]) -> dict[str, Any]:
        """Return the matrix, the classes' lengths and the total.

        Raises
        ------
        InputError
            Only the lengths of the transcripts are known, not those of the classes.
        """
        full = self.complete(data)
        if not full["by_class"]:
            raise InputError(
                "a simulation needs the effective length of every class; the lengths of transcripts alone do not say "
                "how often a class is expected. Give effective_length one number for each class."
            )
        given = {key: full[key] for key in ("compatibility", "weight", "transcripts") if key in full}
        length = full.get("effective_length", np.ones(len(full["count"])))
        return given | {"effective_length": length, "total": full["total"]}

    def replicate(
        self, parameters: Mapping[str, Any], data: Mapping[str, Any], rng: np.random.Generator
    ) -> NDArray[Any]:
        """Draw counts [C] anew.

        Where only the lengths of the transcripts are known, they say how many fragments a block of transcripts that
        share classes gives, but not how these fall into its classes. Their shares are then drawn from the Dirichlet
        distribution that the counts leave under a flat prior of their logs; other classes have no fragments.
        """
        full, abundance = self.complete(data), np.exp(parameters["log_lambda"])
        if full["by_class"]:
            return np.asarray(rng.poisson(full["rate"] @ abundance))
        block, of_class = full["block"], full["block_of_class"]
        expected = np.bincount(block, full["exposure"] * abundance, minlength=block.max() + 1)
        share = rng.standard_gamma(full["count"])
        total = np.bincount(of_class, share, minlength=len(expected))
        return np.asarray(rng.poisson(expected[of_class] * share / np.where(total > 0, total, 1.0)[of_class]))

    def posterior(self, draws: Draws, data: Mapping[str, Any]) -> Draws:
        """Return abundances in all their units."""
        full = self.complete(data)
        abundance = np.exp(draws["log_lambda"])
        fragments = abundance * full["exposure"]
        return {
            "log_lambda": draws["log_lambda"],
            "expected_count": full["count"].sum() * closure(fragments),
            "tpm": 1e6 * closure(abundance),
        }

    def log_density(self, parameters: Mapping[str, Any], data: Mapping[str, Any]) -> float:
        """Log joint density of log_lambda and the counts; the program's, up to a constant.

        The coordinates of the program preserve volume but for their constant scale, so that no Jacobian stands
        between them and log_lambda.
        """
        full = self.complete(data)
        log_lambda = np.asarray(parameters["log_lambda"], dtype=float)
        log_relative = log_lambda - np.log(full["expected_rate"])
        if self.options["abundance"] == "gamma":
            prior = self.prior("abundance").logpdf(np.exp(log_relative)) + log_relative
        else:
            prior = self.prior("log_abundance").logpdf(log_relative)
        return float(prior.sum() + self.log_lik(parameters, data).sum())

    def log_lik(self, parameters: Mapping[str, Any], data: Mapping[str, Any]) -> Float:
        """Log mass of each class, [C].

        Where only the transcripts' lengths are known, the fragments expected in all are divided among the classes in
        proportion to their counts, and a factor per class is left out: the sum is the likelihood up to a constant.
        """
        full = self.complete(data)
        count, abundance = full["count"], np.exp(np.asarray(parameters["log_lambda"], dtype=float))
        mean = full["rate"] @ abundance
        expected = mean if full["by_class"] else count / max(count.sum(), 1) * (full["exposure"] @ abundance)
        return np.asarray(special.xlogy(count, mean) - expected - special.gammaln(count + 1))

    def coords(self, data: Mapping[str, Any]) -> dict[str, list[Any]]:
        """Return the names of transcripts and the numbers of classes."""
        full = self.complete(data)
        C, T = full["rate"].shape
        return {TRANSCRIPT: list(full.get("transcripts", range(T))), CLASS: list(range(C))}


def _refuse(rule: str, bad: NDArray[np.bool_], name: str, values: NDArray[Any]) -> None:
    if bad.any():
        first = int(np.argmax(bad))
        raise InputError(f"{rule}; {name}[{first}] is {values[first]:g}{checks.others(int(bad.sum()))}.")


def _matrix(pairs: NDArray[np.int64], weight: Any, C: int, T: int) -> sparse.csr_matrix:
    values = np.ones(len(pairs)) if weight is None else checks.real("weight", weight, ("N",), above=0)
    if len(values) != len(pairs):
        raise InputError(f"weight has one number for each pair of compatibility, {len(pairs)}; it has {len(values)}.")
    M = sparse.csr_matrix((values, (pairs[:, 0], pairs[:, 1])), shape=(C, T))
    if M.nnz < len(pairs):
        _, first, times = np.unique(pairs, axis=0, return_index=True, return_counts=True)
        twice = pairs[first[np.argmax(times > 1)]].tolist()
        raise InputError(f"compatibility names a pair once; {twice} occurs more often.")
    empty = np.flatnonzero(np.diff(M.indptr) == 0)
    if len(empty):
        raise InputError(f"a class has at least one transcript; class {empty[0]} has none{checks.others(len(empty))}.")
    return M


def _lengths(data: Mapping[str, Any], M: sparse.csr_matrix) -> tuple[sparse.csr_matrix, Float, bool]:
    """Return the matrix [C, T] of expected fragments per unit of lambda, the exposure [T], and whether by class."""
    C, T = M.shape
    if "transcript_length" in data and "effective_length" in data:
        raise InputError("give effective_length or transcript_length, not both.")
    name = "transcript_length" if "transcript_length" in data else "effective_length"
    lengths = checks.real(name, data.get(name, np.ones(C)), ("C" if name == "effective_length" else "T",))
    _refuse("lengths are not negative", lengths < 0, name, lengths)
    if name == "effective_length" and len(lengths) == C:
        rate = sparse.csr_matrix(sparse.diags(lengths) @ M)
        rate.eliminate_zeros()
        return rate, np.asarray(rate.sum(axis=0)).ravel(), True
    if len(lengths) != T:
        raise InputError(
            f"{name} has one number for each transcript ({T})"
            + (f" or for each class ({C})" if name == "effective_length" else "")
            + f"; it has {len(lengths)}."
        )
    inside = np.unique(M.indices)
    _refuse(
        "a transcript that is in a class has positions", np.isin(np.arange(T), inside) & (lengths == 0), name, lengths
    )
    return M, lengths, False
