"""An account of perpetuals at a ccxt exchange: what it holds, how it is set up, which funding it was paid.

ccxt gives most of it one shape for every exchange; what a wallet holds without the profit of open positions is not
among it, so where an exchange says it is a table here, and an exchange that is not in it is refused by name. So is one
for which ccxt lacks a question that money depends on.

Owns: positions, wallet, settings and funding in lots and units. Does not own: what is asked when (`runtime/care.py`),
orders and trades (`ccxt_account.py`). Invariant: what cannot be read is an error, never a position of nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from engine.errors import Bot4Error, VenueNotSupported, VenueUnsure
from engine.venues.ccxt_account import MS, SKEW_MS, CcxtAccount
from engine.venues.ccxt_bridge import trade_number
from engine.venues.ccxt_open import text_of
from engine.venues.directory import Instrument
from engine.venues.margin import AccountSettings

WANTED = ("fetchPositions", "fetchFundingHistory", "fetchLeverage", "createReduceOnlyOrder")
EXACT_UNITS = 2**53  # a float holds no more to the unit
E8 = 10**8


@dataclass(frozen=True)
class Wallet:
    """Where an exchange's own answer about its balance says what is held, open profit apart."""

    rows: tuple[str | int, ...]
    asset: str
    amount: str
    # Value and profit of a position are of one mark, so that their difference is its cost to the unit.
    says_costs: bool = False


_BINANCE = Wallet(("assets",), "asset", "walletBalance", says_costs=True)
WALLETS = {
    "binance": _BINANCE, "binanceusdm": _BINANCE, "okx": Wallet(("data", 0, "details"), "ccy", "cashBal"),
    "bybit": Wallet(("result", "list", 0, "coin"), "coin", "walletBalance"),
}  # fmt: skip


def require_linear(exchange: Any) -> None:
    """Raises what is missing for perpetuals at this exchange, by name."""
    missing = [question for question in WANTED if not exchange.has.get(question)]
    if missing:
        raise VenueNotSupported(f"perpetuals of {exchange.id}: ccxt has no {', '.join(missing)} there.")
    if exchange.id not in WALLETS:
        known = ", ".join(sorted(WALLETS))
        raise VenueNotSupported(f"perpetuals of {exchange.id}: what its wallet holds is not read; of {known} it is.")


class CcxtLinear(CcxtAccount):
    @property
    def _has(self) -> Mapping[str, Any]:
        has: Mapping[str, Any] = self.bridge.exchange.has
        return has

    # -------------------------------------------------------------------------------------------------- what is held
    async def balances(self) -> dict[int, int]:
        """The wallet alone: profit of what is open belongs to the positions."""
        wallet, assets = WALLETS[self.bridge.exchange.id], self.bridge.directory.assets
        said = (await self._ask("fetch_balance", weight=10))["info"]
        try:
            for part in wallet.rows:
                said = said[part]
            return {
                asset: assets.units(asset, text_of(row[wallet.amount]))
                for row in said
                if (asset := assets.index(row[wallet.asset])) is not None
            }
        except (Bot4Error, ArithmeticError, LookupError, TypeError) as error:
            raise VenueUnsure(f"the balance of {self.bridge.exchange.id} cannot be read: {error!r}") from error

    async def positions(self) -> dict[int, int]:
        return (await self.held())[0]

    async def held(self) -> tuple[dict[int, int], dict[int, int]]:
        """By symbol, of one answer: signed lots, and their cost in the quote's units where that is known exactly."""
        lots = {i.index: 0 for i in self.bridge.directory}
        costs, entries = dict.fromkeys(lots, 0), dict.fromkeys(lots, 0)
        for row in await self._positions():
            i = self._ours(row.get("symbol"))
            if i is None:
                continue
            count = self._signed_lots(row, i)
            if count and lots[i.index]:
                raise VenueUnsure(f"{i.text}: two positions of one market; one-way is what is counted here.")
            if not count:
                continue
            lots[i.index] = count
            entries[i.index] = int(Decimal(str(row.get("entryPrice") or 0)) * E8)
            cost = self._cost(row, i, count)
            if cost is None:
                del costs[i.index]
            else:
                costs[i.index] = cost
        self.entry_px_e8 = entries
        return lots, costs

    async def _positions(self) -> list[Mapping[str, Any]]:
        rows: list[Mapping[str, Any]] = await self._ask("fetch_positions", list(self.bridge.symbols.values()), weight=5)
        return rows

    @staticmethod
    def _signed_lots(row: Mapping[str, Any], i: Instrument) -> int:
        """Contracts are said without a sign, their side in a word."""
        contracts, side = row.get("contracts"), row.get("side")
        try:
            count = i.contract_lots(text_of(contracts))
        except (Bot4Error, ArithmeticError) as error:
            raise VenueUnsure(f"{i.text}: a position of {contracts} contracts cannot be read.") from error
        if count and side not in ("long", "short"):
            raise VenueUnsure(f"{i.text}: a position of {contracts} contracts is {side}, neither long nor short.")
        return -count if side == "short" else count

    def _cost(self, row: Mapping[str, Any], i: Instrument, lots: int) -> int | None:
        """Value less profit; None where the exchange does not say both of one mark, or a float does not hold them."""
        assets = self.bridge.directory.assets
        quote, parts = assets.index(i.quote), (row.get("notional"), row.get("unrealizedPnl"))
        if quote is None or not WALLETS[self.bridge.exchange.id].says_costs or None in parts:
            return None
        value, profit = (assets.units(quote, text_of(part)) for part in parts)
        if max(abs(value), abs(profit)) >= EXACT_UNITS:
            return None
        return (-abs(value) if lots < 0 else abs(value)) - profit

    # ------------------------------------------------------------------------------------------------- how it is set up
    async def settings(self) -> AccountSettings:
        """Position mode, margin mode and leverage. What is not said is taken as it is worst."""
        margins = {}
        for i in self.bridge.directory:
            theirs = self._theirs(i)
            said = await self._ask("fetch_leverage", theirs, weight=5)
            mode = said.get("marginMode")
            if mode is None and self._has.get("fetchMarginMode"):
                mode = (await self._ask("fetch_margin_mode", theirs, weight=5)).get("marginMode")
            leverages = [int(one) for one in (said.get("longLeverage"), said.get("shortLeverage")) if one]
            # At leverage one the core sets the whole notional aside: more than anybody asks.
            margins[i.text] = str(mode or "unknown"), min(leverages, default=1)
        return AccountSettings(await self._is_dual(), margins)

    async def _is_dual(self) -> bool:
        if not self._has.get("fetchPositionMode"):
            return any(row.get("hedged") is True for row in await self._positions())
        for i in self.bridge.directory:
            hedged = (await self._ask("fetch_position_mode", self._theirs(i), weight=30)).get("hedged")
            if hedged is None:
                raise VenueUnsure(f"{i.text}: whether positions are held by side is not said.")
            if hedged:
                return True
        return False

    # --------------------------------------------------------------------------------------------------------- funding
    async def funding_since(self, ts_ns: int) -> list[tuple[int, int, int, int, int]]:
        """(number, symbol, asset, units received, time) of every payment since then."""
        out = []
        for i in self.bridge.directory:
            # A little earlier: while one market was asked for, another was paid. What is told twice is booked once.
            since_ms = ts_ns // MS - SKEW_MS
            for row in await self._ask("fetch_funding_history", self._theirs(i), since_ms, weight=30):
                asset = self.bridge.directory.assets.index(str(row.get("code")))
                if asset is None:
                    raise VenueUnsure(f"funding of {i.text} was paid in {row.get('code')}, which is not kept here.")
                try:
                    units = self.bridge.directory.assets.units(asset, text_of(row["amount"]))
                    out.append((trade_number(row), i.index, asset, units, int(row["timestamp"]) * MS))
                except (Bot4Error, ArithmeticError, LookupError, TypeError, ValueError) as error:
                    raise VenueUnsure(f"a payment of funding of {i.text} cannot be read: {error!r}") from error
        return out
