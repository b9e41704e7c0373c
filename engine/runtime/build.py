"""A core out of settings: instruments, limits, account and strategies in their slots, before the first event.

The same settings give the same core, byte for byte; so a replay builds it from the settings that the session kept.
"""

from __future__ import annotations

import zlib
from base64 import b64decode, b64encode
from collections.abc import Mapping
from typing import Any

import msgspec

from engine._core.book import Quotes, Rule
from engine._core.features_feed import feed_address, feed_bytes, feed_init
from engine._core.routing import Policy
from engine._core.step import Core
from engine._core.types import Can
from engine._core.validate import Class, defaults
from engine._core.world import World
from engine.errors import SessionMissing, StrategyNotAccepted
from engine.journal.layout import Session
from engine.runtime.endpoints import discipline_of
from engine.runtime.wiring import make_core
from engine.settings.schema import Settings
from engine.strategy import registry
from engine.strategy.cache import Cache
from engine.strategy.meter import Meter

POLICIES = {
    "best_price": Policy.POLICY_BEST_PRICE, "lowest_fee": Policy.POLICY_LOWEST_FEE, "smart": Policy.POLICY_SMART,
}  # fmt: skip
FEES_REFRESHED = ("binance_spot", "binance_usdm", "ccxt")  # by the care beside the driver
HOUR_NS = 3_600 * 10**9
# A stop waits here for its price: it follows a position without a message for each change.
SPOT_CAN = Can.CAN_MARKET | Can.CAN_IOC | Can.CAN_FOK | Can.CAN_POST | Can.CAN_AMEND_DOWN
LINEAR_CAN = Can.CAN_MARKET | Can.CAN_IOC | Can.CAN_FOK | Can.CAN_POST | Can.CAN_REDUCE
# What every exchange of ccxt's has: an order changes by a cancel and another one.
BRIDGED_CAN = Can.CAN_MARKET | Can.CAN_IOC | Can.CAN_FOK | Can.CAN_POST
BRIDGED_LINEAR_CAN = BRIDGED_CAN | Can.CAN_REDUCE
BOOK_LEVELS, BOOK_TICKS = 4_096, 1_024
NOBODY_ASKED = {"approval_over": 2**63 - 1}
SAMPLE_NS = 10**9  # of the correlation: known after half a minute, not after half an hour


def symbols_of(settings: Settings) -> dict[str, int]:
    """Index of each instrument, in the order of the settings."""
    return {name: at for at, name in enumerate(settings.instruments)}


def venues_of(settings: Settings) -> dict[str, int]:
    """Index of each venue that an instrument is at, in the order of the instruments."""
    return {name: at for at, name in enumerate(dict.fromkeys(row.venue for row in settings.instruments.values()))}


def strategies_of(settings: Settings) -> dict[str, int]:
    """Slot of each strategy that runs."""
    running = [name for name, strategy in settings.strategies.items() if strategy.enabled]
    return {name: at for at, name in enumerate(running)}


def build_core(
    settings: Settings,
    *,
    epoch: int = 1,
    paused: bool = False,
    cache: Cache | None = None,
    compile_missing: bool = True,
    meter: Meter | None = None,
    holdings: Mapping[int, int] | None = None,
    paper_can: int | None = None,
    book: tuple[int, int] | None = None,
    rests: bytes | None = None,
    disciplined: bool = True,
) -> Core:
    """The core as it stands before its first event. With a meter the driver owes its events to the core.

    `holdings` is what the account held at a venue over sockets, by the ledger's asset; on paper in this process the
    capital of the settings is all there is. `paper_can` is what the embedded venue is asked to carry in place of
    that. With `book` (levels, ticks) every symbol keeps its depth, numbered by nobody. `rests` is the table of
    discipline that an earlier session left. Only research is not `disciplined`: it gathers the results that the rules
    would judge, and nobody is tempted there.
    """
    symbols, slots, venues = symbols_of(settings), strategies_of(settings), venues_of(settings)
    over = {name for name, row in settings.instruments.items() if settings.venues[row.venue].protocol != "embedded"}
    bridged = {name for name in over if settings.venues[settings.instruments[name].venue].protocol == "ccxt"}
    levels, ticks = book or (BOOK_LEVELS if over else 0, BOOK_TICKS)
    capacity = settings.capacity
    wanted = [registry.find(settings.strategies[name].module).features for name in slots]
    asked = any(request is not None for request in wanted)
    world = World(
        features=feed_bytes(wanted) if asked else 0,
        symbols=len(symbols),
        strategies=len(slots),
        orders=capacity.orders,
        brackets=capacity.brackets,
        triggers=capacity.orders,
        algos=capacity.parents,
        groups=len(settings.routes),
        venues=max(1, len(venues)),
        tracked=len(symbols),
        sample_ns=SAMPLE_NS,
        book_levels=levels,
        book_ticks=ticks,
        validate=True,
        seed=settings.engine.seed,
        epoch=epoch,
        modes=settings.modes.core(),
        # A world without strategies has no signals to judge.
        discipline=settings.discipline.core(discipline_of(settings)) if slots and disciplined else None,
        rise_ns=settings.discipline.rise_window_s * 10**9,
        # Live begins paused, and so does whatever comes after a reset: the way to Normal has its conditions.
        mode="paused" if paused or settings.engine.mode == "live" else "normal",
        day_cut_ns=settings.account.day_cut_hour_utc * HOUR_NS,
    )
    for name, symbol in symbols.items():
        row = settings.instruments[name]
        linear = row.market == "linear"
        can = LINEAR_CAN if linear else SPOT_CAN
        if name not in over:
            # The embedded venue keeps a perpetual's amended order in its place, as spot's does.
            can = can | SPOT_CAN if paper_can is None else paper_can
        elif name in bridged:
            can = BRIDGED_LINEAR_CAN if linear else BRIDGED_CAN
        # Spot is traded without a loan: nobody sells what the account does not have.
        venue = settings.venues[row.venue]
        # Where fees are asked for again and again, not hearing of them is a reason to order nothing new.
        fees_age_ns = venue.fees_age_s * 10**9 if venue.protocol in FEES_REFRESHED else 0
        world.set_instrument(symbol, linear=int(linear), cash_only=int(not linear), can=int(can),
                             fees_age_ns=fees_age_ns, venue=venues[row.venue], **row.core())  # fmt: skip
        world.set_gate_symbol(symbol, **row.gate())
        if book is not None:
            world.set_book(symbol, rule=int(Rule.RULE_NONE))
        elif name in bridged:
            # Images that nobody numbers, often without a time.
            world.set_book(symbol, rule=int(Rule.RULE_NONE))
            world.set_validate(symbol, needs_time=0)
        elif name in over:
            rule = Rule.RULE_LINKED if linear else Rule.RULE_SPOT
            world.set_book(symbol, rule=int(rule), quotes=int(Quotes.QUOTES_LEAD))
            # Spot's best bid and ask carry a number and no time.
            timeless = 0 if linear else 1 << Class.CLASS_QUOTE
            world.set_validate(symbol, needs_time=int(defaults()["needs_time"]) & ~timeless)
    for group, route in enumerate(settings.routes.values()):
        world.set_group(group, [symbols[name] for name in route.instruments], policy=int(POLICIES[route.policy]))
    world.set_tracked(list(symbols.values()))
    world.set_account(**settings.account.core())
    for asset, amount in ({0: settings.account.capital} if holdings is None else dict(holdings)).items():
        world.set_cash(asset, amount)
    # Nor is anybody there to be asked, in research.
    world.set_limits(**settings.limits.core() | ({} if disciplined else NOBODY_ASKED))
    if rests is not None:
        world.put_discipline(rests)
    core = Core(world)
    if asked:
        feed_init(world, wanted)
        core.bind_features(feed_address())
    cache = cache or Cache()
    for name, slot in slots.items():
        chosen = settings.strategies[name]
        if compile_missing:
            # In a child process. A live engine loads only what was built ahead.
            registry.build(chosen.module, cache)
        placement = registry.Placement(
            chosen.module,
            symbols[chosen.symbol],
            chosen.params,
            chosen.limits,
            registry.Budget(chosen.budget_ns, chosen.hard_ns, chosen.strikes_max, chosen.forgive_count),
            tuple(symbols[name] for name in chosen.peers),
        )
        registry.bind(core, slot, placement, cache=cache, meter=meter)
    return core


def session_meta(
    settings: Settings,
    holdings: Mapping[int, int] | None = None,
    *,
    paused: bool = False,
    rests: bytes | None = None,
) -> dict[str, Any]:
    """What a replay needs to build the same core."""
    meta = {"settings": msgspec.to_builtins(settings), "settings_hash": settings.hash(), "paused": paused}
    hashes = {name: registry.features_hash(registry.find(settings.strategies[name].module))
              for name in strategies_of(settings)}  # fmt: skip
    if any(hashes.values()):
        meta["features"] = {name: one for name, one in hashes.items() if one}
    if rests is not None:
        meta["rests"] = b64encode(zlib.compress(rests)).decode()
    return meta if holdings is None else meta | {"holdings": {str(k): v for k, v in holdings.items()}}


def core_of(session: Session) -> Core:
    """The core that a recorded session was run with, before its first event."""
    if session.file is None:
        raise SessionMissing(f"{session.path} does not say what it was run with.")
    if "settings" not in session.file.meta:
        # A record of market data alone: whoever replays it steps the smallest core.
        return make_core(seed=session.file.seed)
    settings = msgspec.convert(session.file.meta["settings"], Settings)
    for name, kept in session.file.meta.get("features", {}).items():
        now = registry.features_hash(registry.find(settings.strategies[name].module))
        if now != kept:
            raise StrategyNotAccepted(f"{name} asked for other features when {session.path} was recorded.")
    held = session.file.meta.get("holdings")
    holdings = None if held is None else {int(asset): int(amount) for asset, amount in held.items()}
    paused = bool(session.file.meta.get("paused"))
    kept = session.file.meta.get("rests")
    rests = None if kept is None else zlib.decompress(b64decode(kept))
    return build_core(settings, epoch=session.file.epoch, paused=paused, holdings=holdings, rests=rests)
