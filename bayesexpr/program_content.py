"""What the report of a fit of any program shows, gathered from the fit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from bayesexpr.report.program import ProgramContent

if TYPE_CHECKING:
    from bayesexpr.program_fit import Fit


def program_content(fit: Fit) -> ProgramContent:
    """Gather everything that the report shows."""
    from bayesexpr.calibration.certificate import read_certificate

    model, record = fit.model, fit.record
    slots = model.PRIORS
    return ProgramContent(
        title=f"Posterior of {model.NAME}",
        summary=model.SUMMARY,
        command=str(record.get("command", "")),
        options=model.options,
        data=[(key, _size(value), str(model.DATA.get(key, ""))) for key, value in fit.data.items()],
        priors=[
            (name, str(model.prior(name)), slot.statement if name not in model.priors else "as given for this run")
            for name, slot in slots.items()
        ],
        parameters=fit.parameters,
        draws=fit.variables(),
        meanings={name: text for name, text in model.PARAMETERS.items() if name in fit.posterior["posterior"]},
        verdict=fit.verdict,
        diagnostics={key.replace("_", " "): _short(value) for key, value in fit.diagnostics.items()},
        provenance={
            "model": {"program": record["program"], "program digest": record.get("program_digest", "none: no Stan")},
            "method": {"method": record["method"], **{k: v for k, v in record["settings"].items() if v is not None}},
            "input": {"digest": record["inputs_digest"]},
            "versions": record["versions"],
            "seconds": {k: round(v, 1) for k, v in record["seconds"].items()},
        },
        certificate=None if fit.folder is None else read_certificate(fit.folder),
    )


def _size(value: Any) -> str:
    """Say how large a value is, or what it is where it is a single one."""
    array = np.asarray(value)
    return str(array.item()) if array.ndim == 0 else " x ".join(map(str, array.shape))


def _short(value: Any) -> object:
    """Write several values, one for each chain, in a line."""
    if np.ndim(value) == 0:
        return value
    return ", ".join(f"{v:.3g}" for v in np.ravel(value))
