"""Market data in the forms that others write it, as event records of one symbol.

    Binance vision   CSV, plain, .gz or .zip: trades, aggTrades, bookTicker, klines
    Tardis           CSV, plain or .gz, or its columns as Parquet: trades, quotes, book_ticker, incremental_book_L2
    hftbacktest      .npz or .npy of its event records: depth, snapshots, trades, best prices
    freqtrade        .feather, .json, .json.gz: candles and trades
    tables           Parquet of ticks or bars: ts or timestamp, then prices

A form is known by the names of its columns. Prices and quantities must lie on the grid that --tick and --lot say;
one that does not is refused with its row, because rounding it would be mending. A source without receive times gets
the venue's, and says so; depth without best prices gets quotes worked out from it, and says so.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import re
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from sortedcontainers import SortedDict  # type: ignore[import-untyped]

from engine._core.types import BAR_PRICES, BAR_TOTALS, EVENT, LEVEL, MARK, QUOTE, TRADE, Flag, Kind
from engine.errors import DatasetUnreadable, ExtraMissing

Records = npt.NDArray[Any]
Ints = npt.NDArray[np.int64]
Columns = dict[str, Any]
E8 = 10**8
WHOLE = int(Flag.FLAG_FIRST | Flag.FLAG_LAST)
VISION = {
    "trades": ("id", "price", "qty", "quote_qty", "time", "is_buyer_maker", "is_best_match"),
    "aggTrades": ("agg_trade_id", "price", "quantity", "first_trade_id", "last_trade_id", "transact_time",
                  "is_buyer_maker", "is_best_match"),
    "bookTicker": ("update_id", "best_bid_price", "best_bid_qty", "best_ask_price", "best_ask_qty", "transaction_time",
                   "event_time"),
    "klines": ("open_time", "open", "high", "low", "close", "volume", "close_time", "quote_volume", "count",
               "taker_buy_volume", "taker_buy_quote_volume", "ignore"),
}  # fmt: skip
# Headerless files of Binance vision are told apart by their name, then by how many columns they have.
_BY_COUNT = {6: "trades", 7: "trades", 8: "aggTrades", 12: "klines"}
_INTERVAL = re.compile(r"-(\d+)([smhdw])(?:[-.]|$)")
_SECONDS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}
# Flags and kinds of hftbacktest's event records.
HFT_LOCAL, HFT_BUY, HFT_SELL = 1 << 30, 1 << 29, 1 << 28
HFT_DEPTH, HFT_TRADE, HFT_CLEAR, HFT_SNAPSHOT, HFT_BBO = 1, 2, 3, 4, 5
HFT_FIELDS = {"ev", "exch_ts", "local_ts", "px", "qty"}


@dataclass
class Read:
    """Events of one source and what had to be supposed to get them."""

    events: Records
    form: str
    supposed: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Grid:
    """The steps of price and quantity, and the symbol that is asked for."""

    symbol: str
    tick_e8: int
    lot_e8: int

    def ticks(self, values: Any, what: str) -> Ints:
        return steps(values, self.tick_e8, f"{what}, tick")

    def lots(self, values: Any, what: str) -> Ints:
        return steps(values, self.lot_e8, f"{what}, lot")


def steps(values: Any, step_e8: int, what: str) -> Ints:
    """Whole steps of a column: of text exactly, of floats to the last digit that a float holds."""
    if len(values) and isinstance(values[0], str):
        try:
            scaled = [Decimal(value) * E8 for value in values]
        except InvalidOperation as error:
            raise DatasetUnreadable(f"a number cannot be read ({what})") from error
        for row, value in enumerate(scaled):
            if not value.is_finite() or value % step_e8:
                raise DatasetUnreadable(f"row {row + 1}: {values[row]} is no whole number of steps ({what})")
        return np.array([int(value // step_e8) for value in scaled], np.int64)
    exact = np.asarray(values, np.float64) / (step_e8 / E8)
    whole = np.rint(exact)
    # Twelve digits are good in every float that was once a decimal of fifteen.
    off = ~(np.abs(exact - whole) <= 1e-6 + 1e-12 * np.abs(exact))
    if off.any():
        row = int(np.flatnonzero(off)[0])
        raise DatasetUnreadable(f"row {row + 1}: {values[row]} is no whole number of steps ({what})")
    return whole.astype(np.int64)


def times_ns(values: Any) -> Ints:
    """Nanoseconds of stamps in seconds to nanoseconds, each by how many digits it has; of ISO text as well."""
    if len(values) and isinstance(values[0], str) and not values[0].replace(".", "", 1).isdigit():
        plain = [value.removesuffix("Z").removesuffix("+00:00") for value in values]
        try:
            return np.array(plain, "M8[ns]").astype(np.int64)
        except ValueError as error:
            raise DatasetUnreadable(f"{values[0]!r} is no time") from error
    try:
        numbers = np.array([int(value.partition(".")[0]) if isinstance(value, str) else int(value) for value in values])
    except (TypeError, ValueError) as error:
        raise DatasetUnreadable(f"a time cannot be read: {error}") from error
    scale = np.select(
        [numbers < 10**11, numbers < 10**14, numbers < 10**17], [10**9, 10**6, 10**3], default=1
    )  # fmt: skip
    return np.asarray(numbers.astype(np.int64) * scale, np.int64)


def _truths(values: Any) -> npt.NDArray[np.bool_]:
    return np.array([str(value).lower() in ("true", "1") for value in values], bool)


# ----------------------------------------------------------------------------------------------------------- builders
def _blank(count: int, dtype: np.dtype[Any], kind: Kind, venue: Ints, received: Ints) -> Records:
    out = np.zeros(count, dtype)
    out["kind"], out["flags"] = kind, WHOLE
    out["ts_venue_ns"], out["ts_recv_ns"] = venue, received
    return out


def trades(
    grid: Grid, px: Any, qty: Any, ids: Ints, sells: npt.NDArray[np.bool_], venue: Ints, received: Ints,
    *, aggregate: tuple[Ints, Ints] | None = None,
) -> Records:  # fmt: skip
    out = _blank(len(px), TRADE, Kind.KIND_TRADE if aggregate is None else Kind.KIND_AGG_TRADE, venue, received)
    out["flags"] |= np.where(sells, int(Flag.FLAG_SELL | Flag.FLAG_BUYER_MAKER), 0).astype(np.uint8)
    out["px_ticks"], out["qty_lots"], out["id_trade"] = grid.ticks(px, "price"), grid.lots(qty, "quantity"), ids
    out["id_first"], out["id_last"] = aggregate if aggregate is not None else (ids, ids)
    return out.view(EVENT)


def quotes(grid: Grid, columns: Sequence[Any], ids: Ints, venue: Ints, received: Ints) -> Records:
    """Of bid, bid quantity, ask, ask quantity."""
    out = _blank(len(columns[0]), QUOTE, Kind.KIND_QUOTE, venue, received)
    out["bid_px_ticks"], out["bid_qty_lots"] = grid.ticks(columns[0], "bid"), grid.lots(columns[1], "bid quantity")
    out["ask_px_ticks"], out["ask_qty_lots"] = grid.ticks(columns[2], "ask"), grid.lots(columns[3], "ask quantity")
    out["id_book"] = ids
    return out.view(EVENT)


def bars(grid: Grid, columns: Columns, opened: Ints, closed: Ints) -> Records:
    """Two records a bar, known when it has closed."""
    prices = _blank(len(opened), BAR_PRICES, Kind.KIND_BAR_PRICES, closed, closed)
    totals = _blank(len(opened), BAR_TOTALS, Kind.KIND_BAR_TOTALS, closed, closed)
    prices["flags"], totals["flags"] = Flag.FLAG_FIRST | Flag.FLAG_CLOSED, Flag.FLAG_LAST | Flag.FLAG_CLOSED
    for name in ("open", "high", "low", "close"):
        prices[f"{name}_ticks"] = grid.ticks(columns[name], name)
    prices["volume_lots"] = grid.lots(columns["volume"], "volume")
    totals["ts_open_ns"], totals["ts_close_ns"] = opened, closed
    if "count" in columns:
        totals["trade_count"] = np.array([int(value) for value in columns["count"]])
    if "taker_buy_volume" in columns:
        totals["taker_buy_lots"] = grid.lots(columns["taker_buy_volume"], "taker buys")
    if "quote_volume" in columns:
        totals["quote_volume_e8"] = steps(columns["quote_volume"], 1, "quote volume")
    out = np.zeros(2 * len(opened), EVENT)
    out[0::2], out[1::2] = prices.view(EVENT), totals.view(EVENT)
    return out


def depth(
    asks: npt.NDArray[np.bool_], px: Ints, lots: Ints, image: npt.NDArray[np.bool_], venue: Ints, received: Ints
) -> Records:
    """Rows of one time and one sort are one message; messages are numbered, because the source does not."""
    out = _blank(len(px), LEVEL, Kind.KIND_BOOK_LEVEL, venue, received)
    fresh = np.ones(len(px), bool)
    fresh[1:] = (np.diff(venue) != 0) | (np.diff(received) != 0) | (image[1:] != image[:-1])
    last = np.roll(fresh, -1)
    number = np.cumsum(fresh)
    out["flags"] = (
        np.where(fresh, int(Flag.FLAG_FIRST), 0) | np.where(last, int(Flag.FLAG_LAST), 0)
        | np.where(asks, int(Flag.FLAG_ASK), 0) | np.where(image, int(Flag.FLAG_SNAPSHOT), 0)
    )  # fmt: skip
    out["px_ticks"], out["qty_lots"] = px, lots
    out["id_first"] = out["id_last"] = number
    out["id_prev"] = number - 1
    return out.view(EVENT)


def with_quotes(events: Records) -> Records:
    """The events with a quote behind every depth message that moved the best prices."""
    bids: Any = SortedDict()
    asks: Any = SortedDict()
    at: list[int] = []
    made: list[tuple[int, int, int, int, int]] = []
    before: tuple[int, ...] = ()
    levels = events.view(LEVEL)
    for index in np.flatnonzero(events["kind"] == int(Kind.KIND_BOOK_LEVEL)).tolist():
        row = levels[index]
        flags, px, lots = int(row["flags"]), int(row["px_ticks"]), int(row["qty_lots"])
        if flags & Flag.FLAG_SNAPSHOT and flags & Flag.FLAG_FIRST:
            bids.clear()
            asks.clear()
        side = asks if flags & Flag.FLAG_ASK else bids
        if lots:
            side[px] = lots
        else:
            side.pop(px, None)
        if flags & Flag.FLAG_LAST and bids and asks:
            bid, ask = bids.peekitem(-1), asks.peekitem(0)
            now = (*bid, *ask)
            if now != before:
                at.append(index + 1)
                made.append((*bid, *ask, int(row["id_last"])))
                before = now
    if not made:
        return events
    rows = np.zeros(len(made), QUOTE)
    rows["kind"], rows["flags"] = Kind.KIND_QUOTE, WHOLE
    for name in ("ts_venue_ns", "ts_recv_ns"):
        rows[name] = events[name][np.array(at) - 1]
    names = ("bid_px_ticks", "bid_qty_lots", "ask_px_ticks", "ask_qty_lots", "id_book")
    for name, column in zip(names, zip(*made, strict=True), strict=True):
        rows[name] = column
    return np.asarray(np.insert(events, at, rows.view(EVENT)))


# -------------------------------------------------------------------------------------------------------------- tables
def _vision_trades(grid: Grid, c: Columns, _path: Path) -> Read:
    venue = times_ns(c["time"])
    ids = np.array([int(value) for value in c["id"]], np.int64)
    events = trades(grid, c["price"], c["qty"], ids, _truths(c["is_buyer_maker"]), venue, venue)
    return Read(events, "binance vision trades", ["received when the venue stamped it"])


def _vision_agg(grid: Grid, c: Columns, _path: Path) -> Read:
    venue = times_ns(c["transact_time"])
    ids, first, last = (
        np.array([int(v) for v in c[name]], np.int64) for name in ("agg_trade_id", "first_trade_id", "last_trade_id")
    )
    events = trades(
        grid, c["price"], c["quantity"], ids, _truths(c["is_buyer_maker"]), venue, venue, aggregate=(first, last)
    )
    return Read(events, "binance vision aggTrades", ["received when the venue stamped it"])


def _vision_ticker(grid: Grid, c: Columns, _path: Path) -> Read:
    venue = times_ns(c["transaction_time"])
    ids = np.array([int(value) for value in c["update_id"]], np.int64)
    names = ("best_bid_price", "best_bid_qty", "best_ask_price", "best_ask_qty")
    events = quotes(grid, [c[name] for name in names], ids, venue, times_ns(c["event_time"]))
    return Read(events, "binance vision bookTicker", ["received when the venue sent it"])


def _vision_klines(grid: Grid, c: Columns, _path: Path) -> Read:
    opened, closed = times_ns(c["open_time"]), times_ns(c["close_time"])
    return Read(bars(grid, c, opened, closed), "binance vision klines", ["a bar is known when it closed"])


def _tardis_times(c: Columns) -> tuple[Ints, Ints]:
    return times_ns(c["timestamp"]), times_ns(c["local_timestamp"])


def _tardis_trades(grid: Grid, c: Columns, _path: Path) -> Read:
    venue, received = _tardis_times(c)
    try:
        ids = np.array([int(value) for value in c["id"]], np.int64)
    except ValueError:
        # Some venues name their trades by text: numbered here, so that nothing looks repeated or missing.
        return Read(
            trades(grid, c["price"], c["amount"], np.arange(1, len(venue) + 1), _sells(c), venue, received),
            "tardis trades", ["trades numbered in their order"],
        )  # fmt: skip
    return Read(trades(grid, c["price"], c["amount"], ids, _sells(c), venue, received), "tardis trades")


def _sells(c: Columns) -> npt.NDArray[np.bool_]:
    return np.array([value == "sell" for value in c["side"]], bool)


def _tardis_quotes(grid: Grid, c: Columns, _path: Path) -> Read:
    venue, received = _tardis_times(c)
    # An empty side is written as nothing; here it is nothing at price nothing.
    sides = [
        ["0" if value == "" else value for value in c[name]] if len(venue) and isinstance(c[name][0], str) else c[name]
        for name in ("bid_price", "bid_amount", "ask_price", "ask_amount")
    ]
    # Without numbers of their own the core would take each for the last one again.
    numbers = np.arange(1, len(venue) + 1)
    return Read(quotes(grid, sides, numbers, venue, received), "tardis quotes", ["quotes numbered in their order"])


def _tardis_book(grid: Grid, c: Columns, _path: Path) -> Read:
    venue, received = _tardis_times(c)
    asks = np.array([value == "ask" for value in c["side"]], bool)
    px, lots = grid.ticks(c["price"], "price"), grid.lots(c["amount"], "amount")
    events = depth(asks, px, lots, _truths(c["is_snapshot"]), venue, received)
    return Read(with_quotes(events), "tardis incremental_book_L2", ["quotes worked out from the depth"])


def _candles(grid: Grid, c: Columns, path: Path) -> Read:
    opened = times_ns(c["ts"] if "ts" in c else c["date"])
    named = _INTERVAL.search(path.name)
    if named:
        length = int(named[1]) * _SECONDS[named[2]] * 10**9
        supposed = [f"bars of {named[1]}{named[2]}, by the name of the file"]
    else:
        length = interval_of(opened)
        if not length:
            raise DatasetUnreadable(f"{path}: one bar does not say how long it is")
        supposed = [f"bars of {length // 10**9} s, the commonest distance"]
    return Read(bars(grid, c, opened, opened + length), "candles", [*supposed, "a bar is known when it closed"])


def _ticks(grid: Grid, c: Columns, _path: Path) -> Read:
    venue, supposed = times_ns(c["timestamp"]), ["received when the venue stamped it"]
    count = len(venue)
    sells = _sells(c) if "side" in c else np.zeros(count, bool)
    if "side" not in c:
        supposed.append("no side given: every trade a purchase")
    try:
        ids = np.array([int(value) for value in c["id"]], np.int64)
    except (KeyError, TypeError, ValueError):
        ids = np.arange(1, count + 1)
        supposed.append("trades numbered in their order")
    return Read(trades(grid, c["price"], c["amount"], ids, sells, venue, venue), "trades", supposed)


# The first whose columns are all there.
FUNDING_TOLD_NS = 10**9


def _funding(_grid: Grid, c: Columns, _path: Path) -> Read:
    """Funding that was exchanged, as the marks that told it: the time to the minute, without the venue's jitter."""
    due = (times_ns(c["ts"]) + 30 * 10**9) // (60 * 10**9) * (60 * 10**9)
    out = _blank(len(due), MARK, Kind.KIND_MARK, due - FUNDING_TOLD_NS, due - FUNDING_TOLD_NS)
    out["funding_rate_e8"] = np.rint(np.asarray(c["funding_rate"], np.float64) * E8).astype(np.int64)
    out["mark_px_e8"] = np.rint(np.asarray(c["mark_open"], np.float64) * E8).astype(np.int64)
    out["ts_funding_ns"] = due
    return Read(out.view(EVENT), "funding rates", ["a rate is known one second before it is exchanged"])


_FORMS: tuple[tuple[frozenset[str], Callable[[Grid, Columns, Path], Read]], ...] = (
    (frozenset(VISION["trades"][:6]), _vision_trades),
    (frozenset(VISION["aggTrades"][:7]), _vision_agg),
    (frozenset(VISION["bookTicker"]), _vision_ticker),
    (frozenset(VISION["klines"][:11]), _vision_klines),
    (frozenset({"timestamp", "local_timestamp", "is_snapshot", "side", "price", "amount"}), _tardis_book),
    (frozenset({"timestamp", "local_timestamp", "id", "side", "price", "amount"}), _tardis_trades),
    (frozenset({"timestamp", "local_timestamp", "ask_amount", "ask_price", "bid_price", "bid_amount"}), _tardis_quotes),
    (frozenset({"ts", "open", "high", "low", "close", "volume"}), _candles),
    (frozenset({"date", "open", "high", "low", "close", "volume"}), _candles),
    (frozenset({"timestamp", "price", "amount"}), _ticks),
    (frozenset({"ts", "funding_rate", "mark_open"}), _funding),
)


def read_table(grid: Grid, columns: Columns, path: Path) -> Read:
    for names, reader in _FORMS:
        if names <= set(columns):
            return reader(grid, _of_symbol(grid, columns, path), path)
    raise DatasetUnreadable(f"{path}: no known form has the columns {', '.join(columns)}")


def _of_symbol(grid: Grid, columns: Columns, path: Path) -> Columns:
    if "symbol" not in columns:
        return columns
    mine = np.array([value == grid.symbol for value in columns["symbol"]], bool)
    if not mine.any():
        known = sorted(set(columns["symbol"]))[:8]
        raise DatasetUnreadable(f"{path}: no row of {grid.symbol}; it has {', '.join(map(str, known))}")
    if mine.all():
        return columns
    picked = np.flatnonzero(mine)
    return {
        name: values[mine] if isinstance(values, np.ndarray) else [values[at] for at in picked]
        for name, values in columns.items()
    }


# --------------------------------------------------------------------------------------------------------------- files
def _texts(path: Path) -> Iterator[tuple[str, io.TextIOBase]]:
    """The text of a file, or of every CSV in a zip, each with its name."""
    if path.suffix == ".zip":
        with zipfile.ZipFile(path) as archive:
            for name in sorted(archive.namelist()):
                if name.endswith(".csv"):
                    with archive.open(name) as member:
                        yield name, io.TextIOWrapper(member, "utf-8", newline="")
        return
    opener: Callable[..., Any] = gzip.open if path.suffix == ".gz" else open
    with opener(path, "rt", encoding="utf-8", newline="") as text:
        yield path.name, text


def _csv(path: Path) -> Columns:
    columns: dict[str, list[str]] = {}
    for name, text in _texts(path):
        rows = csv.reader(text)
        head = next(rows, None)
        if head is None:
            continue
        first: list[list[str]] = []
        if head and head[0][:1].isdigit():
            kind = next((one for one in VISION if f"-{one}-" in name), _BY_COUNT.get(len(head)))
            if kind is None or len(head) > len(VISION[kind]):
                raise DatasetUnreadable(f"{path}: {len(head)} columns without names")
            first, head = [head], list(VISION[kind][: len(head)])
        if columns and list(columns) != head:
            raise DatasetUnreadable(f"{path}: its parts have other columns than its first")
        columns = columns or {column: [] for column in head}
        into = list(columns.values())
        for number, row in enumerate((*first, *rows), 1):
            if len(row) != len(head):
                raise DatasetUnreadable(f"{path}, {name}, row {number}: {len(row)} fields in place of {len(head)}")
            for values, value in zip(into, row, strict=True):
                values.append(value)
    if not columns:
        raise DatasetUnreadable(f"{path}: empty")
    return dict(columns)


def arrow() -> tuple[Any, Any, Any]:
    """pyarrow with its Parquet and Feather, or a plain word on how to get them."""
    try:
        import pyarrow as pa  # noqa: PLC0415  (an extra: the engine runs without it)
        import pyarrow.feather as pf  # noqa: PLC0415
        import pyarrow.parquet as pq  # noqa: PLC0415
    except ImportError as error:
        raise ExtraMissing("Parquet and Feather: pip install 'bot4[parquet]'.") from error
    return pa, pq, pf


def _arrow_table(path: Path) -> Columns:
    pa, pq, pf = arrow()
    try:
        table = pq.read_table(path) if path.suffix == ".parquet" else pf.read_table(path)
    except (OSError, pa.ArrowInvalid) as error:
        raise DatasetUnreadable(f"{path}: {error}") from error
    out: Columns = {}
    for name in table.column_names:
        column = table.column(name)
        if pa.types.is_timestamp(column.type):
            column = column.cast(pa.timestamp("ns", column.type.tz)).cast(pa.int64())
        out[name] = column.to_numpy() if pa.types.is_primitive(column.type) else column.to_pylist()
    return out


def _freqtrade_json(path: Path) -> Columns:
    opener: Callable[..., Any] = gzip.open if path.suffix == ".gz" else open
    with opener(path, "rt", encoding="utf-8") as text:
        rows = json.load(text, parse_float=str)
    if not isinstance(rows, list) or not rows or not isinstance(rows[0], list):
        raise DatasetUnreadable(f"{path}: no list of candles or trades")
    names = {6: ("date", "open", "high", "low", "close", "volume"),
             7: ("timestamp", "id", "type", "side", "price", "amount", "cost")}.get(len(rows[0]))  # fmt: skip
    if names is None or any(len(row) != len(names) for row in rows):
        raise DatasetUnreadable(f"{path}: rows of {len(rows[0])} fields are neither candles (6) nor trades (7)")
    return {name: [value if isinstance(value, int) and at == 0 else str(value) for value in column]
            for at, (name, column) in enumerate(zip(names, zip(*rows, strict=True), strict=True))}  # fmt: skip


def is_hftbacktest(array: Any) -> bool:
    return array.dtype.names is not None and set(array.dtype.names) >= HFT_FIELDS


def read_hftbacktest(grid: Grid, rows: Records) -> Read:
    """Rows that reach a local observer, in the order they stand."""
    rows = rows[(rows["ev"] & HFT_LOCAL) != 0]
    kind = rows["ev"] & 0xFF
    known = np.isin(kind, (HFT_DEPTH, HFT_TRADE, HFT_CLEAR, HFT_SNAPSHOT, HFT_BBO))
    if not known.all():
        raise DatasetUnreadable(f"event kind {int(kind[~known][0])}: order-by-order data is not read")
    venue, received = rows["exch_ts"].astype(np.int64), rows["local_ts"].astype(np.int64)
    sells = (rows["ev"] & HFT_SELL) != 0
    out = np.zeros(len(rows), EVENT)
    level, trade = np.isin(kind, (HFT_DEPTH, HFT_SNAPSHOT)), kind == HFT_TRADE
    at = np.flatnonzero(level)
    px, lots = grid.ticks(rows["px"][at], "price"), grid.lots(rows["qty"][at], "quantity")
    out[at] = depth(sells[at], px, lots, kind[at] == HFT_SNAPSHOT, venue[at], received[at])
    at = np.flatnonzero(trade)
    ids = np.arange(1, len(at) + 1)
    out[at] = trades(grid, rows["px"][at], rows["qty"][at], ids, sells[at], venue[at], received[at])
    # A clearing is part of the image behind it; best prices are worked out from the depth.
    return Read(
        with_quotes(np.ascontiguousarray(out[level | trade])), "hftbacktest",
        ["trades numbered in their order", "quotes worked out from the depth"],
    )  # fmt: skip


def reads(path: Path) -> bool:
    """Whether a file's name is one of these forms."""
    return bool(re.search(r"\.(csv|csv\.gz|zip|parquet|feather|json|json\.gz)$", path.name))


def read(path: Path, grid: Grid) -> Read:
    try:
        if path.suffix in (".parquet", ".feather"):
            return read_table(grid, _arrow_table(path), path)
        if ".json" in path.suffixes:
            return read_table(grid, _freqtrade_json(path), path)
        return read_table(grid, _csv(path), path)
    except (OSError, EOFError, ValueError, zipfile.BadZipFile) as error:
        if isinstance(error, DatasetUnreadable | ExtraMissing):
            raise
        raise DatasetUnreadable(f"{path}: {error}") from error


def interval_of(bars_opened: Ints) -> int:
    """The commonest distance of bars, 0 of fewer than two."""
    apart = np.diff(np.unique(bars_opened))
    if not len(apart):
        return 0
    values, count = np.unique(apart, return_counts=True)
    return int(values[np.argmax(count)])
