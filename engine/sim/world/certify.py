"""Runs a strategy through the world under many seeds, on every core; a certificate, or the smallest counterexample."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from engine._core.step import Core
from engine.sim.world.engine import Engine, Setup
from engine.sim.world.faults import Fault, Rates
from engine.sim.world.outcome import Outcome
from engine.sim.world.shrink import Script, shrink
from engine.sim.world.trial import Trial


@dataclass
class Certificate:
    name: str
    seeds: int = 0
    hours: float = 0.0
    events: int = 0
    orders: int = 0
    fills: int = 0
    lives: int = 0
    refused: int = 0
    failed: list[Outcome] = field(default_factory=list)
    script: Script | None = None

    def add(self, outcome: Outcome) -> None:
        self.seeds += 1
        self.hours += outcome.hours
        for name in ("events", "orders", "fills", "lives", "refused"):
            setattr(self, name, getattr(self, name) + getattr(outcome, name))
        if outcome.failure:
            self.failed.append(outcome)

    @property
    def passed(self) -> bool:
        return self.seeds > 0 and not self.failed


def memory_directory() -> str | None:
    """Where journals of simulated processes stand: in memory where the system offers it."""
    return "/dev/shm" if os.access("/dev/shm", os.W_OK) else None


@contextmanager
def scratch() -> Iterator[Path]:
    path = Path(tempfile.mkdtemp(prefix="bot4-world-", dir=memory_directory()))
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


class Runner:
    """One core, used for one seed after another."""

    def __init__(self, setup: Setup, *, rates: Rates | None = None, engine: type[Engine] = Engine) -> None:
        self.setup, self.rates, self.engine = setup, rates or Rates(), engine
        self.core: Core = setup.make_core()
        self._image = bytes(memoryview(self.core.world))

    def run(
        self, seed: int, hours: float, *, faults: list[Fault] | None = None, muted: frozenset[int] = frozenset()
    ) -> Outcome:
        self.core.world.load(self._image)
        with scratch() as root:
            return Trial(
                self.setup, self.core, root, seed=seed, hours=hours, rates=self.rates, faults=faults, muted=muted,
                engine=self.engine,
            ).run()  # fmt: skip

    def shrink(self, failed: Outcome, *, runs_max: int = 300) -> Script:
        return shrink(
            failed, lambda hours, faults, muted: self.run(failed.seed, hours, faults=faults, muted=muted),
            runs_max=runs_max,
        )  # fmt: skip


_runner: Runner | None = None


def _start(make_setup: Callable[[], Setup]) -> None:
    global _runner  # noqa: PLW0603  (one core for each worker process, made once)
    _runner = Runner(make_setup())


def _one(task: tuple[int, float]) -> Outcome:
    assert _runner is not None
    return _runner.run(*task)


def certify(
    make_setup: Callable[[], Setup],
    *,
    seeds: int,
    hours: float,
    first_seed: int = 0,
    workers: int | None = None,
    progress: Callable[[Outcome], None] | None = None,
) -> Certificate:
    """`seeds` runs of `hours` simulated hours. Stops at the first failure and shrinks it."""
    setup = make_setup()
    certificate = Certificate(setup.name)
    tasks = [(seed, hours) for seed in range(first_seed, first_seed + seeds)]
    count = min(len(tasks), workers or os.cpu_count() or 1)
    if count <= 1:
        _start(make_setup)
        _take(certificate, map(_one, tasks), progress)
    else:
        # Spawned, not forked: a child of a process with threads inherits locks that nobody will open.
        with multiprocessing.get_context("spawn").Pool(count, _start, (make_setup,)) as pool:
            _take(certificate, pool.imap(_one, tasks), progress)
    if certificate.failed:
        certificate.script = Runner(setup).shrink(certificate.failed[0])
    return certificate


def _take(certificate: Certificate, outcomes: Iterator[Outcome], progress: Callable[[Outcome], None] | None) -> None:
    for outcome in outcomes:
        certificate.add(outcome)
        if progress is not None:
            progress(outcome)
        if outcome.failure:
            return
