"""The journal as a whole: the pause of a snapshot, the rates of replay and recovery, the world's speed, flat memory."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from bench.harness import SMOKE, Report, note, sized
from bench.soak import soak
from engine._core.world import World
from engine.journal.compare import feed
from engine.journal.layout import find_session
from engine.journal.recovery import recover
from engine.journal.replay import replay_session
from engine.journal.snapshot import Snapshotter
from engine.journal.writer import JournalConfig, JournalWriter
from engine.runtime.certified import make_setup
from engine.runtime.wiring import make_core
from engine.sim.market import random_walk
from engine.sim.world.certify import Runner, scratch
from engine.sim.world.venue import Venue


@contextmanager
def on_disk() -> Iterator[Path]:
    path = Path(tempfile.mkdtemp(prefix="bot4-bench-", dir=Path.cwd()))
    try:
        yield path
    finally:
        shutil.rmtree(path)


def bench_snapshot_pause(report: Report, tmp_path: Path) -> None:
    for name, world in (
        ("snapshot_pause_full", World(symbols=1024, strategies=256, orders=65_535)),
        ("snapshot_pause", World(symbols=64, strategies=16, orders=4_096)),
    ):
        size = len(memoryview(world))
        journal = JournalWriter(tmp_path / name, JournalConfig(disk_free_bytes=0), seed=1, now_ns=lambda: 1)
        keeper = Snapshotter(journal.session, world)
        samples = np.zeros(sized(40, 3))
        for i in range(samples.size):
            start = time.perf_counter_ns()
            taken = keeper.copy(i)
            samples[i] = (time.perf_counter_ns() - start) / 1e3
            assert taken
            keeper.write()  # and the file is whole
        report.row(name, samples, checksum=f"{size:,} bytes")
        journal.close()


def _nothing(*_: object, **__: object) -> None:
    """The venue's reports have nobody to go to."""


def _session(root: Path, count: int) -> tuple[int, str]:
    core = make_core(seed=1)
    config = JournalConfig(segment_bytes=64 << 20, disk_free_bytes=0, compress=False)
    events = random_walk(seed=5, count=count)
    with JournalWriter(root, config, seed=1, now_ns=lambda: 1, world=core.world) as journal:
        at = 0
        while at < count:
            at += feed(core, journal.tape, events[at : at + 65_536])
            if at % 65_536 < 4:
                journal.turn()
    return journal.tape.count, core.world.state_hash()


def bench_replay_and_recovery(report: Report) -> None:
    count = sized(1_000_000, 5_000)
    with scratch() as root:
        records, state = _session(root, count)
        core = make_core(seed=1)
        rates = []
        for _ in range(sized(5, 1)):
            start = time.perf_counter_ns()
            done = replay_session(core, find_session(root))
            rates.append(done.inputs / (time.perf_counter_ns() - start) * 1e3)
            assert (done.state_hash, done.inputs) == (state, count)
        report.row("journal_replay", rates, checksum=f"{records:,} records, {state[:8]}")

        seconds = []
        for _ in range(sized(3, 1)):
            venue = Venue(1, _nothing)
            start = time.perf_counter_ns()
            found = recover(root, core, venue, now_ns=core.world.now_ns + 10**12)
            with JournalWriter(
                root, JournalConfig(disk_free_bytes=0), seed=1, now_ns=lambda: 1, epoch=found.next_epoch,
                world=core.world, previous=found.session, previous_count=found.records, meta=found.meta(),
            ) as journal:  # fmt: skip
                found.begin(journal.tape)
                seconds.append((time.perf_counter_ns() - start) / 1e9)
            assert found.records == records
            assert found.green
            shutil.rmtree(journal.session.path)
        report.row("recovery_1m", seconds, checksum=f"{records:,} records")


def bench_certify(report: Report) -> None:
    """The two example strategies, one process: one that quotes all the time, one that enters now and then."""
    for name, strategy in (("certify_hours", "strategies.quoter"), ("certify_hours_breakout", "strategies.breakout")):
        runner = Runner(make_setup(strategy))
        runner.run(0, 0.1)
        start = time.perf_counter_ns()
        outcomes = [runner.run(seed, 20 if not SMOKE else 0.2) for seed in range(sized(6, 2))]
        hours = sum(out.hours for out in outcomes) / ((time.perf_counter_ns() - start) / 60e9)
        assert not any(out.failure for out in outcomes)
        found = f"{sum(out.events for out in outcomes):,} events, {sum(out.orders for out in outcomes):,} orders"
        report.row(name, [hours], checksum=f"{found}, one process")


def bench_soak(report: Report) -> None:
    """50,000 events a second for 20 s (a minute of BOT4_STRESS, ten of BOT4_NIGHTLY): the slope of anonymous memory."""
    seconds = sized(600 if os.environ.get("BOT4_NIGHTLY") else 60 if os.environ.get("BOT4_STRESS") else 20, 1)
    with on_disk() as root:
        # Small segments: what closing one makes once (50 MB to pack it) is made in the first seconds of each form.
        soaked = soak(root, seconds=seconds, segment_bytes=8 << 20)
    assert soaked.health == 0
    note(f"soak: {soaked.events:,} events, {soaked.segments} files, growth {soaked.growth / 1024:.0f} KiB")
    report.row("soak_slope", [max(0.0, soaked.slope) / 1024], checksum=f"{soaked.events:,} events in {seconds} s")
