"""`bot4 drill`: trip the chain on purpose, measure it, keep the evidence."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path

import click

from engine._core.clock import utc_ns
from engine.cli.audit import state_option
from engine.safety import drill as drills

EXIT_FAILED = 4


def _figures(evidence: drills.Evidence) -> list[str]:
    names = ("cause_to_latch", "latch_to_silence", "latch_to_cancelled", "latch_to_flat", "death_to_cancelled")
    values = [(name, getattr(evidence, f"{name}_us")) for name in names]
    return [f"{name.replace('_', ' ')}: {value / 1000:.3f} ms" for name, value in values if value >= 0]


@click.command()
@click.argument("kind", type=click.Choice([*drills.KINDS, "status"]))
@state_option
@click.option("--chip", default="", help="A real chip: a person opens the loop. Without it the pins are simulated.")
@click.option("--courier", type=click.Path(path_type=Path, exists=True), help="crash: the courier's configuration.")
@click.option("--sealed", type=click.Path(path_type=Path), help="crash: the courier's sealed credentials.")
@click.option("--live-cancel-only", is_flag=True, help="crash: the configuration is of a live account; cancel there.")
@click.option("--every-days", type=float, default=7, show_default=True, help="When a drill is overdue.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def drill(
    kind: str,
    state: Path,
    chip: str,
    courier: Path | None,
    sealed: Path | None,
    every_days: float,
    *,
    live_cancel_only: bool,
    as_json: bool,
) -> None:
    """Run one drill on paper, or `status`: which are overdue.

    Exit 0: passed, or nothing overdue. 4: failed or overdue. The evidence stays in <state>/drills.

    Example: bot4 drill switch
    """
    directory = state / "drills"
    if kind == "status":
        late = drills.overdue(directory, utc_ns(), every_days=every_days)
        last = {evidence.kind: evidence for evidence in drills.history(directory)}
        if as_json:
            click.echo(json.dumps({"overdue": late, "last": {name: asdict(e) for name, e in last.items()}}))
        else:
            for name in drills.KINDS:
                found = "; ".join(_figures(last[name])) if name in last else "never tried"
                click.echo(f"{name}: {'OVERDUE' if name in late else 'passed'}; {found}")
        sys.exit(EXIT_FAILED if late else 0)
    evidence = drills.run(
        kind,
        directory,
        chip=chip,
        courier=courier,
        sealed=sealed,
        live_cancel_only=live_cancel_only,
        say=lambda text: click.echo(text, err=True),
    )
    if as_json:
        click.echo(json.dumps(asdict(evidence)))
    else:
        lines = [f"{kind}: {'passed' if evidence.passed else 'FAILED'}", *_figures(evidence), *evidence.notes]
        click.echo("\n  ".join(lines))
    sys.exit(0 if evidence.passed else EXIT_FAILED)
