"""`bot4 replay`: step a recorded session again and compare every byte."""

from __future__ import annotations

import json
import time
from pathlib import Path

import click
import numpy as np

from engine._core.clock import monotonic_ns
from engine.cli.progress import progress
from engine.journal.layout import find_session
from engine.journal.reader import open_session
from engine.journal.replay import replay_session
from engine.journal.show import iso
from engine.runtime.build import core_of

TIME = "a time such as 2026-11-21T09:30 or 2026-11-21T09:30:00.25, UTC"


def parse_time(text: str | None) -> int | None:
    """Nanoseconds of a UTC time, or of a plain number of nanoseconds."""
    if text is None:
        return None
    if text.isdigit():
        return int(text)
    try:
        return int(np.datetime64(text.removesuffix("Z"), "ns").astype(np.int64))
    except ValueError as error:
        raise click.BadParameter(f"{text!r} is not {TIME}") from error


class _Pace:
    """Holds the replay to a multiple of the recorded pace."""

    def __init__(self, speed: float | None) -> None:
        self.speed = speed
        self._began: tuple[int, int] | None = None

    def keep(self, now_ns: int) -> None:
        if self.speed is None or not now_ns:
            return
        if self._began is None:
            self._began = (monotonic_ns(), now_ns)
        ahead = (now_ns - self._began[1]) / self.speed - (monotonic_ns() - self._began[0])
        if ahead > 0:
            time.sleep(ahead / 1e9)


@click.command()
@click.argument("directory", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--verify/--no-verify", default=True, show_default=True, help="Hold every output and snapshot.")
@click.option("--from", "since", metavar="TIME", help=f"Begin at the snapshot before {TIME}.")
@click.option("--until", metavar="TIME", help="End behind the last event of this time.")
@click.option("--speed", type=click.FloatRange(min=0.001), help="Times the recorded pace; as fast as it goes without.")
@click.option("--json", "as_json", is_flag=True, help="One line of JSON.")
def replay(
    directory: Path, verify: bool, since: str | None, until: str | None, speed: float | None, as_json: bool
) -> None:
    """Step the session in DIRECTORY again; the first output that differs is an error.

    DIRECTORY is one session, or a journal, of which the newest session is taken. Exit codes: 0 equal, 1 different or
    damaged.

    Example: bot4 replay var/journal --from 2026-11-21T09:30 --until 2026-11-21T10:00
    """
    session = find_session(directory)
    core = core_of(session)
    opened = open_session(session, chain=False).must_be_sound()
    pace = _Pace(speed)
    start = monotonic_ns()
    with progress("replay", quiet=as_json) as advance:

        def reached(done: int, total: int, now_ns: int) -> None:
            advance(done, total, iso(now_ns))
            pace.keep(now_ns)

        done = replay_session(
            core, session, compare=verify, since_ns=parse_time(since), until_ns=parse_time(until), opened=opened,
            progress=reached,
        )  # fmt: skip
    seconds = max(1, monotonic_ns() - start) / 1e9
    rate = done.inputs / seconds
    if as_json:
        click.echo(json.dumps({
            "equal": verify, "inputs": done.inputs, "outputs": done.outputs, "state": done.state_hash,
            "snapshots": done.snapshots_met, "torn": done.torn, "seconds": seconds, "events_per_second": rate,
        }))  # fmt: skip
        return
    what = "equal" if verify else "stepped, nothing compared"
    click.echo(
        f"{what}: {done.inputs:,} inputs gave the same {done.outputs:,} outputs, byte for byte, "
        f"{done.snapshots_met} snapshots met, in {seconds:.1f} s ({rate / 1e6:.2f} M events/s); state {done.state_hash}"
        if verify
        else f"{what}: {done.inputs:,} inputs in {seconds:.1f} s ({rate / 1e6:.2f} M events/s); state {done.state_hash}"
    )
    if done.torn:
        click.echo(f"the end was torn: {done.torn}")
