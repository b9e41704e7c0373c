"""`bot4 market`: the generated order flow, what it was fitted to, and how to fit it again."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any

import click
import numpy as np

from engine.cli.progress import progress
from engine.errors import DatasetUnreadable
from engine.research import market_fit
from engine.research.recordings import Tape, read
from engine.sim.market.flow import REGIMES, fitted

TAPES = {
    "BTCUSDT": "binance_raw/usdm_btcusdt_20240808.log.gz",
    "ETHUSDT": "binance_raw/usdm_ethusdt_20240808.log.gz",
}
BARS = {
    f"{name}USDT": f"bars/binance_{name}USDT_5m_202401_202406.parquet"
    for name in ("BTC", "ETH", "SOL", "AVAX", "LINK", "DOGE")
}
SECONDS = 1_800.0
SEED = 1
Row = tuple[str, str, float, float]


@click.group()
def market() -> None:
    """Show the generated order flow, and fit it to recordings."""


@market.command("show")
@click.option("--json", "as_json", is_flag=True, help="One JSON object: everything that ships.")
def show(as_json: bool) -> None:
    """Show the fitted parameters that ship, and the table of the fit.

    Example: bot4 market show

    Exit codes: 0 shown.
    """
    fit = fitted()
    if as_json:
        click.echo(json.dumps(fit))
        return
    for line in fit["provenance"]["sources"]:
        click.echo(f"{line['file']}  sha256 {line['sha256'][:16]}")
    _print([tuple(row) for row in fit["provenance"]["table"]])
    for name in REGIMES:
        row = fit["regimes"][name]
        click.echo(
            f"{name:6} {row['hours']:5} hours, {row['dwell_s'] / 3600:6.1f} h a time, flow x {row['rate']:.2f}, "
            f"moves x {row['jump']:.2f}, lean {row['tilt']:.3f}"
        )


@market.command("fit")
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--write", type=click.Path(dir_okay=False, path_type=Path), help="Write the parameters there.")
@click.option("--seconds", type=click.FloatRange(10, 86_400), default=SECONDS, show_default=True, help="To generate.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def fit_(folder: Path, write: Path | None, seconds: float, as_json: bool) -> None:
    """Fit the order flow to the recordings in FOLDER, and print recorded and generated figures side by side.

    FOLDER holds binance_raw/ and bars/. Reading the bars takes pyarrow, which comes with the development lock.

    Example: bot4 market fit ../shared/data --write engine/sim/market/flow.json

    Exit codes: 0 fitted, 1 a recording is missing or cannot be read.
    """
    files = [folder / name for name in (*TAPES.values(), *BARS.values())]
    if missing := [str(path) for path in files if not path.is_file()]:
        raise DatasetUnreadable(", ".join(missing))
    with progress("fit", quiet=as_json) as advance:
        advance(0, 3, "the recordings are read")
        tapes = {name: read([folder / path], name) for name, path in TAPES.items()}
        advance(1, 3, "the flow is fitted")
        fit, left = market_fit.calibrate(tapes, {name: _bars(folder / path) for name, path in BARS.items()})
        advance(2, 3, "generated and recorded are compared")
        rows = _table(fit, tapes, seconds)
    fit["provenance"] = {
        "sources": [
            {"file": path.relative_to(folder).as_posix(), "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
            for path in files
        ],
        "seconds_recorded": round(min(tape.seconds for tape in tapes.values()), 1),
        "seconds_generated": seconds,
        "seed": SEED,
        "estimate": left,
        "table": [[symbol, what, round(a, 5), round(b, 5)] for symbol, what, a, b in rows],
        "by": "bot4 market fit",
    }
    if write is not None:
        write.write_text(text_of(fit))
    if as_json:
        click.echo(json.dumps(fit))
        return
    _print(rows)
    for name in TAPES:
        row = left[name]
        click.echo(
            f"{name}: branching ratio {row['branching']:.3f}; rescaled gaps' distance from exponential: buys, sells "
            f"{row['residual_ks'][0]:.3f} {row['residual_ks'][1]:.3f}, moves {row['residual_ks'][2]:.3f} "
            f"{row['residual_ks'][3]:.3f}, changes at the touch {row['residual_ks'][4]:.3f}"
        )


def _table(fit: dict[str, Any], tapes: dict[str, Tape], seconds: float) -> list[Row]:
    made = market_fit.generate(fit, market_fit.symbols_of(tapes), seconds, SEED)
    return market_fit.table(tapes, made)


def _print(rows: list[Row]) -> None:
    click.echo(f"{'symbol':16} {'figure':42} {'recorded':>11} {'generated':>11}")
    for symbol, what, recorded, generated in rows:
        click.echo(f"{symbol:16} {what:42} {recorded:11.4f} {generated:11.4f}")


def text_of(fit: dict[str, Any]) -> str:
    """JSON that a diff can be read of: one line for each list of numbers."""
    text = json.dumps(fit, indent=1)
    return re.sub(r"\[\s+([^\[\]{}]*?)\s+\]", lambda m: "[" + re.sub(r"\s*\n\s*", " ", m[1]) + "]", text) + "\n"


def _bars(path: Path) -> tuple[Any, Any]:
    """Closes and volumes, oldest first."""
    try:
        from pyarrow import parquet  # noqa: PLC0415  (of the development lock; nothing else here needs it)
    except ImportError as error:
        raise DatasetUnreadable(f"{path}: reading it takes pyarrow") from error
    rows = parquet.read_table(path, columns=["close", "volume"])
    return np.asarray(rows["close"]), np.asarray(rows["volume"])
