"""Twin of the encoder: format strings, integers and the standard library."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any, NoReturn

from engine._core.encode import amend_slots, cancel_all_slots, cancel_slots, place_slots, query_slots
from engine._core.types import INTENT, INTENT_TERMS, Flag, Kind, Status
from engine.errors import EncodeBadTemplate
from engine.model import decimal
from engine.model.hmac import HmacKey

__all__ = ["Encoder", "amend_slots", "cancel_all_slots", "cancel_slots", "place_slots", "query_slots"]

FIELDS = "bcdgiopqstxDPS"
POST_ONLY, REDUCE_ONLY = 1, 2
TYPES, TIFS, IOC, FOK, GTX = 8, 5, 1, 2, 3


class _Refused(Exception):  # noqa: N818
    def __init__(self, status: Status) -> None:
        self.status = status


def _cut(text: str) -> list[str]:
    """Literals at the even places, fields at the odd ones."""
    parts = re.split(r"%(.)", text.replace("%%", "\0"))
    if "%" in "".join(parts) or any(field not in FIELDS for field in parts[1::2]):
        raise EncodeBadTemplate(text)
    return [part.replace("\0", "%") for part in parts]


def _steps(steps: int, step: tuple[int, int]) -> str:
    scale, size = step
    if steps <= 0 or steps * size > 2**63 - 1:
        raise _Refused(Status.ENCODE_BAD_TERMS)
    return decimal.to_text(steps * size, scale).decode()


def _share(trail: int, trigger: int, units: int) -> int:
    if trail <= 0 or not 0 < trigger < 2**60 or 2 * units * trail >= 2**62:
        raise _Refused(Status.ENCODE_BAD_TERMS)
    share = (2 * units * trail + trigger) // (2 * trigger)
    if not 1 <= share < units:
        raise _Refused(Status.ENCODE_BAD_TERMS)
    return share


class Encoder:
    def __init__(
        self,
        symbols: Iterable[tuple[str, int, str, str]],
        templates: Iterable[tuple[Iterable[int], str, str]],
        *,
        secret: bytes | bytearray | None = None,
    ) -> None:
        self._symbols = {
            index: (text, decimal.step_of(px.encode()), decimal.step_of(qty.encode()))
            for text, index, px, qty in symbols
        }
        self._key = None if secret is None else HmacKey(bytes(secret))
        self._slots: dict[int, tuple[list[str], list[str]]] = {}
        for slots, message, payload in templates:
            m, p = _cut(message), _cut(payload) if payload else []
            fields, inner = m[1::2], p[1::2]
            if fields.count("s") > 1 or fields.count("P") > 1 or set(inner) & {"s", "P"}:
                raise EncodeBadTemplate(message)
            if ("s" in fields) != bool(p) or ("P" in fields and not p) or (p and self._key is None):
                raise EncodeBadTemplate(message)
            for slot in slots:
                if not 0 <= slot < 114 or slot in self._slots:
                    raise EncodeBadTemplate(f"slot {slot}")
                self._slots[slot] = m, p
        if not self._slots:
            raise EncodeBadTemplate
        self.counts = (0, 0)

    def __reduce__(self) -> NoReturn:
        raise TypeError("an encoder holds a key and is not copied")

    @staticmethod
    def _slot(i: dict[str, int]) -> tuple[int, str]:
        kind, tif, flags = (i["terms"] >> shift & 0xFF for shift in (16, 24, 32))
        if kind >= TYPES or tif >= TIFS:
            raise _Refused(Status.ENCODE_BAD_TERMS)
        if i["kind"] == Kind.KIND_INTENT_PLACE:
            if flags & POST_ONLY:
                if tif in (IOC, FOK):
                    raise _Refused(Status.ENCODE_BAD_TERMS)
                tif = tif or GTX
            return place_slots([kind], [tif], reduce=[bool(flags & REDUCE_ONLY)])[0], "p"
        if i["kind"] == Kind.KIND_INTENT_CANCEL:
            return cancel_slots([kind])[0], "c"
        if i["kind"] == Kind.KIND_INTENT_QUERY:
            return query_slots([kind])[0], "q"
        if i["kind"] == Kind.KIND_INTENT_AMEND:
            return amend_slots([kind], token=bool(i["token"]))[0], "a" if i["token"] else "k"
        if i["kind"] == Kind.KIND_INTENT_CANCEL_ALL:
            return cancel_all_slots(every=i["symbol"] == 0xFFFF)[0], "x"
        raise _Refused(Status.ENCODE_BAD_TERMS)

    def _values(self, i: dict[str, int], t: dict[str, int], operation: str, now_ns: int) -> dict[str, Any]:
        """What each field would be; only those that a template names are asked for."""
        text, px, qty = self._symbols.get(i["symbol"], ("", (0, 1), (0, 1)))
        order = f"{i['id_order'] & 2**64 - 1:016x}"
        side = "SELL" if i["flags"] & Flag.FLAG_SELL else "BUY"

        def expire() -> str:
            if t["expire_ns"] <= 0:
                raise _Refused(Status.ENCODE_BAD_TERMS)
            return str(t["expire_ns"] // 10**6)

        def percent() -> str:
            share = _share(t["trail_ticks"], t["trigger_px_ticks"], 1000)
            return f"{share // 10}.{share % 10}"

        return {
            "b": lambda: str(_share(t["trail_ticks"], t["trigger_px_ticks"], 10_000)),
            "c": percent,
            "d": lambda: _steps(t["display_lots"], qty),
            "g": lambda: _steps(t["trigger_px_ticks"], px),
            "i": lambda: f"{operation}{side[0].lower()}{order}{i['symbol']:04x}",
            "o": lambda: order,
            "p": lambda: _steps(i["px_ticks"], px),
            "q": lambda: _steps(i["qty_lots"], qty),
            "t": lambda: str(now_ns // 10**6),
            "x": expire,
            "D": lambda: side,
            "S": lambda: text,
        }

    @staticmethod
    def _fill(parts: Sequence[str], values: dict[str, Any]) -> str:
        return "".join(part if at % 2 == 0 else values[part]() for at, part in enumerate(parts))

    def _encode(self, i: dict[str, int], terms: Any, now_ns: int) -> bytes:
        if i["kind"] == Kind.KIND_INTENT_PLACE and not i["token"]:
            raise _Refused(Status.ENCODE_NO_TOKEN)
        slot, operation = self._slot(i)
        if now_ns <= 0:
            raise _Refused(Status.ENCODE_BAD_TERMS)
        if slot not in self._slots:
            shrink_only = operation == "k" and slot + 1 in self._slots
            raise _Refused(Status.ENCODE_NO_TOKEN if shrink_only else Status.ENCODE_BAD_TERMS)
        if i["symbol"] not in self._symbols and slot != cancel_all_slots(every=True)[0]:
            raise _Refused(Status.WORLD_UNKNOWN_SYMBOL)
        t = dict.fromkeys(("trigger_px_ticks", "trail_ticks", "display_lots", "expire_ns"), 0)
        if i["flags"] & Flag.FLAG_FIRST:
            if terms is None:
                raise _Refused(Status.ENCODE_BAD_TERMS)
            t = _record(terms, INTENT_TERMS)
            if t["kind"] != Kind.KIND_INTENT_TERMS or t["id_order"] != i["id_order"]:
                raise _Refused(Status.ENCODE_BAD_TERMS)
        message, payload = self._slots[slot]
        values = self._values(i, t, operation, now_ns)
        if payload and self._key is not None:
            signed = self._fill(payload, values)
            values |= {"P": lambda: signed, "s": self._key.sign(signed.encode()).hex}
        return self._fill(message, values).encode()

    def encode(self, intent: Any, now_ns: int, terms: Any = None) -> tuple[Status, bytes]:
        done, refused = self.counts
        try:
            out = self._encode(_record(intent, INTENT), terms, now_ns)
        except _Refused as why:
            self.counts = done, refused + 1
            return why.status, b""
        self.counts = done + 1, refused
        return Status.OK, out

    def check(self) -> None:
        for message, payload in self._slots.values():
            assert len(message) % 2 == 1
            assert not payload or len(payload) % 2 == 1


def _record(event: Any, dtype: Any) -> dict[str, int]:
    row = event.reshape(1).view(dtype)[0]
    return {name: int(row[name]) for name in dtype.names}
