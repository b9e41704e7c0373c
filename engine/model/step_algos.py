"""Twin of the step's sliced parents: begun by a wish, cut by the clock and the touch, told how their children fared."""

from __future__ import annotations

from typing import Any

from engine._core.algos import AlgoState
from engine._core.order_table import OrderState as State
from engine._core.orders import OrderTif
from engine._core.strategy_abi import WishFlag, WishType
from engine._core.types import Can, Kind
from engine.errors import AlgoBadConfig, AlgoTableFull
from engine.model import algos
from engine.model.algos import LIVE, Parent
from engine.model.step_gate import EVERY, SECOND, Asked
from engine.model.step_orders import OrderSide

TAG_ALGO = 0x4000
KINDS = {
    WishType.TYPE_TWAP: algos.TWAP, WishType.TYPE_VWAP: algos.VWAP, WishType.TYPE_POV: algos.POV,
    WishType.TYPE_ICEBERG: algos.ICEBERG,
}  # fmt: skip


class AlgoSide(OrderSide):
    def _parent(self, id_algo: int) -> Parent | None:
        return self.algos.parents.get(id_algo) if self.algos else None

    def _say_algo(self, id_algo: int, before: int) -> None:
        parent = self._parent(id_algo)
        assert parent is not None
        want = parent.want
        if parent.state != before:
            self.out.append((Kind.KIND_ALGO, want["symbol"], bool(want["sell"]), id_algo, int(parent.state),
                             parent.filled, want["qty_lots"], want["strategy"]))  # fmt: skip

    # -------------------------------------------------------------------------------------------------------- starting
    def _sliced(self, wish: dict[str, int]) -> bool:
        """A parent of the core's: by its type, or an iceberg where the venue has none."""
        if wish["type"] == WishType.TYPE_ICEBERG:
            return not self.can & Can.CAN_ICEBERG
        return wish["type"] in KINDS

    def _terms_of_parent(self, strategy: int, symbol: int, sell: bool, wish: dict[str, int], share_ppm: int,
                         profile: tuple[int, ...]) -> dict[str, Any] | None:  # fmt: skip
        """As many equal slices as the largest child needs; None when there is no such schedule."""
        least = max(self.lots_range["qty_min_lots"], 1)
        post = wish["tif"] == OrderTif.TIF_GTX or wish["flags"] & WishFlag.WISH_POST_ONLY
        want = {
            "kind": KINDS[WishType(wish["type"])], "symbol": symbol, "strategy": strategy, "sell": int(sell),
            "qty_lots": wish["qty_lots"], "limit_px_ticks": wish["px_ticks"], "start_ns": self.now,
            "slice_min_lots": least, "slice_max_lots": max(wish["display_lots"], least),
        }  # fmt: skip
        if wish["type"] == WishType.TYPE_ICEBERG:
            return want | {"slice_ns": SECOND, "style": algos.REST, "end_policy": algos.SHORT}
        slices, span = -(-wish["qty_lots"] // wish["display_lots"]), wish["expire_ns"] - self.now
        if span < slices or not 0 <= share_ppm <= 10**6:
            return None
        return want | {
            "end_ns": wish["expire_ns"], "slice_ns": span // slices, "cap_e8": share_ppm * 100,
            "catch_up": algos.SPREAD, "style": algos.TAKE if wish["tif"] == OrderTif.TIF_IOC else algos.REST,
            "end_policy": algos.SHORT if post else algos.SWEEP,
            "weights": profile if wish["type"] == WishType.TYPE_VWAP else (),
        }  # fmt: skip

    def _start_algo(self, strategy: int, symbol: int, sell: bool, wish: dict[str, int], *, share_ppm: int,
                    profile: tuple[int, ...]) -> tuple[int, int]:  # fmt: skip
        """Its id, or 0 with the status of why not."""
        assert self.algos is not None
        want = self._terms_of_parent(strategy, symbol, sell, wish, share_ppm, profile)
        if want is None:
            return 0, int(AlgoBadConfig.status)
        try:
            id_algo = self.algos.start(**want)
        except (AlgoBadConfig, AlgoTableFull) as error:
            return 0, int(error.status)
        post = WishFlag.WISH_POST_ONLY if wish["tif"] == OrderTif.TIF_GTX else 0
        self.carried[id_algo] = wish["stop_px_ticks"], wish["flags"] | post
        self._say_algo(id_algo, 0)
        return id_algo, 0

    def _algo_looks_like(self, parent: Parent, wish: dict[str, int]) -> bool:
        want = parent.want
        if (want["kind"], want["qty_lots"], want["limit_px_ticks"]) != (
            KINDS.get(WishType(wish["type"])), wish["qty_lots"], wish["px_ticks"],
        ):  # fmt: skip
            return False
        if want["kind"] == algos.ICEBERG:
            shown = max(wish["display_lots"], want["slice_min_lots"])
            return parent.state in LIVE and want["slice_max_lots"] == shown
        return want["end_ns"] == wish["expire_ns"]

    def _forget_algo(self, id_algo: int) -> None:
        assert self.algos is not None
        self.algos.release(id_algo)
        del self.carried[id_algo]

    # -------------------------------------------------------------------------------------------------------- children
    def _child(self, id_algo: int, parent: Parent) -> Any:
        want = parent.want
        found = self.orders.find_key(strategy=want["strategy"], symbol=want["symbol"], sell=bool(want["sell"]),
                                     tag=TAG_ALGO | id_algo & 0xFFFF)  # fmt: skip
        o = self.orders.records.get(found)
        return o if o is not None and o.terms["leg"] == parent.child else None

    def _work(self, id_algo: int) -> None:
        assert self.algos is not None
        parent = self.algos.parents[id_algo]
        want, before = parent.want, parent.state
        touch = self.touch[want["symbol"]]
        bid, ask = (touch["bid"], touch["ask"]) if touch["trusted"] else (0, 0)
        for action, child, *terms in parent.time(self.now, bid, ask):
            if action == "cancel":
                o = self._child(id_algo, parent)
                if o is None:
                    self.algos.child_ended(id_algo, child)
                else:
                    self._cancel(o.id_order)
                continue
            qty, px, immediate = terms
            stop, flags = self.carried[id_algo]
            rests = OrderTif.TIF_GTX if flags & WishFlag.WISH_POST_ONLY else OrderTif.TIF_GTC
            reduces = bool(flags & WishFlag.WISH_REDUCE_ONLY)
            placed = self._put(Asked(
                want["symbol"], want["strategy"], TAG_ALGO | id_algo & 0x1FFF, bool(want["sell"]), qty, px=px,
                protect=stop, tif=int(OrderTif.TIF_IOC if immediate else rests), reduces=reduces,
                lane="reduce" if reduces else "normal", leg=child, signal=id_algo >> 16 & 0xFFFF,
            ))  # fmt: skip
            if not placed:
                self.algos.child_ended(id_algo, child)
        self._say_algo(id_algo, before)

    def _live_parents(self, symbol: int) -> list[int]:
        """In the order of their rows, of one symbol or of every one."""
        if self.algos is None:
            return []
        parents = self.algos.parents
        return [i for i in self.algos.rows if i and parents[i].state in LIVE
                and symbol in (EVERY, parents[i].want["symbol"])]  # fmt: skip

    def _work_algos(self, symbol: int) -> None:
        for id_algo in self._live_parents(symbol):
            self._work(id_algo)

    def _tell_algo(self, o: Any, filled: int) -> None:
        at = o.terms["tag"] & 0x1FFF
        if self.algos is None or at >= len(self.algos.rows):
            return
        id_algo = self.algos.rows[at]
        parent = self._parent(id_algo)
        if parent is None or parent.state not in LIVE or id_algo >> 16 & 0xFFFF != o.terms["signal"]:
            return
        before = parent.state
        if filled:
            self.algos.fill(id_algo, o.terms["leg"], filled)
        if not o.live:
            self.algos.child_ended(id_algo, o.terms["leg"])
        elif parent.cancel_asked and o.state in (State.STATE_OPEN, State.STATE_PARTIAL):
            self.algos.cancel_refused(id_algo, o.terms["leg"])
        self._say_algo(id_algo, before)

    # ----------------------------------------------------------------------------------------------------- calling off
    def _call_off(self, id_algo: int) -> None:
        """Nobody wants the parent any more: its child is taken back now, and it ends when that has ended."""
        assert self.algos is not None
        parent = self.algos.parents[id_algo]
        if parent.state not in LIVE:
            return
        before = parent.state
        self.algos.cancel(id_algo)
        self._say_algo(id_algo, before)
        if parent.state in LIVE:
            self._work(id_algo)

    def _call_off_symbol(self, symbol: int, *, entries_only: bool) -> None:
        for id_algo in self._live_parents(symbol):
            if not entries_only or not self.carried[id_algo][1] & WishFlag.WISH_REDUCE_ONLY:
                self._call_off(id_algo)


__all__ = ["TAG_ALGO", "AlgoSide", "AlgoState"]
