"""`bot4 venue`: the embedded exchange behind a socket on this machine, for any client that speaks Binance."""

from __future__ import annotations

import asyncio
import signal
import ssl
from pathlib import Path

import click
import uvloop

from engine._core.clock import utc_ns
from engine.errors import SimServerConfig
from engine.sim.market import REGIMES
from engine.sim.venue.exchange import Exchange
from engine.sim.venue.form import Form
from engine.sim.venue.generated import PERPETUAL_WALKS, WALKS, GeneratedMarket, flow_market
from engine.sim.venue.instruments import E8, default_perpetuals, default_spot
from engine.sim.venue.server import VenueServer
from engine.sim.venue.spot import SpotForm
from engine.sim.venue.usdm import UsdmForm


@click.command()
@click.option("--port", type=click.IntRange(0, 65535), default=18080, show_default=True, help="0: any free one.")
@click.option(
    "--tls", nargs=2, type=click.Path(path_type=Path), metavar="CERT KEY", help="Serve TLS with these PEM files."
)
@click.option("--seed", type=click.IntRange(0), default=7, show_default=True, help="Seed of the generated market.")
@click.option(
    "--market",
    type=click.Choice(["walk", "flow"]),
    default="walk",
    show_default=True,
    help="Random walks, or order flow fitted to recordings.",
)
@click.option(
    "--regime", type=click.Choice(REGIMES), help="Of order flow: this one throughout, not one after the other."
)
@click.option(
    "--pace",
    type=click.FloatRange(0, 100_000, min_open=True),
    default=1.0,
    show_default=True,
    help="Of order flow: how many times faster regimes change than recorded.",
)
@click.option(
    "--kind", type=click.Choice(["spot", "usdm"]), default="spot", show_default=True,
    help="Binance spot, or its USD-M perpetuals.",
)  # fmt: skip
@click.option(
    "--account", "accounts", nargs=2, multiple=True, metavar="KEY SECRET", default=(("key", "secret"),),
    show_default=True, help="An API key with 10 BTC and a million USDT of play money; may be given again.",
)  # fmt: skip
@click.option("--seconds", type=click.FloatRange(min=0.01), help="End by itself after so long.")
def venue(
    port: int,
    tls: tuple[Path, Path] | None,
    seed: int,
    market: str,
    regime: str | None,
    pace: float,
    kind: str,
    accounts: tuple[tuple[str, str], ...],
    seconds: float | None,
) -> None:
    """Serve the embedded exchange on loopback: REST, market streams, WebSocket API and user stream of Binance.

    Its symbols move by themselves. Ctrl-C ends it in order. What is there and what is not: docs/venues/embedded.md.

    Example: bot4 venue --port 18080
    """
    context = tls_context(*tls) if tls else None
    start_ns = utc_ns()
    exchange = Exchange(default_spot() if kind == "spot" else default_perpetuals(), now_ns=start_ns)
    walks = WALKS if kind == "spot" else PERPETUAL_WALKS
    flow = None
    if market == "flow":
        flow = flow_market(exchange, seed=seed, start_ns=start_ns, regime=regime, pace=pace)
        if kind != "spot":
            raise click.UsageError("--market flow is of spot")
    elif regime is not None:
        raise click.UsageError("--regime is of order flow: give --market flow")
    generated = GeneratedMarket(exchange, seed=seed, start_ns=start_ns, market=flow, walks=walks)
    form: Form = SpotForm(exchange) if kind == "spot" else UsdmForm(exchange)
    uvloop.run(serve(form, generated, port=port, tls=context, accounts=accounts, seconds=seconds))


def tls_context(certificate: Path, key: Path) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        context.load_cert_chain(certificate, key)
    except OSError as error:
        raise SimServerConfig(f"--tls {certificate} {key}: {error}") from error
    return context


async def serve(
    form: Form,
    market: GeneratedMarket,
    *,
    port: int,
    tls: ssl.SSLContext | None,
    accounts: tuple[tuple[str, str], ...],
    seconds: float | None,
) -> None:
    """Serve until a signal comes, the time is over, or the market fails, which is raised."""
    exchange = form.exchange
    server = VenueServer(exchange, clock=utc_ns, port=port, tls=tls, generate=market.advance, form=form)
    for key, secret in accounts:
        server.add_account(key, secret=secret, deposits=None if form.name == "spot" else {"USDT": 10**6 * E8})
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with server:
        click.echo(banner(server))
        await server.serve(stop, seconds)
    exchange.check()
    counts = server.counts
    click.echo(
        f"{counts['requests']:,} requests, {counts['messages']:,} messages, {sum(server.errors.values()):,} answered "
        f"with an error, {counts['slow_readers']:,} slow readers cut off; books and balances are sound"
    )


def banner(server: VenueServer) -> str:
    http, ws = ("https", "wss") if server.tls else ("http", "ws")
    at, spot = f"{server.host}:{server.port}", server.form.name == "spot"
    return "\n".join(
        (
            f"venue: {', '.join(server.exchange.markets)}",
            f"  REST            {http}://{at}/{'api/v3' if spot else 'fapi/v1'}",
            f"  market streams  {ws}://{at}/ws  {ws}://{at}/stream"
            if spot
            else f"  streams         {ws}://{at}/public  {ws}://{at}/market  {ws}://{at}/private",
            f"  WebSocket API   {ws}://{at}{server.form.api_path}",
            "  how to point ccxt at it: docs/venues/embedded.md",
        )
    )
