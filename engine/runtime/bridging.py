"""Opens a venue of protocol `ccxt` for a session: the exchange, its facts, the bridge on a thread of its own."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from engine._core.breaker import Breaker, Breakers
from engine._core.clock import utc_ns
from engine.errors import InstrumentRefused, SettingsError
from engine.net.budget import SECOND, RateBudget
from engine.net.clocksync import ClockSync
from engine.runtime.breakers import declare
from engine.runtime.bridged import BridgedExchange
from engine.runtime.bridged_config import BRIDGED_DUTIES, BridgedConfig
from engine.runtime.build import venues_of
from engine.runtime.care import CareConfig
from engine.runtime.endpoints import require_hosts
from engine.settings.schema import Settings, Venue
from engine.venues.bridge_thread import BridgeThread
from engine.venues.ccxt_account import CcxtAccount
from engine.venues.ccxt_bridge import LANES, ORDERS, CcxtBridge
from engine.venues.ccxt_linear import CcxtLinear, require_linear
from engine.venues.ccxt_open import hosts_of, open_ccxt
from engine.venues.directory import Assets, Directory, Instrument
from engine.venues.driver import often_enough


def open_bridged(
    settings: Settings, name: str, venue: Venue, key: str, secret: str, rows: dict[str, int], assets: Assets, *,
    linear: bool, budget: RateBudget, halted: Callable[[], bool],
) -> tuple[BridgedExchange, BridgedFacts]:  # fmt: skip
    """The exchange and what it says of itself. Asks the venue."""
    secret, _, password = secret.partition("\n")
    exchange = open_ccxt(
        venue.exchange, key=key, secret=secret, password=password.strip().removeprefix("password=").strip(),
        rest=venue.rest, stream=venue.stream, api=venue.api, linear=linear,
    )  # fmt: skip
    if linear:
        require_linear(exchange)
    require_hosts(name, venue, hosts_of(exchange), paper=settings.engine.mode == "paper")
    symbols = {text: settings.instruments[text].symbol or _symbol(settings, text) for text in rows}
    thread, inbox = BridgeThread(name), deque[Any]()
    directory = Directory(assets=assets)
    bridge = CcxtBridge(
        exchange, directory, symbols, budget=budget, breaker=_breaker(name, venue),
        deliver=inbox.append, lanes=(*LANES, ORDERS) if exchange.has.get(ORDERS.has) else LANES,
    )  # fmt: skip
    clock = ClockSync()
    account = (CcxtLinear if linear else CcxtAccount)(bridge, thread, clock, since_ns=utc_ns())
    try:
        facts = thread.run(_ask(account, directory, rows))
    except BaseException:
        thread.run(bridge.close())
        thread.close()
        raise
    config = BridgedConfig(
        CareConfig(
            foreign=settings.reconcile.foreign, duties=often_enough(BRIDGED_DUTIES, venue.fees_age_s * SECOND)
        ),
        dead_man_ms=settings.safety.dead_man_ms if venue.dead_man else 0, venue=venues_of(settings)[name],
    )  # fmt: skip
    made = BridgedExchange(config, bridge, account, thread, inbox)
    bridge.join(made.deliver, made.heard, lambda: made.gate.is_open and not halted(), made.passed)
    made.care.next_trade = {symbol: number + 1 for symbol, number in facts.last_trades.items()}
    made.care.linear.funding_ns = facts.asked_ns
    made.balances = dict(facts.holdings)
    return made, facts


@dataclass(frozen=True)
class BridgedFacts:
    """What an exchange says before anything starts."""

    instruments: dict[str, Instrument]  # by the settings' names
    holdings: dict[int, int]
    last_trades: dict[int, int]
    leverage: dict[str, int]  # of perpetuals
    asked_ns: int  # its time


async def _ask(account: CcxtAccount, directory: Directory, rows: dict[str, int]) -> BridgedFacts:
    """One conversation before anything starts, on the bridge's own thread."""
    for _ in range(3):
        await account.measure_clock()
    listed, found, last_trades = await account.listed(rows), dict[str, Instrument](), dict[int, int]()
    for text, index in rows.items():
        if text not in listed:
            raise InstrumentRefused(f"{text}: the venue does not list {account.bridge.symbols[text]}.")
        maker, taker = await account.fees(text)
        found[text] = replace(listed[text], index=index, fee_maker_e8=maker, fee_taker_e8=taker)
        directory.add(found[text])
        last_trades[index] = await account.last_trade(found[text])
    leverage = {}
    if isinstance(account, CcxtLinear):
        settings = await account.settings()
        leverage = {text: most for text, (_, most) in settings.margins.items()}
        # Its leverage is followed; how it counts positions and margin has to fit.
        if why_not := settings.why_not(dict.fromkeys(found, 10**6)):
            raise SettingsError(f"the account at the venue: {why_not}.")
    now_ns = account.clock.venue_now_ns(utc_ns())
    return BridgedFacts(found, await account.balances(), last_trades, leverage, now_ns)


def _symbol(settings: Settings, text: str) -> str:
    """As ccxt spells a market: spot, or a perpetual settled in its quote asset."""
    row = settings.instruments[text]
    return f"{row.base}/{row.quote}" if row.market == "spot" else f"{row.base}/{row.quote}:{row.quote}"


def _breaker(name: str, venue: Venue) -> Breaker:
    """Of the calls through the bridge: what it stops, nobody calls. The session's own board is another one."""
    table = Breakers(count_max=2)
    declare(table, name, venue.breaker)
    return table[name]
