"""A paper session that really runs, with the faces on it: source of the picture, and what acts on a command.

The market, the core, the strategy, the gate, the venue and the tape are the engine's own; latch, modes and breakers
are the kernels. It drives itself in short pieces, as far as its owner asks, in simulated time.
"""

from __future__ import annotations

import collections
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from engine._core.breaker import Breakers
from engine._core.latch import REASONS, Latch
from engine._core.modes import Mode, Modes, Who
from engine._core.risk import Rule
from engine._core.types import DECISION, ORDER, Flag, Kind
from engine._core.types import Status as Code
from engine.errors import by_status
from engine.model.limits import Limits
from engine.observe import status as s
from engine.observe.commands import Peer
from engine.runtime.wiring import ACCOUNT, INSTRUMENT, LIMITS, PaperSession
from engine.settings.load import load
from engine.sim.market import random_walk

E8 = 10**8
FILL, DECIDED = int(Kind.KIND_ORDER_FILL), int(Kind.KIND_DECISION)
BOUNDS = tuple(2**n for n in range(8, 24))


class Session(PaperSession):
    """The thin session; keeps what the step puts out, which it hands to the venue anyway."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.outputs: list[Any] = []

    def _pump(self, events: Any) -> int:
        self.outputs.extend(events[events["kind"] == FILL])
        taken = super()._pump(events)
        made = self.core.outputs()
        self.outputs.extend(made[made["kind"] == DECIDED].copy())
        return taken


class PaperEngine:
    """Implements StatusSource and Handlers."""

    def __init__(self, directory: Path, seed: int = 7, capacity: int = 50_000) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.session = Session(directory, seed=seed, tape_capacity=capacity)
        self.latch = Latch(directory / "latch")
        self.modes = Modes(symbols=1, cooldown_ns=0)
        self.breakers = Breakers()
        self.breakers.declare("venue")
        self.limits = Limits() | LIMITS
        self.audit: list[tuple[Peer, str]] = []
        self.seed = seed
        self.loaded = load(tier="acceleration")
        self.tail: collections.deque[s.Event] = collections.deque(maxlen=1_000)
        self.refusals: collections.deque[s.WhyNot] = collections.deque(maxlen=200)
        self.numbered = 0
        self.rounds = 0
        self._switch(Mode.MODE_NORMAL)

    def _switch(self, mode: int, who: int = Who.WHO_HUMAN) -> int:
        equity = {"equity_first": 10**13, "equity_second": 10**13}
        clear = int(not self.latch.tripped)
        return self.modes.switch(mode, who, self.now_ns, latch_clear=clear, reconciled=1, **equity)

    @property
    def now_ns(self) -> int:
        return int(self.session.core.world.now_ns) or 1_700_000_000_000_000_000

    def run(self, count: int = 400) -> None:
        """One more piece of market; nothing is sent once the latch is tripped, so the market is not driven either."""
        if self.latch.tripped:
            return
        self.rounds += 1
        px = int(self.session.core.world.instruments()["bid_px_ticks"][0]) or 50_000
        self.session.run(random_walk(seed=self.seed + self.rounds, count=count, start_ns=self.now_ns + 1, px_ticks=px))
        for row in self.session.outputs:
            (self._fill if row["kind"] == FILL else self._refusal)(row)
        self.session.outputs.clear()

    def _event(self, kind: str, text: str, severity: str = "info", **more: Any) -> None:
        self.numbered += 1
        self.tail.append(
            s.Event(number=self.numbered, ts_ns=self.now_ns, kind=kind, severity=severity, text=text, **more)
        )

    def _fill(self, row: Any) -> None:
        row = np.asarray(row).reshape(1).view(ORDER)[0]
        side = "sell" if row["flags"] & Flag.FLAG_SELL else "buy"
        px, qty = self._px(row["px_ticks"]), self._qty(row["qty_lots"])
        self._event("fill", f"{side} {qty:g} at {px:.2f}", symbol="BTCUSDT", side=side, px=px, qty=qty)

    def _refusal(self, row: Any) -> None:
        row = np.asarray(row).reshape(1).view(DECISION)[0]
        reasons = tuple(r.name.removeprefix("RULE_").lower() for r in Rule if int(row["reasons"]) >> int(r) & 1)
        self.refusals.appendleft(
            s.WhyNot(
                ts_ns=int(row["ts_recv_ns"]),
                symbol="BTCUSDT",
                strategy="strategies.quoter",
                side="sell" if row["flags"] & Flag.FLAG_SELL else "buy",
                px=self._px(row["px_ticks"]),
                qty=self._qty(row["qty_lots"]),
                reasons=reasons,
                largest_qty=self._qty(row["headroom_lots"]),
            )
        )

    def _px(self, ticks: Any) -> float:
        return int(ticks) * INSTRUMENT["tick_e8"] / E8

    def _qty(self, lots: Any) -> float:
        return int(lots) * INSTRUMENT["lot_e8"] / E8

    # ------------------------------------------------------------------------------------------------ StatusSource
    def status(self) -> s.Status:
        world = self.session.core.world
        row, held = world.instruments()[0], world.positions()[0]
        unit = INSTRUMENT["tick_e8"] * INSTRUMENT["lot_e8"] // E8
        mid = int(row["bid_px_ticks"] + row["ask_px_ticks"])
        profit = (2 * int(held["cash_value"]) + int(held["lots"]) * mid * unit) / 2 / E8
        steps = self.session.step_ns
        tops, counts = steps.bucket_tops(), steps.counts().cumsum()
        buckets = tuple((b, int(counts[min(int(np.searchsorted(tops, b)), len(counts) - 1)])) for b in BOUNDS)
        quantiles = {
            f"p{n}_ns": int(steps.percentile(p)) if steps.count else None
            for n, p in ((50, 50.0), (90, 90.0), (99, 99.0), (999, 99.9))
        }
        equity = ACCOUNT["equity"] / E8 + profit
        return s.Status(
            name="paper",
            session=self.session.directory.name,
            ts_ns=self.now_ns,
            started_ns=1_700_000_000_000_000_000,
            mode=Mode(self.modes.state["mode"]).name.removeprefix("MODE_").capitalize(),
            tier=self.loaded.tier.name,
            settings_hash=self.loaded.hash,
            healthy=not self.latch.tripped,
            unhealthy=("the latch is tripped",) if self.latch.tripped else (),
            latch=s.LatchStatus(
                tripped=self.latch.tripped,
                durable=self.latch.durable,
                reasons=self.latch.reasons,
                note=self.latch.note if self.latch.tripped else "",
            ),
            account=s.AccountStatus(
                asset="USDT", equity=equity, peak=max(equity, ACCOUNT["peak"] / E8), day_base=100_000.0,
                day_profit=profit, drawdown_ppm=int(max(0.0, -profit) / 100_000 * 1e6),
            ),
            symbols=(
                s.SymbolStatus(
                    name="BTCUSDT", venue="paper", trusted=bool(row["book_trusted"]),
                    bid=self._px(row["bid_px_ticks"]), ask=self._px(row["ask_px_ticks"]),
                    last=self._px(row["last_px_ticks"]), book_age_ns=self.now_ns - int(row["book_ts_ns"]),
                    bids=((self._px(row["bid_px_ticks"]), self._qty(row["bid_qty_lots"])),),
                    asks=((self._px(row["ask_px_ticks"]), self._qty(row["ask_qty_lots"])),),
                    position=self._qty(held["lots"]), unrealised=profit, orders_open=int(world.counts["live_orders"]),
                ),
            ),
            orders=tuple(
                s.OrderStatus(
                    id=int(o["id_order"]), symbol="BTCUSDT", side="sell" if o["sell"] else "buy", state=str(o["state"]),
                    px=self._px(o["px_ticks"]), qty=self._qty(o["qty_lots"]), filled=self._qty(o["filled_lots"]),
                    age_ns=self.now_ns - int(o["ts_created_ns"]),
                )
                for o in world.live_orders()
            ),
            latency=(
                s.LatencyStatus(
                    stage="tick_to_order", count=steps.count, max_ns=steps.most if steps.count else None,
                    sum_ns=int(steps.mean * steps.count) if steps.count else 0, buckets=buckets, **quantiles,
                ),
            ),
            journal=s.JournalStatus(
                enabled=True, healthy=True, mode="group", records=self.session.tape.count,
                bytes=64 * self.session.tape.count, path=str(self.session.tape.path),
            ),
            feeds=(s.FeedStatus(name="market", venue="paper", connected=True, messages=int(world.counts["events"])),),
            breakers=tuple(
                s.BreakerStatus(name=n, state=self.breakers[n].state.name.rsplit("_", 1)[1].lower()) for n in ("venue",)
            ),
            headroom=(
                s.HeadroomStatus(rule="drawdown_ppm", limit=self.limits["drawdown_ppm"], value=0, used_ppm=0),
                s.HeadroomStatus(
                    rule="open_orders_all", unit="orders", limit=self.limits["open_orders_all"],
                    value=world.counts["live_orders"],
                    used_ppm=world.counts["live_orders"] * 10**6 // self.limits["open_orders_all"],
                ),
            ),
            strategies=(
                s.StrategyStatus(
                    name="strategies.quoter", symbol="BTCUSDT",
                    state="stopped" if world.strategies()[0]["stopped"] else "running",
                    calls=int(world.strategies()[0]["decided_count"]), intents=int(world.counts["intents"]),
                    denied=int(world.counts["denied"]),
                ),
            ),
            rings=(s.RingStatus(name="inbound", capacity=65_536),),
            counts={name: int(value) for name, value in world.counts.items()},
            safety=s.SafetyStatus(switch="simulated", dead_man="not available"),
            why=tuple(list(self.refusals)[:5]),
        )  # fmt: skip

    def events(self, after: int, most: int) -> Sequence[s.Event]:
        return [event for event in self.tail if event.number > after][:most]

    def why(self, most: int, symbol: str | None) -> Sequence[s.WhyNot]:
        return [entry for entry in self.refusals if symbol in (None, entry.symbol)][:most]

    # ---------------------------------------------------------------------------------------------------- Handlers
    def _to(self, peer: Peer, mode: int, what: str) -> str:
        self.audit.append((peer, what))
        status = self._switch(mode)
        if status != Code.OK:
            raise by_status(status)(what)
        self._event("mode", f"{what} by {peer}", "warning")
        return f"{what}: done"

    def halt(self, peer: Peer, reason: str) -> str:
        self.audit.append((peer, "halt"))
        self.latch.trip(REASONS.index("command"), 0, now_ns=self.now_ns)
        self.latch.persist()
        self._switch(Mode.MODE_EMERGENCY, Who.WHO_LATCH)
        self._event("trip", f"halted by {peer}: {reason or 'no reason given'}", "error")
        return "halted: no order leaves"

    def pause(self, peer: Peer) -> str:
        return self._to(peer, Mode.MODE_PAUSED, "pause")

    def resume(self, peer: Peer) -> str:
        return self._to(peer, Mode.MODE_NORMAL, "resume")

    def reduce(self, peer: Peer) -> str:
        return self._to(peer, Mode.MODE_REDUCED, "reduce")

    def liquidate(self, peer: Peer, aggressive: bool) -> str:
        return self._to(peer, Mode.MODE_EMERGENCY, "liquidate")

    def tighten(self, peer: Peer, limit: str, value: int) -> str:
        self.audit.append((peer, f"tighten {limit}"))
        Limits.tighten(self.limits, limit, value)
        return f"{limit} = {value}"

    def reload(self, peer: Peer) -> str:
        self.audit.append((peer, "reload"))
        return f"nothing differs, hash {load(tier='acceleration').hash[:16]}"
