"""`bot4 keys`: the keystore. Secrets are typed, or come on standard input; never as a word of the command line."""

from __future__ import annotations

import os
import sys
from functools import cache
from pathlib import Path

import click

from engine._core.clock import utc_ns
from engine.cli.output import echo_json, iso
from engine.safety.approval import fingerprint, new_pair, public_of
from engine.settings.files import write_durable
from engine.settings.keystore import Keystore
from engine.settings.schema import Settings
from engine.settings.seal import open_sealed, seal
from engine.settings.secrets import Secrets, require_private

PASSPHRASE_FILE = "BOT4_PASSPHRASE_FILE"
_directory = click.option(
    "--directory", "-d", type=click.Path(path_type=Path), default=None, envvar="BOT4_DIRECTORY",
    help="The engine's folder.  [default: var/bot4]",
)  # fmt: skip


def keystore_path(directory: Path | None) -> Path:
    return (directory or Path(Settings().engine.directory)) / "keystore"


def passphrase(prompt: str = "Passphrase of the keystore", *, new: bool = False) -> str:
    """From the file that BOT4_PASSPHRASE_FILE names (a systemd credential, say), or typed."""
    if path := os.environ.get(PASSPHRASE_FILE):
        require_private(Path(path))
        return Path(path).read_text(encoding="utf-8").removesuffix("\n")
    return str(click.prompt(prompt, hide_input=True, confirmation_prompt=new, err=True))


def secrets_of(directory: Path) -> Secrets:
    """The secrets of the engine with this folder. The passphrase of its keystore is asked for when it is needed."""

    return Secrets(os.environ, lambda: _existing(directory))


def _existing(directory: Path | None) -> Keystore | None:
    """The keystore of a folder that has one."""
    path = keystore_path(directory)
    return Keystore(path, passphrase()) if path.exists() else None


@cache
def _settings_passphrase() -> str:
    """Asked for once: a reload has nobody to ask."""
    return passphrase("Passphrase of the sealed settings")


def unseal_settings(content: bytes) -> bytes:
    """Opens a sealed settings file; the passphrase is asked for only when there is one."""
    return open_sealed(content, _settings_passphrase())


def _secret(name: str) -> str:
    if not sys.stdin.isatty():
        return sys.stdin.read().removesuffix("\n")
    return str(click.prompt(f"Secret {name}", hide_input=True, confirmation_prompt=True, err=True))


def _open(directory: Path | None) -> Keystore:
    path = keystore_path(directory)
    return Keystore(path, passphrase(new=not path.exists()))


@click.group()
def keys() -> None:
    """Keep secrets: in a file sealed with a passphrase."""


@keys.command()
@click.argument("name")
@_directory
def add(name: str, directory: Path | None) -> None:
    """Put in the secret NAME, typed or from standard input.

    Example: bot4 keys add binance-key
    """
    store = _open(directory)
    store.add(name, _secret(name), utc_ns())
    click.echo(f"added {name}")


@keys.command(name="list")
@_directory
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def list_(directory: Path | None, as_json: bool) -> None:
    """List names and days, and names known from systemd or the environment. No value is ever shown.

    Example: bot4 keys list
    """
    store = _existing(directory)
    sources = Secrets(os.environ, lambda: store).names()
    days = {name: (added, rotated) for name, added, rotated in (store.listing() if store else [])}
    if as_json:
        echo_json([{"name": name, "source": source} for name, source in sorted(sources.items())])
        return
    for name, source in sorted(sources.items()):
        added, rotated = days.get(name, (None, None))
        when = f", added {iso(added)}" if added else ""
        when += f", rotated {iso(rotated)}" if rotated else ""
        click.echo(f"{name}: {source}{when}")
    if not sources:
        click.echo("no secret is known")


@keys.command()
@click.argument("name")
@_directory
def rotate(name: str, directory: Path | None) -> None:
    """Replace the secret NAME by a new one.

    Example: bot4 keys rotate binance-key
    """
    store = _open(directory)
    store.rotate(name, _secret(name), utc_ns())
    click.echo(f"rotated {name}; the engine takes it at its next start")


@keys.command()
@click.argument("name")
@_directory
def remove(name: str, directory: Path | None) -> None:
    """Forget the secret NAME.

    Example: bot4 keys remove old-key
    """
    _open(directory).remove(name)
    click.echo(f"removed {name}")


@keys.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def operator(file: Path, as_json: bool) -> None:
    """Make the operator's key in FILE, to be kept away from the engine, and print the line for the settings.

    `bot4 approve --key FILE` signs with it; the engine holds the public half alone. A file that is there is not
    replaced: its public half is printed.

    Example: bot4 keys operator ~/bot4-operator.pem
    """
    if not file.exists():
        write_durable(file, new_pair()[0])
    require_private(file)
    public = public_of(file.read_bytes())
    if as_json:
        echo_json({"key": public, "fingerprint": fingerprint(public), "file": str(file)})
    else:
        click.echo(f'[approval]\nkey = "{public}"')


@keys.command(name="seal")
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.argument("sealed", type=click.Path(path_type=Path))
def seal_(file: Path, sealed: Path) -> None:
    """Seal a settings FILE; --config takes the SEALED one everywhere and asks for its passphrase.

    Example: bot4 keys seal live.toml live.sealed
    """
    write_durable(sealed, seal(file.read_bytes(), passphrase("Passphrase of the sealed settings", new=True)))
    click.echo(f"sealed {sealed}; remove {file} when you do not need it any more")


@keys.command()
@click.argument("sealed", type=click.Path(path_type=Path, exists=True, dir_okay=False))
def unseal(sealed: Path) -> None:
    """Print a SEALED settings file, to change it.

    Example: bot4 keys unseal live.sealed > live.toml
    """
    content = unseal_settings(sealed.read_bytes())
    click.echo(content.decode(), nl=False)
