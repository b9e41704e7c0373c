"""The spot form of the served venue: its addresses, which call stands behind each, and what its users are told."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from engine.sim.venue import wire
from engine.sim.venue.accounts import Account
from engine.sim.venue.api import DEPTH_WEIGHTS, RATE_LIMITS, Api
from engine.sim.venue.exchange import Exchange
from engine.sim.venue.form import OpenCall, OpenRoute, SignedCall, SignedRoute
from engine.sim.venue.instruments import amount_text
from engine.sim.venue.orders import OrderList, Report
from engine.sim.venue.wire import MS, ApiError


def depth_weight(params: Mapping[str, str]) -> int:
    try:
        limit = int(params.get("limit", "100"))
    except ValueError:
        return 5
    return next((weight for most, weight in DEPTH_WEIGHTS if limit <= most), 250)


WEIGHTS: dict[str, Any] = {
    "ping": 1, "time": 1, "exchangeInfo": 20, "depth": depth_weight, "trades": 25, "aggTrades": 4, "klines": 2,
    "avgPrice": 2, "ticker/24hr": 2, "ticker/price": 2, "ticker/bookTicker": 2,
}  # fmt: skip


class SpotForm:
    name = "spot"
    rate_limits = RATE_LIMITS
    market_paths: tuple[str, ...] = ("/ws", "/ws/{names:.+}", "/stream", "/stream/ws", "/stream/ws/{index:.+}")
    api_path = "/ws-api/v3"
    user_path = listen_path = ""  # on the WebSocket API
    futures = False

    def __init__(self, exchange: Exchange) -> None:
        self.exchange, self.api = exchange, Api(exchange)
        self._execution_id = 0

    def pass_time(self) -> None:
        """Nothing falls due here by itself."""

    def listen(self, method: str, account: Account) -> dict[str, Any]:  # noqa: ARG002
        raise ApiError(-1000, "Path not found.", 404)

    def listener(self, listen_key: str) -> Account | None:  # noqa: ARG002
        return None

    @staticmethod
    def carries(path: str, stream: str) -> bool:  # noqa: ARG004
        """One address has every stream."""
        return True

    def public(self) -> list[OpenRoute]:
        return self.api.open_routes("/api/v3", WEIGHTS)

    def private(self) -> list[SignedRoute]:
        api = self.api
        return [
            ("POST", "/api/v3/order", 1, 1, api.place),
            ("POST", "/api/v3/order/test", 1, 0, api.test),
            ("GET", "/api/v3/order", 4, 0, api.query),
            ("DELETE", "/api/v3/order", 1, 0, api.cancel),
            ("POST", "/api/v3/order/cancelReplace", 1, 1, api.cancel_replace),
            ("PUT", "/api/v3/order/amend/keepPriority", 4, 0, api.amend),
            ("GET", "/api/v3/openOrders", 6, 0, api.open_orders),
            ("DELETE", "/api/v3/openOrders", 1, 0, api.cancel_all),
            ("GET", "/api/v3/allOrders", 20, 0, api.all_orders),
            ("GET", "/api/v3/myTrades", 20, 0, api.my_trades),
            ("GET", "/api/v3/account", 20, 0, api.account),
            ("GET", "/api/v3/account/commission", 20, 0, api.commission),
            ("POST", "/api/v3/orderList/oco", 1, 2, lambda a, p: api.place_list(a, p, "oco")),
            ("POST", "/api/v3/orderList/oto", 1, 2, lambda a, p: api.place_list(a, p, "oto")),
            ("POST", "/api/v3/orderList/otoco", 1, 3, lambda a, p: api.place_list(a, p, "otoco")),
            ("POST", "/api/v3/order/oco", 1, 2, api.legacy_oco),
            ("GET", "/api/v3/orderList", 4, 0, api.query_list),
            ("DELETE", "/api/v3/orderList", 1, 0, api.cancel_list),
            ("GET", "/api/v3/allOrderList", 20, 0, lambda a, p: api.lists(a, p, only_open=False)),
            ("GET", "/api/v3/openOrderList", 6, 0, lambda a, p: api.lists(a, p, only_open=True)),
        ]

    def open_calls(self) -> dict[str, tuple[Any, OpenCall]]:
        """Public methods of the WebSocket API: the paths with dots, and names of their own."""
        out: dict[str, tuple[Any, OpenCall]] = {
            path.rsplit("/api/v3/", 1)[1].replace("/", "."): (weight, call) for _, path, weight, call in self.public()
        }
        return out | {
            "ticker.24hr": (2, self.api.ticker), "trades.recent": (25, self.api.trades),
            "trades.aggregate": (4, self.api.agg_trades), "ticker.book": (2, self.api.ticker_book),
        }  # fmt: skip

    def calls(self) -> dict[str, SignedCall]:
        api = self.api
        return {
            "order.place": (1, 1, api.place), "order.test": (1, 0, api.test), "order.status": (4, 0, api.query),
            "order.cancel": (1, 0, api.cancel), "order.cancelReplace": (1, 1, api.cancel_replace),
            "order.amend.keepPriority": (4, 0, api.amend), "openOrders.status": (6, 0, api.open_orders),
            "openOrders.cancelAll": (1, 0, api.cancel_all), "account.status": (20, 0, api.account),
            "account.commission": (20, 0, api.commission), "allOrders": (20, 0, api.all_orders),
            "myTrades": (20, 0, api.my_trades), "orderList.status": (4, 0, api.query_list),
            "orderList.cancel": (1, 0, api.cancel_list),
            "orderList.place.oco": (1, 2, lambda a, p: api.place_list(a, p, "oco")),
            "orderList.place.oto": (1, 2, lambda a, p: api.place_list(a, p, "oto")),
            "orderList.place.otoco": (1, 3, lambda a, p: api.place_list(a, p, "otoco")),
            "openOrderLists.status": (6, 0, lambda a, p: api.lists(a, p, only_open=True)),
        }  # fmt: skip

    # ------------------------------------------------------------------------------------------------------ user stream
    def news(self) -> Iterator[tuple[int, dict[str, Any]]]:
        """Owner and event of everything that happened since the last call, in order."""
        for report in self.exchange.take_reports():
            self._execution_id += 1
            instrument = self.exchange.markets[report.order.symbol].instrument
            yield report.order.owner, wire.report_json(report, instrument, self._execution_id)
            if report.list is not None and report.what in ("NEW", "CANCELED", "EXPIRED"):
                yield report.order.owner, self._list_status(report, report.list)
        now = self.exchange.now_ns // MS
        for account in self.exchange.bank.accounts.values():
            if account.touched:
                rows = [
                    {"a": asset, "f": amount_text(account.balances[asset].free),
                     "l": amount_text(account.balances[asset].locked)}
                    for asset in sorted(account.touched)
                ]  # fmt: skip
                account.touched.clear()
                yield account.owner, {"e": "outboundAccountPosition", "E": now, "u": now, "B": rows}

    @staticmethod
    def _list_status(report: Report, made: OrderList) -> dict[str, Any]:
        return {
            "e": "listStatus", "E": report.ts_ns // MS, "s": report.order.symbol, "g": made.id, "c": made.contingency,
            "l": "ALL_DONE" if made.status == "ALL_DONE" else "EXEC_STARTED", "L": made.status, "r": "NONE",
            "C": made.client_id, "T": report.ts_ns // MS,
            "O": [{"s": o.symbol, "i": o.id, "c": o.client_id} for o in made.orders],
        }  # fmt: skip
