"""What certify puts into the seeded world: one strategy on one perpetual, on the core that a paper session has.

    make_setup("strategies.breakout")   the core by `build_core` from settings like any session's: with brackets,
                                        triggers, modes, validators and limits, and an instrument that can what the
                                        venue of a paper session can

A strategy that the paper session places is placed with that session's parameters and limits.
"""

from __future__ import annotations

from functools import partial

import msgspec

from engine._core.step import Core
from engine.errors import WorldCannotHold
from engine.runtime.build import build_core
from engine.settings.load import config_directory, load
from engine.settings.schema import Settings
from engine.settings.trading import E8, Instrument, Strategy
from engine.sim.world.engine import Setup
from engine.strategy import registry

SYMBOL = "BTCUSDT"
INSTRUMENT = Instrument(market="linear", base="BTC", tick=E8 // 100, lot=E8 // 1000, px_start=500 * E8)
# One strategy's few orders: a core as large as a session's is mostly memory to hash and to copy.
ROOM = {"orders": 64, "brackets": 16, "parents": 2, "strategies": 1, "symbols": 1}
# Both sides at once: one stop follows what they come to. The other strategies protect each entry.
NETS = ("strategies.market_maker",)
UNIT = INSTRUMENT.tick * INSTRUMENT.lot // E8


def settings_of(strategy: str) -> Settings:
    """The paper session's settings with this strategy alone, on an account that its limits are a share of."""
    peers = registry.find(strategy).peers
    if peers:
        raise WorldCannotHold(f"{strategy} watches {peers} other symbol{'s' * (peers > 1)}; the world has one market.")
    paper = load([config_directory() / "paper.toml"]).settings
    known = next((row for row in paper.strategies.values() if row.module == strategy), None)
    placed = known or Strategy(module=strategy, symbol=SYMBOL, limits={"nets": 1} if strategy in NETS else {})
    return msgspec.structs.replace(
        paper,
        instruments={SYMBOL: INSTRUMENT},
        capacity=msgspec.structs.replace(paper.capacity, **ROOM),
        account=msgspec.structs.replace(paper.account, capital=100_000 * E8),
        strategies={"certified": msgspec.structs.replace(placed, symbol=SYMBOL, enabled=True)},
        routes={},
    )


def make_core(strategy: str) -> Core:
    return build_core(settings_of(strategy))


def make_setup(strategy: str, market: str = "walk") -> Setup:
    """One strategy on one symbol, with the account and the limits of a paper session."""
    settings = settings_of(strategy)
    exposure_max = settings.account.capital * settings.limits.position_share_ppm // 10**6
    return Setup(
        strategy, partial(make_core, strategy), exposure_max, UNIT, INSTRUMENT.ticks(INSTRUMENT.px_start), market
    )
