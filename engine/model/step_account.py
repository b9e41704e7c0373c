"""Twin of the step's account: what everything is worth after each price, fill and fee, and what a loss leads to.

Worlds of up to eight symbols are valued whole each time; larger ones at fills and timers, and in between by the change
of the one holding whose price came. Without cash the account's words are what the set-up stated.
"""

from __future__ import annotations

from engine._core.modes import Mode, Who
from engine.errors import Bot4Error
from engine.model.ledger import Account, Base
from engine.model.step_gate import SECOND
from engine.model.step_plans import PlanSide

MARK_AGE_NS = 5 * SECOND
FULL = 8  # symbols
DRAWDOWN = 1 << 34
PPM = 10**6


class AccountSide(PlanSide):
    def _revalue(self) -> None:
        """Value everything, move the bases; without a whole valuation nothing changes."""
        if not self.accounted:
            return
        try:
            out = self.ledger.revalue(now_ns=self.now, age_max_ns=MARK_AGE_NS)
        except Bot4Error:
            return
        bases = self.ledger.bases()
        assert bases is not None
        self.gate.set_account(
            equity=out["equity"], ts_equity_ns=out["oldest_ns"], peak=bases[Base.BASE_PEAK][0],
            day_base=bases[Base.BASE_DAY][0], margin_available=out["equity"] - self._margin_held(),
        )  # fmt: skip
        for symbol, lots in enumerate(self.lots):
            self.valued[symbol] = (lots, self._holding(symbol) or 0) if lots else (0, 0)
        self._judge_drawdown()

    def _holding(self, symbol: int) -> int | None:
        """What a holding adds to the equity: the base asset's cash on spot, what is not realised of a perpetual."""
        s = self.ledger.symbols[symbol]
        cash = 0 if s.linear else self.ledger.balance(s.base, int(Account.ACCOUNT_CASH))
        try:
            if s.linear:
                return self.ledger.unrealised(symbol, now_ns=self.now, age_max_ns=MARK_AGE_NS)
            return self.ledger.value(s.base, cash, now_ns=self.now, age_max_ns=MARK_AGE_NS)
        except Bot4Error:
            return None

    def _value_one(self, symbol: int) -> None:
        """The change of one holding, while it is what it was when everything was valued."""
        (lots, before), now = self.valued[symbol], self._holding(symbol)
        if lots and lots == self.lots[symbol] and now is not None:
            self.gate.account["equity"] += now - before
            self.valued[symbol] = (lots, now)
            self._judge_drawdown()

    def _margin_held(self) -> int:
        """Initial margin of everything at its worst case, each symbol's rounded up."""
        return sum(-(-row["gross_value"] * row["margin_ppm"] // PPM) for row in self.gate.rows)

    def _judge_drawdown(self) -> None:
        """Past the limit the latch trips, once, and the mode is Paused."""
        account = self.gate.account
        if account["peak"] <= 0 or account["latch"] & DRAWDOWN:
            return
        if account["peak"] - account["equity"] > account["peak"] * self.gate.limits["drawdown_ppm"] // PPM:
            account["latch"] |= DRAWDOWN
            self._switch(int(Mode.MODE_PAUSED), int(Who.WHO_ENGINE), aggressive=False, equity=0)

    def _mark_price(self, symbol: int) -> None:
        """The mid of a trusted touch is the mark of the symbol, and on spot of its base asset."""
        if not self.accounted:
            return
        touch, s = self.touch[symbol], self.ledger.symbols[symbol]
        px_e8 = (touch["bid"] + touch["ask"]) * s.tick_e8 // 2
        self.ledger.mark(symbol, px_e8, self.now)
        if not s.linear:
            self.ledger.mark_asset(s.base, px_e8, self.now)
        if len(self.touch) > FULL:
            self._value_one(symbol)
            return
        based = not s.linear and self.ledger.balance(s.base, int(Account.ACCOUNT_CASH))
        if self.lots[symbol] or based or not self.ledger.bases():
            self._revalue()
        elif not any(self.lots):
            # No price moves what is held in cash alone.
            self.gate.set_account(ts_equity_ns=self.now)

    def _charged(self, strategy: int, asset: int, amount: int) -> None:
        """A fee counts against its strategy's trade where it has a value just now."""
        if self.judge is None:
            return
        try:
            value = self.ledger.value(asset, amount, now_ns=self.now, age_max_ns=MARK_AGE_NS)
        except Bot4Error:
            return
        self.judge.charged(strategy, value)
