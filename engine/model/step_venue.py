"""Twin of what a venue or an operator says beside prices and orders: clocks, limits, balances, funding, books compared.

Of one venue. Nothing is adjusted by a word of the venue's: what differs is an incident, and halts what it is about.
"""

from __future__ import annotations

from typing import Any

from engine._core.limits import Limit
from engine._core.types import Incident, Kind, Status, SymbolWord
from engine.errors import Bot4Error, LedgerUnreconciled, LimitLooser
from engine.model.ledger import Account
from engine.model.step_market import MarketSide

FAR, MUCH = 1 << 60, 1 << 61  # of a clock; of a balance
LEDGER = 1 << 33
FEE_E8_MAX = 25_000_000


SAID = {Kind.KIND_CLOCK, Kind.KIND_LIMIT, Kind.KIND_BALANCE, Kind.KIND_FUNDING, Kind.KIND_SYMBOL, Kind.KIND_POSITION}


class VenueSide(MarketSide):
    def _says(self, kind: int, e: dict[str, Any]) -> int:
        says = {
            Kind.KIND_CLOCK: self._clock, Kind.KIND_LIMIT: self._limit, Kind.KIND_BALANCE: self._balance,
            Kind.KIND_FUNDING: self._funding, Kind.KIND_SYMBOL: self._symbol, Kind.KIND_POSITION: self._position_told,
        }  # fmt: skip
        return says[Kind(kind)](e)

    def _clock(self, e: dict[str, Any]) -> int:
        """Its offset and how surely it is known are the account's drift, and when its stamps are."""
        offset, uncertainty = e["offset"], e["uncertainty"]
        if e["venue"] != 0 or not -FAR < offset < FAR or not 0 <= uncertainty < FAR:
            return Status.WORLD_BAD_EVENT
        self.gate.set_account(clock_drift_ns=abs(offset) + uncertainty)
        for symbol in range(len(self.touch)) if self.validate else ():
            assert self.validate is not None
            self.validate.clock(symbol, offset)
        return Status.OK

    def _limit(self, e: dict[str, Any]) -> int:
        """Stricter, and at once; looser is refused."""
        names = [limit.name[len("LIMIT_") :].lower() for limit in Limit if limit.name != "LIMIT_COUNT"]
        if not 0 <= e["which"] < len(names):
            return Status.WORLD_BAD_EVENT
        try:
            self.gate.tighten(names[e["which"]], e["value"])
        except LimitLooser:
            return Status.LIMIT_LOOSER
        return Status.OK

    def _balance(self, e: dict[str, Any]) -> int:
        """Free and locked against our cash. In the account's own asset it is a second opinion on the equity."""
        asset, told = e["asset"], e["free"] + e["locked"]
        if not 0 <= asset <= len(self.touch) or not 0 <= e["free"] < MUCH or not 0 <= e["locked"] < MUCH:
            return Status.WORLD_BAD_EVENT
        if not self.accounted:
            return Status.OK
        if asset == 0:
            cash = self.ledger.balance(0, int(Account.ACCOUNT_CASH))
            self.venue_equity = self.gate.account["equity"] + told - cash
        try:
            self.ledger.reconcile(asset, told)
        except LedgerUnreconciled:
            self._incident(Incident.INCIDENT_BALANCE, e["symbol"], asset)
        return Status.OK

    def _funding(self, e: dict[str, Any]) -> int:
        """Booked once, by a number that rises. What the books cannot hold trips the latch."""
        if e["id_funding"] and e["id_funding"] <= self.id_funding:
            return Status.ORDER_DUPLICATE_FILL
        if e["asset"] != 0:
            return Status.WORLD_BAD_EVENT
        try:
            self.ledger.funding(e["symbol"], -e["amount"], now_ns=self.now)
        except Bot4Error as error:
            self._incident(Incident.INCIDENT_LEDGER, e["symbol"], 0)
            self.gate.account["latch"] |= LEDGER
            return int(error.status or Status.OK)
        self.id_funding = max(self.id_funding, e["id_funding"])
        self._revalue()
        return Status.OK

    def _symbol(self, e: dict[str, Any]) -> int:
        """Halted or resumed alone, each cause for itself; what a comparison found; what is paid from now on."""
        symbol, halt, reason = e["symbol"], e["halt"], e.get("reason", 0)
        books = reason > Incident.INCIDENT_LATE_FILL
        if halt == SymbolWord.SYMBOL_FEES:
            maker, taker = e["rates"]
            if reason or not -FEE_E8_MAX <= maker <= taker <= FEE_E8_MAX:
                return Status.WORLD_BAD_EVENT
            self.fees[symbol] = (maker, taker)
            if self.fees_age_ns:
                self.gate.set_symbol(symbol, fees_until_ns=self.now + self.fees_age_ns)
            return Status.OK
        if not 0 <= halt <= 1 + books or not 0 <= reason < Incident.INCIDENT_COUNT:
            return Status.WORLD_BAD_EVENT
        if halt == SymbolWord.SYMBOL_BREAK:
            self._incident(Incident(reason), symbol, e["id"])
            return Status.OK
        self.touch[symbol]["books" if books else "halted"] = halt
        self._expose(symbol)
        return Status.OK

    def _position_told(self, e: dict[str, Any]) -> int:
        """With the price at which the venue closes it, towards the market where that is no whole tick."""
        whole, rest = divmod(e.get("liquidation", 0), self.tick_e8)
        px = whole + (e["lots"] > 0 and rest != 0) if e.get("liquidation", 0) > 0 else 0
        self.gate.set_symbol(e["symbol"], px_liquidation_ticks=int(px))
        self._position(e["symbol"], e["lots"])
        return Status.OK
