"""`bot4 reset`: put a trip aside, at the machine, after the cause was found."""

from __future__ import annotations

import json
import os
from pathlib import Path

import click
import msgspec

from engine.cli.audit import key_option, state_option
from engine.safety.life import PHRASE, audit_key
from engine.safety.life import reset as reset_latch
from engine.safety.wiring import Wiring, recall


@click.command()
@state_option
@key_option
@click.option("--reason", required=True, help="What the cause was; goes into the audit.")
@click.option(
    "--switch", type=click.Choice(["gpio", "simulated", "none"]), help="The switch, in place of the engine's own."
)
@click.option("--chip", help="The GPIO device that it is on, in place of the engine's own.")
@click.option("--line", "lines", type=int, multiple=True, help="A line that must be closed, in place of its own.")
@click.option("--bias", type=click.Choice(["pull-up", "external", "as-is"]), help="What raises a line that is cut.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def reset(
    state: Path,
    key: Path | None,
    reason: str,
    switch: str | None,
    chip: str | None,
    lines: tuple[int, ...],
    bias: str | None,
    *,
    as_json: bool,
) -> None:
    """Reset the latch. Needs the switch closed again, root or the service's user, and a typed phrase.

    Which lines are asked is what the engine wrote down at its last start; an option says otherwise. The next start is
    Paused. Exit 0: reset. 1: refused, with the reason; nothing was changed.

    Example: bot4 reset --reason "feed of the exchange was down, back since 14:00"
    """
    given = {"switch": switch, "chip": chip, "lines": lines or None, "bias": bias}
    named = {name: value for name, value in given.items() if value is not None}
    wiring = msgspec.structs.replace(recall(state) if switch is None else Wiring(), **named)
    click.echo(f"User {os.geteuid()}, switch: {wiring}. To reset the latch of {state}, type: {PHRASE}", err=True)
    typed = click.prompt("", prompt_suffix="> ", default="", show_default=False, err=True)
    done = reset_latch(
        state,
        typed=typed.strip(),
        key=audit_key(state.name, key, state=state),
        reason=reason,
        switch_closed=wiring.check(),
        switch=str(wiring),
    )
    if as_json:
        click.echo(json.dumps({"reasons": done.reasons, "kept": done.kept, "audit": done.audit_id}))
    else:
        click.echo(f"Reset after {', '.join(done.reasons)}; kept as {', '.join(done.kept)}; audit {done.audit_id}.")
        click.echo("The next start is Paused.")
