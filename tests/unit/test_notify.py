"""The notify socket: a real datagram socket stands in systemd's place."""

from __future__ import annotations

import os
import socket

import pytest

from engine.safety.notify import Notifier, Watchdog

SECOND = 1_000_000_000


class Channel(socket.socket):
    name = ""


@pytest.fixture(params=["file", "abstract"])
def manager(request, tmp_path):
    with Channel(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
        channel.name = str(tmp_path / "notify") if request.param == "file" else f"@bot4-{tmp_path}"
        channel.bind(channel.name.replace("@", "\0", 1) if request.param == "abstract" else channel.name)
        channel.settimeout(10)
        yield channel


def environment(manager, **more):
    return {"NOTIFY_SOCKET": manager.name, "WATCHDOG_USEC": "3000000", "WATCHDOG_PID": str(os.getpid()), **more}


def test_each_message_is_one_datagram_in_systemds_words(manager):
    notifier = Notifier(environment(manager))
    assert notifier.ready("paper, 2 symbols")
    assert manager.recv(999) == b"READY=1\nSTATUS=paper, 2 symbols"
    notifier.reloading()
    first, second = manager.recv(999).split(b"\n")
    assert (first, second.split(b"=")[0]) == (b"RELOADING=1", b"MONOTONIC_USEC")
    assert int(second.split(b"=")[1]) > 0
    notifier.stopping("tripped")
    assert manager.recv(999) == b"STOPPING=1\nSTATUS=tripped"
    notifier.extend(1.5)
    assert manager.recv(999) == b"EXTEND_TIMEOUT_USEC=1500000"
    # A line break would begin an assignment of its own.
    notifier.status("a\nREADY=1")
    assert manager.recv(999) == b"STATUS=a READY=1"
    assert notifier.sent_count == 5


def test_without_a_manager_nothing_is_sent_and_nothing_is_wrong(tmp_path):
    assert not Notifier({}).ready()
    gone = Notifier({"NOTIFY_SOCKET": str(tmp_path / "nobody")})
    assert not gone.ready()
    assert gone.failed_count == 1


@pytest.mark.parametrize(
    ("variables", "interval"),
    [({}, 3 * SECOND), ({"WATCHDOG_PID": "1"}, 0), ({"WATCHDOG_USEC": ""}, 0), ({"WATCHDOG_USEC": "x"}, 0)],
)
def test_the_interval_is_taken_only_when_it_is_meant_for_this_process(manager, variables, interval):
    assert Notifier(environment(manager, **variables)).watchdog_ns == interval


def test_the_watchdog_is_fed_only_while_every_check_holds(manager):
    healthy = {"loop": True, "data": True, "journal": True}
    dog = Watchdog(Notifier(environment(manager)), {name: lambda n=name: healthy[n] for name in healthy})
    assert dog.turn(1)
    assert manager.recv(999) == b"WATCHDOG=1"
    for name in healthy:
        healthy[name] = False
        assert not dog.turn(dog._due_ns)
        assert name.encode() in manager.recv(999)
        assert dog.unhealthy == (name,)
        healthy[name] = True
        assert dog.turn(dog._due_ns)
        assert manager.recv(999) == b"STATUS=healthy"
        assert manager.recv(999) == b"WATCHDOG=1"


def test_it_is_fed_a_third_into_the_interval_and_not_at_every_turn(manager):
    dog = Watchdog(Notifier(environment(manager)), {})
    fed = [now for now in range(0, 10 * SECOND, SECOND // 10) if dog.turn(now)]
    assert fed == list(range(0, 10 * SECOND, SECOND))


@pytest.mark.parametrize("answer", [None, 1, "yes", RuntimeError("broken")])
def test_a_check_that_does_not_say_true_is_a_no(manager, answer):
    def check():
        if isinstance(answer, Exception):
            raise answer
        return answer

    dog = Watchdog(Notifier(environment(manager)), {"odd": check})
    assert not dog.turn(1)
    assert dog.unhealthy == ("odd",)
