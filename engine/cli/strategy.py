"""`bot4 strategy`: list, build and check strategies, away from the process that trades."""

from __future__ import annotations

from pathlib import Path

import click

from engine.cli.output import echo_json
from engine.cli.progress import progress
from engine.cli.run import read_settings
from engine.strategy import registry
from engine.strategy.cache import Cache
from engine.strategy.dialect import reference
from engine.strategy.differential import compare, generated_views

_directory = click.option(
    "--directory",
    type=click.Path(file_okay=False, path_type=Path),
    default=None,
    help="The cache folder; else BOT4_STRATEGY_CACHE, else the user's cache.",
)
_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@click.group()
def strategy() -> None:
    """List, build and check strategies."""


@strategy.command("list")
@_directory
@_json
def list_(directory: Path | None, as_json: bool) -> None:
    """Show every strategy with its parameters: unit, default, range.

    Example: bot4 strategy list
    """
    cache = Cache(directory)
    rows = []
    for name in registry.names():
        definition = registry.find(name)
        if definition.decide is None:
            state = "plain Python"
        else:
            state = "built" if cache.is_built(definition.decide, definition.parameters) else "not built"
        if as_json:
            rows.append({"name": name, "state": state, "text": definition.text, "parameters": definition.parameters})
            continue
        click.echo(f"{name} ({state}): {definition.text.splitlines()[0]}")
        for p in definition.parameters:
            click.echo(f"    {p.name} = {p.default} {p.unit} ({p.low} to {p.high}): {p.text}")
    if as_json:
        echo_json(rows)


@strategy.command()
@click.argument("names", nargs=-1)
@click.option("--cpu", default=None, help="Build for this LLVM CPU name and not for the architecture's baseline.")
@click.option("--force", is_flag=True, help="Build again even if it is there.")
@click.option("--config", "-c", "files", multiple=True, type=click.Path(path_type=Path), help="Those that run with it.")
@_directory
def build(
    names: tuple[str, ...], cpu: str | None, force: bool, files: tuple[Path, ...], directory: Path | None
) -> None:
    """Build strategies into the cache: those NAMED, those of a settings file, or all.

    Example: bot4 strategy build --config paper.toml
    """
    cache = Cache(directory)
    if files:
        running = read_settings(files, None).settings.strategies.values()
        names = (*names, *sorted({strategy.module for strategy in running if strategy.enabled}))
    wanted, told = [*(names or registry.names())], []
    with progress("build") as advance:
        for at, name in enumerate(wanted):
            advance(at, len(wanted), name)
            definition = registry.build(name, cache, cpu=cpu, force=force)
            if definition.decide is None:
                told.append(f"{name}: plain Python, nothing to build")
            else:
                told.append(f"{name}: {cache.load(definition.decide, definition.parameters, cpu=cpu).path}")
    click.echo("\n".join(told))


@strategy.command()
@click.argument("name")
@click.option("--views", "count", type=click.IntRange(1, 1_000_000), default=5_000, show_default=True, help="How many.")
@click.option("--seed", type=int, default=1, show_default=True, help="Of the views.")
@_directory
@_json
def check(name: str, count: int, seed: int, directory: Path | None, as_json: bool) -> None:
    """Hold the built strategy NAME against the same source run as Python, on generated views with every edge.

    Example: bot4 strategy check strategies.quoter --views 20000
    """
    definition = registry.find(name)
    if definition.decide is None:
        raise click.ClickException(f"{name} is plain Python: there is nothing to compare it with")
    library = Cache(directory).build(definition.decide, definition.parameters)
    with progress("check", quiet=as_json) as advance:
        advance(0, None, f"{count:,} views")
        views = generated_views(seed, count, definition.parameters)
        difference = compare(reference(definition.decide), library, views)
    if as_json:
        echo_json({"strategy": name, "views": count, "seed": seed, "equal": difference is None})
    if difference is not None:
        raise click.ClickException(f"view {difference.index} of seed {seed}: {difference.what}")
    if not as_json:
        click.echo(f"equal: {name} gave the same answer, state and wishes on {count:,} views, as Python and built")
