"""The world's setup, and engines with one defence taken away each: what the checkers must find."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np

from engine._core.types import Kind
from engine.journal import recovery, snapshot
from engine.journal.breaks import Tolerances
from engine.journal.compare import feed, made
from engine.runtime.certified import make_setup
from engine.runtime.wiring import make_core
from engine.sim.world import engine as world_engine
from engine.sim.world.certify import Runner
from engine.sim.world.engine import Engine
from engine.sim.world.faults import Rates
from engine.sim.world.wire import FILL, PLACE, SELL, record

SETUP = make_setup("strategies.quoter")


@cache
def _built(strategy: str) -> tuple[Any, bytes]:
    made = make_setup(strategy).make_core()
    return made, bytes(memoryview(made.world))


def core(strategy: str = SETUP.name) -> Any:
    """One core for each strategy, as it stands before its first event: building is the slow part."""
    made, image = _built(strategy)
    made.world.load(image)
    return made


def runner(engine: type[Engine] = Engine, strategy: str = SETUP.name, **rates: Any) -> Runner:
    """A runner that shares the core of its strategy."""
    shared = replace(make_setup(strategy), make_core=lambda: core(strategy))
    return Runner(shared, rates=Rates(**rates) if rates else None, engine=engine)


@cache
def _smallest() -> tuple[Any, bytes]:
    made = make_core(seed=1)
    return made, bytes(memoryview(made.world))


def smallest() -> Any:
    """The core that a journal without settings is replayed on, before its first event."""
    made, image = _smallest()
    made.world.load(image)
    return made


class SendsBeforeItRecords(Engine):
    """The intent is on the wire before it is on the tape."""

    def _record_and_send(self, outputs, death):
        self._dispatch(outputs.tobytes())
        super()._record_and_send(outputs, death)


class KeepsItsEpoch(Engine):
    """Client ids go on counting where the journal ended."""

    def revive(self, port):
        kept = recovery.set_epoch
        recovery.set_epoch = lambda world, epoch: None
        try:
            return super().revive(port)
        finally:
            recovery.set_epoch = kept


class DropsTheOutputs(Engine):
    """Inputs alone are recorded."""

    def handle(self, event, death=""):
        if death:
            return super().handle(event, death)
        self.tape.append(event)
        self.core.step(event)
        self._dispatch(made(self.core))
        self._events += 1
        if self._events % 16 == 0:
            self.turn()
        return None


class RecordsOtherwise(Engine):
    """What is recorded is not what was stepped."""

    def recorded(self, event):
        raise AssertionError("which record it is, is the mutant's to say")

    def handle(self, event, death=""):
        if death:
            return super().handle(event, death)
        self.tape.append(self.recorded(event))
        self.core.step(event)
        outputs = made(self.core)
        self.tape.append(np.frombuffer(outputs, event.dtype))
        return self._dispatch(outputs)


class RecordsAnotherTime(RecordsOtherwise):
    """The time is read again."""

    def recorded(self, event):
        other = event.copy()
        other["ts_recv_ns"] += 1
        return other


class TakesTheVenuesClockForItsOwn(RecordsOtherwise):
    """Market data is recorded with the venue's time in place of the machine's: the same, until a clock jumps."""

    def recorded(self, event):
        if event["kind"][0] not in (Kind.KIND_QUOTE, Kind.KIND_TRADE):
            return event
        other = event.copy()
        other["ts_recv_ns"] = event["ts_venue_ns"]
        return other


class SendsWithoutAJournal(Engine):
    """Nobody looks whether the journal is well."""

    def may_send(self):
        return True


class CountsEveryFill(Engine):
    """A fill that comes twice is a new one each time: the adapter numbers them itself."""

    extra = 10**9

    def on_report(self, event):
        if event["kind"][0] == FILL:
            type(self).extra += 1
            event = event.copy()
            event["word"][0, 4] = self.extra
            event["word"][0, 3] = 0
        super().on_report(event)


class NeverAsks(Engine):
    """What the venue says is looked at, and nothing is done about it."""

    def reconcile(self, port):
        self.on_report = lambda event: None
        try:
            return super().reconcile(port)
        finally:
            del self.on_report


class TakesSilenceForNo(Engine):
    """An order without an answer is called rejected, and its place is given to the next one."""

    def handle(self, event, death=""):
        super().handle(event, death)
        if event["kind"][0] == Kind.KIND_TIMER:
            for order in self.core.world.live_orders():
                if order["state"] in (4, 9) and self.now_ns - order["ts_created_ns"] > 10**9:
                    feed(self.core, self.tape, record(int(Kind.KIND_ORDER_REJECTED), int(order["id_order"]),
                                                      now_ns=self.now_ns, flags=SELL * int(order["sell"])))  # fmt: skip


class ForgetsTheLatch(Engine):
    """The latch's event does not reach the core."""

    def handle(self, event, death=""):
        if event["kind"][0] != Kind.KIND_CONTROL:
            super().handle(event, death)


class LeavesForeignOrders(Engine):
    """Open orders that nobody knows are left alone, at the start and later."""

    def sweep(self, plan, port):
        return None

    def revive(self, port):
        kept = recovery._foreign
        recovery._foreign = lambda *args: None
        try:
            return super().revive(port)
        finally:
            recovery._foreign = kept


class CallsItAbsentTooSoon(Engine):
    """A request that is still on its way counts as never arrived."""

    def __init__(self, *args, **more):
        super().__init__(*args, **more)
        self.tolerances = Tolerances(inflight_ns=0)


class TrustsEverySum(Engine):
    """Damage is not looked for: what stands on the disk is taken."""

    def revive(self, port):
        kept = recovery.open_session

        def blind(session, **more):
            found = kept(session, **more)
            found.damage = None
            return found

        recovery.open_session = blind
        try:
            return super().revive(port)
        finally:
            recovery.open_session = kept


class BooksNothingAfterACrash(Engine):
    """Recovery loads the world and calls everything that happened meanwhile known."""

    def revive(self, port):
        kept = recovery.settle
        recovery.settle = lambda *args, **more: recovery.Plan()
        try:
            return super().revive(port)
        finally:
            recovery.settle = kept


class MisnumbersItsSnapshots(Engine):
    """A snapshot says that it stands one record earlier than it does."""

    def snapshot(self):
        snapshot.write_snapshot(self.writer.session, self.core.world, record_number=max(0, self.tape.count - 1))


class SendsOtherwise(Engine):
    """What leaves is not what the core asked for."""

    def sent(self, kind, ask):
        raise AssertionError("what leaves, or None, is the mutant's to say")

    def _dispatch(self, data):
        kept = self._send

        def send(kind, ask, now_ns):
            if (other := self.sent(kind, ask)) is not None:
                kept(kind, other, now_ns)

        self._send = send
        try:
            super()._dispatch(data)
        finally:
            self._send = kept


class OverstepsItsLimit(SendsOtherwise):
    """Each order is sent a thousand times as large as the gate allowed."""

    def sent(self, kind, ask):
        return ask._replace(qty_lots=ask.qty_lots * (1000 if kind == PLACE else 1))


class HasNoClock(Engine):
    """No timer reaches the core: no deadline ever passes."""

    def handle(self, event, death=""):
        if event["kind"][0] == Kind.KIND_TIMER and not death:
            return
        super().handle(event, death)


class LosesTheUnwind(SendsOtherwise):
    """An order that only reduces is taken for a mistake and is never sent."""

    def sent(self, kind, ask):
        return None if kind == PLACE and ask.reduce_only else ask


class AsksTheVenueForItsOwnStops(Engine):
    """A stop that waits here for its price is looked for at the venue, which never heard of it."""

    def reconcile(self, port):
        return self._blind(world_engine, super().reconcile, port)

    def revive(self, port):
        return self._blind(recovery, super().revive, port)

    def _blind(self, module, act, port):
        kept = module.settle

        def all_sent(orders, *args, **more):
            orders = orders.copy()
            orders["trigger"] = 0
            return kept(orders, *args, **more)

        module.settle = all_sent
        try:
            return act(port)
        finally:
            module.settle = kept


class SendsAgainWhatWasRefused(Engine):
    """A request that was not taken for its rate (429) is repeated, and the core has heard that it is over."""

    def __init__(self, *args, **more):
        super().__init__(*args, **more)
        self._asked = {}
        kept = self._send

        def send(kind, ask, now_ns):
            if kind == PLACE:
                self._asked[ask.id_order] = ask
            kept(kind, ask, now_ns)

        self._send = send

    def on_report(self, event):
        super().on_report(event)
        if event["kind"][0] == Kind.KIND_ORDER_REJECTED and (ask := self._asked.pop(int(event["word"][0, 0]), None)):
            self._send(PLACE, ask, self.now_ns)


class GivesUpAfterARefusal(SendsOtherwise):
    """An order that closes and was refused, as all are in a halted market, is the last one that is sent."""

    gave_up = False

    def on_report(self, event):
        self.gave_up |= event["kind"][0] == Kind.KIND_ORDER_REJECTED
        super().on_report(event)

    def sent(self, kind, ask):
        return None if self.gave_up and ask.reduce_only else ask
