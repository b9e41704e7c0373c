"""The host as the engine would like it: asked for at start, and whatever was refused is told, never silent.

Owns nothing that lasts: every setting is this process's own, and `Collector.close` gives its own back. Each row says
what was asked, whether it was granted, and why not; the caller shows them in the status and tells the refused ones.
Nothing here is needed to be right, only to be fast.
"""

from __future__ import annotations

import ctypes
import gc
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from engine._core.memory import Arena

MCL_CURRENT, MCL_FUTURE, MCL_ONFAULT = 1, 2, 4
PR_SET_TIMERSLACK = 29
NOT_ASKED = "not asked for"


@dataclass(frozen=True, slots=True)
class Tuned:
    name: str
    granted: bool
    detail: str

    def text(self) -> str:
        return f"{self.name}: {'' if self.granted else 'REFUSED, '}{self.detail}"


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _check(result: int) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def lock_memory() -> str:
    """No page of the process is ever fetched from a disk. On fault: what is never touched costs nothing."""
    _check(_libc().mlockall(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT))
    status = Path("/proc/self/status").read_text()
    return next((line for line in status.split("\n") if line.startswith("VmLck")), "locked").replace("\t", " ")


def freeze_collector() -> str:
    """What lives at start lives for ever: the collector never looks at it again, and runs by hand only."""
    gc.collect()
    gc.freeze()
    gc.disable()
    return f"{gc.get_freeze_count()} objects frozen, automatic collection off"


class Collector:
    """Collects garbage between turns once `freeze_collector` has put an end to collections in the midst of them."""

    YOUNG_NS, ALL_NS = 10**9, 60 * 10**9

    def __init__(self) -> None:
        self._young_ns = self._all_ns = 0

    def turn(self, now_ns: int) -> None:
        """The young once a second, all of it once a minute: neither has what was frozen to look at."""
        if gc.isenabled() or now_ns < self._young_ns:
            return
        self._young_ns = now_ns + self.YOUNG_NS
        whole = now_ns >= self._all_ns
        if whole:
            self._all_ns = now_ns + self.ALL_NS
        gc.collect(2 if whole else 1)

    def close(self) -> None:
        gc.unfreeze()
        gc.enable()


def pin_to(cpus: Iterable[int]) -> str:
    wanted = set(cpus)
    os.sched_setaffinity(0, wanted)
    got = os.sched_getaffinity(0)
    if got != wanted:
        raise OSError(0, f"asked for {sorted(wanted)}, got {sorted(got)}")
    isolated = Path("/sys/devices/system/cpu/isolated")
    return f"CPU {sorted(got)}, isolated: {isolated.read_text().strip() or 'none' if isolated.exists() else 'unknown'}"


def real_time(priority: int) -> str:
    os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(priority))
    return f"SCHED_FIFO {priority}"


def timer_slack(ns: int) -> str:
    _check(_libc().prctl(PR_SET_TIMERSLACK, ctypes.c_ulong(ns), 0, 0, 0))
    return f"{Path('/proc/self/timerslack_ns').read_text().strip()} ns"


def huge_pages() -> str:
    """Transparent ones by request, which the arena makes with madvise; reserved ones if there are any."""
    mode = Path("/sys/kernel/mm/transparent_hugepage/enabled").read_text().split("[")[1].split("]")[0]
    free = next(line for line in Path("/proc/meminfo").read_text().split("\n") if line.startswith("HugePages_Free"))
    reserved = int(free.split()[1])
    if mode == "never" and reserved == 0:
        raise OSError(0, "transparent huge pages are off and none are reserved")
    return f"transparent: {mode}, reserved and free: {reserved}"


def world_memory(*, lock: bool, huge: bool) -> Arena:
    """Address space of the machine's size, from which everything that is compiled is carved at start."""
    machine = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return Arena(machine, huge_pages=huge, lock=lock, grows=True)


def arena_row(arena: Arena) -> Tuned:
    """What the arena got of what was asked for it."""
    refused = arena.pages.startswith("4 KiB: huge pages refused") or arena.locked.startswith("no: ") != (
        arena.locked == "no: not asked for"
    )
    size = f"{arena.used / 2**20:.1f} MiB in {arena.carved_count} blocks"
    return Tuned("arena", not refused, f"{size}; pages of {arena.pages}; locked: {arena.locked}")


def tune(
    *,
    lock: bool = True,
    freeze: bool = True,
    cpus: Iterable[int] = (),
    priority: int = 0,
    slack_ns: int = 1,
    huge: bool = True,
) -> list[Tuned]:
    """Ask for everything that is wanted; one row for each, in this order."""
    cpus = tuple(cpus)
    wanted: list[tuple[str, bool, Callable[[], str]]] = [
        ("memory lock", lock, lock_memory),
        ("collector", freeze, freeze_collector),
        ("affinity", bool(cpus), lambda: pin_to(cpus)),
        ("real time", priority > 0, lambda: real_time(priority)),
        ("timer slack", slack_ns > 0, lambda: timer_slack(slack_ns)),
        ("huge pages", huge, huge_pages),
    ]
    rows = []
    for name, ask, call in wanted:
        if not ask:
            rows.append(Tuned(name, granted=True, detail=NOT_ASKED))
            continue
        try:
            rows.append(Tuned(name, granted=True, detail=call()))
        except (OSError, ValueError, IndexError, StopIteration) as error:
            rows.append(Tuned(name, granted=False, detail=getattr(error, "strerror", None) or str(error)))
    return rows
