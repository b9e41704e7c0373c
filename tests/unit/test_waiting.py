"""A loop that spins comes back without anything having happened; one that does not, sleeps. Both do everything else."""

from __future__ import annotations

import asyncio

from engine.runtime.waiting import Waiting


async def _turns(*, spin: bool, passes: int) -> int:
    with Waiting(spin=spin) as waiting:
        for _ in range(passes):
            await asyncio.sleep(0)
        return waiting.turns


def test_a_spinning_loop_always_has_something_to_do():
    # One turn of the loop, one of the spin: it is never without.
    assert asyncio.run(_turns(spin=True, passes=50)) >= 50


def test_a_blocking_loop_is_left_alone():
    assert asyncio.run(_turns(spin=False, passes=50)) == 0


def test_the_spin_ends_with_its_block():
    async def after() -> tuple[int, int]:
        with Waiting(spin=True) as waiting:
            await asyncio.sleep(0)
        for _ in range(3):
            await asyncio.sleep(0)
        seen = waiting.turns
        for _ in range(20):
            await asyncio.sleep(0)
        return seen, waiting.turns

    seen, later = asyncio.run(after())
    assert seen == later >= 1


def test_timers_and_tasks_run_beside_it():
    async def beside() -> list[str]:
        heard: list[str] = []
        with Waiting(spin=True):
            asyncio.get_running_loop().call_later(0.001, heard.append, "timer")
            await asyncio.gather(*(asyncio.sleep(0) for _ in range(5)))
            while not heard:
                await asyncio.sleep(0)
        return heard

    assert asyncio.run(beside()) == ["timer"]
