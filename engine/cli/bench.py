"""`bot4 bench`: the benches of a checkout, through the same command that the figures were taken with."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import click


@click.command(context_settings={"ignore_unknown_options": True})
@click.option("--smoke", is_flag=True, help="Only prove that they run.")
@click.option("--output", type=click.Path(path_type=Path, dir_okay=False), default=None, help="Write the figures.")
@click.argument("words", nargs=-1, type=click.UNPROCESSED)
def bench(smoke: bool, output: Path | None, words: tuple[str, ...]) -> None:
    """Measure this machine: every figure with its peer, floor and goal. WORDS go to pytest. Needs a checkout.

    Example: bot4 bench -k gate --output figures.json
    """
    if not Path("bench/budgets.toml").is_file():
        raise click.ClickException("there is no bench/ here: run it in a checkout, after `make build`")
    environ = os.environ | ({"BOT4_BENCH_SMOKE": "1"} if smoke else {})
    if output is not None:
        environ["BOT4_BENCH_JSON"] = str(output)
    done = subprocess.run([sys.executable, "-m", "pytest", "bench", "--quiet", *words], env=environ, check=False)
    sys.exit(done.returncode)
