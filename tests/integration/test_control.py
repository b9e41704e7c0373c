"""The control socket over a real Unix socket, on a paper session that really runs."""

from __future__ import annotations

import ctypes
import os
import platform
import socket
import stat
import tempfile
import threading
import typing
from pathlib import Path

import msgspec
import pytest

from engine.errors import (
    Bot4Error,
    ControlBadPath,
    ControlRefused,
    ControlTaken,
    ControlUnreachable,
)
from engine.observe import commands as c
from engine.observe.client import ControlClient
from engine.observe.display import Display
from engine.observe.server import ControlServer
from engine.observe.status import Status
from tests.support.hand import Shown
from tests.support.serving import running_loop


@pytest.fixture
def loop():
    with running_loop() as it:
        yield it


@pytest.fixture
def engine(tmp_path):
    engine = Shown(tmp_path / "session")
    yield engine
    engine.close()


@pytest.fixture
def server(loop, engine, tmp_path):
    server = ControlServer(tmp_path / "control.sock", engine, engine)
    loop.run(server.start())
    yield server
    loop.run(server.close())


@pytest.fixture
def client(server):
    with ControlClient(server.path) as client:
        yield client


def test_the_status_is_the_picture_of_the_running_session(client, engine):
    status = client.status()
    assert status == engine.status()
    assert status.symbols[0].bid < status.symbols[0].ask
    assert status.counts["events"] > 300
    assert status.stage("tick_to_order").p99_ns >= status.stage("tick_to_order").p50_ns > 0
    assert status.account.equity != 100_000.0


def test_pause_and_resume_switch_the_mode_and_are_audited_with_who_asked(client, engine):
    client.call(c.Pause())
    assert client.status().mode == "Paused"
    client.call(c.Resume())
    assert client.status().mode == "Normal"
    assert [(peer.uid, peer.pid, what) for peer, what in engine.audit] == [
        (os.getuid(), os.getpid(), "pause"), (os.getuid(), os.getpid(), "resume"),
    ]  # fmt: skip


def test_halt_trips_the_latch_durably_and_resume_is_then_refused_in_plain_words(client, engine, tmp_path):
    client.call(c.Halt("drill"))
    status = client.status()
    assert status.latch.tripped
    assert status.latch.reasons == ("command",)
    assert not status.healthy
    assert (tmp_path / "session" / "latch").exists()
    with pytest.raises(ControlRefused, match="BOT4-801"):
        client.call(c.Resume())


def test_a_limit_can_be_tightened_and_not_loosened(client, engine):
    client.call(c.Tighten("px_band_ppm", 10))
    assert engine.limits["px_band_ppm"] == 10
    with pytest.raises(ControlRefused, match="px_band_ppm = 11"):
        client.call(c.Tighten("px_band_ppm", 11))
    assert engine.limits["px_band_ppm"] == 10


def test_reduce_liquidate_and_reload_reach_the_engine(client, engine):
    client.call(c.Reduce())
    assert client.status().mode == "Reduced"
    client.call(c.Liquidate())
    assert client.status().mode == "Emergency"
    assert client.call(c.Reload()).text == "no limit changed."


def test_events_and_refusals_come_with_every_reason(client, engine):
    fills = client.events(most=1_000)
    assert fills
    assert [event.number for event in fills] == list(range(fills[0].number, fills[0].number + len(fills)))
    assert client.events(after=fills[-1].number) == []
    assert all(entry.reasons for entry in client.why())
    assert client.why(symbol="NOPE") == []


def test_a_watcher_gets_pictures_and_sees_a_trip_without_waiting_for_its_next_turn(loop, server, engine):
    with ControlClient(server.path, timeout_s=30) as watcher, ControlClient(server.path) as operator:
        # One picture in ten seconds: the second one comes because of the trip.
        pictures = watcher.watch(0.1)
        assert not next(pictures).latch.tripped
        operator.call(c.Halt("drill"))
        assert next(pictures).latch.tripped


def test_a_follower_gets_each_event_once(loop, server, engine):
    with ControlClient(server.path, timeout_s=30) as follower, ControlClient(server.path) as operator:
        tail = follower.follow(after=engine.numbered)
        operator.call(c.Pause())
        operator.call(c.Reduce())
        assert [next(tail).text.split()[0] for _ in range(2)] == ["Paused", "Reduced"]


# --------------------------------------------------------------------------------------------------- who may speak
def test_the_socket_is_for_its_owner_alone(server):
    mode = server.path.stat().st_mode
    assert stat.S_ISSOCK(mode)
    assert stat.S_IMODE(mode) == 0o600


def test_a_peer_of_another_user_is_refused_by_what_the_kernel_says(loop, engine, tmp_path):
    server = ControlServer(tmp_path / "other.sock", engine, engine, uids={os.getuid() + 1})
    loop.run(server.start())
    try:
        with ControlClient(server.path) as client, pytest.raises(ControlRefused, match="BOT4-1402"):
            client.call(c.Halt())
        assert server.refused_count == 1
        assert not engine.latch.tripped
        assert engine.audit == []
    finally:
        loop.run(server.close())


def _as_nobody(work):
    """Run on a thread that is another user: the system call, unlike the library's function, is of one thread."""
    number = {"x86_64": 117, "aarch64": 147}[platform.machine()]
    found = []

    def there():
        assert ctypes.CDLL(None, use_errno=True).syscall(number, 65534, 65534, 65534) == 0
        try:
            found.append(work())
        except (Bot4Error, OSError) as error:
            found.append(error)

    thread = threading.Thread(target=there)
    thread.start()
    thread.join()
    return found[0]


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become another user")
def test_another_user_cannot_even_connect_and_is_refused_where_the_mode_was_widened(server, engine, tmp_path):
    # The folders down to the socket are opened for the proof: what holds is the socket's own mode.
    for folder in (tmp_path, *tmp_path.parents):
        if folder == Path(tempfile.gettempdir()):
            break
        folder.chmod(0o755)

    def ask():
        with ControlClient(server.path) as client:
            return client.call(c.Halt())

    assert isinstance(_as_nobody(ask), ControlUnreachable)
    server.path.chmod(0o666)
    refused = _as_nobody(ask)
    assert isinstance(refused, ControlRefused)
    assert "uid 65534" in refused.detail
    assert engine.audit == []


# -------------------------------------------------------------------------------------------- what may be asked at all
TRADING = {"px", "price", "qty", "quantity", "side", "order", "symbol", "size", "notional", "buy", "sell"}


def test_no_command_can_place_change_or_size_an_order():
    fields = {command.__struct_config__.tag: set(command.__struct_fields__) for command in typing.get_args(c.Command)}
    assert set(fields) == {
        "halt", "pause", "resume", "reduce", "liquidate", "tighten", "reload", "status", "why", "events", "watch",
        "acknowledge", "alerts", "approve", "deny", "approvals",
    }  # fmt: skip
    for tag, names in fields.items():
        assert not names & TRADING or tag == "why", tag


def _raw(path, line):
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(10)
        connection.connect(str(path))
        connection.sendall(line)
        connection.shutdown(socket.SHUT_WR)
        with connection.makefile("rb") as lines:
            return [msgspec.json.decode(answer) for answer in lines]


@pytest.mark.parametrize(
    "line",
    [b"\n", b"{}\n", b"halt\n", b'{"command": "buy"}\n', b'{"command": "halt", "reasn": "x"}\n',
     b'{"command": "tighten", "limit": "px_band_ppm"}\n', b'{"command": "tighten", "limit": 1, "value": "x"}\n',
     b"\xff\xfe\n", b"[" * 60_000 + b"\n"],
)  # fmt: skip
def test_a_line_that_is_no_command_is_refused_and_does_nothing(server, engine, line):
    (answer,) = _raw(server.path, line)
    assert not answer["ok"]
    assert answer["code"] == "BOT4-1404"
    assert engine.audit == []


def test_a_line_without_an_end_is_refused_and_the_connection_closed(server, engine):
    (answer,) = _raw(server.path, b"x" * (c.LINE_MAX * 3))
    assert answer["code"] == "BOT4-1404"
    with ControlClient(server.path) as other:
        assert isinstance(other.status(), Status)


def test_several_commands_on_one_connection_are_answered_in_order(server):
    answers = _raw(server.path, b'{"command":"pause"}\n{"command":"nothing"}\n{"command":"status"}\n')
    assert [answer["ok"] for answer in answers] == [True, False, True]
    assert answers[2]["data"]["mode"] == "Paused"


def test_one_client_too_many_is_told_so(loop, engine, tmp_path):
    server = ControlServer(tmp_path / "few.sock", engine, engine, clients_max=2)
    loop.run(server.start())
    try:
        with ControlClient(server.path) as one, ControlClient(server.path) as two:
            one.status(), two.status()
            with ControlClient(server.path) as three, pytest.raises(ControlRefused, match="BOT4-1405"):
                three.status()
            assert one.status().name == "paper"
    finally:
        loop.run(server.close())


# --------------------------------------------------------------------------------------------------------- the file
def test_the_socket_of_a_dead_engine_is_replaced_and_that_of_a_living_one_is_not(loop, server, engine):
    with pytest.raises(ControlTaken):
        loop.run(ControlServer(server.path, engine, engine).start())
    loop.run(server.close())
    loop.run(server.close())
    assert not server.path.exists()
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(server.path))
    loop.run(server.start())
    with ControlClient(server.path) as client:
        assert client.status().name == "paper"


def test_a_file_of_that_name_and_a_path_too_long_are_refused(loop, engine, tmp_path):
    plain = tmp_path / "plain"
    plain.write_text("precious")
    with pytest.raises(ControlBadPath):
        loop.run(ControlServer(plain, engine, engine).start())
    assert plain.read_text() == "precious"
    with pytest.raises(ControlBadPath, match="bytes"):
        loop.run(ControlServer(tmp_path / ("x" * 120), engine, engine).start())


def test_nobody_at_the_socket_is_one_plain_error(tmp_path):
    with pytest.raises(ControlUnreachable, match="bot4 run"):
        ControlClient(tmp_path / "none.sock")


# ---------------------------------------------------------------------------------------------------- display rule
DAY = 24 * 3600 * 10**9


class _Moved:
    """The running session with its clock moved, so that days pass in a test."""

    def __init__(self, engine):
        self.engine, self.by = engine, 0

    def status(self):
        status = self.engine.status()
        return msgspec.structs.replace(status, ts_ns=status.ts_ns + self.by)

    def events(self, after, most):
        return self.engine.events(after, most)

    def why(self, most, symbol):
        return self.engine.why(most, symbol)


def test_the_display_rule_hides_positions_and_profit_until_the_cut_and_then_shows_the_cut(engine):
    source = _Moved(engine)
    display = Display(source, redact=True)
    before = display.status()
    assert before.redacted
    assert before.as_of_ns is None
    assert (before.account.equity, before.account.day_profit, before.symbols[0].position) == (None, None, None)
    assert before.symbols[0].bid == engine.status().symbols[0].bid
    at_cut = engine.status()
    engine.pass_time()
    source.by = DAY
    after = display.status()
    assert after.as_of_ns == after.ts_ns // DAY * DAY
    assert after.account.equity == at_cut.account.equity != engine.status().account.equity
    assert after.symbols[0].position == at_cut.symbols[0].position


def test_nothing_that_is_displayed_under_the_rule_tells_a_position(engine):
    display = Display(engine, redact=True)
    for order in display.status().orders:
        assert (order.px, order.qty, order.filled) == (None, None, None)
    for event in display.events(0, 1_000):
        assert (event.px, event.qty) == (None, None)
        assert event.kind != "fill" or event.text == ""
    for entry in display.why(100):
        assert (entry.px, entry.qty, entry.largest_qty, entry.headroom) == (None, None, None, {})
