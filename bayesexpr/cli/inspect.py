"""``bayesexpr doctor``, ``models`` and ``stancode``: what is here, and what a program looks like."""

from __future__ import annotations

import json
from collections.abc import Sequence

import click

from bayesexpr.cli.options import read_settings


@click.command()
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def doctor(as_json: bool) -> int:
    """Say what Stan needs on this machine, what is missing, and the remedy."""
    from bayesexpr.stan.doctor import doctor as examine

    found = examine()
    if as_json:
        click.echo(json.dumps(found, indent=2))
    else:
        stan = found["cmdstan"]
        click.echo(f"Python     {found['python']}")
        click.echo(f"compiler   {(found['cxx'] or {}).get('version', 'missing')}")
        click.echo(f"make       {found['make'] or 'missing'}")
        ready = f"{stan['version']} ({stan['kind']}) at {stan['path']}" if stan["path"] else "not built yet"
        click.echo(f"Stan       {ready}")
        click.echo(f"cache      {found['cache']}")
        click.echo(f"cores      {found['cores']}")
        for problem in found["problems"]:
            click.echo(f"\nproblem: {problem['what']}\nremedy:  {problem['remedy']}")
        if not found["problems"]:
            click.echo("\nEverything that a fit needs is here.")
    return 3 if found["problems"] else 0


@click.command()
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def models(as_json: bool) -> None:
    """List every program: what it is for, its options, priors and data."""
    from bayesexpr.models import registry

    described = [registry.describe(name) for name in registry.names()]
    if as_json:
        click.echo(json.dumps(described, indent=2))
        return
    for one in described:
        click.echo(f"{one['name']}: {one['summary']}")
        for name, option in one["options"].items():
            click.echo(f"    --set {name}={'|'.join(option['choices'])}  {option['what']}")


@click.command()
@click.argument("model")
@click.option("--set", "settings", multiple=True, metavar="OPTION=VALUE", help="A structural option of the program.")
def stancode(model: str, settings: Sequence[str]) -> None:
    """Print the Stan program of MODEL."""
    from bayesexpr.models import registry
    from bayesexpr.stan.program import render

    chosen = registry.get(model)(options=read_settings(settings))
    click.echo(render(chosen.NAME, chosen.options).code, nl=False)
