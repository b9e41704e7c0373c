"""The smallest whole core: one symbol, one compiled strategy. Where certify, benches and tests start from."""

from __future__ import annotations

from engine._core.step import Core
from engine._core.world import World
from engine.strategy import registry
from engine.strategy.cache import Cache

INSTRUMENT: dict[str, int] = {
    "tick_e8": 1_000_000,
    "lot_e8": 100_000,
    "px_min_ticks": 1,
    "px_max_ticks": 10_000_000,
    "qty_min_lots": 1,
    "qty_max_lots": 10_000,
    "notional_min_e8": 0,
    "fee_maker_e8": 100_000,
    "fee_taker_e8": 100_000,
}
# Account units are 1e-8 of the quote asset here: the account trades in it.
ACCOUNT: dict[str, int] = {
    "equity": 100_000 * 10**8,
    "peak": 100_000 * 10**8,
    "day_base": 100_000 * 10**8,
    "margin_available": 100_000 * 10**8,
    "position_scale_ppm": 1_000_000,
}
GATE_SYMBOL: dict[str, int] = {
    "value_q32": INSTRUMENT["tick_e8"] * INSTRUMENT["lot_e8"] // 10**8 << 32,
    "px_min_ticks": INSTRUMENT["px_min_ticks"],
    "px_max_ticks": INSTRUMENT["px_max_ticks"],
    "qty_min_lots": INSTRUMENT["qty_min_lots"],
    "qty_max_lots": INSTRUMENT["qty_max_lots"],
    "notional_max": 10**15,
    "buy_up_ppm": 1_200_000,
    "sell_down_ppm": 800_000,
    "margin_ppm": 1_000_000,
}
LIMITS: dict[str, int] = {
    "book_age_ns": 500_000_000,
    "px_band_ppm": 50_000,
    "order_notional": 5_000 * 10**8,
    "position_share_ppm": 20_000,
    "gross_share_ppm": 1_000_000,
    "net_share_ppm": 1_000_000,
    "leverage_tier_ppm": 1_000_000,
    "leverage_regime_ppm": 1_000_000,
    "correlation_ppm": 700_000,
    "drawdown_ppm": 150_000,
    "daily_loss_ppm": 50_000,
    "margin_ppm": 1_100_000,
    "liquidation_ppm": 50_000,
    "open_orders_symbol": 16,
    "open_orders_all": 64,
    "rejects_in_a_row": 5,
    "clock_drift_ns": 500_000_000,
    "signal_age_ns": 1_000_000_000,
    "equity_age_ns": 5_000_000_000,
    "orders_per_second": 1_000_000,
    "cancels_per_second": 1_000_000,
    "churn_per_minute": 100_000_000,
    "approval_over": 2**63 - 1,
}


def make_core(*, seed: int) -> Core:
    """A core of one symbol and one compiled strategy, as it stands before its first event."""
    world = World(symbols=1, strategies=1, orders=64, seed=seed)
    world.set_instrument(0, **INSTRUMENT)
    world.set_gate_symbol(0, **GATE_SYMBOL)
    world.set_account(**ACCOUNT)
    world.set_limits(**LIMITS)
    core = Core(world)
    cache = Cache()
    # Paper and replay may build what is missing, in a child process; live only loads.
    registry.build("strategies.quoter", cache)
    registry.bind(core, 0, registry.Placement("strategies.quoter", 0), cache=cache)
    return core
