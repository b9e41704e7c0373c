"""`bot4 backtest`: a strategy on recorded or generated data."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from engine.cli.output import echo_json
from engine.cli.progress import progress
from engine.cli.replay import parse_time
from engine.cli.run import read_settings
from engine.errors import LookAheadFound
from engine.research import dataset, recorded, report, report_page, shipped
from engine.research.assumed import AWAY_TICKS
from engine.research.dataset import Dataset, Meta
from engine.runtime.backtest import Asked, generated, run_backtest
from engine.settings.fees import load_fees, rates_at
from engine.settings.load import config_directory
from engine.settings.units import from_text


class DataFile(click.ParamType[Any]):
    """A file, the folder of a journal, or `sample:NAME` for one that the package ships."""

    name = "PATH or sample:NAME"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if isinstance(value, str) and value.startswith(shipped.PREFIX):
            return value
        return click.Path(exists=True, path_type=Path).convert(value, param, ctx)


DATA_FILE = DataFile()
_EVENTS = 200_000
_CUTS = 3


def with_meaning(command: Callable[..., Any]) -> Callable[..., Any]:
    """Options that say what the numbers of a capture mean; an .npz of ours knows it."""
    for option in (
        click.option(
            "--market", type=click.Choice(dataset.MARKETS), default="spot", show_default=True, help="Its kind."
        ),
        click.option("--lot", help="Step of its quantity, like 0.001."),
        click.option("--tick", help="Step of its price, like 0.1."),
        click.option("--symbol", help="Symbol of a capture, as the venue writes it."),
    ):
        command = option(command)
    return command


def read_data(path: Path | str, symbol: str | None, tick: str | None, lot: str | None, market: str) -> Dataset:
    if isinstance(path, str):
        path, row = shipped.find(path)
        if not any((symbol, tick, lot)):
            symbol, tick, lot, market = (row[name] for name in ("symbol", "tick", "lot", "market"))
    if path.is_dir():
        return recorded.read(path, symbol)
    given = (symbol, tick, lot)
    if not any(given):
        return dataset.load(path)
    if symbol is None or tick is None or lot is None:
        raise click.UsageError("--symbol, --tick and --lot go together")
    try:
        steps = from_text(tick, "amount"), from_text(lot, "amount")
    except ValueError as error:
        raise click.UsageError(f"--tick and --lot: {error}") from error
    if min(steps) < 1:
        raise click.UsageError("--tick and --lot are more than nothing")
    return dataset.load(path, Meta(symbol, *steps, market=market, source=path.name))


def _number(text: str) -> int | float:
    try:
        return int(text)
    except ValueError:
        return float(text)


def _params(pairs: tuple[str, ...]) -> dict[str, int | float]:
    out: dict[str, int | float] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        try:
            if not name or not equals:
                raise ValueError
            out[name] = _number(value)
        except ValueError:
            raise click.UsageError(f"--set {pair}: give it as name=number") from None
    return out


@click.command()
@click.argument("strategy")
@click.option(
    "--data", "paths", type=DATA_FILE, multiple=True,
    help="A data set, any form of `bot4 data import`, a journal, or sample:NAME. Again for each symbol it watches.",
)  # fmt: skip
@click.option("--beside", metavar="STRATEGY", help="Another strategy, on the first watched symbol.")
@with_meaning
@click.option("--from", "since", metavar="TIME", help="Leave out what was received before, UTC.")
@click.option("--to", "until", metavar="TIME", help="Leave out what was received at or after, UTC.")
@click.option("--tier", help="Name of a capital tier; its limits hold.")
@click.option("--fees", metavar="NAME[:VOLUME]", help="A schedule of config/fees, at a volume of thirty days.")
@click.option(
    "--config", "-c", "files", multiple=True, type=click.Path(path_type=Path), help="Settings; later ones win."
)
@click.option("--set", "sets", multiple=True, metavar="NAME=NUMBER", help="A parameter of the strategy.")
@click.option("--seed", type=click.IntRange(0), default=7, show_default=True, help="Of the market and of latencies.")
@click.option("--events", type=click.IntRange(100), default=_EVENTS, show_default=True, help="Generated, or most read.")
@click.option("--latency-ms", type=click.FloatRange(0, 60_000), help="A fixed one each way; else log-normal, 49 ms.")
@click.option("--touch-ticks", type=click.IntRange(0, 10_000), default=AWAY_TICKS, show_default=True,
              help="Without quotes: how far beyond a trade the touch is assumed.")  # fmt: skip
@click.option(
    "--trials", type=click.IntRange(1), default=1, show_default=True, help="Variants tried, for the deflation."
)
@click.option("--check/--no-check", default=True, show_default=True, help="Run again on cut data: does it look ahead?")
@click.option(
    "--sensitivity/--no-sensitivity", default=None,
    help="Run again with other fees and latencies.  [default: with --report]",
)  # fmt: skip
@click.option("--report", "out", type=click.Path(dir_okay=False, path_type=Path), help="Write the page to this file.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def backtest(
    strategy: str, paths: tuple[Path | str, ...], beside: str | None,
    symbol: str | None, tick: str | None, lot: str | None, market: str,
    since: str | None, until: str | None, tier: str | None, fees: str | None, touch_ticks: int, files: tuple[Path, ...],
    sets: tuple[str, ...], seed: int, events: int, latency_ms: float | None, trials: int,
    check: bool, sensitivity: bool | None, out: Path | None, as_json: bool,
) -> None:  # fmt: skip
    """Run STRATEGY over market data on simulated time, against the embedded venue.

    The core, its limits and the venue are those of `bot4 run` on paper; the same command gives the same bytes.
    Without --data a market is generated. Where no book was recorded the market is assumed from trades or bars, to the
    disadvantage of the strategy, and the report says how. What fills cannot know stands in docs/fills.md.

    Exit codes: 0 done; 1 refused, or the strategy looks ahead.

    Example: bot4 backtest quoter --events 50000 --set qty=3 --report quoter.html

    Example: bot4 backtest trend --data sample:vision-klines --set bar_s=300 --from 2024-01-02 --to 2024-01-05

    Example: bot4 backtest quoter --fees binance:5000000

    Example: bot4 backtest funding --data perpetual.parquet --data spot.parquet
    """
    data = [read_data(path, symbol, tick, lot, market) for path in paths] or generated(strategy, seed, events)
    if _given("events"):
        data = [Dataset(one.meta, one.events[:events]) for one in data]
    if since is not None or until is not None:
        data = [dataset.between(one, parse_time(since), parse_time(until)) for one in data]
    asked = Asked(
        strategy, _params(sets), seed, latency_ms, _CUTS if check else 0, trials, touch_ticks,
        _rates(fees), out is not None if sensitivity is None else sensitivity, beside,
    )  # fmt: skip
    settings = read_settings(files, None, tier).settings
    with progress("backtest", quiet=as_json) as advance:
        first = min(int(one.events["ts_recv_ns"][0]) for one in data)
        length = max(int(one.events["ts_recv_ns"][-1]) for one in data) - first
        told = run_backtest(
            settings, asked, *data,
            seen=lambda now_ns: advance((now_ns - first) // 10**9, length // 10**9, "seconds of data"),
        )  # fmt: skip
    if out is not None:
        out.write_text(report_page.page(told))
    if as_json:
        echo_json(report.as_json(told))
    else:
        click.echo(report.summary(told))
        if out is not None:
            click.echo(f"report: {out}")
    if told.check.difference is not None:
        found = told.check.difference
        raise LookAheadFound(f"cut at {found.cut_ns}, record {found.record} at {found.ts_ns} differs")


def _rates(text: str | None) -> dict[str, tuple[int, int]] | None:
    """Of a schedule: what the tier at a volume takes, by market."""
    if text is None:
        return None
    name, _, volume = text.partition(":")
    if volume and not volume.isdigit():
        raise click.BadParameter(f"{volume!r} is no whole volume", param_hint="--fees")
    schedule = load_fees(config_directory() / "fees" / f"{name}.toml")
    return {fees.market: rates_at(fees, int(volume or 0), discounted=False) for fees in schedule.markets}


def _given(name: str) -> bool:
    source = click.get_current_context().get_parameter_source(name)
    return source is click.core.ParameterSource.COMMANDLINE
