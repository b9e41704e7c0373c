"""Binance's account over REST, spot and USD-M: what recovery, the tally and the refreshes ask.

Owns: the requests, their weights and the meaning of their answers. Does not own: the budget, the pool, when to ask.
Every question is signed by `sign.query` with the venue's time as the clock's watcher knows it, and refused while that
says no. Trade numbers count per symbol there, so "since" with more than one symbol means the last `lookback_ns`; who
asks drops what he has.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import msgspec

from engine._core.clock import utc_ns
from engine.errors import ClockUnsure, VenueRefused, VenueUnsure
from engine.journal.port import CANCELED, EXPIRED, FILLED, OPEN, REJECTED, VenueOrder, VenueTrade
from engine.net.budget import Lane
from engine.net.clocksync import ClockSync
from engine.net.http import HttpClient, Response
from engine.venues.binance import errors, info
from engine.venues.binance.ids import client_id, order_of
from engine.venues.binance.sign import Signer, query
from engine.venues.binance.user import BAD_MESSAGE, DECODE, MS, _px_e8, _signed_lots, _ticks
from engine.venues.directory import Directory, Instrument
from engine.venues.margin import AccountSettings
from engine.venues.outcome import Outcome

_STATES = {
    "NEW": OPEN, "PENDING_NEW": OPEN, "PARTIALLY_FILLED": OPEN, "PENDING_CANCEL": OPEN, "FILLED": FILLED,
    "CANCELED": CANCELED, "REJECTED": REJECTED, "EXPIRED": EXPIRED, "EXPIRED_IN_MATCH": EXPIRED,
}  # fmt: skip
HOUR_NS = 3600 * 10**9
TRADES_PAGE = 1000
CONDITIONALS_KEPT = 1000


class BinanceAccount:
    def __init__(
        self, market: str, http: HttpClient, signer: Signer, directory: Directory, clock: ClockSync, *,
        lookback_ns: int = 23 * HOUR_NS,
    ) -> None:  # fmt: skip
        self.market = market
        self.http = http
        self.directory = directory
        self.clock = clock
        self._signer = signer
        self._lookback_ns = lookback_ns
        self.entry_px_e8: dict[int, int] = {}  # by symbol: of the positions, as they were said last
        self._conditionals: set[tuple[str, int]] = set()  # as last listed, with their numbers at the service
        self._base = "/api/v3" if market == "spot" else "/fapi/v1"

    # ------------------------------------------------------------------------------------------------------ requests
    async def _ask(
        self, method: str, path: str, params: Mapping[str, object], *, lane: Lane = Lane.RECONCILE, orders: int = 0
    ) -> Any:
        now = utc_ns()
        if why := self.clock.why_not_sign(now):
            raise ClockUnsure(f"{method} {path}: {why}.")
        text = query(self._signer, params, now_ms=self.clock.venue_now_ns(now) // MS)
        answer = await self.http.request(
            method, path, text, lane=lane, weight=info.weight(f"{method} {path}"), orders=orders,
            headers={"X-MBX-APIKEY": self._signer.api_key},
        )  # fmt: skip
        return self._content(f"{method} {path}", answer)

    async def _public(self, path: str, text: str = "", *, lane: Lane = Lane.RECONCILE, weight: int = 1) -> Response:
        return await self.http.request("GET", path, text, lane=lane, weight=weight)

    @staticmethod
    def _content(what: str, answer: Response) -> Any:
        try:
            content = DECODE(answer.body)
        except msgspec.MsgspecError as error:
            raise VenueUnsure(f"{what}: HTTP {answer.status}, {len(answer.body)} unreadable bytes.") from error
        code = content.get("code") if isinstance(content, dict) and "msg" in content else None
        if answer.status >= 400:
            text = str(content.get("msg", "")) if isinstance(content, dict) else ""
            meaning = errors.meaning_of_http(answer.status, code, text)
            kind = VenueUnsure if meaning.outcome is Outcome.UNKNOWN else VenueRefused
            raise kind(f"{what}: {code} {text} ({meaning.name}).")
        return content

    # ---------------------------------------------------------------------------------------------------- public facts
    async def measure_clock(self) -> bool:
        """One sample of the distance between the clocks."""
        answer = await self._public(f"{self._base}/time")
        content = self._content("time", answer)
        return self.clock.sample(answer.sent_ns, int(content["serverTime"]) * MS, answer.received_ns)

    async def exchange_info(self) -> Any:
        path = f"{self._base}/exchangeInfo"
        return self._content(path, await self._public(path, weight=info.weight(f"GET {path}")))

    async def listed(self, texts: Iterable[str]) -> dict[str, Instrument]:
        """Those of them that the venue still lists, as it describes them now."""
        described = await self.exchange_info()
        listed = {row["symbol"] for row in described["symbols"]}
        return info.instruments(described, [text for text in texts if text in listed])

    async def depth(self, text: str, *, limit: int = 1000) -> bytes:
        """The bytes of an image, for the parser; they wait for nothing else."""
        path = f"{self._base}/depth"
        answer = await self._public(
            path, f"symbol={text}&limit={limit}", weight=info.weight(f"GET {path}", depth=limit)
        )
        self._content(path, answer)
        return answer.body

    # --------------------------------------------------------------------------------------------------------- the port
    async def open_orders(self) -> list[VenueOrder]:
        found = [o for row in await self._ask("GET", f"{self._base}/openOrders", {}) if (o := self._order(row))]
        if self.market == "usdm":
            rows = await self._ask("GET", "/fapi/v1/openAlgoOrders", {})
            found += [o for row in rows if (o := self._conditional(row))]
        return found

    async def order(self, id_order: int) -> VenueOrder | None:
        """One order by client id. The symbol is not in the id, so each traded one is asked until one answers."""
        for instrument in self.directory:
            params = {"symbol": instrument.text, "origClientOrderId": client_id(id_order)}
            try:
                row = await self._ask("GET", f"{self._base}/order", params)
            except VenueRefused as error:
                if "no_such_order" in error.detail or "archived" in error.detail:
                    continue
                raise
            return self._order(row)
        return await self._conditional_of(id_order) if self.market == "usdm" else None

    async def _conditional_of(self, id_order: int) -> VenueOrder | None:
        """USD-M keeps conditional orders apart; one that was triggered is what the order became that it made."""
        try:
            row = await self._ask("GET", "/fapi/v1/algoOrder", {"clientAlgoId": client_id(id_order)})
        except VenueRefused as error:
            if "no_such_order" in error.detail:
                return None
            raise
        made = row.get("actualOrderId")
        if not made:
            return self._conditional(row)
        found = self._order(await self._ask("GET", "/fapi/v1/order", {"symbol": row["symbol"], "orderId": int(made)}))
        return replace(found, id_order=id_order) if found is not None else None

    async def trades_since(self, id_trade: int) -> list[VenueTrade]:
        name = "myTrades" if self.market == "spot" else "userTrades"
        out = []
        one = len(self.directory) == 1
        for instrument in self.directory:
            params: dict[str, object] = {"symbol": instrument.text, "limit": TRADES_PAGE}
            if one and id_trade > 0:
                params["fromId"] = id_trade + 1
            else:
                params["startTime"] = (self.clock.venue_now_ns(utc_ns()) - self._lookback_ns) // MS
            while True:
                rows = await self._ask("GET", f"{self._base}/{name}", params)
                out += [self._trade(row, instrument) for row in rows]
                if len(rows) < TRADES_PAGE:
                    break
                # The next page begins behind the last trade of this one.
                params = {"symbol": instrument.text, "limit": TRADES_PAGE, "fromId": int(rows[-1]["id"]) + 1}
        # The answer to a trade names the venue's order number; ours is found by it.
        return await self._named(out)

    async def trades_from(
        self, instrument: Instrument, id_trade: int, known: Mapping[tuple[int, int], int]
    ) -> list[VenueTrade]:
        """One symbol's trades from a number on, oldest first. `known`: our numbers by (symbol, the venue's number)."""
        name = "myTrades" if self.market == "spot" else "userTrades"
        out: list[VenueTrade] = []
        rows: list[Any] = [None] * TRADES_PAGE
        while len(rows) == TRADES_PAGE:
            params = {"symbol": instrument.text, "limit": TRADES_PAGE, "fromId": id_trade}
            rows = await self._ask("GET", f"{self._base}/{name}", params)
            out += [self._trade(row, instrument) for row in rows]
            id_trade = int(rows[-1]["id"]) + 1 if rows else id_trade
        told = [trade for trade in out if (trade.symbol, trade.id_order) in known]
        rest = [trade for trade in out if (trade.symbol, trade.id_order) not in known]
        named = [replace(trade, id_order=known[trade.symbol, trade.id_order]) for trade in told]
        return sorted(named + await self._named(rest), key=lambda trade: trade.id_trade)

    async def last_trade(self, instrument: Instrument) -> int:
        """The number of this account's newest trade of a symbol, 0 when it never traded."""
        name = "myTrades" if self.market == "spot" else "userTrades"
        rows = await self._ask("GET", f"{self._base}/{name}", {"symbol": instrument.text, "limit": 1})
        return int(rows[-1]["id"]) if rows else 0

    async def _named(self, trades: list[VenueTrade]) -> list[VenueTrade]:
        ours: dict[tuple[int, int], int] = {}
        out = []
        for trade in trades:
            key = trade.symbol, trade.id_order
            if key not in ours:
                instrument = self.directory.at(trade.symbol)
                assert instrument is not None
                params = {"symbol": instrument.text, "orderId": trade.id_order}
                found = self._order(await self._ask("GET", f"{self._base}/order", params))
                ours[key] = found.id_order if found is not None else 0
            out.append(replace(trade, id_order=ours[key]))
        return out

    async def balances(self) -> dict[int, int]:
        content = await self._ask("GET", "/api/v3/account" if self.market == "spot" else "/fapi/v3/account", {})
        out = {}
        assets = self.directory.assets
        for row in content["balances" if self.market == "spot" else "assets"]:
            asset = assets.index(row["asset"])
            if asset is not None:
                parts = (row["free"], row["locked"]) if self.market == "spot" else (row["walletBalance"],)
                out[asset] = sum(assets.units(asset, part) for part in parts)
        return out

    async def positions(self) -> dict[int, int]:
        """Signed lots by symbol; on spot the free and locked base asset is the position, and the ledger's own."""
        return (await self.held())[0]

    async def held(self) -> tuple[dict[int, int], dict[int, int]]:
        """By symbol, of one answer: signed lots, and what they cost in units of the quote asset.

        The entry price is rounded; value less profit, both at the same mark, is the cost to the unit.
        """
        lots: dict[int, int] = {}
        costs: dict[int, int] = {}
        if self.market == "spot":
            return lots, costs
        for row in await self._ask("GET", "/fapi/v3/positionRisk", {}):
            i = self.directory.find(row["symbol"])
            if i is not None and row.get("positionSide", "BOTH") == "BOTH":
                lots[i.index] = _signed_lots(i, row["positionAmt"])
                self.entry_px_e8[i.index] = _px_e8(row.get("entryPrice", "0"))
                quote = self.directory.assets.index(i.quote)
                if quote is not None and "notional" in row and "unRealizedProfit" in row:
                    value, profit = (
                        self.directory.assets.units(quote, row[name]) for name in ("notional", "unRealizedProfit")
                    )
                    costs[i.index] = value - profit
        return lots, costs

    async def cancel(self, order: VenueOrder) -> None:
        instrument = self.directory.at(order.symbol)
        if instrument is None:
            raise VenueRefused(f"symbol {order.symbol} is not traded here.")
        path, params = f"{self._base}/order", {"symbol": instrument.text, "orderId": order.id_venue}
        if (order.client_id, order.id_venue) in self._conditionals:
            path, params = "/fapi/v1/algoOrder", {"algoId": order.id_venue}
        try:
            await self._ask("DELETE", path, params, lane=Lane.CANCEL)
        except VenueRefused as error:
            # Gone already: what it became is for the next look to say.
            if "no_such_order" not in error.detail and "ended_before" not in error.detail:
                raise

    async def close(self) -> None:
        await self.http.close()

    async def cancel_all(self, instrument: Instrument) -> None:
        """Every order of a symbol, ours or not. What each became is told by the user stream."""
        path = f"{self._base}/{'openOrders' if self.market == 'spot' else 'allOpenOrders'}"
        await self._ask("DELETE", path, {"symbol": instrument.text}, lane=Lane.CANCEL)
        if self.market == "usdm":
            await self._ask("DELETE", "/fapi/v1/algoOpenOrders", {"symbol": instrument.text}, lane=Lane.CANCEL)

    # -------------------------------------------------------------------------------------------------------- refreshes
    async def fees(self, text: str) -> tuple[int, int]:
        """Maker and taker rate in 1e-8, as this account pays them now."""
        if self.market == "spot":
            rates = (await self._ask("GET", "/api/v3/account/commission", {"symbol": text}))["standardCommission"]
            return _px_e8(rates["maker"]), _px_e8(rates["taker"])
        row = await self._ask("GET", "/fapi/v1/commissionRate", {"symbol": text})
        return _px_e8(row["makerCommissionRate"]), _px_e8(row["takerCommissionRate"])

    async def funding_since(self, ts_ns: int) -> list[tuple[int, int, int, int, int]]:
        """(number, symbol, asset, units received, time) of every payment since then: the number is the venue's own."""
        out = []
        params = {"incomeType": "FUNDING_FEE", "startTime": ts_ns // MS, "limit": TRADES_PAGE}
        for row in await self._ask("GET", "/fapi/v1/income", params):
            instrument, asset = self.directory.find(row["symbol"]), self.directory.assets.index(row["asset"])
            if instrument is not None and asset is not None:
                units = self.directory.assets.units(asset, row["income"])
                out.append((int(row["tranId"]), instrument.index, asset, units, int(row["time"]) * MS))
        return out

    async def listen_key(self) -> str:
        """USD-M: the key of the user stream, made or kept alive for another hour. Not signed."""
        answer = await self.http.request(
            "POST", "/fapi/v1/listenKey", lane=Lane.RECONCILE, weight=info.weight("POST /fapi/v1/listenKey"),
            headers={"X-MBX-APIKEY": self._signer.api_key},
        )  # fmt: skip
        return str(self._content("POST /fapi/v1/listenKey", answer)["listenKey"])

    async def settings(self) -> AccountSettings:
        """USD-M: how the account counts positions, and the margin of each symbol."""
        dual = (await self._ask("GET", "/fapi/v1/positionSide/dual", {}))["dualSidePosition"]
        margins = {}
        for instrument in self.directory:
            for row in await self._ask("GET", "/fapi/v1/symbolConfig", {"symbol": instrument.text}):
                if row["symbol"] == instrument.text:
                    margins[instrument.text] = str(row["marginType"]), int(row["leverage"])
        return AccountSettings(bool(dual), margins)

    async def arm_dead_man(self, text: str, after_ms: int) -> None:
        """USD-M: every order of the symbol is cancelled then, unless armed again before; 0 disarms."""
        if self.market == "spot":
            raise VenueRefused("spot has no dead-man timer.")
        params = {"symbol": text, "countdownTime": after_ms}
        await self._ask("POST", "/fapi/v1/countdownCancelAll", params, lane=Lane.CANCEL)

    # --------------------------------------------------------------------------------------------------------- meanings
    def _order(self, row: Mapping[str, Any]) -> VenueOrder | None:
        instrument = self.directory.find(row["symbol"])
        if instrument is None:
            return None
        try:
            return VenueOrder(
                id_order=order_of(row["clientOrderId"]) or 0, id_venue=int(row["orderId"]), symbol=instrument.index,
                sell=row["side"] == "SELL", px_ticks=_ticks(instrument, row["price"]),
                qty_lots=instrument.lots(row["origQty"]), filled_lots=instrument.lots(row["executedQty"]),
                state=_STATES[row["status"]], client_id=row["clientOrderId"],
            )  # fmt: skip
        except BAD_MESSAGE as error:
            raise VenueUnsure(f"an order of {instrument.text} cannot be read: {error}.") from error

    def _conditional(self, row: Mapping[str, Any]) -> VenueOrder | None:
        """A conditional order as the service lists it."""
        if self.directory.find(row["symbol"]) is None:
            return None
        names = {"clientOrderId": row["clientAlgoId"], "orderId": row["algoId"], "origQty": row["quantity"]}
        states = {"TRIGGERING": "NEW", "TRIGGERED": "NEW"}
        status = states.get(row["algoStatus"], row["algoStatus"])
        if len(self._conditionals) >= CONDITIONALS_KEPT:
            self._conditionals.clear()
        self._conditionals.add((str(row["clientAlgoId"]), int(row["algoId"])))
        return self._order(dict(row) | names | {"executedQty": "0", "status": status})

    def _trade(self, row: Mapping[str, Any], instrument: Instrument) -> VenueTrade:
        assets = self.directory.assets
        try:
            asset = assets.index(row["commissionAsset"])
            sell = not row["isBuyer"] if "isBuyer" in row else row["side"] == "SELL"
            return VenueTrade(
                id_trade=int(row["id"]), id_order=int(row["orderId"]), symbol=instrument.index, sell=sell,
                px_ticks=instrument.ticks(row["price"]), qty_lots=instrument.lots(row["qty"]),
                ts_ns=int(row["time"]) * MS, fee=assets.units(asset, row["commission"]) if asset is not None else 0,
                fee_asset=asset or 0, maker=bool(row.get("isMaker", row.get("maker", False))),
            )  # fmt: skip
        except BAD_MESSAGE as error:
            raise VenueUnsure(f"a trade of {instrument.text} cannot be read: {error}.") from error
