"""The USD-M form of the served venue: calls, listen keys, marks, funding, and the timer that cancels everything.

Positions are one-way and on cross margin, as the exchange counts them. The mark is the middle of the book, funding is
settled at fixed times at the rate given. A listen key lives an hour after it was last asked for; a countdown that is
not renewed cancels every order of its symbol.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from typing import Any

from engine.sim.venue import usdm_wire, wire
from engine.sim.venue.accounts import Account
from engine.sim.venue.exchange import Exchange
from engine.sim.venue.form import OpenCall, OpenRoute, SignedCall, SignedRoute
from engine.sim.venue.market import Market
from engine.sim.venue.usdm_api import RATE_LIMITS, Income, UsdmApi
from engine.sim.venue.wire import MS, ApiError

HOUR_NS = 3600 * 10**9
_PUBLIC = ("depth", "bookTicker", "trade")
INCOMES_KEPT = 10_000


def _depth_weight(params: Mapping[str, str]) -> int:
    limit = wire.number(params, "limit", 500)
    return 2 if limit <= 50 else 5 if limit <= 100 else 10 if limit <= 500 else 20


WEIGHTS: dict[str, Any] = {
    "ping": 1, "time": 1, "exchangeInfo": 1, "depth": _depth_weight, "trades": 5, "aggTrades": 20, "klines": 5,
    "premiumIndex": 1, "ticker/24hr": 1, "ticker/price": 1, "ticker/bookTicker": 2,
}  # fmt: skip


class UsdmForm:
    name = "usdm"
    rate_limits = RATE_LIMITS
    market_paths: tuple[str, ...] = tuple(
        f"/{part}{path}" for part in ("public", "market") for path in ("/ws", "/ws/{names:.+}", "/stream")
    )
    api_path = "/ws-fapi/v1"
    user_path, listen_path = "/private/ws", "/fapi/v1/listenKey"
    futures = True

    def __init__(
        self, exchange: Exchange, *, funding_ns: int = 8 * HOUR_NS, rate_e8: int = 10_000, key_life_ns: int = HOUR_NS
    ) -> None:
        self.exchange, self.api = exchange, UsdmApi(exchange)
        self.funding_ns, self.rate_e8, self.key_life_ns = funding_ns, rate_e8, key_life_ns
        self.listen_keys: dict[str, tuple[Account, int]] = {}  # with its end
        self.countdown_count = 0
        self._income_id = 0
        self._key_id = 0
        self._positions: dict[tuple[int, str], int] = {}  # as last told
        for market in exchange.markets.values():
            market.funding_rate_e8 = rate_e8

    # ------------------------------------------------------------------------------------------------------------ time
    def pass_time(self) -> None:
        """Marks move, fundings are settled, countdowns run out, listen keys end."""
        now = self.exchange.now_ns
        for market in self.exchange.markets.values():
            self._move_mark(market)
            if not market.next_funding_ns:
                market.next_funding_ns = now - now % self.funding_ns + self.funding_ns
            elif now >= market.next_funding_ns:
                self._settle(market)
        self.api.algo.pass_time()
        for (owner, symbol), end_ns in list(self.api.countdowns.items()):
            if now >= end_ns:
                del self.api.countdowns[owner, symbol]
                self.countdown_count += 1
                self.api.cancel_all_of(owner, symbol)
        for key, (account, end_ns) in list(self.listen_keys.items()):
            if now >= end_ns:
                del self.listen_keys[key]
                self.api.news.append((account.owner, {"e": "listenKeyExpired", "E": now // MS, "listenKey": key}))

    def _move_mark(self, market: Market) -> None:
        book = market.book
        middle = book.best_bid + book.best_ask if book.best_bid and book.best_ask else 2 * book.last_px
        mark = middle * market.instrument.tick_e8 // 2
        if mark and mark != market.mark_px_e8:
            self.exchange.set_mark(market.instrument.symbol, mark)

    def _settle(self, market: Market) -> None:
        now, symbol = self.exchange.now_ns, market.instrument.symbol
        market.next_funding_ns += self.funding_ns
        for account, amount in self.exchange.settle_funding(symbol, self.rate_e8):
            self._income_id += 1
            made = Income(self._income_id, symbol, market.instrument.quote, amount, now)
            self.api.incomes.setdefault(account.owner, deque(maxlen=INCOMES_KEPT)).append(made)
            account.touched.clear()
            self.api.news.append((account.owner, usdm_wire.account_event(account, [], now, "FUNDING_FEE")))

    # ------------------------------------------------------------------------------------------------------ user stream
    def listen(self, method: str, account: Account) -> dict[str, Any]:
        """One key an account: asked for again it is the same, and lives on."""
        key = next((key for key, (who, _) in self.listen_keys.items() if who is account), None)
        if method == "DELETE":
            self.listen_keys.pop(key or "", None)
            return {}
        if key is None and method == "PUT":
            raise ApiError(-1125, "This listenKey does not exist.")
        if key is None:
            self._key_id += 1
            key = f"listen{account.owner:04d}{self._key_id:054d}"
        self.listen_keys[key] = account, self.exchange.now_ns + self.key_life_ns
        return {"listenKey": key}

    def listener(self, listen_key: str) -> Account | None:
        found = self.listen_keys.get(listen_key)
        return found[0] if found else None

    def news(self) -> Iterator[tuple[int, dict[str, Any]]]:
        """What the account holds comes before the reports of the orders that changed it, as at the real venue.

        A conditional order names the order that it became before that one speaks for itself.
        """
        told, self.api.algo.news = self.api.algo.news, []
        yield from told
        for account in self.exchange.bank.accounts.values():
            changed = [
                market for symbol, market in self.exchange.markets.items()
                if account.positions[symbol].lots != self._positions.get((account.owner, symbol), 0)
            ]  # fmt: skip
            if account.touched or changed:
                account.touched.clear()
                for market in changed:
                    symbol = market.instrument.symbol
                    self._positions[account.owner, symbol] = account.positions[symbol].lots
                yield account.owner, usdm_wire.account_event(account, changed, self.exchange.now_ns, "ORDER")
        for report in self.exchange.take_reports():
            if report.what != "TRADE_PREVENTION":
                instrument = self.exchange.markets[report.order.symbol].instrument
                yield report.order.owner, usdm_wire.report_event(report, instrument)
        news, self.api.news = self.api.news, []
        yield from news

    @staticmethod
    def carries(path: str, stream: str) -> bool:
        """Books and quotes have one address, everything else another."""
        return path.startswith("/public") == stream.split("@")[1].startswith(_PUBLIC)

    # ----------------------------------------------------------------------------------------------------------- routes
    def public(self) -> list[OpenRoute]:
        return self.api.open_routes("/fapi/v1", WEIGHTS)

    def private(self) -> list[SignedRoute]:
        api = self.api
        return [
            ("POST", "/fapi/v1/order", 1, 1, api.place),
            ("PUT", "/fapi/v1/order", 1, 1, api.modify),
            ("GET", "/fapi/v1/order", 1, 0, api.query),
            ("DELETE", "/fapi/v1/order", 1, 0, api.cancel),
            ("GET", "/fapi/v1/openOrders", 1, 0, api.open_orders),
            ("DELETE", "/fapi/v1/allOpenOrders", 1, 0, api.cancel_all),
            ("POST", "/fapi/v1/countdownCancelAll", 10, 0, api.countdown),
            ("GET", "/fapi/v1/allOrders", 5, 0, api.all_orders),
            ("POST", "/fapi/v1/batchOrders", 5, 5, api.batch),
            ("DELETE", "/fapi/v1/batchOrders", 1, 0, api.cancel_batch),
            ("GET", "/fapi/v1/leverageBracket", 1, 0, api.brackets),
            ("GET", "/fapi/v1/accountConfig", 5, 0, api.account_config),
            ("GET", "/fapi/v3/balance", 5, 0, api.balance),
            ("POST", "/fapi/v1/algoOrder", 1, 1, api.place_algo),
            ("GET", "/fapi/v1/algoOrder", 1, 0, api.algo.query),
            ("DELETE", "/fapi/v1/algoOrder", 1, 0, api.algo.cancel),
            ("GET", "/fapi/v1/openAlgoOrders", 1, 0, api.open_algos),
            ("GET", "/fapi/v1/allAlgoOrders", 5, 0, api.all_algos),
            ("DELETE", "/fapi/v1/algoOpenOrders", 1, 0, api.cancel_algos),
            ("GET", "/fapi/v1/userTrades", 5, 0, api.user_trades),
            ("GET", "/fapi/v1/income", 30, 0, api.income),
            ("GET", "/fapi/v3/account", 5, 0, lambda a, _: usdm_wire.account_json(self.exchange, a)),
            ("GET", "/fapi/v3/positionRisk", 5, 0, api.positions),
            ("GET", "/fapi/v1/symbolConfig", 5, 0, api.symbol_config),
            ("POST", "/fapi/v1/leverage", 1, 0, api.leverage),
            ("POST", "/fapi/v1/marginType", 1, 0, api.margin_type),
            ("GET", "/fapi/v1/positionSide/dual", 30, 0, lambda a, _: {"dualSidePosition": api.is_dual(a)}),
            ("POST", "/fapi/v1/positionSide/dual", 1, 0, api.position_side),
            ("GET", "/fapi/v1/commissionRate", 20, 0, api.commission),
        ]

    def open_calls(self) -> dict[str, tuple[Any, OpenCall]]:
        api = self.api
        return {
            "time": (1, lambda _: {"serverTime": self.exchange.now_ns // MS}), "ping": (1, lambda _: {}),
            "depth": (_depth_weight, api.depth), "ticker.price": (1, api.ticker_price),
            "ticker.book": (2, api.ticker_book),
        }  # fmt: skip

    def calls(self) -> dict[str, SignedCall]:
        api = self.api
        return {
            "order.place": (1, 1, api.place), "order.modify": (1, 1, api.modify), "order.cancel": (1, 0, api.cancel),
            "order.status": (1, 0, api.query), "v2/account.position": (5, 0, api.positions),
            "algoOrder.place": (1, 1, api.place_algo), "algoOrder.cancel": (1, 0, api.algo.cancel),
            "account.position": (5, 0, api.positions), "account.balance": (5, 0, api.balance),
            "v2/account.balance": (5, 0, api.balance),
            "account.status": (5, 0, lambda a, _: usdm_wire.account_json(self.exchange, a)),
            "v2/account.status": (5, 0, lambda a, _: usdm_wire.account_json(self.exchange, a)),
        }  # fmt: skip
