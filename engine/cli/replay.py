"""`bot4 replay`: step a recorded session again and compare every byte."""

from __future__ import annotations

from pathlib import Path

import click

from engine._core.clock import monotonic_ns
from engine._core.tape import Tape
from engine.journal.replay import replay as replay_tape
from engine.runtime.wiring import make_core, session_seed


@click.command()
@click.argument("directory", type=click.Path(exists=True, file_okay=False, path_type=Path))
def replay(directory: Path) -> None:
    """Step the session in DIRECTORY again; the first output that differs is an error.

    Example: bot4 replay var/demo
    """
    tape = Tape(directory / "tape.b4")
    start = monotonic_ns()
    done = replay_tape(make_core(seed=session_seed(directory)), tape)
    seconds = (monotonic_ns() - start) / 1e9
    click.echo(
        f"equal: {done.inputs:,} inputs gave the same {done.outputs:,} outputs, byte for byte, "
        f"in {seconds:.1f} s; state {done.state_hash}"
    )
