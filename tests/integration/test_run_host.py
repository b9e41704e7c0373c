"""What `bot4 run` asks of the machine it runs on: granted or told, and given back at the end."""

from __future__ import annotations

import asyncio
import gc
import os

import numpy as np
import pytest

from tests.integration.test_run import Running, nothing_is_left_behind  # noqa: F401 (a fixture)
from tests.support.hand import Hand

OURS = min(os.sched_getaffinity(0))


def lived(folder, **settings: str) -> Hand:
    hand = Hand(folder, **settings)
    asyncio.run(hand.session.run(seconds=0.2))
    return hand


def test_a_loop_that_spins_never_goes_to_sleep_between_its_turns(tmp_path):
    spun = lived(tmp_path / "spin", BOT4__CORE__WAIT="spin").session
    slept = lived(tmp_path / "block", BOT4__CORE__WAIT="block").session
    assert slept.waiting.turns == 0 < slept.life.turns
    assert spun.waiting.turns > spun.life.turns > 0


def test_garbage_is_collected_between_turns_and_the_collector_is_given_back(tmp_path):
    hand = lived(tmp_path)
    assert any(line.startswith("collector: ") and "frozen" in line for line in hand.picture.status().host)
    assert gc.isenabled()
    assert gc.get_freeze_count() == 0


def test_the_collector_can_be_left_alone(tmp_path):
    hand = lived(tmp_path, BOT4__CORE__FREEZE="false")
    assert not any("frozen" in line for line in hand.picture.status().host)
    assert gc.isenabled()


@pytest.mark.parametrize(
    ("settings", "word"),
    [({"BOT4__CORE__CPU": "4000"}, "affinity: REFUSED"), ({"BOT4__CORE__CPU": str(OURS)}, f"affinity: CPU [{OURS}]")],
)
def test_what_the_machine_refuses_is_shown_and_ends_nothing(tmp_path, settings, word):
    running = Running(tmp_path, "--seconds", "0.5", **settings)
    code, summary = running.wait()
    assert code == 0
    assert any(line.startswith(word) for line in summary["status"]["host"]), summary["status"]["host"]


def test_everything_compiled_of_a_session_stands_in_one_block_that_is_closed_when_it_begins(tmp_path):
    hand = lived(tmp_path)
    arena, world = hand.session.arena, hand.session.engine.core.world
    arena.check()
    assert arena.sealed
    assert arena.carved_count > 10
    address = np.frombuffer(world, np.uint8).ctypes.data
    assert arena.address <= address < address + memoryview(world).nbytes <= arena.address + arena.size
    told = next(line for line in hand.picture.status().host if line.startswith("arena: "))
    assert f"in {arena.carved_count} blocks; pages of {arena.pages}; locked: {arena.locked}" in told
