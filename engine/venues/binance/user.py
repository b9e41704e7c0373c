"""The user data stream, spot and USD-M: what happened to our orders, balances and positions.

Owns: the meaning of each event, the memory of what was seen on an overlapping connection. Does not own: sockets, order
states (the core), REST. A frame is decoded once and gives records in the order in which they must be applied: a fill,
then its fee.

What cannot be read is counted and makes `needs_tally` true: a fill may have been in it, and the driver asks the venue
for its trades. Orders that are not ours (another program, a liquidation) leave a note, never a report.
"""

from __future__ import annotations

import struct
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import msgspec
import numpy.typing as npt

from engine._core import decimal
from engine._core.types import Kind
from engine.errors import Bot4Error
from engine.venues.binance.ids import is_half_of_replacement, order_of
from engine.venues.directory import E8, Directory, Instrument
from engine.venues.records import Records

MS = 1_000_000
DECODE = msgspec.json.Decoder().decode
# What a wrong message can raise on its way through: a missing key, a wrong type, a number with 40 digits.
BAD_MESSAGE = (
    KeyError,
    TypeError,
    ValueError,
    AttributeError,
    OverflowError,
    struct.error,
    Bot4Error,
    msgspec.MsgspecError,
)


class NoteKind(IntEnum):
    FOREIGN_ORDER = 1  # a report about an order that is not ours
    FORCED = 2  # the venue's own: liquidation or deleveraging
    FUNDING = 3  # a payment was booked: the income history names its symbol and number
    STREAM_ENDED = 4  # the subscription is over, whatever the socket says
    MARGIN_CALL = 5
    LIST = 6  # an order list changed its state
    TRANSFER = 7  # money came or went
    SETTINGS = 8  # leverage or margin mode changed
    SHUTDOWN = 9  # the venue will close this connection soon
    HEDGE_MODE = 10  # positions by side: one-way mode is what the core counts in


@dataclass(frozen=True)
class Note:
    kind: NoteKind
    detail: Mapping[str, Any]


class UserStream:
    """One account's stream. Feed it frames, or events already taken out of their frame."""

    def __init__(self, directory: Directory, *, seen_kept: int = 4096) -> None:
        self.directory = directory
        self.records = Records()
        self.notes: list[Note] = []
        self.needs_tally = False
        self.frame_count = 0
        self.refused_count = 0
        self.repeat_count = 0
        self.ignored_count = 0
        self._seen: set[tuple[Any, ...]] = set()
        self._seen_order: deque[tuple[Any, ...]] = deque(maxlen=seen_kept)
        self._children: dict[int, int] = {}  # USD-M: the order that a conditional one became
        self._handlers = {
            "executionReport": self._execution_report,
            "outboundAccountPosition": self._account_position,
            "balanceUpdate": self._balance_update,
            "externalLockUpdate": self._balance_update,
            "listStatus": self._list_status,
            "eventStreamTerminated": self._ended,
            "listenKeyExpired": self._ended,
            "serverShutdown": self._shutdown,
            "ORDER_TRADE_UPDATE": self._order_trade_update,
            "ALGO_UPDATE": self._algo_update,
            "ACCOUNT_UPDATE": self._account_update,
            "ACCOUNT_CONFIG_UPDATE": self._settings,
            "MARGIN_CALL": self._margin_call,
        }

    def on_frame(self, frame: bytes | memoryview, ts_recv_ns: int) -> npt.NDArray[Any]:
        """The records of one frame; empty when it says nothing to the core."""
        try:
            message = DECODE(frame)
        except msgspec.MsgspecError:
            return self._refuse()
        return self.on_message(message, ts_recv_ns)

    def on_message(self, message: Any, ts_recv_ns: int) -> npt.NDArray[Any]:
        self.frame_count += 1
        event = message
        if isinstance(message, dict):
            # Wrapped by the WebSocket API ("event") or by a combined stream ("data"); bare on a raw listen key.
            event = message.get("event") or message.get("data") or message
        if not isinstance(event, dict) or not isinstance(event.get("e"), str):
            return self._refuse()
        handler = self._handlers.get(event["e"])
        if handler is None:
            self.ignored_count += 1
            return self.records.take()
        try:
            handler(event, ts_recv_ns)
        except BAD_MESSAGE:
            self.records.discard()
            return self._refuse()
        return self.records.take()

    def take_notes(self) -> list[Note]:
        notes, self.notes = self.notes, []
        return notes

    def _refuse(self) -> npt.NDArray[Any]:
        self.refused_count += 1
        self.needs_tally = True
        return self.records.take()

    def _note(self, kind: NoteKind, event: Mapping[str, Any]) -> None:
        self.notes.append(Note(kind, event))

    def _is_repeat(self, key: tuple[Any, ...]) -> bool:
        """Whether this was said already: on the other connection of a roll-over, or twice on one."""
        if key in self._seen:
            self.repeat_count += 1
            return True
        if len(self._seen_order) == self._seen_order.maxlen:
            self._seen.discard(self._seen_order[0])
        self._seen_order.append(key)
        self._seen.add(key)
        return False

    # ------------------------------------------------------------------------------------------------------- orders
    def _execution_report(self, e: Mapping[str, Any], ts_recv_ns: int) -> None:
        instrument = self.directory.find(e["s"])
        if instrument is None:
            self.ignored_count += 1
            return
        canceled = e["x"] == "CANCELED"
        # On a cancel `c` is the cancel's own id and `C` the order's; elsewhere `C` is empty.
        mine = e["C"] if canceled and e.get("C") else e["c"]
        id_order = order_of(mine)
        if id_order is None:
            self._note(NoteKind.FOREIGN_ORDER, e)
            return
        if canceled and is_half_of_replacement(e["c"]):
            # The answer to the replacement tells how it ended; a cancel alone would end the order in the core.
            self.ignored_count += 1
            return
        if self._is_repeat((e["s"], e["i"], e.get("I"), e["x"], e["X"], e["t"], e["z"])):
            return
        prevented = e.get("A", "0") if e["x"] == "TRADE_PREVENTION" else None
        self._report(e, instrument, id_order, ts_recv_ns, ts_ms=e["T"], prevented=prevented)

    def _report(
        self, o: Mapping[str, Any], instrument: Instrument, id_order: int, ts_recv_ns: int, *, ts_ms: int,
        prevented: str | None = None,
    ) -> None:  # fmt: skip
        """One order report out of the letters that spot and USD-M share."""
        what, state = o["x"], o["X"]
        head: dict[str, Any] = {
            "symbol": instrument.index, "sell": _sell(o["S"]), "ts_venue_ns": _ns(ts_ms), "ts_recv_ns": ts_recv_ns,
            "id_order": id_order, "filled_lots": instrument.lots(o["z"]),
        }  # fmt: skip
        if what in ("TRADE", "CALCULATED"):
            self._fill(o, instrument, head)
            return
        terms: dict[str, Any] = {"px_ticks": _ticks(instrument, o["p"]), "qty_lots": instrument.lots(o["q"])}
        terms["id_venue"] = int(o["i"])
        if what == "NEW":
            self.records.order(Kind.KIND_ORDER_ACK, **head, **terms)
        elif what == "CANCELED":
            self.records.order(Kind.KIND_ORDER_CANCELED, **head, **terms)
        elif what == "REJECTED":
            self.records.order(Kind.KIND_ORDER_REJECTED, **head, **terms)
        elif what == "EXPIRED" or (what == "TRADE_PREVENTION" and state == "EXPIRED_IN_MATCH"):
            self.records.order(Kind.KIND_ORDER_EXPIRED, **head, **terms)
        elif what in ("REPLACED", "AMENDMENT"):
            self.records.order(Kind.KIND_ORDER_REPLACED, **head, **terms)
        elif what == "TRADE_PREVENTION":
            # DECREMENT: the larger order lives on, smaller by what was prevented so far.
            terms["qty_lots"] -= instrument.lots(prevented or "0")
            self.records.order(Kind.KIND_ORDER_REPLACED, **head, **terms)
        else:
            raise ValueError(what)

    def _fill(self, o: Mapping[str, Any], instrument: Instrument, head: dict[str, Any]) -> None:
        lots = instrument.lots(o["l"])
        if lots == 0:
            # A trade of nothing says only that the order stands.
            terms: dict[str, Any] = {"px_ticks": _ticks(instrument, o["p"]), "qty_lots": instrument.lots(o["q"])}
            self.records.order(Kind.KIND_ORDER_ACK, **head, **terms, id_venue=int(o["i"]))
            return
        id_trade = int(o["t"])
        self.records.order(
            Kind.KIND_ORDER_FILL, **head, px_ticks=instrument.ticks(o["L"]), qty_lots=lots, id_venue=id_trade
        )
        name, amount = o.get("N"), o.get("n")
        if name is None or amount is None:
            return
        asset = self.directory.assets.index(name)
        if asset is None:
            # The fill stands; its fee is in an asset that the ledger has no account for.
            self.needs_tally = True
            return
        self.records.fee(
            symbol=instrument.index, sell=head["sell"], ts_venue_ns=head["ts_venue_ns"], ts_recv_ns=head["ts_recv_ns"],
            id_order=head["id_order"], id_trade=id_trade, asset=asset,
            amount=self.directory.assets.units(asset, amount), maker=bool(o["m"]),
        )  # fmt: skip

    def _order_trade_update(self, e: Mapping[str, Any], ts_recv_ns: int) -> None:
        o = e["o"]
        instrument = self.directory.find(o["s"])
        if instrument is None:
            self.ignored_count += 1
            return
        id_order = self._children.get(o["i"]) or order_of(o["c"])
        if id_order is None:
            forced = isinstance(o["c"], str) and o["c"].startswith(
                ("autoclose-", "adl_autoclose", "settlement_autoclose")
            )
            self._note(NoteKind.FORCED if forced else NoteKind.FOREIGN_ORDER, o)
            return
        if self._is_repeat((o["s"], o["i"], o["x"], o["X"], o["t"], o["z"], o["T"])):
            return
        if o["i"] in self._children and o["x"] in ("NEW", "CANCELED", "EXPIRED") and o["X"] != o["x"]:
            raise ValueError(o["x"])
        self._report(o, instrument, id_order, ts_recv_ns, ts_ms=o["T"])

    def _algo_update(self, e: Mapping[str, Any], ts_recv_ns: int) -> None:
        """A conditional order of USD-M: a service of its own until it triggers, then an ordinary order."""
        o = e["o"]
        instrument, id_order = self.directory.find(o["s"]), order_of(o["caid"])
        if instrument is None or id_order is None:
            self._note(NoteKind.FOREIGN_ORDER, o)
            return
        if o.get("ai"):
            self._children[int(o["ai"])] = id_order
            while len(self._children) > 4096:
                del self._children[next(iter(self._children))]
        kinds = {
            "NEW": Kind.KIND_ORDER_ACK, "CANCELED": Kind.KIND_ORDER_CANCELED, "EXPIRED": Kind.KIND_ORDER_EXPIRED,
            "REJECTED": Kind.KIND_ORDER_REJECTED,
        }  # fmt: skip
        kind = kinds.get(o["X"])
        if kind is None or self._is_repeat((o["s"], o["aid"], o["X"])):
            # TRIGGERING, TRIGGERED, FINISHED: what the order became reports for itself.
            return
        self.records.order(
            kind, symbol=instrument.index, sell=_sell(o["S"]), ts_venue_ns=_ns(e["T"]), ts_recv_ns=ts_recv_ns,
            id_order=id_order, px_ticks=_ticks(instrument, o["p"]), qty_lots=instrument.lots(o["q"]),
            id_venue=int(o["aid"]),
        )  # fmt: skip

    # ----------------------------------------------------------------------------------------------------- the account
    def _account_position(self, e: Mapping[str, Any], ts_recv_ns: int) -> None:
        for row in e["B"]:
            asset = self.directory.assets.index(row["a"])
            if asset is not None:
                units = self.directory.assets.units
                self.records.balance(
                    ts_venue_ns=_ns(e["u"]), ts_recv_ns=ts_recv_ns, asset=asset, free=units(asset, row["f"]),
                    locked=units(asset, row["l"]), id_update=e["u"],
                )  # fmt: skip

    def _account_update(self, e: Mapping[str, Any], ts_recv_ns: int) -> None:
        account = e["a"]
        if account["m"] == "FUNDING_FEE":
            self._note(NoteKind.FUNDING, e)
        elif account["m"] in ("DEPOSIT", "WITHDRAW", "ASSET_TRANSFER", "MARGIN_TRANSFER"):
            self._note(NoteKind.TRANSFER, e)
        units = self.directory.assets.units
        for row in account.get("B", ()):
            asset = self.directory.assets.index(row["a"])
            if asset is not None:
                self.records.balance(
                    ts_venue_ns=_ns(e["T"]), ts_recv_ns=ts_recv_ns, asset=asset, free=units(asset, row["wb"]), locked=0,
                    id_update=e["E"],
                )  # fmt: skip
        for row in account.get("P", ()):
            instrument = self.directory.find(row["s"])
            if instrument is None:
                continue
            if row["ps"] != "BOTH":
                self._note(NoteKind.HEDGE_MODE, row)
                continue
            asset = self.directory.assets.index(instrument.quote)
            self.records.position(
                symbol=instrument.index, ts_venue_ns=_ns(e["T"]), ts_recv_ns=ts_recv_ns,
                lots=_signed_lots(instrument, row["pa"]), entry_px_e8=_px_e8(row["ep"]),
                margin=units(asset, row.get("iw", "0")) if asset is not None else 0, id_update=e["E"],
            )  # fmt: skip

    def _balance_update(self, e: Mapping[str, Any], ts_recv_ns: int) -> None:  # noqa: ARG002
        # The change alone; the balances themselves follow in outboundAccountPosition.
        self._note(NoteKind.TRANSFER, e)

    def _list_status(self, e: Mapping[str, Any], ts_recv_ns: int) -> None:  # noqa: ARG002
        self._note(NoteKind.LIST, e)

    def _settings(self, e: Mapping[str, Any], ts_recv_ns: int) -> None:  # noqa: ARG002
        self._note(NoteKind.SETTINGS, e)

    def _margin_call(self, e: Mapping[str, Any], ts_recv_ns: int) -> None:  # noqa: ARG002
        self._note(NoteKind.MARGIN_CALL, e)

    def _ended(self, e: Mapping[str, Any], ts_recv_ns: int) -> None:  # noqa: ARG002
        self._note(NoteKind.STREAM_ENDED, e)

    def _shutdown(self, e: Mapping[str, Any], ts_recv_ns: int) -> None:  # noqa: ARG002
        self._note(NoteKind.SHUTDOWN, e)


def _ns(ts_ms: object) -> int:
    """Milliseconds to ours. A text times a million would be a text of gigabytes, so the type is looked at first."""
    if type(ts_ms) is not int or not 0 <= ts_ms < 2**43:
        raise TypeError(f"no time: {type(ts_ms).__name__}")
    return ts_ms * MS


def _sell(side: str) -> bool:
    if side not in ("BUY", "SELL"):
        raise ValueError(side)
    return side == "SELL"


def _ticks(instrument: Instrument, text: str) -> int:
    """The price of an order; a market order has none, and a venue may print it off the tick."""
    return 0 if not text.strip("0.") else instrument.ticks(text)


def _signed_lots(instrument: Instrument, text: str) -> int:
    return -instrument.lots(text[1:]) if text.startswith("-") else instrument.lots(text)


def _px_e8(text: str) -> int:
    """An average price: the venue prints as many places as it has, the core keeps eight, rounded down."""
    head, _, tail = text.partition(".")
    return decimal.parse((f"{head}.{tail[:E8]}" if tail[:E8] else head).encode(), E8)
