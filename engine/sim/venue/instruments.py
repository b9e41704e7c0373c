"""What the embedded venue trades: steps, filters, fees and margin tiers. Data; the defaults carry their dates."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from engine._core.match import Match
from engine.errors import SimBadInstrument

E8 = 10**8

# Maker and taker in 1e-8, regular to VIP 9. Spot as republished after 2023-06, USD-M from the venue's public page.
SPOT_FEES: tuple[tuple[int, int], ...] = (
    (100_000, 100_000), (90_000, 100_000), (80_000, 100_000), (42_000, 60_000), (42_000, 54_000), (36_000, 48_000),
    (30_000, 42_000), (24_000, 36_000), (18_000, 30_000), (12_000, 24_000),
)  # fmt: skip
PERP_FEES: tuple[tuple[int, int], ...] = (
    (20_000, 50_000), (16_000, 40_000), (14_000, 35_000), (12_000, 32_000), (10_000, 30_000), (8_000, 27_000),
    (6_000, 25_000), (4_000, 22_000), (2_000, 20_000), (0, 17_000),
)  # fmt: skip
# Trailing 30 days' volume in whole quote units from which a tier holds.
TIER_VOLUMES: tuple[int, ...] = (
    0, 1_000_000, 5_000_000, 20_000_000, 100_000_000, 150_000_000, 400_000_000, 800_000_000, 2_000_000_000,
    4_000_000_000,
)  # fmt: skip


@dataclass(frozen=True)
class MarginTier:
    """Maintenance margin up to a notional: `notional * rate - cum`, continuous across tiers."""

    notional_cap: int  # whole quote units
    rate_ppm: int
    leverage: int
    cum: int


BTC_TIERS: tuple[MarginTier, ...] = (
    MarginTier(50_000, 4_000, 125, 0),
    MarginTier(600_000, 5_000, 100, 50),
    MarginTier(3_000_000, 6_500, 75, 950),
    MarginTier(12_000_000, 10_000, 50, 11_450),
    MarginTier(70_000_000, 20_000, 25, 131_450),
    MarginTier(100_000_000, 25_000, 20, 481_450),
    MarginTier(230_000_000, 50_000, 10, 2_981_450),
)


@dataclass(frozen=True)
class Instrument:
    symbol: str
    base: str
    quote: str
    tick_e8: int
    lot_e8: int
    px_max_ticks: int
    qty_max_lots: int
    market_qty_max_lots: int = 0
    qty_min_lots: int = 1
    notional_min: int = 5  # whole quote units
    percent_up_ppm: int = 5_000_000
    percent_down_ppm: int = 200_000
    orders_max: int = 200
    algo_orders_max: int = 5
    iceberg_orders_max: int = 10
    iceberg_parts_max: int = 100
    perpetual: bool = False
    fees: tuple[tuple[int, int], ...] = SPOT_FEES
    tiers: tuple[MarginTier, ...] = BTC_TIERS
    capacity: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.tick_e8 < 1 or self.lot_e8 < 1 or self.tick_e8 * self.lot_e8 % E8:
            raise SimBadInstrument(f"{self.symbol}: tick {self.tick_e8}, lot {self.lot_e8} in 1e-8")
        if self.px_max_ticks * self.qty_max_lots * self.unit_e8 >= 2**62:
            raise SimBadInstrument(f"{self.symbol}: the dearest order does not fit 63 bits")

    @property
    def unit_e8(self) -> int:
        """What one tick times one lot is worth, in 1e-8 of the quote asset."""
        return self.tick_e8 * self.lot_e8 // E8

    @property
    def px_digits(self) -> int:
        return _digits(self.tick_e8)

    @property
    def qty_digits(self) -> int:
        return _digits(self.lot_e8)

    def book(self) -> Match:
        """An empty book with this instrument's filters."""
        config: dict[str, Any] = {
            "px_max": self.px_max_ticks,
            "qty_min": self.qty_min_lots,
            "qty_max": self.qty_max_lots,
            "market_qty_max": self.market_qty_max_lots,
            "notional_min": -(-self.notional_min * E8 // self.unit_e8),
            "bid_up_ppm": self.percent_up_ppm,
            "bid_down_ppm": self.percent_down_ppm,
            "ask_up_ppm": self.percent_up_ppm,
            "ask_down_ppm": self.percent_down_ppm,
            "owner_orders_max": self.orders_max,
            "owner_algo_max": self.algo_orders_max,
            "owner_iceberg_max": self.iceberg_orders_max,
            "iceberg_parts_max": self.iceberg_parts_max,
        }
        return Match(**(config | self.capacity))

    def px_text(self, ticks: int) -> str:
        return amount_text(ticks * self.tick_e8)

    def qty_text(self, lots: int) -> str:
        return amount_text(lots * self.lot_e8)


def _digits(step_e8: int) -> int:
    """Decimals that a multiple of the step may need."""
    digits = 8
    while digits and step_e8 % 10 == 0:
        step_e8 //= 10
        digits -= 1
    return digits


def amount_text(amount_e8: int) -> str:
    """The venue's way to write a number: always eight decimals."""
    sign = "-" if amount_e8 < 0 else ""
    return f"{sign}{abs(amount_e8) // E8}.{abs(amount_e8) % E8:08d}"


def spot(symbol: str, base: str, quote: str, tick_e8: int, lot_e8: int, px_most: int, qty_most: int,
         **more: Any) -> Instrument:  # fmt: skip
    """A spot instrument from its largest price and quantity in whole units."""
    return Instrument(symbol, base, quote, tick_e8, lot_e8, px_most * E8 // tick_e8, qty_most * E8 // lot_e8, **more)


def default_spot() -> tuple[Instrument, ...]:
    return (
        spot("BTCUSDT", "BTC", "USDT", 1_000_000, 1_000, 1_000_000, 3_000, market_qty_max_lots=10_000_000),
        spot("ETHUSDT", "ETH", "USDT", 1_000_000, 10_000, 100_000, 9_000, market_qty_max_lots=20_000_000),
        spot("BNBUSDT", "BNB", "USDT", 1_000_000, 100_000, 100_000, 9_000, market_qty_max_lots=2_000_000),
    )


def default_perpetuals() -> tuple[Instrument, ...]:
    perp = {"perpetual": True, "fees": PERP_FEES, "notional_min": 5, "percent_up_ppm": 1_050_000,
            "percent_down_ppm": 950_000, "algo_orders_max": 10}  # fmt: skip
    return (
        spot("BTCUSDT", "BTC", "USDT", 10_000_000, 100_000, 1_000_000, 1_000, market_qty_max_lots=120_000, **perp),
        spot("ETHUSDT", "ETH", "USDT", 1_000_000, 100_000, 100_000, 10_000, market_qty_max_lots=2_000_000, **perp),
    )
