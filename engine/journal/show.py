"""Records as text: one line a record, every word under the name that its kind gives it."""

from __future__ import annotations

from typing import Any

import numpy as np

from engine._core import types
from engine._core.types import EVENT, Kind

_VIEWS: dict[int, Any] = {
    Kind.KIND_BOOK_LEVEL: types.LEVEL,
    Kind.KIND_QUOTE: types.QUOTE,
    Kind.KIND_TRADE: types.TRADE,
    Kind.KIND_AGG_TRADE: types.TRADE,
    Kind.KIND_BAR_PRICES: types.BAR_PRICES,
    Kind.KIND_BAR_TOTALS: types.BAR_TOTALS,
    Kind.KIND_MARK: types.MARK,
    Kind.KIND_LIQUIDATION: types.LIQUIDATION,
    Kind.KIND_FEE: types.FEE,
    Kind.KIND_FUNDING: types.FUNDING,
    Kind.KIND_BALANCE: types.BALANCE,
    Kind.KIND_POSITION: types.POSITION,
    Kind.KIND_FEED: types.FEED,
    Kind.KIND_CLOCK: types.CLOCK,
    Kind.KIND_INTENT_TERMS: types.INTENT_TERMS,
    Kind.KIND_DECISION: types.DECISION,
    Kind.KIND_INCIDENT: types.INCIDENT,
}
_VIEWS |= dict.fromkeys(range(Kind.KIND_ORDER_ACK, Kind.KIND_ORDER_LOST + 1), types.ORDER)
_VIEWS |= dict.fromkeys(range(Kind.KIND_INTENT_PLACE, Kind.KIND_INTENT_CANCEL_ALL + 1), types.INTENT)
_ORDERS = set(range(Kind.KIND_ORDER_ACK, Kind.KIND_ORDER_LOST + 1)) | set(
    range(Kind.KIND_INTENT_PLACE, Kind.KIND_INTENT_TERMS + 1)
)
_SIDED = {Kind.KIND_TRADE, Kind.KIND_AGG_TRADE, Kind.KIND_DECISION, Kind.KIND_LIQUIDATION} | _ORDERS
_HEAD = ("kind", "flags", "symbol", "seq", "ts_venue_ns", "ts_recv_ns")
SELL = 4


def kind_name(kind: int) -> str:
    """`order_fill` of 65; a number that is no kind stands as itself."""
    try:
        name = Kind(kind).name
    except ValueError:
        name = None
    return name.removeprefix("KIND_").lower() if name else f"kind_{kind}"


def kind_number(name: str) -> int:
    """The other way round: also `fill` and `place`, where one kind alone ends so."""
    wanted = name.lower().removeprefix("kind_")
    names = {kind_name(int(kind)): int(kind) for kind in Kind}
    if wanted in names:
        return names[wanted]
    ends = [number for text, number in names.items() if text.endswith("_" + wanted)]
    if len(ends) == 1:
        return ends[0]
    raise LookupError(f"{name!r} is no kind of record; one of {', '.join(sorted(names))}")


def fields(record: Any) -> dict[str, int | str]:
    """Every field of a record by name, the head first."""
    one = np.asarray(record, EVENT).reshape(1)
    kind = int(one["kind"][0])
    out: dict[str, int | str] = {"kind": kind_name(kind)}
    out |= {name: int(one[name][0]) for name in _HEAD[1:]}
    if kind in _SIDED:
        out["side"] = "sell" if out["flags"] & SELL else "buy"  # type: ignore[operator]
    view = _VIEWS.get(kind)
    if view is None:
        return out | {f"word_{i}": int(value) for i, value in enumerate(one["word"][0])}
    row = one.view(view)[0]
    return out | {name: int(row[name]) for name in view.names if name not in _HEAD and not name.startswith("reserved")}


def is_output(rows: Any) -> Any:
    """Which of an array the core made; the others are inputs."""
    return np.asarray(rows["kind"] >= int(Kind.KIND_INTENT_PLACE))


def order_id(record: Any) -> int:
    """The client order id that a record speaks of, or 0."""
    one = np.asarray(record, EVENT).reshape(1)
    kind = int(one["kind"][0])
    if kind in _ORDERS or kind == Kind.KIND_FEE:
        return int(one["word"][0, 0])
    return int(one.view(types.INCIDENT)["id_order"][0]) if kind == Kind.KIND_INCIDENT else 0


def order_ids(rows: Any) -> Any:
    """The same for a whole array."""
    kinds = rows["kind"]
    out = np.where(np.isin(kinds, sorted(_ORDERS | {int(Kind.KIND_FEE)})), rows["word"][:, 0], 0)
    return np.where(kinds == Kind.KIND_INCIDENT, rows["word"][:, 1], out)


def text(record: Any, *, number: int | None = None) -> str:
    """One line: number, time, kind, then every field that is not zero."""
    found = fields(record)
    kind = found.pop("kind")
    when = iso(int(found.pop("ts_recv_ns")))
    rest = " ".join(f"{name}={value}" for name, value in found.items() if value or name == "symbol")
    return (f"{number:>10,}  " if number is not None else "") + f"{when}  {kind:<18} {rest}"


def iso(ns: int) -> str:
    """UTC with nine places."""
    return f"{np.datetime64(ns, 'ns')}Z"


def difference(recorded: Any | None, replayed: Any | None) -> str:
    """A pair of records under each other, and the fields that differ."""
    lines = [
        f"  recorded  {text(recorded) if recorded is not None else '(nothing)'}",
        f"  replayed  {text(replayed) if replayed is not None else '(nothing)'}",
    ]
    if recorded is not None and replayed is not None:
        one, other = fields(recorded), fields(replayed)
        names = [name for name in one | other if one.get(name) != other.get(name)]
        lines.append("  differs   " + ", ".join(f"{n}: {one.get(n)} / {other.get(n)}" for n in names))
    return "\n".join(lines)
