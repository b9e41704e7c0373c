"""`bot4 reset`: put a trip aside, at the machine, after the cause was found."""

from __future__ import annotations

import json
import os
from pathlib import Path

import click

from engine.cli.audit import key_option, state_option
from engine.safety.life import PHRASE, audit_key, loops_closed, no_switch
from engine.safety.life import reset as reset_latch


@click.command()
@state_option
@key_option
@click.option("--reason", required=True, help="What the cause was; goes into the audit.")
@click.option(
    "--switch", type=click.Choice(["gpio", "none"]), default="gpio", show_default=True, help="none: it has no switch."
)
@click.option("--chip", default="/dev/gpiochip0", show_default=True, help="The GPIO device that the switch is on.")
@click.option("--line", "lines", type=int, multiple=True, default=(17, 27), show_default=True, help="Must be closed.")
@click.option(
    "--bias", type=click.Choice(["pull-up", "external", "as-is"]), default="pull-up", show_default=True,
    help="What raises a line that is cut.",
)  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def reset(
    state: Path,
    key: Path | None,
    reason: str,
    switch: str,
    chip: str,
    lines: tuple[int, ...],
    bias: str,
    *,
    as_json: bool,
) -> None:
    """Reset the latch. Needs the switch closed again, root or the service's user, and a typed phrase.

    The next start is Paused. Exit 0: reset. 1: refused, with the reason; nothing was changed.

    Example: bot4 reset --reason "feed of the exchange was down, back since 14:00"
    """
    click.echo(f"User {os.geteuid()}. To reset the latch of {state}, type: {PHRASE}", err=True)
    typed = click.prompt("", prompt_suffix="> ", default="", show_default=False, err=True)
    done = reset_latch(
        state,
        typed=typed.strip(),
        key=audit_key(state.name, key, state=state),
        reason=reason,
        switch_closed=no_switch if switch == "none" else loops_closed(chip, lines, bias=bias),
        without_switch=switch == "none",
    )
    if as_json:
        click.echo(json.dumps({"reasons": done.reasons, "kept": done.kept, "audit": done.audit_id}))
    else:
        click.echo(f"Reset after {', '.join(done.reasons)}; kept as {', '.join(done.kept)}; audit {done.audit_id}.")
        click.echo("The next start is Paused.")
