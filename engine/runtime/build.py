"""A core out of settings: instruments, limits, account and strategies in their slots, before the first event.

The same settings give the same core, byte for byte; so a replay builds it from the settings that the session kept.
"""

from __future__ import annotations

from engine._core.step import Core
from engine._core.world import World
from engine.settings.schema import Settings
from engine.strategy import registry
from engine.strategy.cache import Cache
from engine.strategy.meter import Meter


def symbols_of(settings: Settings) -> dict[str, int]:
    """Index of each instrument, in the order of the settings."""
    return {name: at for at, name in enumerate(settings.instruments)}


def strategies_of(settings: Settings) -> dict[str, int]:
    """Slot of each strategy that runs."""
    running = [name for name, strategy in settings.strategies.items() if strategy.enabled]
    return {name: at for at, name in enumerate(running)}


def build_core(
    settings: Settings, *, cache: Cache | None = None, compile_missing: bool = True, meter: Meter | None = None
) -> Core:
    """The core as it stands before its first event. With a meter the driver owes its events to the core."""
    symbols, slots = symbols_of(settings), strategies_of(settings)
    world = World(
        symbols=len(symbols), strategies=len(slots), orders=settings.capacity.orders, seed=settings.engine.seed
    )
    for name, symbol in symbols.items():
        world.set_instrument(symbol, **settings.instruments[name].core())
        world.set_gate_symbol(symbol, **settings.instruments[name].gate())
    world.set_account(**settings.account.core())
    world.set_limits(**settings.limits.core())
    core = Core(world)
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
        )
        registry.bind(core, slot, placement, cache=cache, meter=meter)
    return core
