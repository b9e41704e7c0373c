"""Fee schedules from config/fees/*.toml into the compiled fee table.

Owns: the files' form and its checks. Rates are percent in quotes ("0.1" is 0.1 %), because a TOML float is not the
number that was typed; they are converted to 1e-8 exactly or refused. A schedule is a default with a source and a
date, good for simulation; live rates come from the venue and are put in by `FeeTable.refresh`. So installing a
schedule leaves the table stale, and stale fees let no order pass.
"""

from __future__ import annotations

import datetime
import difflib
import tomllib
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

from engine._core.cost import FeeTable
from engine.errors import FeesBadSchedule, FeesUnknownVenue

_TOP = {"venue", "source", "as_of", "market"}
_MARKET = {"tiers", "discount_percent", "discount_asset"}
_TIER = {"volume", "maker", "taker"}
_E8_OF_A_PERCENT, _E8 = 10**6, 10**8


@dataclass(frozen=True)
class FeeTier:
    volume: int
    maker_e8: int
    taker_e8: int


@dataclass(frozen=True)
class MarketFees:
    market: str
    tiers: tuple[FeeTier, ...]
    discount_e8: int
    discount_asset: str | None


@dataclass(frozen=True)
class FeeSchedule:
    venue: str
    source: str
    as_of: datetime.date
    markets: tuple[MarketFees, ...]

    def market(self, name: str) -> MarketFees:
        for market in self.markets:
            if market.market == name:
                return market
        raise FeesUnknownVenue(f"{self.venue} has no market {name!r}{_nearest(name, {m.market for m in self.markets})}")


def load_fees(path: Path) -> FeeSchedule:
    """Read one schedule; every mistake names the file and the entry."""
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise FeesUnknownVenue(f"{path}: no such file") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise FeesBadSchedule(f"{path}: {error}") from None
    _keys(path, "the file", data, _TOP, _TOP)
    markets = data["market"]
    if not isinstance(data["as_of"], datetime.date) or not isinstance(markets, dict) or not markets:
        raise FeesBadSchedule(f"{path}: as_of must be a date, market a table")
    for name in ("venue", "source"):
        if not isinstance(data[name], str) or not data[name]:
            raise FeesBadSchedule(f"{path}: {name} must be a text")
    rows = tuple(_market(path, name, body) for name, body in markets.items())
    return FeeSchedule(data["venue"], data["source"], data["as_of"], rows)


def rates_at(fees: MarketFees, volume: int, *, discounted: bool) -> tuple[int, int]:
    """(maker, taker) in 1e-8 of the tier that a 30-day volume reaches; what is paid is discounted and rounds up."""
    tier = [tier for tier in fees.tiers if tier.volume <= volume][-1]
    maker, taker = (
        -(-rate * fees.discount_e8 // _E8) if discounted and rate > 0 else rate
        for rate in (tier.maker_e8, tier.taker_e8)
    )
    return maker, taker


def install(table: FeeTable, row: int, fees: MarketFees, *, discount_asset: int, pay_discounted: bool = False) -> None:
    """Put a market's tiers into a row, lowest first. The row stays stale until it is refreshed."""
    for tier in fees.tiers:
        table.add_tier(row, tier.volume, tier.maker_e8, tier.taker_e8)
    table.set_discount(row, fees.discount_e8, asset=discount_asset, pays=pay_discounted)


def percent_e8(text: object, where: str) -> int:
    """A percentage in quotes as a rate in 1e-8, exactly."""
    if not isinstance(text, str):
        raise FeesBadSchedule(f'{where}: {text!r} must stand in quotes, like "0.1"')
    try:
        value = Decimal(text) * _E8_OF_A_PERCENT
    except InvalidOperation:
        raise FeesBadSchedule(f"{where}: {text!r} is not a number") from None
    if not value.is_finite() or value != value.to_integral_value():
        raise FeesBadSchedule(f"{where}: {text!r} is not a whole number of 1e-8")
    return int(value)


def _market(path: Path, name: str, body: Any) -> MarketFees:
    where = f"{path}: market.{name}"
    _keys(path, f"market.{name}", body, _MARKET, {"tiers"})
    tiers = body["tiers"]
    if not isinstance(tiers, list) or not tiers:
        raise FeesBadSchedule(f"{where}: tiers must be a list with at least one entry")
    rows = tuple(_tier(path, f"market.{name}, tier {at}", tier) for at, tier in enumerate(tiers))
    asset = body.get("discount_asset")
    if (asset is None) != ("discount_percent" not in body) or not isinstance(asset, str | None):
        raise FeesBadSchedule(f"{where}: discount_percent and discount_asset belong together")
    discount_e8 = 100 * _E8_OF_A_PERCENT - percent_e8(body.get("discount_percent", "0"), f"{where}, discount_percent")
    # The kernel holds the order of the tiers and the bounds of the rates; a scratch row says so at load, not at start.
    fees = MarketFees(name, rows, discount_e8, asset)
    try:
        install(FeeTable(1), 0, fees, discount_asset=0)
    except FeesBadSchedule as error:
        raise FeesBadSchedule(f"{where}: tiers must rise in volume and fall in rate ({error.detail})") from None
    return fees


def _tier(path: Path, where: str, tier: Any) -> FeeTier:
    _keys(path, where, tier, _TIER, _TIER)
    volume = tier["volume"]
    if not isinstance(volume, int) or isinstance(volume, bool) or not 0 <= volume < 2**62:
        raise FeesBadSchedule(f"{path}: {where}: volume must be a whole number")
    at = f"{path}: {where}"
    return FeeTier(volume, percent_e8(tier["maker"], f"{at}, maker"), percent_e8(tier["taker"], f"{at}, taker"))


def _nearest(name: str, known: set[str]) -> str:
    near = difflib.get_close_matches(name, sorted(known), n=1)
    return f"; did you mean {near[0]!r}?" if near else ""


def _keys(path: Path, where: str, body: Any, known: set[str], needed: set[str]) -> None:
    if not isinstance(body, dict):
        raise FeesBadSchedule(f"{path}: {where} must be a table")
    for name in body:
        if name not in known:
            raise FeesBadSchedule(f"{path}: {where} has an unknown key {name!r}{_nearest(name, known)}")
    if missing := sorted(needed - body.keys()):
        raise FeesBadSchedule(f"{path}: {where} lacks {', '.join(missing)}")
