"""A ccxt exchange with a key, at its own addresses or at others, and what it says of its markets.

ccxt knows each exchange's addresses. Where a session names others (a testnet, a venue on this machine) every address
is moved: paths stay, hosts go, so that nothing of it speaks to a host that nobody named. Steps and limits come out of
ccxt's floats in their shortest form; a market whose steps are not fixed ones is refused.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any
from urllib.parse import urlsplit

from engine.errors import InstrumentRefused, SettingsError, VenueNotSupported
from engine.venues.directory import Instrument, ticks_outward

_PERPETUALS = ("linear", "swap")
REQUEST_MS = 5_000  # no answer by then: the request may have been carried out


def text_of(value: object) -> str:
    """A float in its shortest exact form, without an exponent."""
    return format(Decimal(str(value)), "f")


def open_ccxt(
    name: str, *, key: str, secret: str, password: str = "", rest: str = "", stream: str = "", api: str = "",
    linear: bool = False,
) -> Any:  # fmt: skip
    """An instance of `ccxt.pro` for spot or perpetuals, not connected yet.

    `api` is the address of an order connection, where ccxt has one.
    """
    try:
        library = importlib.import_module("ccxt.pro")
    except ImportError as error:
        raise VenueNotSupported("protocol ccxt: `pip install bot4[ccxt]`.") from error
    if name not in library.exchanges:
        raise SettingsError(f"ccxt knows no exchange {name!r} with streams.")
    made = getattr(library, name)({"apiKey": key, "secret": secret, "password": password, "enableRateLimit": False})
    made.timeout = REQUEST_MS
    if "recvWindow" in made.options:
        # The exchange refuses what is older: an order that is thought absent cannot come alive.
        made.options["recvWindow"] = REQUEST_MS
    kind = {"defaultType": "swap", "defaultSubType": "linear"} if linear else {"defaultType": "spot"}
    made.options = made.options | kind | {"fetchCurrencies": False, "fetchMargins": False}
    listed = made.options.get("fetchMarkets")
    if isinstance(listed, dict):
        # Each exchange names its perpetuals in one of two ways; what it lists beside is not asked for.
        wanted = _PERPETUALS if linear else ("spot",)
        made.options["fetchMarkets"] = listed | {"types": [one for one in wanted if one in listed.get("types", wanted)]}
    if rest or stream or api:
        _move(made, rest, stream, api)
    return made


def _move(exchange: Any, rest: str, stream: str, api: str) -> None:
    """Every address of it to the hosts that are named; what has none is an error at its first use."""
    home = {urlsplit(url).path: url for url in _leaves(exchange.urls["api"]) if url.startswith("http")}

    def moved(where: Any, url: Any, path: str) -> Any:
        if isinstance(url, Mapping):
            return {part: moved(where, one, f"{path}.{part}") for part, one in url.items()}
        if not isinstance(url, str):
            return url
        to = rest if url.startswith("http") else api if ".ws-api" in path and api else stream
        at = urlsplit(to)
        return urlsplit(url)._replace(scheme=at.scheme, netloc=at.netloc).geturl() if to else ""

    exchange.urls = exchange.urls | {"api": moved(exchange, exchange.urls["api"], "")}
    if hasattr(exchange, "get_exceptions_by_url"):
        tables = exchange.get_exceptions_by_url

        def by_url(url: str, kind: str) -> Any:
            # Its tables of errors are found by the host of production.
            path = urlsplit(url).path
            best = max((one for one in home if path.startswith(one)), key=len, default="")
            return tables(home.get(best, url) + path[len(best) :], kind)

        exchange.get_exceptions_by_url = by_url


def _leaves(urls: Any) -> Iterator[str]:
    for one in urls.values():
        if isinstance(one, Mapping):
            yield from _leaves(one)
        elif isinstance(one, str):
            yield one


def hosts_of(exchange: Any) -> set[str]:
    """Every host that it may speak to."""
    return {urlsplit(url).hostname or "" for url in _leaves(exchange.urls["api"]) if url}


def instrument_of(market: Mapping[str, Any], index: int, text: str, precision_mode: int) -> Instrument:
    """A market of ccxt's as the engine counts it: spot, or a perpetual settled in its quote asset."""
    linear = _is_linear(market, text)
    px_step, amount_step = (_step(market["precision"].get(part), precision_mode, text) for part in ("price", "amount"))
    # A perpetual's amounts are contracts; the core counts lots of the base asset, each of them one step of amounts.
    qty_step = _contracts(market, amount_step, text) if linear else amount_step
    limits = market.get("limits") or {}

    def bound(what: str, side: str, step: str, other: int, *, up: bool) -> int:
        value = (limits.get(what) or {}).get(side)
        return ticks_outward(text_of(value), step, up=up) if value else other

    defaults = Instrument(text, index, market["base"], market["quote"], px_step, qty_step)
    least = (limits.get("cost") or {}).get("min") or 0
    return Instrument(
        text, index, market["base"], market["quote"], px_step, qty_step,
        px_min_ticks=max(1, bound("price", "min", px_step, 1, up=True)),
        px_max_ticks=min(defaults.px_max_ticks, bound("price", "max", px_step, defaults.px_max_ticks, up=False)),
        qty_min_lots=max(1, bound("amount", "min", amount_step, 1, up=True)),
        qty_max_lots=min(defaults.qty_max_lots, bound("amount", "max", amount_step, defaults.qty_max_lots, up=False)),
        notional_min_e8=int(Decimal(str(least)) * 10**8),
        trading=market.get("active") is not False, linear=linear, contract_step=amount_step if linear else "",
        fee_maker_e8=rate_e8(market.get("maker")), fee_taker_e8=rate_e8(market.get("taker")),
    )  # fmt: skip


def _is_linear(market: Mapping[str, Any], text: str) -> bool:
    if market.get("spot"):
        return False
    if not market.get("swap") or not market.get("linear") or market.get("settle") != market.get("quote"):
        kind = market.get("type") or "no market"
        raise VenueNotSupported(f"{text}: {kind}; through ccxt a session trades spot and perpetuals settled in quote.")
    return True


def _contracts(market: Mapping[str, Any], amount_step: str, text: str) -> str:
    """The step of amounts in the base asset."""
    size = market.get("contractSize")
    if not size or Decimal(str(size)) <= 0:
        raise InstrumentRefused(f"{text}: the exchange does not say what a contract is of.")
    return format((Decimal(amount_step) * Decimal(str(size))).normalize(), "f")


def rate_e8(rate: object) -> int:
    return int(Decimal(str(rate or 0)) * 10**8)


def _step(precision: object, mode: int, text: str) -> str:
    """Of a price or a quantity: ccxt says it as a step, or as a number of places."""
    if precision is None:
        raise InstrumentRefused(f"{text}: the exchange names no step.")
    if mode == 4:  # TICK_SIZE
        return text_of(precision)
    if mode == 2:  # DECIMAL_PLACES
        return format(Decimal(1).scaleb(-int(str(precision))), "f")
    raise InstrumentRefused(f"{text}: its steps change with its price.")
