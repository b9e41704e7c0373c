"""Twin of the ledger: dictionaries, Python integers without an end, and `Fraction` wherever something is divided.

Values are computed as exact fractions and rounded once, at the end, by the rounding that the kernel names.
"""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass, field
from enum import IntEnum
from fractions import Fraction

from engine.errors import (
    LedgerBadAmount,
    LedgerBadSetup,
    LedgerNoBase,
    LedgerOverflow,
    LedgerStaleMark,
    LedgerUnbalanced,
    LedgerUnknownAsset,
    LedgerUnknownSymbol,
    LedgerUnreconciled,
)

AMOUNT_MAX = 2**60 - 1
COST_MAX = 2**61 - 1
BALANCE_MAX = 2**62 - 1
INT64_MAX = 2**63 - 1
DAY_NS = 86_400 * 10**9
NONE = 0xFFFF


class Account(IntEnum):
    ACCOUNT_CASH = 0
    ACCOUNT_POSITION = 1
    ACCOUNT_COUNTER = 2
    ACCOUNT_REALISED = 3
    ACCOUNT_FEES = 4
    ACCOUNT_FUNDING = 5
    ACCOUNT_CAPITAL = 6
    ACCOUNT_ADJUSTMENT = 7


CASH, POSITION, COUNTER, REALISED, FEES, FUNDING, CAPITAL, ADJUSTMENT = Account


class Base(IntEnum):
    BASE_SESSION = 0
    BASE_DAY = 1
    BASE_PEAK = 2


@dataclass
class _Asset:
    units_per_whole: int
    mark_px_e8: int = 0
    mark_ts_ns: int = 0
    pending_flow: int = 0


@dataclass
class _Symbol:
    linear: bool
    base: int
    quote: int
    unit_value: int
    lot_units: int
    tick_e8: int
    mark_px_e8: int = 0
    mark_ts_ns: int = 0
    lots: int = 0
    flow: int = 0
    bought: int = 0
    sold: int = 0
    fills: int = 0
    corrections: int = 0
    turnover: int = 0
    changed_ns: int = 0
    cost: int = 0
    funding: int = 0
    merged: int = 0
    fifo: list[list[int]] = field(default_factory=list)


def _share(cost: int, part: int, whole: int) -> int:
    return math.ceil(Fraction(cost * part, whole))


class Ledger:
    def __init__(self, *, assets: int, symbols: int, fifo: int = 64, day_cut_ns: int = 0) -> None:
        if not 1 <= assets <= 4096 or not 1 <= symbols <= 4096 or not 1 <= fifo <= 2**16 or fifo.bit_count() != 1:
            raise LedgerBadSetup(f"assets={assets}, symbols={symbols}, fifo={fifo}")
        self.asset_count, self.symbol_count, self.fifo, self.day_cut_ns = assets, symbols, fifo, day_cut_ns
        self.assets: dict[int, _Asset] = {}
        self.symbols: dict[int, _Symbol] = {}
        self.balances: defaultdict[tuple[int, int], int] = defaultdict(int)
        self.postings = self.refused = 0
        self.last_equity: dict[str, int] | None = None
        self.base: dict[Base, tuple[int, int]] = {}
        self.day = 0

    # ---------------------------------------------------------------------------------------------------------- set-up
    def set_asset(self, asset: int, *, units_per_whole: int = 10**8) -> None:
        if asset >= self.asset_count:
            raise LedgerUnknownAsset(f"{asset}")
        if asset in self.assets or not 1 <= units_per_whole <= AMOUNT_MAX:
            raise LedgerBadSetup(f"{asset}")
        self.assets[asset] = _Asset(units_per_whole)

    def set_symbol(
        self,
        symbol: int,
        *,
        linear: bool,
        quote: int,
        unit_value: int,
        tick_e8: int,
        base: int = NONE,
        lot_units: int = 0,
    ) -> None:
        if symbol >= self.symbol_count:
            raise LedgerUnknownSymbol(f"{symbol}")
        held = self.symbols.get(symbol)
        if (held is not None and held.fills) or unit_value < 1 or tick_e8 < 1:
            raise LedgerBadSetup(f"{symbol}")
        if quote not in self.assets or (not linear and base not in self.assets):
            raise LedgerUnknownAsset(f"{symbol}")
        if not linear and (base == quote or lot_units < 1):
            raise LedgerBadSetup(f"{symbol}")
        self.symbols[symbol] = _Symbol(linear, base, quote, unit_value, lot_units, tick_e8)

    # --------------------------------------------------------------------------------------------------------- posting
    def _refuse(self, error: type[Exception], detail: object = "") -> Exception:
        self.refused += 1
        return error(str(detail))

    def _apply(self, legs: list[tuple[int, Account, int]]) -> list[tuple[int, Account, int]]:
        legs = [leg for leg in legs if leg[2]]
        after = dict(self.balances)
        for asset, account, amount in legs:
            after[asset, account] = after.get((asset, account), 0) + amount
            if abs(after[asset, account]) > BALANCE_MAX:
                raise self._refuse(LedgerOverflow)
        self.balances.update(after)
        self.postings += 1
        return legs

    def _to_cash(self, asset: int, account: Account, amount: int) -> list[tuple[int, Account, int]]:
        if asset not in self.assets:
            raise self._refuse(LedgerUnknownAsset)
        if abs(amount) > AMOUNT_MAX:
            raise self._refuse(LedgerOverflow)
        return self._apply([(asset, CASH, amount), (asset, account, -amount)])

    def post(self, legs: list[tuple[int, int, int]]) -> None:
        if len(legs) > 8:
            raise self._refuse(LedgerBadAmount)
        for asset, account, amount in legs:
            if asset not in self.assets or account > ADJUSTMENT:
                raise self._refuse(LedgerUnknownAsset)
            if account not in (CASH, FEES, CAPITAL, ADJUSTMENT):
                raise self._refuse(LedgerBadAmount)
            if abs(amount) > AMOUNT_MAX:
                raise self._refuse(LedgerOverflow)
        if any(sum(leg[2] for leg in legs if leg[0] == asset) for asset in self.assets):
            raise self._refuse(LedgerUnbalanced)
        self._apply([(asset, Account(account), amount) for asset, account, amount in legs])

    def fee(self, asset: int, paid: int) -> list[tuple[int, Account, int]]:
        return self._to_cash(asset, FEES, -paid)

    def adjust(self, asset: int, amount: int) -> list[tuple[int, Account, int]]:
        return self._to_cash(asset, ADJUSTMENT, amount)

    def transfer(self, asset: int, amount: int) -> list[tuple[int, Account, int]]:
        if asset in self.assets and abs(self.assets[asset].pending_flow + amount) > COST_MAX:
            raise self._refuse(LedgerOverflow)
        legs = self._to_cash(asset, CAPITAL, amount)
        self.assets[asset].pending_flow += amount
        return legs

    def funding(self, symbol: int, paid: int, *, now_ns: int = 0) -> list[tuple[int, Account, int]]:
        s = self.symbols.get(symbol)
        if s is None or not s.linear:
            raise self._refuse(LedgerUnknownSymbol)
        if abs(s.funding + paid) > BALANCE_MAX:
            raise self._refuse(LedgerOverflow)
        legs = self._to_cash(s.quote, FUNDING, -paid)
        s.funding += paid
        s.changed_ns = now_ns
        return legs

    def reconcile(self, asset: int, venue_cash: int, *, tolerance: int = 0) -> int:
        if asset not in self.assets:
            raise LedgerUnknownAsset(f"{asset}")
        if abs(venue_cash) > BALANCE_MAX or tolerance < 0:
            raise LedgerBadAmount(f"{venue_cash}")
        difference = venue_cash - self.balance(asset, CASH)
        if abs(difference) > tolerance:
            raise LedgerUnreconciled(f"{difference}")
        return difference

    # ----------------------------------------------------------------------------------------------------------- fills
    def fill(
        self,
        symbol: int,
        sell: bool,
        px_ticks: int,
        qty_lots: int,
        *,
        fee: int = 0,
        fee_asset: int = NONE,
        correction: bool = False,
        now_ns: int = 0,
    ) -> list[tuple[int, Account, int]]:
        s = self.symbols.get(symbol)
        if s is None:
            raise self._refuse(LedgerUnknownSymbol)
        if px_ticks < 1 or qty_lots < 1:
            raise self._refuse(LedgerBadAmount)
        value = px_ticks * qty_lots * s.unit_value
        if max(value, qty_lots, 0 if s.linear else qty_lots * s.lot_units) > AMOUNT_MAX:
            raise self._refuse(LedgerOverflow)
        if fee and fee_asset not in self.assets:
            raise self._refuse(LedgerUnknownAsset)
        if abs(fee) > AMOUNT_MAX:
            raise self._refuse(LedgerOverflow)
        tally = s.sold if sell else s.bought
        if correction and tally < qty_lots:
            raise self._refuse(LedgerBadAmount)

        sign = -1 if sell != correction else 1
        closing = min(qty_lots, abs(s.lots)) if s.lots * sign < 0 else 0
        opening = qty_lots - closing
        opened = sign * opening * px_ticks * s.unit_value
        left = _share(s.cost, closing, abs(s.lots)) if closing else 0
        cost, flow, lots = s.cost - left + opened, -sign * value, s.lots + sign * qty_lots
        fifo_cost = sum(lot[1] for lot in s.fifo)
        if max(abs(cost), abs(s.flow + flow), abs(fifo_cost + opened)) > COST_MAX or abs(lots) > AMOUNT_MAX:
            raise self._refuse(LedgerOverflow)
        if tally + qty_lots > BALANCE_MAX:
            raise self._refuse(LedgerOverflow)
        legs = self._legs_of(s, flow, cost - s.cost, sign * qty_lots * s.lot_units)
        if fee:
            paid = -fee if correction else fee
            legs += [(fee_asset, FEES, paid), (fee_asset, CASH, -paid)]
        legs = self._apply(legs)

        self._fifo(s, closing, sign * px_ticks * s.unit_value, opening)
        s.cost, s.lots, s.flow, s.changed_ns = cost, lots, s.flow + flow, now_ns
        step = -qty_lots if correction else qty_lots
        s.bought, s.sold = (s.bought, s.sold + step) if sell else (s.bought + step, s.sold)
        # The only figure that stops at its top: nothing is decided by it.
        signed = -value if correction else value
        s.turnover = s.turnover + signed if s.turnover <= INT64_MAX - AMOUNT_MAX else INT64_MAX
        s.corrections += correction
        s.fills += not correction
        return legs

    @staticmethod
    def _legs_of(s: _Symbol, flow: int, cost: int, units: int) -> list[tuple[int, Account, int]]:
        q, b = s.quote, s.base
        gain = flow + cost
        if s.linear:
            return [(q, POSITION, cost), (q, COUNTER, -cost), (q, CASH, gain), (q, REALISED, -gain)]
        return [(q, CASH, flow), (q, POSITION, cost), (q, REALISED, -gain), (b, CASH, units), (b, COUNTER, -units)]

    def _fifo(self, s: _Symbol, closing: int, unit_cost: int, opening: int) -> None:
        for _ in range(closing):  # lot by lot is too slow only for those who are in a hurry
            if not s.fifo:
                break
            lots, cost = s.fifo[0]
            take = min(lots, closing)
            part = cost if take == lots else _share(cost, take, lots)
            s.fifo[0] = [lots - take, cost - part]
            closing -= take
            if not s.fifo[0][0]:
                s.fifo.pop(0)
            if not closing:
                break
        if not opening:
            return
        same_price = bool(s.fifo) and s.fifo[-1][1] == s.fifo[-1][0] * unit_cost
        if s.fifo and (same_price or len(s.fifo) == self.fifo):
            s.merged += not same_price
            s.fifo[-1] = [s.fifo[-1][0] + opening, s.fifo[-1][1] + opening * unit_cost]
        else:
            s.fifo.append([opening, opening * unit_cost])

    # ------------------------------------------------------------------------------------------------------- valuation
    def mark(self, symbol: int, px_e8: int, ts_ns: int) -> None:
        if symbol not in self.symbols:
            raise LedgerUnknownSymbol(f"{symbol}")
        self._mark(self.symbols[symbol], px_e8, ts_ns)

    def mark_asset(self, asset: int, px_e8: int, ts_ns: int) -> None:
        if asset not in self.assets:
            raise LedgerUnknownAsset(f"{asset}")
        self._mark(self.assets[asset], px_e8 if asset else 0, ts_ns)

    @staticmethod
    def _mark(row: _Asset | _Symbol, px_e8: int, ts_ns: int) -> None:
        if px_e8 < 1:
            raise LedgerBadAmount(f"{px_e8}")
        if row.mark_px_e8 and ts_ns < row.mark_ts_ns:
            raise LedgerStaleMark(f"{ts_ns}")
        row.mark_px_e8, row.mark_ts_ns = px_e8, ts_ns

    @staticmethod
    def _fresh(row: _Asset | _Symbol, now_ns: int, age_max_ns: int) -> Fraction:
        if not row.mark_px_e8 or not 0 <= now_ns - row.mark_ts_ns <= age_max_ns:
            raise LedgerStaleMark
        return Fraction(row.mark_px_e8)

    @staticmethod
    def _bounded(value: int) -> int:
        if abs(value) > BALANCE_MAX:
            raise LedgerOverflow
        return value

    def _price(self, asset: int, now_ns: int, age_max_ns: int) -> Fraction:
        """Report units for one unit of the asset."""
        if asset == 0:
            return Fraction(1)
        a = self.assets[asset]
        return self._fresh(a, now_ns, age_max_ns) * self.assets[0].units_per_whole / a.units_per_whole / 10**8

    def value(self, asset: int, amount: int, *, now_ns: int, age_max_ns: int) -> int:
        if asset not in self.assets:
            raise LedgerUnknownAsset(f"{asset}")
        return self._bounded(math.floor(amount * self._price(asset, now_ns, age_max_ns))) if amount else 0

    def mark_value(self, symbol: int, *, now_ns: int, age_max_ns: int) -> int:
        if symbol not in self.symbols:
            raise LedgerUnknownSymbol(f"{symbol}")
        s = self.symbols[symbol]
        if not s.lots:
            return 0
        px = self._fresh(s, now_ns, age_max_ns)
        return self._bounded(math.floor(s.lots * px * s.unit_value / s.tick_e8))

    def unrealised(self, symbol: int, *, now_ns: int, age_max_ns: int, fifo: bool = False) -> int:
        value = self.mark_value(symbol, now_ns=now_ns, age_max_ns=age_max_ns)
        s = self.symbols[symbol]
        return value - (sum(lot[1] for lot in s.fifo) if fifo else s.cost)

    def equity(self, *, now_ns: int, age_max_ns: int) -> dict[str, int]:
        used = [now_ns]

        def worth(asset: int, amount: int, rounding: object = math.floor) -> int:
            if not amount or asset == 0:
                return amount
            used.append(self.assets[asset].mark_ts_ns)
            exact = amount * self._price(asset, now_ns, age_max_ns)
            return self._bounded(math.ceil(exact) if rounding is math.ceil else math.floor(exact))

        # Refused as soon as a running sum passes the limit, even when later assets would bring it back.
        cash = 0
        for asset in sorted(self.assets):
            cash = self._bounded(cash + worth(asset, self.balance(asset, CASH)))
        unrealised, sizes = 0, []
        for at, s in sorted(self.symbols.items()):
            if s.lots:
                value = self.mark_value(at, now_ns=now_ns, age_max_ns=age_max_ns)
                used.append(s.mark_ts_ns)
                if s.linear:
                    unrealised = self._bounded(unrealised + worth(s.quote, value - s.cost))
                sizes.append(worth(s.quote, abs(value), math.ceil) * (1 if value > 0 else -1))
        gross = self._bounded(sum(map(abs, sizes)))
        return {
            "equity": self._bounded(cash + self._bounded(unrealised)),
            "cash": cash,
            "unrealised": unrealised,
            "gross": gross,
            "net": sum(sizes),
            "largest": max(map(abs, sizes), default=0),
            "oldest_ns": min(used),
        }

    def revalue(self, *, now_ns: int, age_max_ns: int) -> dict[str, int]:
        out = self.equity(now_ns=now_ns, age_max_ns=age_max_ns)
        flows = {at: a for at, a in self.assets.items() if a.pending_flow}
        shift = 0
        for at, a in sorted(flows.items()):
            shift = self._bounded(shift + self.value(at, a.pending_flow, now_ns=now_ns, age_max_ns=age_max_ns))
        for value, _ in self.base.values():
            self._bounded(value + shift)
        out["oldest_ns"] = min([out["oldest_ns"], *(a.mark_ts_ns for at, a in flows.items() if at)])
        for a in flows.values():
            a.pending_flow = 0
        self.base = {name: (value + shift, ts) for name, (value, ts) in self.base.items()}
        now = (out["equity"], now_ns)
        day = (now_ns - self.day_cut_ns) // DAY_NS
        if not self.base:
            self.base = dict.fromkeys(Base, now)
            self.day = day
        if day > self.day:
            self.base[Base.BASE_DAY], self.day = now, day
        if now[0] > self.base[Base.BASE_PEAK][0]:
            self.base[Base.BASE_PEAK] = now
        self.last_equity = out
        return out

    def bases(self) -> dict[Base, tuple[int, int]] | None:
        return self.base or None

    def _usable(self, now_ns: int, age_max_ns: int) -> int:
        if self.last_equity is None:
            raise LedgerNoBase
        if not 0 <= now_ns - self.last_equity["oldest_ns"] <= age_max_ns:
            raise LedgerStaleMark
        return self.last_equity["equity"]

    def pnl(self, base: int, *, now_ns: int, age_max_ns: int) -> int:
        equity = self._usable(now_ns, age_max_ns)
        if base not in list(Base):
            raise LedgerNoBase(f"{base}")
        return equity - self.base[Base(base)][0]

    def drawdown_e8(self, *, now_ns: int, age_max_ns: int) -> int:
        equity = self._usable(now_ns, age_max_ns)
        peak = self.base[Base.BASE_PEAK][0]
        if peak < 1:
            raise LedgerNoBase(f"{peak}")
        share = math.ceil(Fraction((peak - equity) * 10**8, peak))
        if share > INT64_MAX:
            raise LedgerOverflow
        return share

    # --------------------------------------------------------------------------------------------------------- reading
    def balance(self, asset: int, account: int) -> int:
        if asset >= self.asset_count or not 0 <= account <= ADJUSTMENT:
            raise LedgerUnknownAsset(f"{asset}")
        return self.balances[asset, account]

    def position(self, symbol: int) -> dict[str, int]:
        if symbol >= self.symbol_count:
            raise LedgerUnknownSymbol(f"{symbol}")
        s = self.symbols.get(symbol, _Symbol(False, NONE, NONE, 1, 1, 1))
        cost_fifo = sum(lot[1] for lot in s.fifo)
        return {
            "lots": s.lots,
            "cash_value": s.flow,
            "bought_lots": s.bought,
            "sold_lots": s.sold,
            "fill_count": s.fills,
            "traded_value": s.turnover,
            "ts_changed_ns": s.changed_ns,
            "cost": s.cost,
            "cost_fifo": cost_fifo,
            "funding": s.funding,
            "fifo_merged_count": s.merged,
            "correction_count": s.corrections,
            "realised": s.flow + s.cost,
            "realised_fifo": s.flow + cost_fifo,
        }

    def lots(self, symbol: int) -> list[tuple[int, int]]:
        if symbol >= self.symbol_count:
            raise LedgerUnknownSymbol(f"{symbol}")
        return [(lots, cost) for lots, cost in self.symbols[symbol].fifo] if symbol in self.symbols else []

    @property
    def counts(self) -> dict[str, int]:
        return {"postings": self.postings, "refused": self.refused}

    def check(self) -> None:
        for asset in range(self.asset_count):
            assert sum(self.balances[asset, account] for account in Account) == 0
        for s in self.symbols.values():
            assert s.lots == s.bought - s.sold
            assert sum(lot[0] for lot in s.fifo) == abs(s.lots)
