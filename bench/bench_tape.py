"""The tape: one append, an intent with its event to the page cache, and what each way of syncing costs."""

from __future__ import annotations

import struct
import time
from pathlib import Path

import numpy as np

from bench.harness import Report, samples_array, sized
from bench.loops import loop_tape
from engine._core import checksum
from engine._core.tape import Mode, Segment, Tape
from engine._core.types import EVENT


def records(count: int) -> np.ndarray:
    rows = np.zeros(count, EVENT)
    rows["kind"], rows["ts_recv_ns"], rows["seq"] = 2, np.arange(count) + 1, np.arange(count)
    return rows


def tape_of(path: Path, *, count: int, mode: Mode = Mode.TAPE_SYNC_OFF) -> Tape:
    """A tape whose pages are touched, as the journal's thread does ahead of the appender."""
    segment = Segment(path, blocks=count // 59 + 2)
    segment.touch(1 << 40)
    return Tape(path, segment=segment, mode=int(mode))


def bench_append(report: Report, tmp_path: Path) -> None:
    batch, samples = 256, samples_array(4_000, 50)
    tape = tape_of(tmp_path / "t", count=batch * samples.size)
    taken = loop_tape.append(tape, records(1).view(np.uint8), samples, batch)
    assert taken == tape.count == batch * samples.size
    # The peer: what a careful Python program does for the same record, a packed struct with a sum, buffered.
    pack, crc = struct.Struct("<BBHIqq5q"), checksum.crc32c
    peer = []
    with (tmp_path / "peer").open("wb") as out:
        for _ in range(sized(20, 2)):
            start = time.perf_counter_ns()
            for i in range(1000):
                packed = pack.pack(2, 0, 0, i, 1, 1, 0, 0, 0, 0, 0)
                out.write(packed)
                out.write(struct.pack("<I", crc(packed)))
            peer.append((time.perf_counter_ns() - start) / 1000)
    report.row("tape_append", samples, batch=batch, checksum=f"{taken} records", peer="struct + buffered file",
               peer_samples=peer)  # fmt: skip


def bench_intent_to_page_cache(report: Report, tmp_path: Path) -> None:
    samples = samples_array(100_000, 100)
    tape = tape_of(tmp_path / "t", count=2 * samples.size)
    taken = loop_tape.intent(tape, records(2).view(np.uint8), samples)
    assert taken == 2 * samples.size
    # The budget is on the tail: 200 ns at p99.
    report.row("tape_intent_p99", np.repeat(np.percentile(samples, 99), 3), checksum=f"{taken} records")


def _synced(tmp_path: Path, mode: Mode, count: int) -> np.ndarray:
    tape = tape_of(tmp_path / mode.name, count=count * 2, mode=mode)
    rows, out = records(2), np.zeros(count)
    for i in range(count):
        start = time.perf_counter_ns()
        tape.append(rows)
        tape.commit()
        if mode == Mode.TAPE_SYNC_GROUP and i % 50 == 49:
            tape.turn()  # what the journal's thread does every few milliseconds, here in line
        out[i] = (time.perf_counter_ns() - start) / 1e3
    assert tape.durable >= (0 if mode == Mode.TAPE_SYNC_OFF else count * 2 - 100)
    return out


def bench_what_each_way_of_syncing_costs(report: Report, tmp_path: Path) -> None:
    for mode, name in ((Mode.TAPE_SYNC_OFF, "off"), (Mode.TAPE_SYNC_GROUP, "group"), (Mode.TAPE_SYNC_EACH, "each")):
        samples = _synced(tmp_path, mode, sized(500, 20))
        report.row(f"journal_sync_{name}", samples, checksum=f"{samples.size} commits")


def bench_checksum(report: Report) -> None:
    samples = samples_array(20_000, 100)
    total = loop_tape.crc(bytes(range(64)), samples)
    assert total != 0
    report.row("crc32c_record", samples, batch=256, checksum=f"{total:08x}")
