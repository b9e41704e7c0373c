"""Where the time between a depth message and its orders goes: transport, parse, journal, book, features, decide, gate,
orders, encode, sign, write.

A loopback connection at either end, the kernels of the live driver between them, a hundred features, the tape on, two
orders a message. The whole is measured without stamps; the stages in a pass of their own, so their sum is a little
more. Beside it, in the same run, the same job from the best Python parts and from nautilus_trader's own; theirs have
neither a socket nor a journal, and one order.
"""

from __future__ import annotations

import socket
import struct
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from bench import peer_python
from bench.bench_features import PEERS, PERIODS
from bench.bench_live import BTC, market_frames, quoting_core
from bench.harness import Report, heavy_peer, sized
from bench.loops import loop_stages
from engine._core.features import Features
from engine._core.features_table import TABLE
from engine._core.parse import Parser
from engine._core.tape import Tape
from engine._core.types import Flag
from engine.venues.binance.orders import Form, encoder

STAGES = ("transport", "parse", "journal", "book", "features", "decide", "gate", "orders", "encode", "sign", "write")
WARM = 200


def _connection() -> tuple[socket.socket, socket.socket]:
    """Two ends over loopback, without delay."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        one = socket.create_connection(server.getsockname())
        other, _ = server.accept()
    for end in (one, other):
        end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return one, other


def _measure(form: Form, count: int, *, stamped: bool, folder: Path) -> tuple[np.ndarray, int]:
    """One row a message: each stage, and the whole behind them."""
    core, features = quoting_core(), Features(PEERS, windows=PERIODS)
    numbers = {row.name: row.number for row in TABLE}
    loop_stages.hook(core, features, [numbers[name] for name in features.families])
    parser, now = Parser([BTC.row()]), time.time_ns()
    frames = market_frames(count + 1, 101)
    image = parser.parse(frames[0], now)
    image["flags"] |= int(Flag.FLAG_SNAPSHOT)
    for event in image:
        core.step(event)
    rows = [BTC.row()]
    plain = encoder("spot", Form.SESSION, rows)
    key = {"api_key": peer_python.KEY, "secret": peer_python.SECRET}
    signer = encoder("spot", form, rows, **key) if form is Form.HMAC else None
    tape = Tape(folder / f"{form.value}-{stamped}.b4", capacity=count * 48, write=True)
    framed = [struct.pack(">BBH", 0x81, 126, len(frame)) + frame for frame in frames[1:]]
    market, account = _connection(), _connection()
    out = np.zeros((count, len(STAGES) + 1))
    with market[0], market[1], account[0], account[1]:
        fds = [market[0].fileno(), market[1].fileno(), account[0].fileno(), account[1].fileno()]
        orders, written, failed = loop_stages.run(parser, core, tape, plain, signer, framed, fds, now, out, stamped)
    tape.close()
    # Two orders a message, nothing refused, nothing that only the last event of a message may do.
    assert (orders, failed) == (2 * count, 0)
    assert features.count >= count
    core.world.check()
    return out[min(WARM, count // 2) :], written


def _run(report: Report, name: str, form: Form) -> None:
    count = sized(4_000, 20)
    with TemporaryDirectory() as folder:
        whole, written = _measure(form, count, stamped=False, folder=Path(folder))
        parts, _ = _measure(form, count, stamped=True, folder=Path(folder))
    frames = market_frames(sized(2_000, 20), 101)
    signed = form is Form.HMAC
    library, theirs = peer_python.stages(frames, signed=signed)
    report.stages(name, "here", dict(zip(STAGES, np.median(parts[:, :-1], axis=0).tolist(), strict=True)))
    report.stages(name, f"msgspec, sortedcontainers, {library}", theirs)
    heavy = heavy_peer("nautilus_trader", "tick_to_order_stages", frames[: sized(300, 5)])
    if heavy:
        report.stages(name, heavy["peer"], heavy["peer_samples"])
    peer = peer_python.samples(frames, signed=signed)
    report.row(
        name, whole[:, -1], checksum=written, peer="best Python parts, one order, no sockets", peer_samples=peer
    )  # fmt: skip


def bench_session(report: Report) -> None:
    _run(report, "tick_to_order_stages", Form.SESSION)


def bench_hmac(report: Report) -> None:
    _run(report, "tick_to_order_stages_hmac", Form.HMAC)
