"""Chaos between driver and venue: afterwards positions and money are equal, no order was made twice, nothing leaks.

BOT4_STRESS=1 runs two hundred seeds. A failure names its seed.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import os
from pathlib import Path

import pytest

from tests.support.chaos import ChaosProxy
from tests.support.loopback import bench

STRESS = bool(os.environ.get("BOT4_STRESS"))
SEEDS, FAULTS = range(200), 25
# The core refuses data older than half a second: on a machine that is starved of time nothing trades, rightly.
pytestmark = pytest.mark.skipif(not STRESS, reason="needs a machine with time to spare: BOT4_STRESS=1 runs 200 seeds")
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


@pytest.mark.parametrize("seed", SEEDS if STRESS else range(1))
def test_after_chaos_both_sides_agree_and_nothing_is_left(tmp_path, seed):
    before = descriptors()

    async def main():
        proxies = []

        async def through(port):
            proxies.append(ChaosProxy(seed, port))
            return await proxies[0].start()

        try:
            async with bench(tmp_path, through=through, seed=seed) as both:
                await storm(seed, proxies[0], both)
        finally:
            await proxies[0].close()
        assert proxies[0].failure is None
        others = asyncio.all_tasks() - {asyncio.current_task()}
        # aiohttp's and the loop's own clean-up takes a turn or two.
        while others:
            _, others = await asyncio.wait(others, timeout=10)
            assert not others, others

    asyncio.run(main())
    assert descriptors() <= before
