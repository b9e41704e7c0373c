"""The wake-up protocol of ring.pyx on a machine with store buffers, every interleaving walked.

Waker: store the cursor, load the wake word; if a bit stands, exchange it and post. Sleeper: set its bit (a
read-modify-write, so it reaches memory at once), barrier, load the cursor; if nothing is new, sleep. A store may
linger in the waker's buffer while its later load runs: that is what x86 and weaker machines do. `membarrier` empties
the buffer of every running thread. Lost means: the sleeper sleeps, nothing was posted, and no step is left.
"""

from __future__ import annotations

import pytest


def lost_wake_reachable(*, barrier: str) -> bool:
    """barrier: "membarrier" (the sleeper empties all buffers), "fences" (each its own), "none"."""
    # State: waker step, its buffer, cursor and wake word in memory, sleeper step, posted, wake word as seen.
    start = ("store", False, 0, 0, "set", False, 0)
    todo, seen = [start], {start}
    while todo:
        state = todo.pop()
        following = list(_steps(state, barrier))
        if not following and state[4] == "asleep" and not state[5]:
            return True
        for after in following:
            if after not in seen:
                seen.add(after)
                todo.append(after)
    return False


def _steps(state, barrier):
    waker, buffered, cursor, word, sleeper, posted, saw = state
    # The buffer may empty itself at any time.
    if buffered:
        yield (waker, False, 1, word, sleeper, posted, saw)
    if waker == "store":
        yield ("fence" if barrier == "fences" else "load", True, cursor, word, sleeper, posted, saw)
    elif waker == "fence" and not buffered:
        yield ("load", buffered, cursor, word, sleeper, posted, saw)
    elif waker == "load":
        yield ("exchange" if word else "done", buffered, cursor, word, sleeper, posted, word)
    elif waker == "exchange" and not buffered:
        # A locked operation: it runs with an empty buffer.
        yield ("done", buffered, cursor, 0, sleeper, posted or bool(word), saw)
    if sleeper == "set":
        yield (waker, buffered, cursor, 1, "barrier", posted, saw)
    elif sleeper == "barrier":
        if barrier == "membarrier":
            yield (waker, False, 1 if buffered else cursor, word, "look", posted, saw)
        else:
            yield (waker, buffered, cursor, word, "look", posted, saw)
    elif sleeper == "look":
        yield (waker, buffered, cursor, word, "awake" if cursor else "asleep", posted, saw)


@pytest.mark.parametrize("barrier", ["membarrier", "fences"])
def test_no_interleaving_loses_a_wake_up(barrier):
    assert not lost_wake_reachable(barrier=barrier)


def test_without_a_barrier_the_walk_finds_the_lost_wake_up():
    assert lost_wake_reachable(barrier="none")
