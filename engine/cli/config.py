"""`bot4 config`: check, show and compare settings without starting anything."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click
import msgspec

from engine._core.clock import utc_ns
from engine.cli.keys import unseal_settings
from engine.cli.output import echo_json, iso
from engine.errors import SettingsInvalid
from engine.settings import document, keys
from engine.settings.cooldown import Cooldown
from engine.settings.load import Loaded, load
from engine.settings.problems import dotted

_files = click.option(
    "--config", "-c", "files", multiple=True, type=click.Path(path_type=Path), help="Settings file; later ones win."
)
_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
_tier = click.option("--tier", default=None, help="Take this tier in place of the one that capital chooses.")


def read(files: tuple[Path, ...], tier: str | None = None) -> Loaded:
    """The settings of these files and this environment."""
    return load(files, environ=os.environ, tier=tier, unseal=unseal_settings)


@click.group()
def config() -> None:
    """Check, show and compare settings. Nothing is started."""


@config.command()
@_files
@_tier
@_json
def check(files: tuple[Path, ...], tier: str | None, as_json: bool) -> None:
    """Read the settings as a start would, and say everything that is wrong at once. Exit code 1 on a mistake.

    Example: bot4 config check --config my.toml
    """
    try:
        loaded = read(files, tier)
    except SettingsInvalid as error:
        if not as_json:
            raise
        echo_json({"ok": False, "problems": [str(problem) for problem in error.problems]})
        raise SystemExit(1) from None
    if as_json:
        echo_json({"ok": True, "hash": loaded.hash, "tier": loaded.tier.name})
    else:
        click.echo(f"good: tier {loaded.tier.name}, hash {loaded.hash[:16]}")


@config.command()
@_files
@_tier
@_json
@click.option("--origin", is_flag=True, help="Say of each value where it came from.")
@click.argument("section", required=False)
def show(files: tuple[Path, ...], tier: str | None, as_json: bool, origin: bool, section: str | None) -> None:
    """Print the effective settings, or one SECTION of them, and their hash.

    Example: bot4 config show limits --origin
    """
    loaded = read(files, tier)
    found = {key: value for key, value in keys.values(loaded.settings).items() if section in (None, key[0])}
    if not found:
        raise click.UsageError(f"there is no section {section!r}")
    if as_json:
        body: dict[str, Any] = {dotted(key): _plain(key, value) for key, value in found.items()}
        echo_json({"hash": loaded.hash, "tier": loaded.tier.name, "values": body})
        return
    table: tuple[str, ...] = ()
    for key, value in found.items():
        if key[:-1] != table:
            table = key[:-1]
            click.echo(f"\n[{dotted(table)}]")
        where = f"    # {loaded.origin(key)}" if origin else ""
        click.echo(f"{dotted(key[-1:])} = {_shown(key, value)}{where}")
    click.echo(f"\n# tier {loaded.tier.name}, hash {loaded.hash}")


def _shown(key: tuple[str, ...], value: Any) -> str:
    description = keys.describe(key)
    return description.show(value) if description else keys.toml_value(value)


def _plain(key: tuple[str, ...], value: Any) -> Any:
    description = keys.describe(key)
    return _shown(key, value).strip('"') if description and description.form else value


@config.command()
@click.argument("old", type=click.Path(path_type=Path))
@click.argument("new", type=click.Path(path_type=Path))
@_json
def diff(old: Path, new: Path, as_json: bool) -> None:
    """Compare two settings files as they would act. Exit code 1 when they differ.

    Example: bot4 config diff today.toml tomorrow.toml
    """
    before, after = read((old,)), read((new,))
    changes = keys.differences(before.settings, after.settings)
    if as_json:
        echo_json([
            {"key": dotted(c.key), "old": _known(c.key, c.old), "new": _known(c.key, c.new), "effect": c.effect}
            for c in changes
        ])  # fmt: skip
    else:
        click.echo("\n".join(str(change) for change in changes) or "they act alike")
    if changes:
        raise SystemExit(1)


def _known(key: tuple[str, ...], value: Any) -> Any:
    return None if value is None else _plain(key, value)


@config.command(name="hash")
@_files
@_tier
def hash_(files: tuple[Path, ...], tier: str | None) -> None:
    """Print the hash that names the effective settings.

    Example: bot4 config hash --config my.toml
    """
    click.echo(read(files, tier).hash)


@config.command()
@_files
@_tier
@_json
def pending(files: tuple[Path, ...], tier: str | None, as_json: bool) -> None:
    """Show the looser values that wait for their day. They act with the first start or reload after it.

    Example: bot4 config pending
    """
    loaded = read(files, tier)
    cooldown = Cooldown(Path(loaded.settings.engine.directory) / "settings.json")
    now_ns = utc_ns()
    waiting = cooldown.waiting()
    if as_json:
        echo_json([msgspec.to_builtins(entry) for entry in waiting])
        return
    for entry in waiting:
        hours = max(entry.due_ns - now_ns, 0) / 3600e9
        key = tuple(entry.key)
        click.echo(f"{dotted(key)} = {_shown(key, entry.value)}, due {iso(entry.due_ns)}, in {hours:.1f} h")
    if not waiting:
        click.echo("nothing waits")


@config.command()
@click.option(
    "--form", type=click.Choice(["json", "toml", "markdown"]), default="json", show_default=True, help="Which document."
)
def schema(form: str) -> None:
    """Print the JSON schema for editors, the documented base file, or the reference page.

    Example: bot4 config schema > bot4.schema.json
    """
    match form:
        case "json":
            echo_json(document.json_schema())
        case "toml":
            click.echo(document.base_toml(), nl=False)
        case _:
            click.echo(document.reference(), nl=False)
