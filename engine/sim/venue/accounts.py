"""Money of the embedded venue: what each account holds, what its orders lock, what its trades cost.

Spot accounts hold assets, free and locked, in 1e-8. An order locks what it may need; each fill pays out of the lock;
what a fill no longer needs goes back at once. Perpetual accounts hold one wallet and positions; orders need margin
instead of a lock. Fees go to the venue's own account, so that every asset is conserved: what came in by deposit is in
the accounts, the venue's fees, the insurance fund or the crowd's hands, and `check` adds it up.

Does not own: orders, matching, text, time.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

from engine.errors import SimBadAmount, SimUnbalanced
from engine.sim.venue.instruments import E8, TIER_VOLUMES, Instrument

FEE_DISCOUNT_PPM = 750_000  # of the standard rate, when fees are paid in the venue's token


@dataclass
class Balance:
    free: int = 0
    locked: int = 0


@dataclass
class Lock:
    """Money set aside for one order, or for the legs of one list that share it."""

    asset: str
    amount: int
    holders: list[object] = field(default_factory=list)  # live orders that may draw on it


@dataclass
class Position:
    lots: int = 0
    cost_e8: int = 0  # signed: what was paid for them, in 1e-8 of the quote asset
    realized_e8: int = 0

    def unrealized_e8(self, mark_px_e8: int, instrument: Instrument) -> int:
        return self.lots * instrument.lot_e8 * mark_px_e8 // E8 - self.cost_e8

    def entry_px_e8(self, instrument: Instrument) -> int:
        return self.cost_e8 * E8 // (self.lots * instrument.lot_e8) if self.lots else 0


@dataclass
class Account:
    owner: int
    api_key: str
    balances: dict[str, Balance] = field(default_factory=lambda: defaultdict(Balance))
    positions: dict[str, Position] = field(default_factory=lambda: defaultdict(Position))
    leverage: dict[str, int] = field(default_factory=lambda: defaultdict(lambda: 20))
    tier: int = 0
    volume_units: int = 0  # whole quote units traded in the window that the tier is judged by
    fee_asset: str = ""  # pay fees with this asset where it suffices
    can_trade: bool = True
    touched: set[str] = field(default_factory=set)  # assets changed since they were last reported

    def balance(self, asset: str) -> Balance:
        return self.balances[asset]

    # ---------------------------------------------------------------------------------------------------------- spot
    def lock(self, asset: str, amount: int) -> Lock | None:
        """Set money aside; None when there is not enough."""
        held = self.balances[asset]
        if amount < 0 or held.free < amount:
            return None
        held.free -= amount
        held.locked += amount
        self.touched.add(asset)
        return Lock(asset, amount)

    def unlock(self, lock: Lock, amount: int) -> None:
        if not 0 <= amount <= lock.amount:
            raise SimBadAmount(f"unlock {amount} of {lock.amount} {lock.asset}")
        held = self.balances[lock.asset]
        held.locked -= amount
        held.free += amount
        lock.amount -= amount
        self.touched.add(lock.asset)

    def spend(self, lock: Lock, amount: int) -> None:
        """Pay out of a lock."""
        if not 0 <= amount <= lock.amount:
            raise SimBadAmount(f"spend {amount} of {lock.amount} {lock.asset}")
        self.balances[lock.asset].locked -= amount
        lock.amount -= amount
        self.touched.add(lock.asset)

    def receive(self, asset: str, amount: int) -> None:
        if amount < 0:
            raise SimBadAmount(f"receive {amount} {asset}")
        self.balances[asset].free += amount
        self.touched.add(asset)

    def judge_tier(self) -> None:
        """The fee tier that the traded volume earns."""
        self.tier = max(i for i, volume in enumerate(TIER_VOLUMES) if self.volume_units >= volume)

    # ---------------------------------------------------------------------------------------------------- perpetuals
    def move_wallet(self, asset: str, amount: int) -> int:
        """Add to or take from the wallet; returns what it could not pay."""
        held = self.balances[asset]
        self.touched.add(asset)
        held.free += amount
        if held.free < 0:
            short, held.free = -held.free, 0
            return short
        return 0

    def fill_position(self, instrument: Instrument, sell: bool, px_ticks: int, lots: int) -> int:
        """Change the position by one fill. Returns the profit it realises, in 1e-8 of the quote asset."""
        position = self.positions[instrument.symbol]
        signed = -lots if sell else lots
        closing = min(lots, abs(position.lots)) if position.lots * signed < 0 else 0
        profit, unit_e8 = 0, instrument.unit_e8
        if closing:
            # The part that closes takes its share of the cost with it, rounded up in 1e-8: no profit is ever made by
            # rounding. The last lot takes all that is left.
            share = -(-position.cost_e8 * closing // abs(position.lots))
            side = 1 if position.lots > 0 else -1
            profit = side * closing * px_ticks * unit_e8 - share
            position.cost_e8 -= share
            position.lots += closing if signed > 0 else -closing
        opening = lots - closing
        position.lots += opening if signed > 0 else -opening
        position.cost_e8 += (opening if signed > 0 else -opening) * px_ticks * unit_e8
        position.realized_e8 += profit
        return profit


@dataclass
class Fee:
    asset: str
    amount: int


class Bank:
    """All accounts of one venue, and where every unit went."""

    def __init__(self) -> None:
        self.accounts: dict[int, Account] = {}
        self.deposited: dict[str, int] = defaultdict(int)
        self.fees: dict[str, int] = defaultdict(int)
        self.insurance: dict[str, int] = defaultdict(int)
        # What the crowd has taken from the accounts (negative: given). It is the market itself and has no limit.
        self.crowd: dict[str, int] = defaultdict(int)

    def open(self, api_key: str, deposits: dict[str, int]) -> Account:
        account = Account(owner=len(self.accounts) + 1, api_key=api_key)
        self.accounts[account.owner] = account
        for asset, amount in deposits.items():
            self.deposit(account, asset, amount)
        return account

    def deposit(self, account: Account, asset: str, amount: int) -> None:
        account.receive(asset, amount)
        self.deposited[asset] += amount

    def fee_rate_e8(self, account: Account, instrument: Instrument, maker: bool) -> int:
        return instrument.fees[min(account.tier, len(instrument.fees) - 1)][0 if maker else 1]

    def charge(
        self, account: Account, instrument: Instrument, *, asset: str, gross: int, maker: bool, token_px_e8: int = 0
    ) -> Fee:
        """The commission of a fill on what it brought in, taken from it or, discounted, in the venue's token."""
        rate = self.fee_rate_e8(account, instrument, maker)
        if account.fee_asset and token_px_e8 > 0 and asset != account.fee_asset:
            worth = gross * rate // E8 * FEE_DISCOUNT_PPM // 10**6
            amount = worth * E8 // token_px_e8
            held = account.balances[account.fee_asset]
            if 0 < amount <= held.free:
                held.free -= amount
                account.touched.add(account.fee_asset)
                self.fees[account.fee_asset] += amount
                return Fee(account.fee_asset, amount)
        # Rounded down to 1e-8 of the asset: a fee never takes more than the fill brought.
        amount = gross * rate // E8
        account.balances[asset].free -= amount
        self.fees[asset] += amount
        return Fee(asset, amount)

    def check(self, assets: Iterable[str] | None = None) -> None:
        """No balance is negative, and every asset adds up to what was deposited."""
        for account in self.accounts.values():
            for asset, held in account.balances.items():
                if held.free < 0 or held.locked < 0:
                    raise SimUnbalanced(f"account {account.owner} holds {held.free} + {held.locked} {asset}")
        for asset in set(self.deposited) | set(self.fees) | set(self.crowd) if assets is None else assets:
            held_all = sum(a.balances[asset].free + a.balances[asset].locked for a in self.accounts.values())
            total = held_all + self.fees[asset] + self.insurance[asset] + self.crowd[asset]
            if total != self.deposited[asset]:
                raise SimUnbalanced(f"{asset}: {total} where {self.deposited[asset]} came in")


def margin_of(instrument: Instrument, notional_e8: int) -> tuple[int, int, int]:
    """Maintenance margin in 1e-8, its rate in ppm and the highest leverage, of one position's notional."""
    for tier in instrument.tiers:
        if notional_e8 <= tier.notional_cap * E8:
            break
    return max(0, notional_e8 * tier.rate_ppm // 10**6 - tier.cum * E8), tier.rate_ppm, tier.leverage


def liquidation_px_e8(
    instrument: Instrument, *, wallet_e8: int, others_margin_e8: int, others_profit_e8: int, lots: int, entry_px_e8: int
) -> int:
    """Price at which the account's equity meets its maintenance margin; 0 when no price does.

    (wallet - other margins + other profits + cum - side * qty * entry) / (qty * rate - side * qty), taken in the tier
    in which the result falls.
    """
    if not lots:
        return 0
    side, qty_e8 = (1 if lots > 0 else -1), abs(lots) * instrument.lot_e8
    px = 0
    notional = qty_e8 * entry_px_e8 // E8
    for _ in range(len(instrument.tiers) + 1):
        tier = next((t for t in instrument.tiers if notional <= t.notional_cap * E8), instrument.tiers[-1])
        above = wallet_e8 - others_margin_e8 + others_profit_e8 + tier.cum * E8 - side * qty_e8 * entry_px_e8 // E8
        below = qty_e8 * tier.rate_ppm - side * qty_e8 * 10**6  # in 1e-8 x ppm
        px = above * 10**6 * E8 // below
        if px <= 0:
            return 0
        again = qty_e8 * px // E8
        if next((t for t in instrument.tiers if again <= t.notional_cap * E8), instrument.tiers[-1]) is tier:
            break
        notional = again
    return px
