"""`bot4 model`: train, import and look at the models that strategies ask."""

from __future__ import annotations

from pathlib import Path

import click

from engine.cli.backtest import DATA_FILE, read_data
from engine.cli.output import echo_json
from engine.cli.progress import progress
from engine.research import imported, learn
from engine.research.prepare import columns_of
from engine.strategy import models, registry

_json = click.option("--json", "as_json", is_flag=True, help="One JSON object.")
_out = click.option(
    "--out", type=click.Path(dir_okay=False, path_type=Path), help="Write here, not where the strategy looks."
)
_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.group()
def model() -> None:
    """Train, import and look at the models that strategies ask."""


@model.command()
@click.argument("strategy")
@click.argument("data", type=DATA_FILE)
@click.option("--horizon", type=click.IntRange(1), default=1, show_default=True, help="Bars of the move to come.")
@click.option("--learn", "share", type=click.FloatRange(0.05, 0.95), default=0.7, show_default=True,
              help="Part to learn from; the rest says what it is worth.")  # fmt: skip
@click.option(
    "--ridge", type=click.FloatRange(0.0), default=10.0, show_default=True, help="How weights are held small."
)
@click.option("--int8", is_flag=True, help="Weights as bytes: for wide layers on small machines.")
@_out
@_json
def fit(
    strategy: str, data: Path | str, horizon: int, share: float, ridge: float, int8: bool, out: Path | None,
    as_json: bool,
) -> None:  # fmt: skip
    """Train STRATEGY's logistic model on the bars in DATA: the chance of a rise, from the features it asks for.

    Example: bot4 model fit strategies.learned sample:vision-klines --horizon 6

    Exit codes: 0 written, 1 refused.
    """
    request, path = registry.learns(strategy)
    with progress("fit", quiet=as_json) as advance:
        advance(0, None, str(data))
        rows = read_data(data, None, None, None, "spot")
        found = learn.fit(rows, request, horizon=horizon, share=share, ridge=ridge)
        spec = found.spec
        if int8:
            columns, _ = columns_of(rows, request[2])
            spec = learn.quantised(spec, columns[: int(len(columns) * share)][-found.rows :])
    about = {
        "trained_on": rows.meta.source, "horizon_bars": horizon, "rows": found.rows, "ridge": ridge,
        "loss_learned": found.loss[0], "loss_rest": found.loss[1], "right_learned": found.right[0],
        "right_rest": found.right[1],
    }  # fmt: skip
    models.save(out or path, spec, request, ["rise"], about)
    _told(out or path, as_json)


@model.command("import")
@click.argument("strategy")
@click.argument("file", type=_FILE)
@_out
@_json
def import_(strategy: str, file: Path, out: Path | None, as_json: bool) -> None:
    """Bring FILE, a model saved by LightGBM (text) or XGBoost (JSON), as the one that STRATEGY asks.

    It must have been trained on the strategy's features in their order; how many they are is checked here, and from
    then on the features' hash is.

    Example: bot4 model import strategies.learned booster.txt

    Exit codes: 0 written, 1 refused.
    """
    request, path = registry.learns(strategy)
    spec = imported.read(file.read_text())
    if spec["inputs"] != len(request[2]):
        raise click.ClickException(
            f"{file} has {spec['inputs']} inputs; {strategy} asks for {len(request[2])} features"
        )
    names = [f"output_{at}" for at in range(spec["outputs"])]
    models.save(out or path, spec, request, names, {"imported_from": file.name})
    _told(out or path, as_json)


@model.command()
@click.argument("name")
@_json
def show(name: str, as_json: bool) -> None:
    """Show the model of NAME, a strategy or a file.

    Example: bot4 model show strategies.learned

    Exit codes: 0 shown, 1 refused: not whole, or trained on other features.
    """
    # A file is looked at whatever it was trained on; a strategy's must be its own.
    if Path(name).suffix == ".json":
        _told(Path(name), as_json)
        return
    request, path = registry.learns(name)
    models.load(path, request)
    _told(path, as_json)


def _told(path: Path, as_json: bool) -> None:
    trained = models.read(path)
    row = {
        "file": str(path), "digest": trained.digest, "features": trained.features, "inputs": trained.inputs,
        "outputs": trained.outputs, "bytes": len(trained.block), "about": dict(trained.about),
    }  # fmt: skip
    if as_json:
        echo_json(row)
        return
    click.echo(f"{path}: {', '.join(trained.inputs)} -> {', '.join(trained.outputs)}")
    click.echo(f"  model {trained.digest[:16]}, features {trained.features[:16]}, {len(trained.block):,} bytes")
    for key, value in trained.about.items():
        click.echo(f"  {key} {value:.6g}" if isinstance(value, float) else f"  {key} {value}")
