"""`bot4 record`: raw market data into a journal, from a venue or from what is here already."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from pathlib import Path

import click
import msgspec
import numpy as np

from engine._core.clock import utc_ns
from engine._core.types import EVENT
from engine.cli.progress import Advance, progress
from engine.journal.layout import find_session
from engine.journal.record import Source, from_array, from_session
from engine.journal.record import record as run_record
from engine.runtime.endpoints import MARKETS, endpoints_of
from engine.runtime.market_source import VenueMarket
from engine.settings.schema import Venue
from engine.sim.market import random_walk


@click.command()
@click.argument("directory", type=click.Path(file_okay=False, path_type=Path))
@click.option("--venue", type=click.Choice(list(MARKETS)), help="A venue's market data, as it comes.")
@click.option("--symbol", "symbols", multiple=True, help="Of the venue; repeatable.")
@click.option("--seconds", type=click.FloatRange(min=0.1), help="Of the venue: end after so long; else with Ctrl-C.")
@click.option("--rest", help="Address of the venue's requests, where it is not its own.")
@click.option("--stream", help="Address of its streams, where it is not its own.")
@click.option("--generate", type=click.IntRange(1, 10**9), help="So many events of a generated market.")
@click.option("--seed", type=int, default=7, show_default=True, help="Of the generated market.")
@click.option("--copy", type=click.Path(exists=True, file_okay=False, path_type=Path), help="Market data of a session.")
@click.option(
    "--file", "file", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="Raw 64-byte records."
)
def record(
    directory: Path, venue: str | None, symbols: tuple[str, ...], seconds: float | None, rest: str | None,
    stream: str | None, generate: int | None, seed: int, copy: Path | None, file: Path | None,
) -> None:  # fmt: skip
    """Store raw market data in DIRECTORY, in the format that replay and backtests read.

    A venue's data needs no key. Its books are kept whole by the venue's own procedure; where one was lost the record
    says so, and a backtest trades on nothing in between.

    Exit codes: 0 the source has ended, 1 the journal could not be written or the venue does not answer, 2 no source or
    more than one was named.

    Example: bot4 record var/market --venue binance_spot --symbol BTCUSDT --symbol ETHUSDT --seconds 3600
    """
    if sum(x is not None for x in (venue, generate, copy, file)) != 1:
        raise click.UsageError("Name one source: --venue, --generate, --copy or --file.")
    if bool(venue) != bool(symbols):
        raise click.UsageError("--venue and --symbol go together.")
    with progress("record") as advance:
        if venue is not None:
            count = asyncio.run(_from_venue(directory, venue, symbols, seconds, rest, stream, advance))
        else:
            count = asyncio.run(_kept(directory, _source(generate, seed, copy, file), advance))
    click.echo(f"{count:,} records in {find_session(directory).path}")


def _source(generate: int | None, seed: int, copy: Path | None, file: Path | None) -> Source:
    if generate is not None:
        return from_array(random_walk(seed=seed, count=generate))
    if copy is not None:
        return from_session(find_session(copy))
    assert file is not None
    data = file.read_bytes()
    if len(data) % 64:
        raise click.BadParameter(f"{file}: {len(data)} bytes are no whole records.")
    return from_array(np.frombuffer(data, EVENT))


async def _kept(directory: Path, source: Source, advance: Advance) -> int:
    return await run_record(source, directory, now_ns=utc_ns, progress=lambda count: advance(count, None, "records"))


async def _from_venue(
    directory: Path, name: str, symbols: tuple[str, ...], seconds: float | None, rest: str | None, stream: str | None,
    advance: Advance,
) -> int:  # fmt: skip
    # Nothing is signed here, so the venue's own addresses are as good as those of this machine.
    at = msgspec.convert({"protocol": name, "rest": rest or "", "stream": stream or ""}, Venue)
    endpoints = endpoints_of(name, at, paper=False)
    found = VenueMarket(MARKETS[name], endpoints, symbols)
    loop = asyncio.get_running_loop()
    with contextlib.ExitStack() as undo:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, found.end)
            undo.callback(loop.remove_signal_handler, number)
        try:
            listed = await found.start()
            if seconds is not None:
                loop.call_later(seconds, found.end)
            meta = {
                "source": name,
                "instruments": [
                    {"symbol": i.text, "tick_e8": i.tick_e8, "lot_e8": i.lot_e8, "linear": i.linear} for i in listed
                ],
            }
            return await run_record(
                found.events(), directory, now_ns=utc_ns, meta=meta,
                progress=lambda count: advance(count, None, f"records, {found.lost_count} books lost"),
            )  # fmt: skip
        finally:
            await found.close()
