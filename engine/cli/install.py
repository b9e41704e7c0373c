"""`bot4 install`, `bot4 uninstall`: the service on this machine."""

from __future__ import annotations

import os
from pathlib import Path

import click

from engine.errors import InstallRefused
from engine.safety import install as installer

_root = click.option(
    "--root", type=click.Path(path_type=Path), default=Path("/"), show_default=True, help="Of the system's files."
)
_dry = click.option("--dry-run", is_flag=True, help="Say what would be done, and do nothing.")


def _carry_out(steps: list[installer.Step], root: Path, *, dry_run: bool) -> None:
    if not dry_run and root == Path("/") and os.geteuid() != 0:
        raise InstallRefused("root is needed to install a service")
    installer.carry_out(steps, click.echo, dry_run=dry_run)


@click.command()
@_root
@_dry
@click.option("--source", type=click.Path(path_type=Path, exists=True), default=Path(), help="The checkout.")
@click.option("--environment", type=click.Path(path_type=Path, exists=True), help="Link this one, for development.")
@click.option("--instance", default="main", show_default=True, help="Whose audit key is made when there is none.")
@click.option("--rollback", is_flag=True, help="Back to the previous version.")
def install(
    root: Path, source: Path, environment: Path | None, instance: str, *, dry_run: bool, rollback: bool
) -> None:
    """Install the engine as a systemd service; the version before stays for --rollback.

    Exit 0: done. 1: refused or failed, with the step.

    Example: bot4 install --dry-run
    """
    layout, manager = installer.Layout(root), root == Path("/")
    if rollback:
        steps = installer.plan_rollback(layout, manager=manager)
    else:
        steps = installer.plan_install(
            source.resolve(), layout, instance=instance, environment=environment, manager=manager
        )
    _carry_out(steps, root, dry_run=dry_run)


@click.command()
@_root
@_dry
def uninstall(root: Path, *, dry_run: bool) -> None:
    """Take the service off this machine; /etc/bot4 and /var/lib/bot4 stay.

    Example: bot4 uninstall
    """
    _carry_out(installer.plan_uninstall(installer.Layout(root), manager=root == Path("/")), root, dry_run=dry_run)
