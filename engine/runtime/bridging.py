"""Opens a venue of protocol `ccxt` for a session: the exchange, its facts, the bridge on a thread of its own."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from engine._core.breaker import Breaker, Breakers
from engine._core.clock import utc_ns
from engine.errors import InstrumentRefused, SettingsError
from engine.net.budget import SECOND, RateBudget
from engine.net.clocksync import ClockSync
from engine.runtime.breakers import declare
from engine.runtime.bridged import BRIDGED_DUTIES, BridgedConfig, BridgedExchange
from engine.runtime.build import venues_of
from engine.runtime.care import CareConfig
from engine.runtime.endpoints import require_hosts
from engine.settings.schema import Settings, Venue
from engine.venues.bridge_thread import BridgeThread
from engine.venues.ccxt_account import CcxtAccount
from engine.venues.ccxt_bridge import LANES, ORDERS, CcxtBridge
from engine.venues.ccxt_open import hosts_of, open_ccxt
from engine.venues.directory import Assets, Directory, Instrument
from engine.venues.driver import often_enough


def open_bridged(
    settings: Settings, name: str, venue: Venue, key: str, secret: str, rows: dict[str, int], assets: Assets, *,
    budget: RateBudget, halted: Callable[[], bool],
) -> tuple[BridgedExchange, dict[str, Instrument], dict[int, int]]:  # fmt: skip
    """The exchange, its instruments by the settings' names, what the account holds there. Asks the venue."""
    secret, _, password = secret.partition("\n")
    exchange = open_ccxt(
        venue.exchange, key=key, secret=secret, password=password.strip().removeprefix("password=").strip(),
        rest=venue.rest, stream=venue.stream, api=venue.api,
    )  # fmt: skip
    require_hosts(name, venue, hosts_of(exchange), paper=settings.engine.mode == "paper")
    symbols = {text: settings.instruments[text].symbol or _symbol(settings, text) for text in rows}
    thread, inbox = BridgeThread(name), deque[Any]()
    directory = Directory(assets=assets)
    bridge = CcxtBridge(
        exchange, directory, symbols, budget=budget, breaker=_breaker(name, venue),
        deliver=inbox.append, lanes=(*LANES, ORDERS) if exchange.has.get(ORDERS.has) else LANES,
    )  # fmt: skip
    clock = ClockSync()
    account = CcxtAccount(bridge, thread, clock, since_ns=utc_ns())
    try:
        found, last_trades, holdings = thread.run(_ask(account, directory, rows))
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
    bridge.join(made.deliver, made.heard, lambda: made.gate.is_open and not halted())
    made.care.next_trade = {symbol: number + 1 for symbol, number in last_trades.items()}
    made.balances = dict(holdings)
    return made, found, holdings


async def _ask(
    account: CcxtAccount, directory: Directory, rows: dict[str, int]
) -> tuple[dict[str, Instrument], dict[int, int], dict[int, int]]:
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
    return found, last_trades, await account.balances()


def _symbol(settings: Settings, text: str) -> str:
    """As ccxt spells a spot market."""
    row = settings.instruments[text]
    if row.market != "spot":
        raise SettingsError(f"instruments.{text}: through ccxt a session trades spot.")
    return f"{row.base}/{row.quote}"


def _breaker(name: str, venue: Venue) -> Breaker:
    """Of the calls through the bridge: what it stops, nobody calls. The session's own board is another one."""
    table = Breakers(count_max=2)
    declare(table, name, venue.breaker)
    return table[name]
