"""The sections that the core is made of: account, limits, capacities, instruments, strategies.

Each hands out the very words that the kernels take, so the composition root copies and does not convert. Prices are
ticks and quantities lots from there on; account amounts are 1e-8 of the account's asset.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from engine.settings.units import amount, percent, plain, text, whole

E8 = 10**8
YEAR_NS = 366 * 24 * 3600 * 10**9
WHOLE_MAX = 2**62


class Section(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Frozen, keyword only, without room for a key that nobody knows."""


class Account(Section, frozen=True, kw_only=True):
    """The account and its day."""

    asset: Annotated[str, text("Asset that equity, limits and profit are stated in.", r"^[A-Z0-9]{2,12}$")] = "USDT"
    capital: Annotated[
        int, amount("asset", "1", "40000000000", "Capital: chooses the tier; on paper the equity to start with.")
    ] = 100_000 * E8
    position_scale_ppm: Annotated[
        int, whole("ppm", 1, 1_000_000, "Share of the position limit in use; discipline lowers it.", "down")
    ] = 1_000_000
    day_cut_hour_utc: Annotated[
        int, whole("hour", 0, 23, "Hour of the daily cut: base of the daily loss, end of redaction.")
    ] = 0

    def core(self) -> dict[str, int]:
        """Fields for `World.set_account`, as they stand before the first event."""
        equity = dict.fromkeys(("equity", "peak", "day_base", "margin_available"), self.capital)
        return equity | {"position_scale_ppm": self.position_scale_ppm}


class Limits(Section, frozen=True, kw_only=True):
    """What the gate holds every order against. Loosening waits a day, tightening acts at once."""

    book_age_ns: Annotated[int, whole("ns", 1_000, 500_000_000, "A touch older than this is no price.", "down")] = (
        500_000_000
    )
    px_band_ppm: Annotated[int, whole("ppm", 1, 200_000, "Distance of an order's price from the mid.", "down")] = 50_000
    order_notional: Annotated[
        int, amount("asset", "0.00000001", "1000000000", "Value of one order in the account's asset.", "down")
    ] = 5_000 * E8
    position_share_ppm: Annotated[
        int, whole("ppm", 1, 20_000, "One position's worst case as a share of equity.", "down")
    ] = 20_000
    gross_share_ppm: Annotated[
        int, whole("ppm", 1, 10_000_000, "All positions' worst cases as a share of equity.", "down")
    ] = 1_000_000
    net_share_ppm: Annotated[
        int, whole("ppm", 1, 10_000_000, "Long minus short at the worst as a share of equity.", "down")
    ] = 1_000_000
    leverage_tier_ppm: Annotated[
        int, whole("ppm", 0, 10_000_000, "Leverage of the tier; 1,000,000 is none. The smaller of both rules.", "down")
    ] = 1_000_000
    leverage_regime_ppm: Annotated[
        int, whole("ppm", 0, 10_000_000, "Leverage of the regime; 0 is reduce-only.", "down")
    ] = 1_000_000
    correlation_ppm: Annotated[int, whole("ppm", 1, 700_000, "Correlation with what is held already.", "down")] = (
        700_000
    )
    drawdown_ppm: Annotated[int, whole("ppm", 1, 150_000, "Fall from the peak of equity; trips the latch.", "down")] = (
        150_000
    )
    daily_loss_ppm: Annotated[int, whole("ppm", 1, 150_000, "Loss since the daily cut.", "down")] = 50_000
    margin_ppm: Annotated[
        int, whole("ppm", 1_100_000, 100_000_000, "Margin available over margin required; a least value.", "up")
    ] = 1_100_000
    liquidation_ppm: Annotated[
        int, whole("ppm", 10_000, 1_000_000, "Distance of the mid from the liquidation price; a least value.", "up")
    ] = 50_000
    open_orders_symbol: Annotated[int, whole("orders", 1, 1_000, "Open orders of one symbol.", "down")] = 16
    open_orders_all: Annotated[int, whole("orders", 1, 60_000, "Open orders of the account.", "down")] = 64
    rejects_in_a_row: Annotated[int, whole("orders", 1, 100, "Rejects in a row before a symbol stops.", "down")] = 5
    clock_drift_ns: Annotated[int, whole("ns", 1_000, 1_000_000_000, "Drift from the venue's clock.", "down")] = (
        500_000_000
    )
    signal_age_ns: Annotated[int, whole("ns", 1_000, 60_000_000_000, "Age of the event an order answers.", "down")] = (
        1_000_000_000
    )
    equity_age_ns: Annotated[int, whole("ns", 1_000, 60_000_000_000, "An equity older than this is none.", "down")] = (
        5_000_000_000
    )
    orders_per_second: Annotated[int, whole("per second", 1, 1_000_000, "Orders of the account.", "down")] = 20
    cancels_per_second: Annotated[int, whole("per second", 1, 1_000_000, "Cancels of the account.", "down")] = 50
    churn_per_minute: Annotated[
        int, whole("per minute", 1, 100_000_000, "Orders and cancels of one symbol.", "down")
    ] = 600
    approval_over: Annotated[
        int,
        amount("account", "0", "90000000000", "At stake in one strategy: above it an entry waits for a word.", "down"),
    ] = 100_000 * E8

    def core(self) -> dict[str, int]:
        """Values for `World.set_limits`: every word by its name."""
        return msgspec.structs.asdict(self)


class Capacity(Section, frozen=True, kw_only=True):
    """Sizes taken once at start; nothing grows afterwards."""

    symbols: Annotated[int, whole("symbols", 1, 1_024, "Instruments.")] = 16
    strategies: Annotated[int, whole("strategies", 0, 256, "Strategy slots.")] = 8
    orders: Annotated[int, whole("orders", 1, 65_535, "Orders alive at one time.")] = 1_024
    brackets: Annotated[int, whole("brackets", 1, 65_535, "Brackets alive at one time.")] = 512
    parents: Annotated[
        int, whole("parents", 0, 8_191, "Sliced orders alive at one time: TWAP, VWAP, POV, icebergs; 0: none.")
    ] = 16
    components: Annotated[int, whole("components", 1, 64, "Breakers: each venue's, data, journal, clock.")] = 32


class Instrument(Section, frozen=True, kw_only=True):
    """One instrument and its filters. Live the venue's own facts win; on paper these are the venue's."""

    venue: Annotated[str, text("Entry of [venues] that it trades on.")] = "paper"
    symbol: Annotated[str, text("Its name at the venue; empty: the entry's own.", r"^[A-Za-z0-9/:._-]{0,40}$")] = ""
    market: Annotated[Literal["spot", "linear"], plain("choice", "Kind of market.")] = "spot"
    base: Annotated[str, text("Asset that is bought.", r"^[A-Z0-9]{2,12}$")]
    quote: Annotated[str, text("Asset that is paid with.", r"^[A-Z0-9]{2,12}$")] = "USDT"
    tick: Annotated[int, amount("quote", "0.00000001", "1000000", "Step of the price.")]
    lot: Annotated[int, amount("base", "0.00000001", "1000000", "Step of the quantity.")]
    px_min: Annotated[int, amount("quote", "0", "1000000000", "Lowest price; 0: one tick.")] = 0
    px_max: Annotated[int, amount("quote", "0", "1000000000", "Highest price; 0: ten million ticks.")] = 0
    qty_min: Annotated[int, amount("base", "0", "1000000000", "Least quantity; 0: one lot.")] = 0
    qty_max: Annotated[int, amount("base", "0", "1000000000", "Most quantity; 0: ten thousand lots.")] = 0
    notional_min: Annotated[int, amount("quote", "0", "1000000", "Least value of an order.")] = 0
    notional_max: Annotated[int, amount("quote", "1", "1000000000", "Most value of an order.")] = 10_000_000 * E8
    buy_up_ppm: Annotated[int, whole("ppm", 1_000_000, 10_000_000, "Highest buy, of the reference price.")] = 1_200_000
    sell_down_ppm: Annotated[int, whole("ppm", 1, 1_000_000, "Lowest sell, of the reference price.")] = 800_000
    margin_ppm: Annotated[int, whole("ppm", 10_000, 1_000_000, "Initial margin of a unit of notional.")] = 1_000_000
    fee_maker: Annotated[int, percent("-0.1", "5", "Fee of a resting order; negative is a rebate.")] = 100_000
    fee_taker: Annotated[int, percent("0", "5", "Fee of a taking order.")] = 100_000
    px_start: Annotated[int, amount("quote", "0", "1000000000", "Paper: where the generated market begins.")] = 500 * E8

    def ticks(self, px_e8: int) -> int:
        return px_e8 // self.tick

    def lots(self, qty_e8: int) -> int:
        return qty_e8 // self.lot

    @property
    def px_range_ticks(self) -> tuple[int, int]:
        return self.ticks(self.px_min) or 1, self.ticks(self.px_max) or 10_000_000

    @property
    def qty_range_lots(self) -> tuple[int, int]:
        return self.lots(self.qty_min) or 1, self.lots(self.qty_max) or 10_000

    def core(self) -> dict[str, int]:
        """Fields for `World.set_instrument`."""
        return {
            "tick_e8": self.tick,
            "lot_e8": self.lot,
            "px_min_ticks": self.px_range_ticks[0],
            "px_max_ticks": self.px_range_ticks[1],
            "qty_min_lots": self.qty_range_lots[0],
            "qty_max_lots": self.qty_range_lots[1],
            "notional_min_e8": self.notional_min,
            "fee_maker_e8": self.fee_maker,
            "fee_taker_e8": self.fee_taker,
        }

    def gate(self) -> dict[str, int]:
        """Fields for `World.set_gate_symbol`, for an account kept in the quote asset."""
        (px_min, px_max), (qty_min, qty_max) = self.px_range_ticks, self.qty_range_lots
        return {
            # Rounded up, as the gate wants it: a value may be seen as larger than it is, never as smaller.
            "value_q32": -(-(self.tick * self.lot << 32) // E8),
            "px_min_ticks": px_min,
            "px_max_ticks": px_max,
            "qty_min_lots": qty_min,
            "qty_max_lots": qty_max,
            "notional_min": self.notional_min,
            "notional_max": self.notional_max,
            "buy_up_ppm": self.buy_up_ppm,
            "sell_down_ppm": self.sell_down_ppm,
            "margin_ppm": self.margin_ppm,
        }


class Route(Section, frozen=True, kw_only=True):
    """Instruments that are one underlying on several venues: each order goes to the one where it costs least."""

    instruments: Annotated[tuple[str, ...], plain("list", "Two to eight entries of [instruments], a venue each.")]
    policy: Annotated[
        Literal["best_price", "lowest_fee", "smart"],
        plain("choice", "What is compared: price, fee, or price with fee, for all of the order."),
    ] = "smart"


class Strategy(Section, frozen=True, kw_only=True):
    """One strategy on one symbol. `bot4 strategy list` shows the parameters of each module."""

    module: Annotated[str, text("Module path of the strategy.", r"^[A-Za-z_][\w.]*$")]
    symbol: Annotated[str, text("Entry of [instruments] that it trades.")]
    peers: Annotated[tuple[str, ...], plain("list", "Entries of [instruments] that it watches.")] = ()
    enabled: Annotated[bool, plain("switch", "Whether it runs.")] = True
    features: Annotated[tuple[str, ...], plain("list", "What it needs of the tier, like market_making.")] = ()
    params: Annotated[dict[str, int | float], plain("table", "Its parameters; the others have their default.")] = {}
    limits: Annotated[dict[str, int], plain("table", "Its own limits, below the account's.")] = {}
    budget_ns: Annotated[int, whole("ns", 100, 1_000_000_000, "Time of one call before it is a strike.")] = 50_000
    hard_ns: Annotated[int, whole("ns", 100, 10_000_000_000, "Time of one call that stops it at once.")] = 5_000_000
    strikes_max: Annotated[int, whole("calls", 1, 1_000, "Strikes before it is stopped.")] = 3
    forgive_count: Annotated[int, whole("calls", 1, 1_000_000, "Calls in time that forgive one strike.")] = 1_000
