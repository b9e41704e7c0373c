"""Drills: the chain is tripped on purpose, timed, and the evidence kept. What is never tried does not work.

A drill on paper builds the real chain - latch, sentry, guard, pins, a sender that asks the latch before each write, a
far end that listens - over a paper account, and breaks one thing. What it measures ends up in one JSON file:

    cause -> latch    latch -> last byte at the far end    latch -> all cancelled    latch -> flat

    switch, tamper    the loop opens (gpiozero's simulated chip, or the real one with `chip`, pressed by a person)
    stall             the loop's heart-beat stops
    venue             the engine's own connection is dead: the other port has to do it
    feed              data goes silent: the watchdog is not fed any more
    crash             a process with the chain is killed by SIGKILL; the courier's program then empties the account

`crash` needs a courier configuration, of `bot4 venue` or of a live account (`--live-cancel-only`): it cancels for real.
A kind without a passed drill in `every_days` is overdue: the status shows it, and promotion to live waits for it.
"""

from __future__ import annotations

import json
import os
import platform
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from gpiozero.pins.mock import MockFactory  # type: ignore[import-untyped]

from engine import __version__
from engine._core.clock import monotonic_ns, utc_ns
from engine._core.latch import Latch
from engine._core.modes import Act, Goal
from engine.errors import DrillFailed
from engine.safety import courier
from engine.safety.guard import Action, Ending, Guard, Plan
from engine.safety.lines import Lines
from engine.safety.notify import Notifier, Watchdog
from engine.safety.pins import Pins, SharedFactory
from engine.safety.pulse import Pulse
from engine.safety.sentry import Sentry

KINDS = ("switch", "tamper", "stall", "crash", "feed", "venue")
DAY_NS = 86_400_000_000_000
WAIT_S = 30.0
PLAN = Plan(
    Goal.GOAL_FLATTEN,
    limits={"cancel_ns": 10**9, "confirm_ns": 10**9, "flatten_ns": 4 * 10**9, "verify_ns": 10**9, "retry_ns": 10**6},
)


@dataclass
class Evidence:
    """What one drill showed. Times are microseconds; -1 where a drill has no such step."""

    kind: str
    passed: bool = False
    at_ns: int = 0
    cause_to_latch_us: float = -1
    latch_to_silence_us: float = -1
    latch_to_cancelled_us: float = -1
    latch_to_flat_us: float = -1
    death_to_cancelled_us: float = -1
    notes: list[str] = field(default_factory=list)
    machine: str = ""
    version: str = ""

    @property
    def name(self) -> str:
        return f"drill-{self.kind}-{self.at_ns}.json"


# ----------------------------------------------------------------------------------------------------- the paper side
class PaperAccount:
    """Two symbols with positions, entries and stops, behind the guard's ports; notes when what was gone."""

    def __init__(self) -> None:
        self.lots = [5, -3]
        self.orders = {"entry-0": (0, 4), "entry-1": (1, -2), "stop-0": (0, -5), "stop-1": (1, 3)}
        self.answers: list[tuple[int, int, int]] = []
        self.cancelled_ns = 0
        self.flat_ns = 0


class PaperPorts:
    """The way to that account; `dead` is a connection that is gone."""

    def __init__(self, account: PaperAccount, *, dead: bool = False) -> None:
        self._account = account
        self._dead = dead

    def _alive(self) -> PaperAccount:
        if self._dead:
            raise ConnectionError("the connection is gone")
        return self._account

    def refuse(self) -> None:
        self._alive()

    def facts(self) -> Sequence[Mapping[str, int]]:
        account, rows = self._alive(), []
        for symbol, lots in enumerate(account.lots):
            live = [qty for at, qty in account.orders.values() if at == symbol]
            entries = [name for name, (at, _) in account.orders.items() if at == symbol and name.startswith("entry")]
            rows.append(
                {
                    "lots": lots,
                    "orders_live": len(live),
                    "entries_live": len(entries),
                    "plan_live": 0,
                    "open_buy_lots": 0,
                    "open_sell_lots": 0,
                    "bid_px_ticks": 1000,
                    "ask_px_ticks": 1001,
                    "qty_min_lots": 1,
                }
            )
        return rows

    def act(self, action: Action) -> None:
        account = self._alive()
        if action.kind in (Act.ACT_CANCEL_ALL, Act.ACT_CANCEL_ENTRIES):
            every = action.kind == Act.ACT_CANCEL_ALL
            mine = [name for name, (at, _) in account.orders.items() if at == action.symbol]
            gone = [name for name in mine if every or name.startswith("entry")]
            for name in gone:
                del account.orders[name]
            if not account.orders and not account.cancelled_ns:
                account.cancelled_ns = monotonic_ns()
        elif action.kind == Act.ACT_VERIFY:
            account.answers.append((action.symbol, account.lots[action.symbol], monotonic_ns()))
        elif action.kind in (Act.ACT_PLACE_LIMIT, Act.ACT_PLACE_MARKET):
            account.lots[action.symbol] += -action.qty_lots if action.sell else action.qty_lots
            if not any(account.lots):
                account.flat_ns = monotonic_ns()

    def verified(self) -> Iterable[tuple[int, int, int]]:
        account = self._alive()
        answers, account.answers = account.answers, []
        return answers

    def equity(self) -> tuple[int, int]:
        self._alive()
        return 1_000_000, 1_000_000

    def standing(self) -> Iterable[str]:
        return list(self._alive().orders)

    def stop(self, code: int) -> None:
        """Nothing to end: the drill is the process."""


class Stream:
    """A sender that asks the latch before each write, as the engine's sends do, and the far end of its socket."""

    def __init__(self, latch: Latch) -> None:
        self._latch = latch
        self._near, self._far = socket.socketpair()
        self.last_ns = 0
        self.sent = 0
        self._threads = [threading.Thread(target=run, daemon=True) for run in (self._send, self._listen)]
        for thread in self._threads:
            thread.start()

    def _send(self) -> None:
        while not self._latch.tripped:
            self._near.sendall(b"order\n")
            self.sent += 1
        self._near.shutdown(socket.SHUT_WR)

    def _listen(self) -> None:
        while self._far.recv(1 << 16):
            self.last_ns = monotonic_ns()

    def close(self) -> None:
        for thread in self._threads:
            thread.join()
        self._near.close()
        self._far.close()


# ---------------------------------------------------------------------------------------------------------- the drills
class Chain:
    """The real chain over a paper account in a directory of its own."""

    def __init__(self, directory: Path, *, chip: str = "", lines: Sequence[int] = (17, 27), dead: bool = False) -> None:
        self.latch = Latch(directory / "latch")
        self.pulse = Pulse()
        self.account = PaperAccount()
        self.exited = threading.Event()
        self.request = Lines(chip, lines) if chip else None
        self.sentry = Sentry(self.latch, lines=self.request, pulse=self.pulse, stall_ns=300_000_000)
        self.factory = SharedFactory(self.request) if self.request else simulated(lines)
        self.pins = Pins(
            self._trip,
            loops=tuple(zip(("switch", "tamper"), lines, strict=True)),
            factory=self.factory,
            report=self.sentry.report if self.request else None,
            wake=self.sentry.wake,
        )
        if self.request is None:
            close_loops(self.factory, lines)
        self.guard = Guard(
            self.latch,
            PaperPorts(self.account, dead=dead),
            plan=PLAN,
            fallback=PaperPorts(self.account),
            sentry=self.sentry,
            pulse=self.pulse,
            pins=self.pins,
            symbols=2,
            exit=self._exit,
            last_words=lambda _: None,
        )
        self.guard.start()
        self.pins.self_test()
        self.stream = Stream(self.latch)

    def _trip(self, reason: str, detail: str) -> None:
        self.guard.trip(reason, detail)

    def _exit(self, _code: int) -> None:
        self.exited.set()

    def finish(self, evidence: Evidence, cause_ns: int, reason: str) -> None:
        """Wait for the end of the sequence and fill the figures in."""
        if not self.exited.wait(WAIT_S):
            evidence.notes.append(f"no end within {WAIT_S} s")
            return
        self.stream.close()
        latch_ns = self._latched_ns()
        evidence.cause_to_latch_us = (latch_ns - cause_ns) / 1e3
        # The last byte may have arrived before the latch was set: then the silence was there at once.
        evidence.latch_to_silence_us = max(0.0, (self.stream.last_ns - latch_ns) / 1e3)
        evidence.latch_to_cancelled_us = (self.account.cancelled_ns - latch_ns) / 1e3
        evidence.latch_to_flat_us = (self.account.flat_ns - latch_ns) / 1e3
        ending = self.guard.ending or Ending("none")
        evidence.notes += [f"reason {ending.reason}, outcome {ending.outcome}, {self.stream.sent} sends before"]
        evidence.passed = (
            ending.reason == reason
            and ending.outcome == "flat"
            and not self.account.orders
            and not any(self.account.lots)
        )

    def _latched_ns(self) -> int:
        """On the monotonic clock; the latch keeps UTC."""
        offset_ns = utc_ns() - monotonic_ns()
        return min(at_ns for _, at_ns, _ in self.latch.record()) - offset_ns

    def close(self) -> None:
        self.guard.close()
        self.pins.close()
        if self.request is not None:
            self.request.close()


def simulated(lines: Sequence[int]) -> Any:
    factory = MockFactory()
    close_loops(factory, lines)
    return factory


def close_loops(factory: Any, lines: Sequence[int]) -> None:
    for line in lines:
        factory.pin(line).drive_low()


def _loop(evidence: Evidence, options: Mapping[str, Any]) -> None:
    kind = evidence.kind
    chip, lines = str(options.get("chip", "")), tuple(options.get("lines", (17, 27)))
    with tempfile.TemporaryDirectory() as directory:
        chain = Chain(Path(directory), chip=chip, lines=lines)
        try:
            if chip:
                options["say"](f"open the {kind} loop now ({WAIT_S:.0f} s)")
                cause_ns = 0
            else:
                cause_ns = monotonic_ns()
                chain.factory.pin(lines[KINDS.index(kind)]).drive_high()
            chain.finish(evidence, cause_ns or chain.sentry.state["edge_ns"], kind)
            if chip:
                evidence.cause_to_latch_us = (chain._latched_ns() - chain.sentry.state["edge_ns"]) / 1e3
        finally:
            chain.close()


def _stall(evidence: Evidence, _options: Mapping[str, Any]) -> None:
    with tempfile.TemporaryDirectory() as directory:
        chain = Chain(Path(directory))
        try:
            chain.pulse.beat()
            chain.pulse.arm()
            cause_ns = monotonic_ns()
            chain.finish(evidence, cause_ns, "heartbeat-stall")
        finally:
            chain.close()


def _venue(evidence: Evidence, _options: Mapping[str, Any]) -> None:
    with tempfile.TemporaryDirectory() as directory:
        chain = Chain(Path(directory), dead=True)
        try:
            cause_ns = monotonic_ns()
            chain.guard.trip("command", "drill: the connection is gone")
            chain.finish(evidence, cause_ns, "command")
            evidence.passed = evidence.passed and chain.guard.ending is not None and chain.guard.ending.fallback
        finally:
            chain.close()


def _feed(evidence: Evidence, _options: Mapping[str, Any]) -> None:
    with tempfile.TemporaryDirectory() as directory, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        address = str(Path(directory) / "notify")
        manager.bind(address)
        fresh = [True]
        variables = {"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "3000"}
        dog = Watchdog(Notifier(variables), {"data": lambda: fresh[0]})
        fed_before = dog.turn(monotonic_ns())
        fresh[0] = False
        fed_after = dog.turn(monotonic_ns() + 10**9)
        fresh[0] = True
        fed_again = dog.turn(monotonic_ns() + 2 * 10**9)
        evidence.notes.append(f"fed {fed_before}, after silence {fed_after}, on return {fed_again}")
        evidence.passed = (fed_before, fed_after, fed_again) == (True, False, True)


def _crash(evidence: Evidence, options: Mapping[str, Any]) -> None:
    config = options.get("courier")
    if config is None:
        raise DrillFailed("crash wants --courier FILE: of `bot4 venue`, or of a live account with --live-cancel-only")
    settings = courier.load(Path(config), os.environ, options.get("sealed"))
    loopback = all("://127.0.0.1" in v.base_url or "://localhost" in v.base_url for v in settings.venues)
    if not loopback and not options.get("live_cancel_only"):
        raise DrillFailed(f"{config} names a live account; --live-cancel-only cancels there for real")
    with subprocess.Popen([sys.executable, "-m", __name__], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as victim:
        if victim.stdout is None or victim.stdout.readline() != b"standing\n":
            raise DrillFailed("the process that was to be killed did not come up")
        victim.kill()
        victim.wait()
        died_ns = monotonic_ns()
        told = {"SERVICE_RESULT": "signal", "EXIT_CODE": "killed", "EXIT_STATUS": "KILL"}
        command = [sys.executable, "-I", courier.__file__, "--config", str(config), "--after-engine"]
        if options.get("sealed"):
            command += ["--sealed", str(options["sealed"])]
        done = subprocess.run(command, env=os.environ | told, capture_output=True, text=True, check=False)
        evidence.death_to_cancelled_us = (monotonic_ns() - died_ns) / 1e3
    evidence.notes += done.stdout.strip().split("\n")
    evidence.passed = done.returncode == courier.EXIT_DONE


_DRILLS: dict[str, Callable[[Evidence, Mapping[str, Any]], None]] = {
    "switch": _loop,
    "tamper": _loop,
    "stall": _stall,
    "crash": _crash,
    "feed": _feed,
    "venue": _venue,
}


def run(kind: str, directory: Path, **options: Any) -> Evidence:
    """Run one drill and keep its evidence, passed or not. DrillFailed when it could not even be tried."""
    evidence = Evidence(kind, at_ns=utc_ns(), machine=f"{platform.node()} {platform.machine()}", version=__version__)
    _DRILLS[kind](evidence, options)
    directory.mkdir(parents=True, exist_ok=True)
    temporary = directory / (evidence.name + ".new")
    temporary.write_text(json.dumps(asdict(evidence), indent=1))
    temporary.replace(directory / evidence.name)
    return evidence


def history(directory: Path) -> list[Evidence]:
    """All evidence, oldest first; a file that is not evidence is left out, and so counts for nothing."""
    found = []
    for path in directory.glob("drill-*.json"):
        try:
            found.append(Evidence(**json.loads(path.read_text())))
        except (OSError, ValueError, TypeError):
            continue
    return sorted(found, key=lambda evidence: evidence.at_ns)


def overdue(directory: Path, now_ns: int, *, every_days: float = 7, kinds: Iterable[str] = KINDS) -> list[str]:
    """Kinds whose last passed drill is too old, or whose last drill failed, or that were never tried."""
    last = {evidence.kind: evidence for evidence in history(directory)}
    return [
        kind
        for kind in kinds
        if kind not in last or not last[kind].passed or now_ns - last[kind].at_ns > every_days * DAY_NS
    ]


def hold() -> None:
    """The victim of `crash`: the whole chain, standing until it is killed."""
    with tempfile.TemporaryDirectory() as directory:
        chain = Chain(Path(directory))
        sys.stdout.write("standing\n")
        sys.stdout.flush()
        sys.stdin.read()
        chain.close()


if __name__ == "__main__":
    hold()
