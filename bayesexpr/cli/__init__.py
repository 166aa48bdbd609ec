"""The command line: commands read their options, call the library and print; they have no logic of their own.

Exit codes: 0 done; 2 the input or the options are wrong; 3 the computation failed; 4 done, but the diagnostics failed
and ``--strict`` was given; 130 interrupted.
"""

from __future__ import annotations

import os
import sys
import warnings
from typing import Any

import click

from bayesexpr.errors import BayesexprError

_ONE_THREAD = ("MKL_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS")
"""Chains and blocks of genes are what is spread over the cores. Their matrices are small: threads of the linear algebra
below them would wait for each other, and take three times the processor time with 100 samples."""

_COMMANDS = {
    "check": "bayesexpr.cli.check",
    "datasets": "bayesexpr.cli.datasets",
    "de": "bayesexpr.cli.de",
    "doctor": "bayesexpr.cli.inspect",
    "fit": "bayesexpr.cli.fit",
    "models": "bayesexpr.cli.inspect",
    "quant": "bayesexpr.cli.fit",
    "report": "bayesexpr.cli.report",
    "sbc": "bayesexpr.cli.sbc",
    "stancode": "bayesexpr.cli.inspect",
}


class _Lazy(click.Group):
    """A group whose commands are imported when they are used, so that ``--help`` is instant."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        import importlib

        return getattr(importlib.import_module(_COMMANDS[cmd_name]), cmd_name)  # type: ignore[no-any-return]


@click.command(cls=_Lazy, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
@click.version_option(package_name="bayesexpr")
def app(debug: bool) -> None:
    """Bayesian models of gene expression on Stan, with their calibration shown."""


def main(arguments: list[str] | None = None) -> None:
    """Run a command and exit with its code."""
    given = sys.argv[1:] if arguments is None else arguments
    debug = "--debug" in given
    warnings.showwarning = _show_warning
    for name in _ONE_THREAD:
        os.environ.setdefault(name, "1")
    try:
        code = app.main(args=[a for a in given if a != "--debug"], prog_name="bayesexpr", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        code = 2
    except (click.Abort, KeyboardInterrupt):
        print("bayesexpr: interrupted; nothing was left half-written.", file=sys.stderr)
        code = 130
    except BayesexprError as error:
        if debug:
            raise
        print(f"bayesexpr: {error}", file=sys.stderr)
        code = error.exit_code
    except BrokenPipeError:
        sys.stderr.close()
        code = 0
    sys.exit(code if isinstance(code, int) else 0)


def _show_warning(message: Any, category: Any, filename: str, lineno: int, file: Any = None, line: Any = None) -> None:
    if issubclass(category, UserWarning):
        print(f"bayesexpr: note: {message}", file=sys.stderr)
