"""A live driver and an embedded venue on one loop, with an engine between them: what the tests of the driver stand on.

The venue is the served one, with real sockets; the engine is the real core with a tape. Time is the machine's, so tests
wait for conditions and never for durations.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from aiohttp import web

from engine._core.clock import utc_ns
from engine._core.tape import Tape
from engine._core.types import ORDER, Feed, Kind
from engine._core.validate import Class, defaults
from engine.net.backoff import BackoffConfig
from engine.net.budget import SECOND, BudgetConfig, Limit, LimitKind, RateBudget
from engine.net.clocksync import ClockSync
from engine.net.http import HttpClient
from engine.net.link import LinkConfig
from engine.net.transport import make as make_transport
from engine.runtime.build import build_core
from engine.runtime.care import CareConfig
from engine.runtime.engine import Engine, at_venue
from engine.runtime.live import LiveConfig, LiveExchange
from engine.settings.load import load
from engine.sim.venue.exchange import Exchange
from engine.sim.venue.generated import PERPETUAL_WALKS, WALKS, GeneratedMarket
from engine.sim.venue.instruments import E8, default_perpetuals, default_spot
from engine.sim.venue.server import VenueServer
from engine.sim.venue.spot import SpotForm
from engine.sim.venue.usdm import UsdmForm
from engine.sim.venue.wire import ApiError
from engine.venues.binance import info, market
from engine.venues.binance.account import BinanceAccount
from engine.venues.binance.orders import Form, encoder
from engine.venues.binance.sign import HmacSigner
from engine.venues.directory import Assets, Directory
from engine.venues.driver import Duty, often_enough
from engine.venues.sender import SenderConfig

HOLDINGS = {0: 10**6 * E8, 1: 10 * E8}
# Longer than any test needs on a machine that has nothing else to do, so that only a real stand-still ends one.
PATIENCE_S = 600.0
STP = "EXPIRE_MAKER"
STARVED_NS = 60 * SECOND
SETTINGS = """
[engine]
mode = "paper"
name = "loopback"
directory = "{directory}"
[account]
capital = "2000000"
[limits]
order_notional = "5000"
orders_per_second = 20
book_age_ns = 500_000_000
[discipline]
biases = "observe"
[features]
enabled = ["ta_basic", "market_making"]
[venues.paper]
protocol = "binance_{market}"
rest = "http://127.0.0.1:{port}"
stream = "ws://127.0.0.1:{port}"
api = "ws://127.0.0.1:{port}{api}"
{venue}
weight_per_minute = 6000
orders_per_10s = 100
[instruments.BTCUSDT]
base = "BTC"
{instrument}
px_max = "1000000"
notional_min = "5"
[strategies.quoter_btc]
module = "strategies.quoter"
symbol = "BTCUSDT"
features = ["market_making"]
params = {{ {params} }}
limits = {{ nets = 1 }}
"""
FORMS = {
    "spot": {
        "api": "/ws-api/v3", "venue": "dead_man = false",
        "instrument": 'tick = "0.01"\nlot = "0.00001"\nqty_max = "10"',
        "params": "qty = 1000, position_max = 20000, skew_lots = 4000, stop_ticks = 5000",
    },
    "usdm": {
        "api": "/ws-fapi/v1", "venue": "dead_man = true",
        "instrument": 'market = "linear"\ntick = "0.1"\nlot = "0.001"\nqty_max = "10"\nmargin_ppm = 100_000',
        "params": "qty = 10, position_max = 200, skew_lots = 40, stop_ticks = 500",
    },
}  # fmt: skip
TRADED = {"spot": default_spot, "usdm": default_perpetuals}
WALKS_OF = {"spot": WALKS, "usdm": PERPETUAL_WALKS}
DUTIES = (
    Duty("clock", SECOND, SECOND // 5, 120 * SECOND),
    Duty("tally", SECOND // 2, SECOND // 5, 300 * SECOND),
    Duty("instruments", 60 * SECOND, SECOND, 3600 * SECOND),
    Duty("fees", 60 * SECOND, SECOND, 300 * SECOND),
    Duty("listen_key", 60 * SECOND, SECOND // 5, 3300 * SECOND),
    Duty("funding", SECOND // 2, SECOND // 5, 0),
    Duty("settings", 60 * SECOND, SECOND // 5, 3600 * SECOND),
    Duty("dead_man", 5 * SECOND, SECOND // 5, 60 * SECOND),
)


def write_settings(folder: Path, port: int, market: str = "spot") -> Path:
    path = folder / "loopback.toml"
    path.write_text(SETTINGS.format(directory=folder / "state", port=port, market=market, **FORMS[market]))
    return path


class Clumsy(VenueServer):
    """The venue with faults by script: `drop` says which messages to clients never leave."""

    drop: Callable[[Any], bool] = staticmethod(lambda message: False)
    dropped = 0
    refused: frozenset[str] = frozenset()  # paths of requests that it does not answer

    def _weigh(self, request: Any, weight: int) -> int:
        if request.path in self.refused:
            raise ApiError(-1001, "Internal error; unable to process your request.", 503)
        return super()._weigh(request, weight)

    async def _api_socket(self, request: Any) -> Any:
        if request.path in self.refused:
            raise web.HTTPServiceUnavailable
        return await super()._api_socket(request)

    def _put(self, socket: Any, message: Any) -> None:
        if self.drop(message):
            self.dropped += 1
            return
        super()._put(socket, message)


async def until(condition: Callable[[], bool]) -> None:
    """Of a conversation that is bounded by whoever holds it."""
    while not condition():
        await asyncio.sleep(0.005)


@dataclass
class Bench:
    """Both sides of one test."""

    exchange: Exchange
    server: Clumsy
    live: LiveExchange
    engine: Engine
    log: list[tuple[bool, np.ndarray]]  # in order: whether it went in, and what
    generate: Callable[[int], int]
    turn_s: float = 0.002

    @property
    def counts(self) -> dict[str, int]:
        return self.engine.core.world.counts

    async def until(self, condition: Callable[[], bool], what: str = "") -> None:
        """Let both sides live until it holds."""
        try:
            async with asyncio.timeout(PATIENCE_S):
                while not condition():
                    self.turn()
                    await asyncio.sleep(self.turn_s)
        except TimeoutError as error:
            gate, live = self.live.gate.why(), self.live
            raise AssertionError(
                f"{what or 'it'} never happened: gate {gate}, counts {self.counts}, notes {list(live.notes)[-12:]}, "
                f"failures {live.care.failures}, failure {live.failure!r}, asks {live.sender.asks}"
            ) from error

    def turn(self) -> None:
        self.engine.advance(utc_ns())

    async def fills(self, more: int) -> None:
        wanted = self.counts["fills"] + more
        await self.until(lambda: self.counts["fills"] >= wanted, f"{wanted} fills")

    def pause(self) -> None:
        from engine._core.modes import Mode, Who  # noqa: PLC0415
        from engine.runtime.control import control_event  # noqa: PLC0415

        self.engine.take(control_event(utc_ns(), mode=int(Mode.MODE_PAUSED), who=int(Who.WHO_HUMAN)))

    async def quiet(self) -> None:
        """Stop trading, and wait until both sides agree that nothing is open."""
        self.pause()
        await self.until(
            lambda: not len(at_venue(self.engine.core.world)) and not self.live.sender.asks, "no order there"
        )

    async def end(self) -> None:
        await self.quiet()
        await self.live.close()

    # ------------------------------------------------------------------------------------------------- what both know
    def inputs(self) -> list[np.ndarray]:
        return [events for is_input, events in self.log if is_input]

    def outputs(self) -> list[np.ndarray]:
        return [events for is_input, events in self.log if not is_input]

    def our_trades(self) -> list[tuple[int, ...]]:
        """Every fill that the core booked, as it was told: number, side, price, quantity, order."""
        seen = {}
        for events in self.inputs():
            for row in events[events["kind"] == Kind.KIND_ORDER_FILL].view(ORDER):
                # One trade of ours with ourselves is two fills of one number.
                seen[int(row["id_venue"]), bool(row["flags"] & 4)] = (
                    int(row["id_venue"]), bool(row["flags"] & 4), int(row["px_ticks"]), int(row["qty_lots"]),
                    int(row["id_order"]),
                )  # fmt: skip
        return sorted(seen.values())

    def their_trades(self) -> list[tuple[int, ...]]:
        account = self.server.keys["key"].account
        return sorted(
            (e.trade_id, e.order.terms.sell, e.px, e.lots, int(e.order.client_id[2:], 16))
            for e in self.exchange.executions.get(account.owner, ())
        )

    def placed_while_shut(self) -> list[int]:
        """Orders that the core placed while it was not told that all is green."""
        is_open, found = False, []
        for is_input, events in self.log:
            if is_input:
                for row in events[events["kind"] == Kind.KIND_FEED]["word"].tolist():
                    # Of market data the core judges each symbol by itself.
                    is_open = is_open if row[0] == Feed.FEED_MARKET else row[1] == 2
            elif not is_open:
                found += [int(word[0]) for word in events[events["kind"] == Kind.KIND_INTENT_PLACE]["word"]]
        return found

    def placed_ids(self) -> Counter[int]:
        """How often the core asked for each order to be placed."""
        return Counter(
            int(row["word"][0]) for out in self.outputs() for row in out[out["kind"] == Kind.KIND_INTENT_PLACE]
        )

    def venue_ids(self) -> Counter[str]:
        """How many orders the venue has of each client id."""
        owner = self.server.keys["key"].account.owner
        return Counter(order.client_id for order in self.exchange.orders.values() if order.owner == owner)

    def check(self) -> None:
        """Both books of trades are one; positions and money agree; no order was made twice."""
        ours, theirs = self.our_trades(), self.their_trades()
        missing, invented = sorted(set(theirs) - set(ours)), sorted(set(ours) - set(theirs))
        assert (missing, invented) == ([], []), f"missing {missing}, invented {invented}; {self.live.care.failures}"
        assert not self.placed_while_shut()
        net = sum(-lots if sell else lots for _, sell, _, lots, _ in theirs)
        assert int(self.engine.core.world.positions()["lots"][0]) == net
        account = self.server.keys["key"].account
        if self.live.is_linear:
            assert account.positions["BTCUSDT"].lots == net
        assert {order.terms.stp for order in self.exchange.orders.values() if order.owner == account.owner} <= {2}
        assert len({trade for trade, *_ in theirs}) == len(theirs), "a trade with ourselves"
        twice = [id_order for id_order, count in self.placed_ids().items() if count > 1]
        assert twice == []
        assert [name for name, count in self.venue_ids().items() if count > 1] == []
        balances = account.balances
        cash = self.engine.core.world.assets()["balance"]
        for asset, name in enumerate(("USDT",) if self.live.is_linear else ("USDT", "BTC")):
            found, held = int(cash[asset][0]), balances[name].free + balances[name].locked
            if self.live.is_linear:
                # A fill that was told late changes which profit is realised and which is open, not their sum.
                found -= int(self.engine.core.world.positions()["cost"][0])
                held -= account.positions["BTCUSDT"].cost_e8
            assert found == held, f"{name}: {found - held} too much here"
        assert self.counts["illegal_reports"] == 0, self.counts
        self.engine.core.world.check()
        self.exchange.check()


@contextlib.asynccontextmanager
async def bench(
    tmp_path: Path, *, through: Callable[[int], Any] | None = None, clock: Callable[[], int] = utc_ns, seed: int = 3,
    tick_ns: int = 20_000_000, answer_ns: int = SECOND, recv_window_ms: int = 1_000, silence_ns: int = 20 * SECOND,
    transport: str = "picows", symbols: int = 3, tape_events: int = 1 << 21, kind: str = "spot",
    funding_ns: int = 8 * 3600 * SECOND, hot_spare: bool = False, spare: bool = False,
    fees_age_s: int = 300, bars: tuple[str, str] | None = None,
) -> AsyncIterator[Bench]:  # fmt: skip
    """A venue, a driver and an engine. `through` gives the address that the driver sees of a port."""
    exchange = Exchange(TRADED[kind]()[:symbols], now_ns=(start := clock()))
    generated = GeneratedMarket(exchange, seed=seed, start_ns=start, walks=WALKS_OF[kind])
    form = UsdmForm(exchange, funding_ns=funding_ns) if kind == "usdm" else SpotForm(exchange)
    server = Clumsy(exchange, clock=clock, generate=generated.advance, tick_ns=tick_ns, form=form)
    server.add_account("key", secret="secret", deposits=None if kind == "spot" else {"USDT": 10**6 * E8})
    server.limits.weight_max = 10**9
    server.limits.orders_10s_max = 10**9
    await server.start()
    port = server.port if through is None else await through(server.port)
    loaded = load([write_settings(tmp_path, port, kind)], environ={})
    held = HOLDINGS if kind == "spot" else {0: HOLDINGS[0]}
    venues = {name: msgspec.structs.replace(one, fees_age_s=fees_age_s) for name, one in loaded.settings.venues.items()}
    core = build_core(msgspec.structs.replace(loaded.settings, venues=venues), holdings=held, disciplined=False)
    be_patient(core)
    tape = Tape(tmp_path / "tape.b4", capacity=tape_events, write=True)
    live = make_live(
        port, seed=seed, answer_ns=answer_ns, recv_window_ms=recv_window_ms, silence_ns=silence_ns, transport=transport,
        kind=kind, hot_spare=hot_spare, fees_age_s=fees_age_s, bars=bars,
        spare_ws=f"ws://127.0.0.1:{server.port}" if spare else "",
    )  # fmt: skip
    engine = Engine(core, tape, live, now_ns=start)
    log: list[tuple[bool, np.ndarray]] = []
    engine.watch(lambda events: log.append((True, events.copy())), lambda events: log.append((False, events.copy())))
    both = Bench(exchange, server, live, engine, log, generated.advance)
    try:
        await live.start(engine)
        yield both
    finally:
        await live.close()
        await server.close()
        tape.close()


def be_patient(core: Any) -> None:
    """Let old data pass: a machine that is starved of time trades all the same, and there is something to compare.

    What the ages do has tests of its own, on time that is given."""
    core.world.set_limits(book_age_ns=STARVED_NS, signal_age_ns=STARVED_NS, equity_age_ns=STARVED_NS)
    limits = defaults()
    quiet = [STARVED_NS if limit else 0 for limit in limits["stale_ns_max"]]
    core.world.set_validate(
        0, stale_ns_max=quiet, drift_ns_max=STARVED_NS, needs_time=int(limits["needs_time"]) & ~(1 << Class.CLASS_QUOTE)
    )


def make_live(
    port: int, *, seed: int, answer_ns: int, recv_window_ms: int, silence_ns: int, transport: str, kind: str,
    hot_spare: bool = False, spare_ws: str = "", fees_age_s: int = 300, bars: tuple[str, str] | None = None,
) -> LiveExchange:  # fmt: skip
    assets = Assets()
    assets.add("USDT")
    assets.add("BTC")
    directory = Directory(instruments_of_venue(kind), assets)
    clock, signer = ClockSync(), HmacSigner("key", b"secret")
    budget = RateBudget([Limit(LimitKind.WEIGHT, 60 * SECOND, 10**9)], BudgetConfig(back_off_ns=SECOND // 5))
    http = HttpClient(
        f"http://127.0.0.1:{port}", budget, counts_of=info.counts_of_headers, venue_now_ns=clock.venue_now_ns,
        timeout_s=10.0,
    )  # fmt: skip
    at = f"ws://127.0.0.1:{port}"
    config = LiveConfig(
        market.Endpoints(
            market_ws=at, user_ws=f"{at}/private", api_ws=f"{at}{FORMS[kind]['api']}", rest=f"http://127.0.0.1:{port}"
        ),
        link=LinkConfig(silence_ns=silence_ns, ping_ns=silence_ns // 3, tick_s=0.05),
        backoff=BackoffConfig(first_ns=SECOND // 50, most_ns=SECOND // 5, attempts=10_000),
        sender=SenderConfig(
            recv_window_ns=recv_window_ms * 1_000_000, answer_ns=answer_ns, again_ns=SECOND // 5, grace_ns=SECOND // 10
        ),
        care=CareConfig(
            duties=often_enough(DUTIES, fees_age_s * SECOND),
            young_ns=SECOND // 5,
            again_s=0.05,
            settle_s=PATIENCE_S / 2,
        ),
        spare_ws=spare_ws,
        hot_spare=hot_spare,
        bars_of=(bars[0],) if bars else (),
        bars=bars[1] if bars else "1m",
        seed=seed,
    )
    rows = directory.rows()
    orders = encoder(kind, Form.HMAC, rows, api_key="key", secret=b"secret", recv_window_ms=recv_window_ms, stp=STP)
    account = BinanceAccount(kind, http, signer, directory, clock)
    live = LiveExchange(config, directory, signer, orders, account, make_transport(transport))
    live.care.linear.margin_ppm["BTCUSDT"] = 100_000
    return live


def instruments_of_venue(kind: str = "spot") -> list[Any]:
    exchange = Exchange(TRADED[kind](), now_ns=1)
    form = UsdmForm(exchange) if kind == "usdm" else SpotForm(exchange)
    described = next(call for _, path, _, call in form.public() if path.endswith("exchangeInfo"))({})
    return list(info.instruments(described, ["BTCUSDT"]).values())
