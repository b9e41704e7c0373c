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

REQUEST_MS = 5_000  # no answer by then: the request may have been carried out


def text_of(value: object) -> str:
    """A float in its shortest exact form, without an exponent."""
    return format(Decimal(str(value)), "f")


def open_ccxt(
    name: str, *, key: str, secret: str, password: str = "", rest: str = "", stream: str = "", api: str = ""
) -> Any:
    """An instance of `ccxt.pro`, not connected yet. `api` is the address of an order connection, where ccxt has one."""
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
    made.options = made.options | {"defaultType": "spot", "fetchCurrencies": False, "fetchMargins": False}
    if isinstance(made.options.get("fetchMarkets"), dict):
        made.options["fetchMarkets"] = {"types": ["spot"]}
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
    """A spot market of ccxt's as the engine counts it."""
    if not market.get("spot"):
        raise VenueNotSupported(f"{text}: through ccxt a session trades spot.")
    px_step, qty_step = (_step(market["precision"].get(part), precision_mode, text) for part in ("price", "amount"))
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
        qty_min_lots=max(1, bound("amount", "min", qty_step, 1, up=True)),
        qty_max_lots=min(defaults.qty_max_lots, bound("amount", "max", qty_step, defaults.qty_max_lots, up=False)),
        notional_min_e8=int(Decimal(str(least)) * 10**8),
        trading=market.get("active") is not False,
        fee_maker_e8=rate_e8(market.get("maker")), fee_taker_e8=rate_e8(market.get("taker")),
    )  # fmt: skip


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
