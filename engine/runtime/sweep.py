"""Runs a sweep: trials in processes of this machine or on a Ray cluster, by the same function, and the best once more.

Owns: workers, their cap of memory, and how events reach them. Does not own: which trials there are and what is made of
them (research/sweep.py), one backtest (backtest.py). The events stand in one file that every worker maps, so they are
in memory once however many workers there are.
"""

from __future__ import annotations

import ctypes
import errno
import hashlib
import importlib
import logging
import multiprocessing
import os
import resource
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from engine.errors import Bot4Error, ExtraMissing, SweepDiffers, SweepWorkerLost
from engine.research import report, space
from engine.research.dataset import Dataset, Meta
from engine.research.report import Told
from engine.research.space import Params
from engine.research.sweep import FAILED, MEMORY, OK, Batch, Plan, Result, Store, Trial, judge, run_all
from engine.runtime.backtest import Asked, module_of, run_backtest
from engine.settings.schema import Settings
from engine.strategy import registry
from engine.strategy.cache import Cache

EVENTS_FILE = "events.npy"
_MB = 1 << 20
_PR_SET_PDEATHSIG = 1


@dataclass(frozen=True)
class Job:
    """What every trial of a sweep has in common."""

    settings: Settings
    strategy: str
    seed: int
    latency_ms: float | None
    meta: Meta
    memory_mb: int | None = None


def run_trial(job: Job, events: npt.NDArray[Any], number: int, params: Params) -> Trial:
    """One trial. What goes wrong in it is its result; it does not end the sweep."""
    asked = Asked(job.strategy, params, job.seed, job.latency_ms, cuts=0)
    try:
        run = run_backtest(job.settings, asked, Dataset(job.meta, events)).run
    except MemoryError:
        return Trial(number, params, MEMORY, f"more than {job.memory_mb} MB")
    except OSError as error:
        if error.errno != errno.ENOMEM:
            raise
        return Trial(number, params, MEMORY, f"more than {job.memory_mb} MB")
    except Bot4Error as error:
        return Trial(number, params, FAILED, str(error))
    times = run.times_ns
    return Trial(
        number, params, OK, "", len(run.fills), run.fees / 1e8, float(run.equity[-1]) / 1e8, run.tape_hash,
        since_ns=int(times[1]) if len(times) > 1 else 0, period_ns=int(times[1] - times[0]) if len(times) > 1 else 0,
        returns=report.returns_of(run),
    )  # fmt: skip


def cap_memory(megabytes: int | None) -> None:
    """So much more than this process has mapped now; an allocation beyond it fails in the process itself."""
    if megabytes is None:
        return
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + megabytes * _MB
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


# ----------------------------------------------------------------------------------------------------- this machine
_here: dict[str, Any] = {}


def _begin(job: Job, path: Path, parent: int) -> None:
    """In a fresh worker: gone when its parent is gone, deaf to the Ctrl-C that its parent hears."""
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _here.update(job=job, events=np.load(path, mmap_mode="r"))
    importlib.import_module(module_of(job.strategy))
    cap_memory(job.memory_mb)


def _one(number: int, params: Params) -> Trial:
    return run_trial(_here["job"], _here["events"], number, params)


class LocalWorkers:
    """Processes of this machine, each fresh: nothing of the parent but what it is told."""

    def __init__(self, job: Job, path: Path, workers: int) -> None:
        context = multiprocessing.get_context("spawn")
        self._pool = ProcessPoolExecutor(workers, context, _begin, (job, path, os.getpid()))

    def run(self, batch: Batch) -> Iterator[Trial]:
        waiting: set[Future[Trial]] = {self._pool.submit(_one, number, params) for number, params in batch}
        try:
            while waiting:
                ended, waiting = wait(waiting, return_when=FIRST_COMPLETED)
                yield from (future.result() for future in ended)
        except BrokenProcessPool as error:
            raise SweepWorkerLost(f"{len(waiting)} trials were left") from error

    def close(self) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)


# -------------------------------------------------------------------------------------------------------------- Ray
def _far(job: Job, events: npt.NDArray[Any], number: int, params: Params) -> Trial:
    if not _here:
        _here["capped"] = True
        cap_memory(job.memory_mb)
    return run_trial(job, events, number, params)


class RayWorkers:
    """A Ray cluster: `local` starts one here with so many processors, else the address of one that is there."""

    def __init__(self, job: Job, path: Path, workers: int, address: str) -> None:
        try:
            import ray  # noqa: PLC0415  (an extra: the engine runs without it)
        except ImportError as error:
            raise ExtraMissing("--ray: pip install 'bot4[ray]'.") from error
        where: dict[str, Any] = {"num_cpus": workers} if address == "local" else {"address": address}
        try:
            ray.init(log_to_driver=False, logging_level=logging.ERROR, **where)
        except ConnectionError as error:
            raise SweepWorkerLost(f"no Ray cluster answers at {address}") from error
        self._ray = ray
        self._job = ray.put(job)
        self._events = ray.put(np.load(path))
        self._run = ray.remote(num_cpus=1, max_retries=1)(_far)

    def run(self, batch: Batch) -> Iterator[Trial]:
        waiting = [self._run.remote(self._job, self._events, number, params) for number, params in batch]
        try:
            while waiting:
                ended, waiting = self._ray.wait(waiting, num_returns=1)
                yield from self._ray.get(ended)
        except self._ray.exceptions.WorkerCrashedError as error:
            raise SweepWorkerLost(f"{len(waiting)} trials were left") from error

    def close(self) -> None:
        self._ray.shutdown()


# ------------------------------------------------------------------------------------------------------- the whole
@dataclass(frozen=True)
class Wanted:
    """A sweep as it is asked for, apart from what it is run on and by whom."""

    strategy: str
    params: tuple[str, ...]  # axes as text
    search: str = "grid"
    trials: int = 64
    seed: int = 7
    score: str = "sharpe"
    split: str = "walk-forward"
    folds: int = 4
    purge_ns: int = 0
    embargo_ns: int = 0
    latency_ms: float | None = None
    draws: int = 1_000


@dataclass(frozen=True)
class Crew:
    """Who runs the trials. Nothing of this changes a byte of the result."""

    workers: int
    memory_mb: int | None = None
    ray: str | None = None


def plan_of(wanted: Wanted, settings: Settings, data: Dataset) -> Plan:
    """The plan, held against the strategy's parameters before anything is run."""
    module = module_of(wanted.strategy)
    definition = registry.define(importlib.import_module(module))
    source = importlib.import_module(module).__file__
    return Plan(
        strategy=module,
        source=hashlib.sha256(Path(source).read_bytes()).hexdigest() if source else "",
        data=hashlib.sha256(np.ascontiguousarray(data.events).tobytes()).hexdigest(),
        settings=settings.hash(),
        symbol=data.meta.symbol,
        data_name=data.meta.source,
        axes=space.axes(wanted.params, definition.parameters),
        search=wanted.search,
        trials=wanted.trials if wanted.search != "grid" else 0,
        seed=wanted.seed,
        score=wanted.score,
        split=wanted.split,
        folds=wanted.folds if wanted.split != "none" else 0,
        purge_ns=wanted.purge_ns,
        embargo_ns=wanted.embargo_ns,
        latency_ms=wanted.latency_ms,
        draws=wanted.draws,
    )


def run_sweep(
    plan: Plan, store: Store, settings: Settings, data: Dataset, crew: Crew, done: Callable[[Trial], None]
) -> tuple[Result, Told]:
    """Run what is missing, judge all of it, and run the winner once more with the look-ahead check."""
    # Before there is a worker: none of them compiles.
    registry.build(plan.strategy, Cache())
    path = store.root / EVENTS_FILE
    np.save(path, np.ascontiguousarray(data.events), allow_pickle=False)
    job = Job(settings, plan.strategy, plan.seed, plan.latency_ms, data.meta, crew.memory_mb)
    started: list[LocalWorkers | RayWorkers] = []

    def run(batch: Batch) -> Iterator[Trial]:
        # Not before something is missing: a sweep that is whole needs no workers.
        if not started:
            count = min(crew.workers, len(batch))
            started.append(
                LocalWorkers(job, path, count) if crew.ray is None else RayWorkers(job, path, count, crew.ray)
            )
        return started[0].run(batch)

    try:
        trials = run_all(plan, store, run, done)
    finally:
        for workers in started:
            workers.close()
        path.unlink(missing_ok=True)
    again: list[Told] = []

    def held(winner: Trial) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        asked = Asked(plan.strategy, winner.params, plan.seed, plan.latency_ms, trials=len(trials))
        told = run_backtest(settings, asked, data)
        if told.run.tape_hash != winner.tape:
            raise SweepDiffers(f"trial {winner.number} gave {winner.tape[:16]} and gives {told.run.tape_hash[:16]} now")
        again.append(told)
        mids = told.run.mids
        known = (mids[:-1] > 0) & (mids[1:] > 0)
        return told.run.position[:-1].astype(np.float64), np.where(known, np.diff(mids), 0.0)

    return judge(plan, trials, held), again[0]
