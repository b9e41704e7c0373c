"""What a venue trades, as the core counts it: instruments with their steps and limits, assets with their units.

Owns: the rows read from a venue's own description, the numbers both sides use for them, exact conversion of the
venue's texts. Does not own: how a venue writes that description (its folder does), the world's copy of a row.
Invariants: an index never changes its meaning while the engine runs; a refresh that would move a step is refused,
because every price in the core counts in it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from engine._core import decimal
from engine.errors import Bot4Error, InstrumentRefused

E8 = 8
_MOST = 2**40  # lots: what the order table takes


@dataclass(frozen=True)
class Instrument:
    text: str
    index: int
    base: str
    quote: str
    px_step: str
    qty_step: str
    px_min_ticks: int = 1
    px_max_ticks: int = 2**40
    qty_min_lots: int = 1
    qty_max_lots: int = _MOST
    market_qty_max_lots: int = _MOST
    notional_min_e8: int = 0
    notional_max_e8: int = 0  # 0: none
    buy_up_ppm: int = 0  # percent-price, as a share of the reference price; 0: none
    buy_down_ppm: int = 0
    sell_up_ppm: int = 0
    sell_down_ppm: int = 0
    orders_max: int = 0
    algo_orders_max: int = 0
    iceberg_parts_max: int = 0
    position_max_lots: int = 0
    trading: bool = True
    linear: bool = False  # a perpetual settled in its quote asset
    order_types: frozenset[str] = frozenset()
    stp_modes: frozenset[str] = frozenset()
    fee_maker_e8: int = 0
    fee_taker_e8: int = 0
    contract_step: str = ""  # one lot as the venue counts amounts, where that is in contracts; empty: as in the base

    def row(self) -> tuple[str, int, str, str]:
        """What parsers and encoders take."""
        return self.text, self.index, self.px_step, self.qty_step

    @property
    def steps(self) -> tuple[str, str, str]:
        """What everything that is held counts in."""
        return self.px_step, self.qty_step, self.contract_step

    @property
    def tick_e8(self) -> int:
        return decimal.parse(self.px_step.encode(), E8)

    @property
    def lot_e8(self) -> int:
        return decimal.parse(self.qty_step.encode(), E8)

    def ticks(self, text: str) -> int:
        """A price as whole ticks; raises when it lies between two."""
        return decimal.parse_steps(text.encode(), self.px_step.encode())

    def lots(self, text: str) -> int:
        return decimal.parse_steps(text.encode(), self.qty_step.encode())

    def contract_lots(self, text: str) -> int:
        """An amount of a venue that counts in contracts."""
        return decimal.parse_steps(text.encode(), (self.contract_step or self.qty_step).encode())


def ticks_outward(text: str, step: str, *, up: bool) -> int:
    """The first whole step at or beyond a limit: limits of a venue need not lie on its own steps."""
    scale, size = decimal.step_of(step.encode())
    fine = max(scale, E8)
    mantissa, whole = decimal.parse(text.encode(), fine), size * 10 ** (fine - scale)
    steps: int = -(-mantissa // whole) if up else mantissa // whole
    return steps


@dataclass
class Assets:
    """Names and units of assets: `units` decimal places of each are one unit of the ledger."""

    names: list[str] = field(default_factory=list)
    scales: list[int] = field(default_factory=list)
    _index: dict[str, int] = field(default_factory=dict)

    def add(self, name: str, scale: int = E8) -> int:
        if name in self._index:
            return self._index[name]
        self._index[name] = len(self.names)
        self.names.append(name)
        self.scales.append(scale)
        return self._index[name]

    def index(self, name: str) -> int | None:
        return self._index.get(name)

    def units(self, index: int, text: str) -> int:
        """An amount in units, toward zero: venues print more places than the ledger keeps for some assets."""
        scale = self.scales[index]
        head, _, tail = text.partition(".")
        return decimal.parse_signed((f"{head}.{tail[:scale]}" if tail[:scale] else head).encode(), scale)


class Directory:
    """One venue's instruments by text and by index."""

    def __init__(self, instruments: Iterable[Instrument] = (), assets: Assets | None = None) -> None:
        self.assets = assets or Assets()
        self._by_text: dict[str, Instrument] = {}
        self._by_index: dict[int, Instrument] = {}
        for instrument in instruments:
            self.add(instrument)

    def add(self, instrument: Instrument) -> None:
        if instrument.index in self._by_index or instrument.text in self._by_text:
            raise InstrumentRefused(f"{instrument.text} or its index {instrument.index} stands twice.")
        self._check(instrument)
        self._put(instrument)
        for asset in (instrument.base, instrument.quote):
            self.assets.add(asset)

    def _put(self, instrument: Instrument) -> None:
        self._by_text[instrument.text] = instrument
        self._by_index[instrument.index] = instrument

    @staticmethod
    def _check(i: Instrument) -> None:
        try:
            steps = [decimal.step_of(step.encode()) for step in (i.px_step, i.qty_step)]
        except Bot4Error as error:
            raise InstrumentRefused(f"{i.text}: {error}") from error
        if any(scale > E8 for scale, _ in steps):
            raise InstrumentRefused(f"{i.text}: a step finer than 1e-8 ({i.px_step}, {i.qty_step}).")
        if not 0 <= i.px_min_ticks <= i.px_max_ticks or not 0 < i.qty_min_lots <= i.qty_max_lots:
            raise InstrumentRefused(f"{i.text}: price or quantity range is empty.")

    def refresh(self, described: Mapping[str, Instrument]) -> list[str]:
        """Take over limits and status as the venue states them now; the names that changed.

        An instrument that the venue no longer lists stops trading; a step that moved stops the instrument too,
        because what the core holds counts in the old one.
        """
        changed = []
        for text, old in list(self._by_text.items()):
            new = described.get(text)
            if new is None or new.steps != old.steps:
                new = replace(old, trading=False)
            new = replace(new, index=old.index, fee_maker_e8=old.fee_maker_e8, fee_taker_e8=old.fee_taker_e8)
            if new != old:
                self._check(new)
                self._put(new)
                changed.append(text)
        return changed

    def set_fees(self, text: str, maker_e8: int, taker_e8: int) -> None:
        self._put(replace(self._by_text[text], fee_maker_e8=maker_e8, fee_taker_e8=taker_e8))

    def find(self, text: str) -> Instrument | None:
        return self._by_text.get(text)

    def at(self, index: int) -> Instrument | None:
        return self._by_index.get(index)

    def rows(self) -> list[tuple[str, int, str, str]]:
        return [i.row() for i in self._by_index.values()]

    def __iter__(self) -> Iterator[Instrument]:
        return iter(list(self._by_index.values()))

    def __len__(self) -> int:
        return len(self._by_index)
