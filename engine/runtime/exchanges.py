"""Which exchange a session trades at: the one in this process, or a venue over sockets; what it says of itself first.

A venue's own facts win over the settings: steps, ranges, least values, and what the account holds. They are asked for
before the core is built and are kept with the session, so a replay builds the same core without asking anybody.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import msgspec

from engine._core.clock import utc_ns
from engine.errors import SettingsError, VenueNotSupported
from engine.net.backoff import BackoffConfig
from engine.net.budget import SECOND, Limit, LimitKind, RateBudget
from engine.net.clocksync import ClockSync
from engine.net.http import HttpClient
from engine.net.link import LinkConfig
from engine.net.transport import make as make_transport
from engine.runtime import closed_bars
from engine.runtime.bridging import open_bridged
from engine.runtime.build import venues_of
from engine.runtime.care import CareConfig
from engine.runtime.door import Door
from engine.runtime.embedded import EmbeddedExchange
from engine.runtime.endpoints import MARKETS, endpoints_of, venues_over
from engine.runtime.live import LiveConfig, LiveExchange
from engine.runtime.seam import Session
from engine.runtime.several import SeveralExchanges
from engine.settings.schema import Settings, Venue
from engine.settings.secrets import Secrets
from engine.settings.trading import Instrument as Row
from engine.venues.binance import info, market
from engine.venues.binance.account import BinanceAccount
from engine.venues.binance.orders import Form, encoder
from engine.venues.binance.sign import Ed25519Signer, HmacSigner, Signer
from engine.venues.directory import Assets, Directory, Instrument
from engine.venues.driver import DUTIES, often_enough
from engine.venues.port import SyncPort
from engine.venues.sender import SenderConfig

KINDS = {"spot": "spot", "usdm": "linear"}
CLOCK_TRIES = 20


@dataclass(frozen=True)
class Opened:
    """An exchange that stands ready, the settings as the venue's facts made them, and what the account held."""

    settings: Settings
    exchange: EmbeddedExchange | Session
    holdings: dict[int, int] | None = None  # by the ledger's asset, in its units; None: the settings' capital


def open_exchange(
    settings: Settings, start_ns: int, secrets: Secrets, halted: Callable[[], bool] = lambda: False
) -> Opened:
    """What a session trades at. Asks the venues, so it is called before a loop runs.

    `halted` is asked where an order waits for its turn on another thread before it leaves.
    """
    venues = venues_over(settings)
    if not venues:
        return Opened(settings, EmbeddedExchange(settings, start_ns))
    parts: dict[str, Door] = {}
    holdings: dict[int, int] = {}
    for name, venue in venues.items():
        if venue.protocol == "ccxt":
            settings, parts[name], held = open_ccxt_venue(settings, name, venue, secrets, halted)
        else:
            settings, parts[name], held = open_venue(settings, name, venue, secrets)
        # The account's own asset lies at each in parts; each base asset lies at one.
        holdings |= {asset: amount + (holdings.get(asset, 0) if asset == 0 else 0) for asset, amount in held.items()}
    exchange = SeveralExchanges(parts) if len(parts) > 1 else next(iter(parts.values()))
    return Opened(settings, exchange, holdings)


def open_ccxt_venue(
    settings: Settings, name: str, venue: Venue, secrets: Secrets, halted: Callable[[], bool]
) -> tuple[Settings, Door, dict[int, int]]:
    key, secret = key_of(venue, secrets)
    kind = kind_at(settings, name)
    if asked := bars_at(settings, name):
        raise VenueNotSupported(f"{asked[0]}: a strategy asks for closed bars, which nobody is told through ccxt.")
    exchange, facts = open_bridged(
        settings,
        name,
        venue,
        key,
        secret,
        rows_at(settings, name, kind),
        assets_of(settings, name),
        linear=kind == "linear",
        budget=budget_of(venue),
        halted=halted,
    )
    settings = adopted(settings, facts.instruments, facts.leverage)
    exchange.care.linear.margin_ppm = margins_of(settings, facts.instruments)
    return settings, exchange, facts.holdings


def open_venue(settings: Settings, name: str, venue: Venue, secrets: Secrets) -> tuple[Settings, Door, dict[int, int]]:
    """One venue over sockets: the settings with its facts, its exchange, what the account holds there."""
    endpoints = endpoints_of(name, venue, paper=settings.engine.mode == "paper")
    market_of = MARKETS[venue.protocol]
    signer, secret = signer_of(venue, secrets)
    barred = bars_at(settings, name)
    facts = ask(settings, name, venue, endpoints, signer)
    directory = Directory(facts.instruments.values(), facts.assets)
    settings = adopted(settings, facts.instruments, facts.leverage)
    form = Form.SESSION if isinstance(signer, Ed25519Signer) else Form.HMAC
    clock = ClockSync()
    http = HttpClient(
        endpoints.rest, budget_of(venue), counts_of=info.counts_of_headers, venue_now_ns=clock.venue_now_ns
    )
    exchange = LiveExchange(
        LiveConfig(
            endpoints,
            link=LinkConfig(life_ns=venue.roll_over_hours * 3600 * SECOND),
            backoff=BackoffConfig(first_ns=venue.reconnect_ms_min * 10**6, most_ns=venue.reconnect_ms_max * 10**6),
            sender=SenderConfig(),
            care=CareConfig(foreign=settings.reconcile.foreign, duties=often_enough(DUTIES, venue.fees_age_s * SECOND)),
            dead_man_ms=settings.safety.dead_man_ms if venue.dead_man else 0,
            spare_ws=venue.stream_spare,
            bars_of=tuple(facts.instruments[text].text for text in barred),
            bars=settings.features.bars,
            hot_spare=venue.hot_spare,
            seed=settings.engine.seed,
            venue=venues_of(settings)[name],
        ),
        directory,
        signer,
        encoder(market_of, form, directory.rows(), api_key=signer.api_key, secret=secret, stp=stp_of(venue, directory)),
        BinanceAccount(market_of, http, signer, directory, clock),
        make_transport("picows"),
    )
    exchange.care.next_trade = {symbol: number + 1 for symbol, number in facts.last_trades.items()}
    exchange.balances = dict(facts.holdings)
    exchange.care.linear.funding_ns = facts.asked_ns
    exchange.care.linear.margin_ppm = margins_of(settings, facts.instruments)
    return settings, exchange, facts.holdings


# ------------------------------------------------------------------------------------------------------ what is written
def key_of(venue: Venue, secrets: Secrets) -> tuple[str, str]:
    """The key of the account and its secret: what is written on a credential's lines `key=` and `secret=`."""
    if not venue.credential:
        # `bot4 venue` opens this account when it is told of none.
        return "key", "secret"
    text = secrets.get(venue.credential).reveal().strip()
    key, _, secret = text.partition("\n")
    key, secret = key.removeprefix("key=").strip(), secret.strip().removeprefix("secret=").strip()
    if not key or not secret:
        raise SettingsError(f"credential {venue.credential}: wants the lines key= and secret=.")
    return key, secret


def signer_of(venue: Venue, secrets: Secrets) -> tuple[Signer, bytes | None]:
    """Who signs: the secret is a text (HMAC) or a PEM (Ed25519)."""
    key, secret = key_of(venue, secrets)
    if "PRIVATE KEY" in secret:
        return Ed25519Signer(key, secret.encode()), None
    return HmacSigner(key, secret.encode()), secret.encode()


def stp_of(venue: Venue, directory: Directory) -> str:
    """The mode of self-trade prevention that every order carries, refused where the venue does not allow it."""
    mode = venue.stp.upper()
    for instrument in directory:
        if instrument.stp_modes and mode not in instrument.stp_modes:
            allowed = ", ".join(sorted(instrument.stp_modes)).lower()
            raise SettingsError(f"venues: stp {venue.stp} is not allowed for {instrument.text}; {allowed}.")
    return mode


def budget_of(venue: Venue) -> RateBudget:
    return RateBudget(
        [
            Limit(LimitKind.WEIGHT, 60 * SECOND, venue.weight_per_minute),
            Limit(LimitKind.ORDERS, 10 * SECOND, venue.orders_per_10s),
        ]
    )


# ------------------------------------------------------------------------------------------------- what the venue says
@dataclass(frozen=True)
class Facts:
    instruments: dict[str, Instrument]
    assets: Assets
    holdings: dict[int, int]
    last_trades: dict[int, int]
    leverage: dict[str, int]  # of perpetuals
    asked_ns: int  # the venue's time


def assets_of(settings: Settings, name: str) -> Assets:
    """Names of the ledger's assets as this venue spells them: the account's own, then each base in its place."""
    assets = Assets()
    assets.add(settings.account.asset)
    for row in settings.instruments.values():
        # What lies at another venue has its place and no name here.
        text = row.base if row.venue == name else f"{row.base} at {row.venue}"
        if assets.add(text) != len(assets.names) - 1:
            raise VenueNotSupported(f"{row.base}: two instruments of one base asset at {row.venue}.")
    return assets


def rows_at(settings: Settings, name: str, kind: str) -> dict[str, int]:
    """The instruments of a venue, with the core's numbers. Raises what the account cannot be kept in."""
    found = {}
    for index, (text, row) in enumerate(settings.instruments.items()):
        if row.venue != name:
            continue
        if row.quote != settings.account.asset or row.market != kind:
            raise VenueNotSupported(f"{row.base}{row.quote}: {kind}, quoted in the account's {settings.account.asset}.")
        found[text] = index
    return found


def bars_at(settings: Settings, name: str) -> list[str]:
    """Of the instruments at a venue those whose closed bars a strategy asks for."""
    found = [text for text in closed_bars.wanted(settings) if settings.instruments[text].venue == name]
    if found and settings.features.bars == "1s" and settings.venues[name].protocol == "binance_usdm":
        raise VenueNotSupported(f"venues.{name}: no closed bars of 1s; features.bars wants 1m or longer.")
    return sorted(found)


def kind_at(settings: Settings, name: str) -> str:
    """Which market a venue that has several is traded at: an account is counted in one way."""
    kinds = sorted({row.market for row in settings.instruments.values() if row.venue == name})
    if len(kinds) != 1:
        raise VenueNotSupported(
            f"venues.{name}: {' and '.join(kinds)} instruments; each kind wants a venue of its own."
        )
    return kinds[0]


def ask(settings: Settings, name: str, venue: Venue, endpoints: market.Endpoints, signer: Signer) -> Facts:
    """One conversation over REST before anything starts."""
    market_of = MARKETS[venue.protocol]
    rows, assets = rows_at(settings, name, KINDS[market_of]), assets_of(settings, name)
    directory = Directory(assets=assets)
    clock, budget = ClockSync(), budget_of(venue)
    account: list[BinanceAccount] = []

    def make() -> BinanceAccount:
        http = HttpClient(endpoints.rest, budget, counts_of=info.counts_of_headers, venue_now_ns=clock.venue_now_ns)
        account.append(BinanceAccount(market_of, http, signer, directory, clock))
        return account[0]

    with SyncPort(make) as port:
        # A machine that has just started is busy: a distance that is not known well is measured again.
        for _ in range(CLOCK_TRIES):
            port.ask(account[0].measure_clock())
            if not clock.why_not_sign(utc_ns()):
                break
        theirs = {settings.instruments[text].symbol or text: text for text in rows}
        found = info.instruments(port.ask(account[0].exchange_info()), theirs)
        instruments, last_trades = {}, {}
        for spelled, instrument in found.items():
            text = theirs[spelled]
            maker, taker = port.ask(account[0].fees(spelled))
            instruments[text] = replace(instrument, index=rows[text], fee_maker_e8=maker, fee_taker_e8=taker)
            directory.add(instruments[text])
            last_trades[rows[text]] = port.ask(account[0].last_trade(instruments[text]))
        leverage = {}
        if market_of == "usdm":
            found_settings = port.ask(account[0].settings())
            leverage = {theirs[at]: most for at, (_, most) in found_settings.margins.items() if at in theirs}
            # Its leverage is followed; how it counts positions and margin has to fit.
            if why_not := found_settings.why_not(dict.fromkeys(found, 10**6)):
                raise SettingsError(f"the account at the venue: {why_not}.")
        return Facts(instruments, assets, port.balances(), last_trades, leverage, clock.venue_now_ns(utc_ns()))


def margins_of(settings: Settings, found: dict[str, Instrument]) -> dict[str, int]:
    """By the venue's own names: what the core sets aside of a notional."""
    return {one.text: settings.instruments[text].margin_ppm for text, one in found.items()}


def adopted(settings: Settings, facts: dict[str, Instrument], leverage: dict[str, int]) -> Settings:
    """The settings with what a venue says of its instruments."""
    rows = {
        text: adopt(row, facts[text], leverage.get(text, 1)) if text in facts else row
        for text, row in settings.instruments.items()
    }
    return msgspec.structs.replace(settings, instruments=rows)


def adopt(row: Row, fact: Instrument, leverage: int = 1) -> Row:
    """The settings' row with the venue's steps; of two limits the narrower one holds."""
    tick, lot = fact.tick_e8, fact.lot_e8
    px_max = fact.px_max_ticks * tick
    qty_max = fact.qty_max_lots * lot
    return msgspec.structs.replace(
        row,
        tick=tick,
        lot=lot,
        px_min=max(row.px_min, fact.px_min_ticks * tick),
        px_max=min(row.px_max, px_max) if row.px_max else px_max,
        qty_min=max(row.qty_min, fact.qty_min_lots * lot),
        qty_max=min(row.qty_max, qty_max) if row.qty_max else qty_max,
        notional_min=max(row.notional_min, fact.notional_min_e8),
        fee_maker=fact.fee_maker_e8,
        fee_taker=fact.fee_taker_e8,
        margin_ppm=max(row.margin_ppm, -(-(10**6) // leverage)) if row.market == "linear" else row.margin_ppm,
    )
