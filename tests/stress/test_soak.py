"""Memory stays where it is: a session of 50,000 events a second, its journal's threads packing what is full.

The usual form lives seconds, CI's a minute (BOT4_STRESS=1), the nightly one ten (BOT4_NIGHTLY=1).
"""

from __future__ import annotations

import os

from bench.soak import soak

# (seconds, size of a segment, with threads): in each form segments fill and are packed. Segments that fill in a
# third of a second would ask of a busy machine that the journal's thread comes as often.
FORM = (600, 64 << 20, True) if os.environ.get("BOT4_NIGHTLY") else (60, 8 << 20, True)
if not (os.environ.get("BOT4_NIGHTLY") or os.environ.get("BOT4_STRESS")):
    FORM = (4, 1 << 20, False)
# What the interpreter's own allocator may take more: one arena of it is 256 KiB, of the C library's up to a mapping.
NOISE = 2 << 20


def test_anonymous_memory_does_not_grow_under_a_steady_load(tmp_path):
    seconds, size, threads = FORM
    soaked = soak(tmp_path, seconds=seconds, segment_bytes=size, threads=threads)
    assert soaked.health == 0
    assert soaked.events > 20_000
    assert soaked.segments > 2
    assert soaked.growth < NOISE, soaked.marks[:: len(soaked.marks) // 40]
