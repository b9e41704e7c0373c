"""Where the venues of a session answer, and whether money is there.

A session that is told to trade live at a testnet, or at a venue on this machine, is a rehearsal: everything is as it
will be but the money. Which it is follows from the addresses alone: a switch that says "testnet" beside an address
with money would be believed by nobody here.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Literal
from urllib.parse import urlsplit

from engine.errors import SettingsError, VenueNotSupported
from engine.settings.schema import Settings, Venue
from engine.venues.binance import market

# The protocols that have a driver, and the kind of market each trades.
MARKETS = {"binance_spot": "spot", "binance_usdm": "usdm"}
LOOPBACK = ("127.0.0.1", "::1", "localhost")
TESTNETS = ("testnet.binance.vision", "demo-fapi.binance.com", "binancefuture.com")


class Stage(StrEnum):
    """How much depends on a session."""

    PAPER = "paper"
    REHEARSAL = "rehearsal"  # live in every respect, where money is not real
    LIVE = "live"


def venues_over(settings: Settings) -> dict[str, Venue]:
    """The venues over sockets that the instruments trade at, in the core's order; none: the embedded one."""
    used = list(dict.fromkeys(row.venue for row in settings.instruments.values()))
    over = {name: settings.venues[name] for name in used if settings.venues[name].protocol != "embedded"}
    if over and len(over) < len(used):
        raise VenueNotSupported(f"instruments at {', '.join(used)}: the one in this process keeps a time of its own.")
    return over


def require_hosts(name: str, venue: Venue, hosts: set[str], *, paper: bool) -> None:
    """Raises where one of them is not what the settings say of this venue."""
    if paper and not hosts <= set(LOOPBACK):
        # Paper never reaches an account with money, whatever key is at hand.
        raise SettingsError(f"venues.{name}: on paper rest, stream and api are addresses of this machine, not {hosts}.")
    if venue.testnet and not all(map(_is_play, hosts)):
        raise SettingsError(f"venues.{name}: testnet = true, and {hosts} are not all a testnet's.")


def endpoints_of(name: str, venue: Venue, *, paper: bool) -> market.Endpoints:
    if venue.protocol not in MARKETS:
        raise VenueNotSupported(f"venues.{name}: no driver for {venue.protocol}; {' and '.join(MARKETS)} have one.")
    if venue.protocol == "binance_usdm":
        own = market.USDM
        if venue.testnet and not (venue.stream and venue.api and venue.rest):
            raise SettingsError(f"venues.{name}: the testnet of USD-M wants rest, stream and api written out.")
    else:
        own = market.SPOT_TESTNET if venue.testnet else market.SPOT
    stream = venue.stream or own.market_ws
    out = market.Endpoints(
        market_ws=stream, user_ws=f"{stream}/private", api_ws=venue.api or own.api_ws, rest=venue.rest or own.rest
    )
    require_hosts(name, venue, _hosts(out.market_ws, out.api_ws, out.rest, venue.stream_spare), paper=paper)
    return out


def stage_of(settings: Settings) -> Stage:
    """Whether these settings trade on paper, rehearse, or trade."""
    if settings.engine.mode == "paper":
        return Stage.PAPER
    hosts: set[str] = set()
    for name, venue in venues_over(settings).items():
        if venue.protocol == "ccxt":
            # Its own addresses are known to ccxt alone; what is not written out is taken to have money.
            hosts |= _hosts(venue.rest, venue.stream, venue.api) if venue.rest and venue.stream else {venue.exchange}
        elif venue.protocol not in MARKETS:
            return Stage.LIVE
        else:
            at = endpoints_of(name, venue, paper=False)
            hosts |= _hosts(at.market_ws, at.api_ws, at.rest, venue.stream_spare)
    return Stage.REHEARSAL if hosts and all(map(_is_play, hosts)) else Stage.LIVE


def discipline_of(settings: Settings) -> Literal["paper", "live"]:
    """Which rules of discipline hold: a rehearsal gathers the record that real money is judged by."""
    return "live" if stage_of(settings) is Stage.LIVE else "paper"


def _hosts(*urls: str) -> set[str]:
    return {urlsplit(url).hostname or "" for url in urls if url}


def _is_play(host: str) -> bool:
    return host in LOOPBACK or any(host == name or host.endswith(f".{name}") for name in TESTNETS)
