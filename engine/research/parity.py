"""Where a recorded session and a backtest of it part: order by order, by cause, and adding up to the last unit.

The recorded result is changed into the simulated one in four steps, each of which changes one thing:

    recorded   ->  decided again   the core steps the recorded inputs        decision, must be nothing
               ->  model's fees    the recorded fills at the fees of the settings       fee
               ->  same journeys   the venue's model fills, every message travels as recorded    queue (or data)
               ->  model journeys  messages travel as a backtest has it                latency

An order's amount in each step is what its fills are worth at the last price of the session, less its fees; a part is
the difference of two steps. So the parts of an order add up to its gap and the orders to that of the session, whatever
the two runs have in common. Where the recording itself had a hole in an order's life, its queue part is told as data.

Owns: reading orders off a tape, amounts, parts, alignment. Does not own: the runs (runtime/parity.py).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from engine._core.types import FEE, FEED, INTENT, ORDER, QUOTE, Flag, Kind
from engine.journal.show import is_output

Records = npt.NDArray[Any]
E8 = 10**8
PARTS = ("decision", "fee", "queue", "data", "latency")
# Two decisions of the same order, made at other moments because what was known came at another moment.
NEAR_NS = 10**9


@dataclass(frozen=True)
class Terms:
    """What the numbers of one symbol mean, and what the settings charge there."""

    name: str
    tick_e8: int
    lot_e8: int
    fee_maker_e8: int
    fee_taker_e8: int

    def amount(self, px_ticks: float, lots: float) -> float:
        return px_ticks * lots * self.tick_e8 * self.lot_e8 / E8**2


@dataclass(frozen=True)
class Fill:
    ts_ns: int
    px_ticks: int
    lots: int
    maker: bool
    fee: int  # as charged, 1e-8 of the asset that it was charged in
    in_base: bool


@dataclass
class Seen:
    """One order as a tape shows it."""

    id_order: int
    symbol: int
    sell: bool
    decided_ns: int
    px_ticks: int
    lots: int
    arrived_ns: int | None = None  # the first that the venue says of it
    ended_ns: int = 0  # the last that is heard of it
    fills: list[Fill] = field(default_factory=list)

    @property
    def filled(self) -> int:
        return sum(fill.lots for fill in self.fills)

    @property
    def px_mean(self) -> float | None:
        return sum(fill.px_ticks * fill.lots for fill in self.fills) / self.filled if self.fills else None


def _of(tape: Records, kinds: Sequence[int], dtype: np.dtype[Any]) -> Records:
    return np.ascontiguousarray(tape[np.isin(tape["kind"], [int(kind) for kind in kinds])]).view(dtype)


def orders_of(tape: Records) -> dict[int, Seen]:
    """Every order that the core placed, with what came of it."""
    out: dict[int, Seen] = {}
    for row in _of(tape, [Kind.KIND_INTENT_PLACE], INTENT):
        number = int(row["id_order"])
        out[number] = Seen(
            number, int(row["symbol"]), bool(int(row["flags"]) & Flag.FLAG_SELL), int(row["ts_recv_ns"]),
            int(row["px_ticks"]), int(row["qty_lots"]), ended_ns=int(row["ts_recv_ns"]),
        )  # fmt: skip
    fees: dict[tuple[int, int], tuple[bool, int, bool]] = {}
    for row in _of(tape, [Kind.KIND_FEE], FEE):
        fees[int(row["id_order"]), int(row["id_trade"])] = bool(row["maker"]), int(row["amount"]), bool(row["asset"])
    seen = set()
    for row in _of(tape, range(Kind.KIND_ORDER_ACK, Kind.KIND_ORDER_LOST + 1), ORDER):
        order = out.get(int(row["id_order"]))
        if order is None:
            continue
        venue_ns = int(row["ts_venue_ns"])
        order.arrived_ns = venue_ns if order.arrived_ns is None else min(order.arrived_ns, venue_ns)
        order.ended_ns = max(order.ended_ns, venue_ns)
        key = order.id_order, int(row["id_venue"])
        # An answer to a question tells a fill again.
        if row["kind"] == Kind.KIND_ORDER_FILL and key not in seen:
            seen.add(key)
            maker, paid, in_base = fees.get(key, (False, 0, False))
            order.fills.append(Fill(venue_ns, int(row["px_ticks"]), int(row["qty_lots"]), maker, paid, in_base))
    return out


def last_mids(tape: Records) -> dict[int, float]:
    """The last mid of every symbol: what is still held is worth that, in every step."""
    out: dict[int, float] = {}
    quotes = _of(tape, [Kind.KIND_QUOTE], QUOTE)
    for symbol in np.unique(quotes["symbol"]):
        last = quotes[quotes["symbol"] == symbol][-1]
        out[int(symbol)] = (int(last["bid_px_ticks"]) + int(last["ask_px_ticks"])) / 2
    return out


def holes_of(tape: Records, symbols: int) -> dict[int, list[tuple[int, int]]]:
    """Stretches in which a feed was down or a book was cleared and not yet seen again, by symbol."""
    out: dict[int, list[tuple[int, int]]] = defaultdict(list)
    open_since: dict[int, int] = {}
    marks = np.isin(tape["kind"], [int(k) for k in (Kind.KIND_FEED, Kind.KIND_BOOK_CLEAR, Kind.KIND_QUOTE)])
    if not np.any(np.isin(tape["kind"], [int(Kind.KIND_FEED), int(Kind.KIND_BOOK_CLEAR)])):
        return {}
    for row in tape[marks]:
        kind, ts_ns = int(row["kind"]), int(row["ts_recv_ns"])
        every = range(symbols) if int(row["symbol"]) >= symbols else [int(row["symbol"])]
        down = kind == Kind.KIND_BOOK_CLEAR or (
            kind == Kind.KIND_FEED and not int(np.asarray(row).reshape(1).view(FEED)["up"][0])
        )
        for symbol in every:
            if down:
                open_since.setdefault(symbol, ts_ns)
            elif kind == Kind.KIND_QUOTE and symbol in open_since:
                out[symbol].append((open_since.pop(symbol), ts_ns))
    for symbol, since in open_since.items():
        out[symbol].append((since, int(tape["ts_recv_ns"][-1])))
    return out


# ------------------------------------------------------------------------------------------------------------ amounts
def charged(terms: Terms, fill: Fill) -> float:
    """A fee in the account's asset; one that was taken from what was bought, at the price of the fill."""
    return fill.fee / E8 * (fill.px_ticks * terms.tick_e8 / E8 if fill.in_base else 1.0)


def model_fee(terms: Terms, fill: Fill) -> float:
    """What the settings charge for a fill, rounded down as a venue does, in the asset that it was charged in."""
    rate = terms.fee_maker_e8 if fill.maker else terms.fee_taker_e8
    units = fill.lots * terms.lot_e8
    base = units if fill.in_base else fill.px_ticks * terms.tick_e8 * units // E8
    return charged(terms, Fill(fill.ts_ns, fill.px_ticks, fill.lots, fill.maker, base * rate // E8, fill.in_base))


def worth(order: Seen, terms: Terms, mid: float, *, model_fees: bool = False) -> float:
    """What an order's fills are worth at the end, less its fees."""
    sign = -1 if order.sell else 1
    held = sum(sign * terms.amount(mid - fill.px_ticks, fill.lots) for fill in order.fills)
    return held - sum((model_fee if model_fees else charged)(terms, fill) for fill in order.fills)


# ---------------------------------------------------------------------------------------------------------- alignment
def align(recorded: Mapping[int, Seen], other: Mapping[int, Seen]) -> dict[int, int]:
    """Number in the recording -> number in the other run. First the same decision, then the same order near in time."""
    out: dict[int, int] = {}
    free: dict[tuple[int, ...], list[int]] = defaultdict(list)
    for number, order in other.items():
        free[order.symbol, order.sell, order.px_ticks, order.lots, order.decided_ns].append(number)
    for number, order in recorded.items():
        same = free.get((order.symbol, order.sell, order.px_ticks, order.lots, order.decided_ns))
        if same:
            out[number] = same.pop(0)
    taken = set(out.values())
    loose: dict[tuple[int, ...], list[Seen]] = defaultdict(list)
    for number, order in other.items():
        if number not in taken:
            loose[order.symbol, order.sell, order.px_ticks, order.lots].append(order)
    for number, order in recorded.items():
        near = loose.get((order.symbol, order.sell, order.px_ticks, order.lots), [])
        if number in out or not near:
            continue
        nearest = min(near, key=lambda one: (abs(one.decided_ns - order.decided_ns), one.id_order))
        if abs(nearest.decided_ns - order.decided_ns) <= NEAR_NS:
            out[number] = nearest.id_order
            near.remove(nearest)
    return out


@dataclass(frozen=True)
class Row:
    """One order of the recording or of the backtest or, where they align, of both."""

    symbol: str
    sell: bool
    lots: int
    decided_ns: int
    recorded: Seen | None
    simulated: Seen | None
    parts: dict[str, float]

    @property
    def gap(self) -> float:
        return sum(self.parts.values())


@dataclass(frozen=True)
class Parity:
    """A session held against its backtest."""

    rows: tuple[Row, ...]
    totals: dict[str, float]
    recorded: float  # what all orders earned, after fees
    simulated: float
    decisions_differing: int
    first_difference: str
    same_journeys_identical: bool  # with the recorded journeys the run was the recording, byte for byte

    @property
    def holds(self) -> bool:
        return self.decisions_differing == 0

    def count(self, *, recorded: bool, simulated: bool) -> int:
        return sum((r.recorded is not None) == recorded and (r.simulated is not None) == simulated for r in self.rows)


@dataclass(frozen=True)
class Tapes:
    """The four runs, as tapes of everything that went in and came out."""

    recorded: Records
    decided: Records
    same_journeys: Records
    model_journeys: Records


def compare(tapes: Tapes, terms: Sequence[Terms]) -> Parity:
    """Split the gap of a session, order by order."""
    recorded, decided, same, model = (
        orders_of(tape) for tape in (tapes.recorded, tapes.decided, tapes.same_journeys, tapes.model_journeys)
    )
    mids, holes = last_mids(tapes.recorded), holes_of(tapes.recorded, len(terms))
    differing, first = differences(tapes.recorded, tapes.decided)
    to_decided, to_same, to_model = (align(recorded, other) for other in (decided, same, model))

    def value(order: Seen | None, *, model_fees: bool = False) -> float:
        if order is None or not order.fills:
            return 0.0
        return worth(order, terms[order.symbol], mids.get(order.symbol, 0.0), model_fees=model_fees)

    rows = []
    for number, order in recorded.items():
        ours, theirs = same.get(to_same.get(number, -1)), model.get(to_model.get(number, -1))
        # What was sent as recorded and is not decided again is the decision's; its fills then belong to no model.
        meant = order if number in to_decided else None
        torn = any(a < order.ended_ns and order.decided_ns < b for a, b in holes.get(order.symbol, ()))
        queue = value(meant, model_fees=True) - value(ours)
        rows.append(
            _row(terms, order, theirs, order, {
                "decision": value(order) - value(meant), "fee": value(meant) - value(meant, model_fees=True),
                "queue": 0.0 if torn else queue, "data": queue if torn else 0.0, "latency": value(ours) - value(theirs),
            })
        )  # fmt: skip
    for number, order in same.items():
        if number not in set(to_same.values()):
            rows.append(_row(terms, None, None, order, {"queue": -value(order), "latency": value(order)}))
    extra = set(model) - set(to_model.values())
    rows += [_row(terms, None, model[n], model[n], {"latency": -value(model[n])}) for n in sorted(extra)]
    rows.sort(key=lambda row: row.decided_ns)
    return Parity(
        rows=tuple(rows),
        totals={part: sum(row.parts[part] for row in rows) for part in PARTS},
        recorded=sum(value(order) for order in recorded.values()),
        simulated=sum(value(order) for order in model.values()),
        decisions_differing=differing,
        first_difference=first,
        same_journeys_identical=tapes.recorded.tobytes() == tapes.same_journeys.tobytes(),
    )


def _row(
    terms: Sequence[Terms], recorded: Seen | None, simulated: Seen | None, order: Seen, parts: Mapping[str, float]
) -> Row:
    whole = {part: parts.get(part, 0.0) for part in PARTS}
    return Row(terms[order.symbol].name, order.sell, order.lots, order.decided_ns, recorded, simulated, whole)


def differences(recorded: Records, decided: Records) -> tuple[int, str]:
    """Outputs that one has and the other has not, byte for byte, and where the first one stands."""
    ours, theirs = (np.ascontiguousarray(tape[is_output(tape)]) for tape in (recorded, decided))
    if ours.tobytes() == theirs.tobytes():
        return 0, ""
    shared = min(len(ours), len(theirs))
    size = ours.dtype.itemsize
    bytes_of = (rows[:shared].view(np.uint8).reshape(-1, size) for rows in (ours, theirs))
    unlike = np.flatnonzero(np.any(np.not_equal(*bytes_of), axis=1))
    at = int(unlike[0]) if len(unlike) else shared
    rows = ours if at < len(ours) else theirs
    one, other = (sorted(part.tobytes() for part in tape) for tape in (ours, theirs))
    counts: dict[bytes, int] = defaultdict(int)
    for record in one:
        counts[record] += 1
    for record in other:
        counts[record] -= 1
    name = Kind(int(rows["kind"][at])).name.removeprefix("KIND_").lower()
    # Order counts too: the same outputs in another order are at least one difference.
    differing = max(1, sum(abs(count) for count in counts.values()))
    return differing, f"output {at:,}, {name}, at {np.datetime64(int(rows['ts_recv_ns'][at]), 'ns')}Z"
