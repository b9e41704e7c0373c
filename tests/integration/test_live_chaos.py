"""Chaos between driver and venue: afterwards positions and money are equal, no order was made twice, nothing leaks.

Two hundred seeds over real sockets, each on a loop with time of its own; BOT4_STRESS=1 lets each live through more
faults, BOT4_SEEDS says how many there are. A failure names its seed.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import weakref
from pathlib import Path

import pytest

from tests.support import virtual
from tests.support.chaos import ChaosProxy
from tests.support.loopback import bench

STRESS = bool(os.environ.get("BOT4_STRESS"))
FAULTS = 25 if STRESS else 6
BATCH, SEEDS = 25, int(os.environ.get("BOT4_SEEDS", "200"))
KINDS = ("spot", "usdm")
LOG = logging.getLogger(__name__)


def descriptors() -> int:
    gc.collect()
    return len(list(Path("/proc/self/fd").iterdir()))


def summary(seed, proxy, both):
    live = both.live
    return (
        f"seed {seed}: {dict(proxy.counts)}; {len(both.their_trades())} trades, {live.tally.missed_count} found by the "
        f"tally; {live.sender.lost_count} answers lost, {live.sender.doubted_absent_count} doubted, "
        f"{live.care.stray_count} strays; opened {live.opened_count} times"
    )


async def storm(seed, proxy, both):
    await both.until(lambda: proxy.faults >= FAULTS, f"{FAULTS} faults")
    proxy.calm()
    await both.until(lambda: both.live.gate.is_open, "the gate's opening")
    await both.fills(3)
    await both.end()
    LOG.info(summary(seed, proxy, both))
    both.check()


async def one(seed, folder, seen):
    proxies = []

    async def through(port):
        proxies.append(ChaosProxy(seed, port, pace=1.0 if STRESS else 3.0))
        return await proxies[0].start()

    folder.mkdir()
    try:
        async with bench(
            folder, through=through, seed=seed, symbols=1, kind=KINDS[seed % 2], tick_ns=50_000_000, tape_events=1 << 16
        ) as both:
            both.turn_s = 0.01
            seen += [weakref.ref(part) for part in (both.live, both.engine, both.live.account, both.live.sender)]
            await storm(seed, proxies[0], both)
    finally:
        await proxies[0].close()
    assert proxies[0].failure is None


async def alone(seed, folder, seen):
    """One seed, and then nothing of it goes on."""
    await one(seed, folder, seen)
    others = asyncio.all_tasks() - {asyncio.current_task()}
    # aiohttp's and the loop's own clean-up takes a turn or two.
    while others:
        _, others = await asyncio.wait(others, timeout=10)
        assert not others, others


@pytest.mark.parametrize("first", range(0, SEEDS, BATCH))
def test_after_chaos_both_sides_agree_and_nothing_is_left(tmp_path, first):
    before, seen = descriptors(), []
    failed = []
    for seed in range(first, min(first + BATCH, SEEDS)):
        try:
            virtual.run(alone(seed, tmp_path / str(seed), seen))
        except Exception as error:
            LOG.exception("seed %s", seed)
            failed.append(f"seed {seed}: {error!r}")
    assert not failed, "\n".join(failed)
    assert seen
    assert descriptors() <= before
    assert [part for part in seen if part() is not None] == []
