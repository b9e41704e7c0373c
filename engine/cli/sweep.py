"""`bot4 sweep`: many backtests of one strategy, and how much of the best of them is luck."""

from __future__ import annotations

import os
from pathlib import Path

import click

from engine._core.clock import monotonic_ns
from engine.cli.backtest import DATA_FILE, read_data, with_meaning
from engine.cli.output import echo_json
from engine.cli.progress import progress
from engine.cli.run import read_settings
from engine.errors import LookAheadFound
from engine.research import report_page, splits, sweep_report
from engine.research.dataset import Dataset
from engine.research.sweep import SCORES, SEARCHES, Store, Trial, size
from engine.runtime.backtest import sample
from engine.runtime.sweep import Crew, Wanted, plan_of, run_sweep

_S = 10**9


@click.command()
@click.argument("strategy")
@click.option(
    "--param", "-p", "params", multiple=True, metavar="AXIS", help="qty=1:10, x=0.1:0.9:0.1, k=1,2,5, f=1:64:log."
)
@click.option("--data", "path", type=DATA_FILE, help="A data set or a capture; without one a market is generated.")
@with_meaning
@click.option(
    "--config", "-c", "files", multiple=True, type=click.Path(path_type=Path), help="Settings; later ones win."
)
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), required=True, help="Where trials are kept.")
@click.option("--search", type=click.Choice(SEARCHES), default="grid", show_default=True)
@click.option("--trials", type=click.IntRange(2, 100_000), default=64, show_default=True, help="Of random and optuna.")
@click.option("--score", type=click.Choice(list(SCORES)), default="sharpe", show_default=True, help="What is best.")
@click.option("--split", type=click.Choice(splits.KINDS), default="walk-forward", show_default=True)
@click.option("--folds", type=click.IntRange(2, 50), default=4, show_default=True)
@click.option("--purge", type=click.FloatRange(0), default=0.0, show_default=True, help="Seconds left out at an edge.")
@click.option("--embargo", type=click.FloatRange(0), default=0.0, show_default=True, help="Seconds more behind a fold.")
@click.option("--seed", type=click.IntRange(0), default=7, show_default=True, help="Of search, market and latencies.")
@click.option("--events", type=click.IntRange(1_000), default=200_000, show_default=True, help="Generated.")
@click.option("--latency-ms", type=click.FloatRange(0, 60_000), help="A fixed one each way; else log-normal, 49 ms.")
@click.option("--draws", type=click.IntRange(100), default=1_000, show_default=True, help="Of Monte Carlo and tests.")
@click.option("--workers", type=click.IntRange(1), help="Processes; as many as processors.")
@click.option("--memory-mb", type=click.IntRange(16), help="Most that a worker may take; a trial beyond it fails.")
@click.option("--ray", metavar="ADDRESS", help="Run on this Ray cluster; `local` starts one here.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def sweep(
    strategy: str, params: tuple[str, ...], path: Path | None, symbol: str | None, tick: str | None, lot: str | None,
    market: str, files: tuple[Path, ...], out: Path, search: str, trials: int, score: str, split: str, folds: int,
    purge: float, embargo: float, seed: int, events: int, latency_ms: float | None, draws: int, workers: int | None,
    memory_mb: int | None, ray: str | None, as_json: bool,
) -> None:  # fmt: skip
    """Search the parameters of STRATEGY and say how much of the best result is luck.

    Every finished trial is a file in OUT; a sweep that was stopped or killed goes on with the same command, and ends
    with the same bytes. OUT/report.html tells the result, OUT/winner.html the run of the best trial. The number of
    workers, their memory and Ray change nothing of it.

    Exit codes: 0 done; 1 refused, no trial could be ranked, or the best one looks ahead; 130 stopped by Ctrl-C.

    Example: bot4 sweep quoter --param qty=1:5 --param skew_lots=10,20,40 --events 50000 --out var/sweep
    """
    settings = read_settings(files, None).settings
    data: Dataset = read_data(path, symbol, tick, lot, market) if path else sample(seed=seed, count=events)
    wanted = Wanted(
        strategy,
        params,
        search,
        trials,
        seed,
        score,
        split,
        folds,
        int(purge * _S),
        int(embargo * _S),
        latency_ms,
        draws,
    )
    plan = plan_of(wanted, settings, data)
    count = size(plan)
    store = Store(out, plan)
    crew = Crew(workers or len(os.sched_getaffinity(0)), memory_mb, ray)
    begun, finished = monotonic_ns(), 0
    try:
        with progress("sweep", quiet=as_json) as advance:

            def done(trial: Trial) -> None:
                nonlocal finished
                finished += 1
                advance(finished, count, f"trial {trial.number}")

            result, told = run_sweep(plan, store, settings, data, crew, done)
    except KeyboardInterrupt:
        click.echo(f"stopped with {finished} of {count} trials in {out}; the same command goes on", err=True)
        raise SystemExit(130) from None
    store.finish(sweep_report.as_json(result, told), sweep_report.page(result, told), report_page.page(told))
    if as_json:
        echo_json(sweep_report.as_json(result, told))
    else:
        seconds = (monotonic_ns() - begun) / 1e9
        click.echo(sweep_report.summary(result, told))
        click.echo(f"report: {out / 'report.html'}, the best run: {out / 'winner.html'}; {seconds:.1f} s")
    if told.check.difference is not None:
        found = told.check.difference
        raise LookAheadFound(f"cut at {found.cut_ns}, record {found.record} at {found.ts_ns} differs")
