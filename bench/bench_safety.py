"""The safety chain: from the latch to silence on a socket, and what an audit record costs until it is durable."""

from __future__ import annotations

import os
import socket
import threading
from pathlib import Path

import numpy as np

from bench.harness import Report, sized
from bench.loops import loop_silence
from engine._core.clock import monotonic_ns
from engine._core.latch import Latch
from engine.safety import tuning
from engine.safety.audit import Audit, Entry, Kind, verify

KEY = bytes(range(32))


def _fifo() -> str:
    try:
        return tuning.real_time(50)
    except OSError as error:
        return f"SCHED_FIFO refused: {error.strerror}"


def bench_latch_silence(report: Report, tmp_path: Path) -> None:
    """A sender at full speed over loopback TCP, tripped from another thread: when its last write had returned.

    Loopback delivers within the write. That the far end got these frames and no other is asserted; when its thread is
    given a processor to notice it is the machine's affair, and stands in the checksum. Sender and tripper run under
    SCHED_FIFO where the kernel grants it, as on a tuned host; the checksum says whether it did.
    """
    rounds = sized(300, 3)
    samples = np.zeros(rounds)
    frames, noticed = 0, []
    granted = _fifo()

    def send(latch: Latch, handle: int, sent: np.ndarray) -> None:
        _fifo()
        loop_silence.send(latch, handle, sent)

    with socket.create_server(("127.0.0.1", 0)) as server:
        for n in range(rounds):
            near = socket.create_connection(server.getsockname())
            far, _ = server.accept()
            near.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with Latch(tmp_path / "latch") as latch:
                sent, heard = np.zeros(3, np.int64), np.zeros(3, np.int64)
                threads = [
                    threading.Thread(target=send, args=(latch, near.fileno(), sent)),
                    threading.Thread(target=loop_silence.receive, args=(far.fileno(), heard)),
                ]
                for thread in threads:
                    thread.start()
                while sent[0] < 50:
                    threading.Event().wait(0.0005)
                before = monotonic_ns()
                latch.trip("command")
                threads[0].join()
                near.close()
                threads[1].join()
                far.close()
                # The last write may have been over already: silence at once.
                samples[n] = max(0, int(sent[1]) - before)
                noticed.append(max(0, int(heard[1]) - before))
                frames += int(sent[0])
                assert heard[0] == sent[0] * 64
    os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
    report.row(
        "latch_silence",
        samples,
        batch=1,
        checksum=f"{frames} frames, far end p99 {np.percentile(noticed, 99) / 1e3:.0f} us, {granted}",
    )


def bench_audit_append(report: Report, tmp_path: Path) -> None:
    """One record, durable on return: the chain's mark, a write, an fdatasync, the anchor."""
    rounds = sized(300, 3)
    samples = np.zeros(rounds)
    with Audit(tmp_path / "audit", KEY, journal_socket=None) as audit:
        entry = Entry(Kind.MODE, "paused", trigger="command", actor="a bench", explanation="what it costs")
        for n in range(rounds):
            before = monotonic_ns()
            audit.append(entry)
            samples[n] = monotonic_ns() - before
    checked = verify(tmp_path / "audit", KEY)
    assert checked.whole
    report.row("audit_append", samples, batch=1, checksum=f"{checked.records} records, whole")
