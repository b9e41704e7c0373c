"""A sweep: many backtests of one strategy on one data set, kept trial by trial, and what may be said of the best.

Owns: which trials there are and in which order they are asked for, the directory that keeps them, and the result. Does
not own: how a trial is run and by whom (runtime/sweep.py), the definitions of luck (overfit.py).

    OUT/plan.json            what was asked; another plan in the same directory is refused
    OUT/trials/000012.json   one finished trial, written whole or not at all
    OUT/result.json          what came of it, OUT/report.html and OUT/winner.html the same for people

Trials do not know each other, the clock, nor who ran them, so the files are the same bytes whether the sweep ran
through or was killed and taken up, with one worker or many.
"""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from engine.errors import ExtraMissing, SweepDiffers, SweepEmpty, SweepImpossible
from engine.journal.layout import write_whole
from engine.research import figures, overfit, space, splits
from engine.research.space import Axis, Params
from engine.sim import draws

Floats = npt.NDArray[np.float64]
SEARCHES = ("grid", "random", "optuna")
SCORES: dict[str, Callable[[Floats], float]] = {
    "sharpe": figures.sharpe,
    "sortino": figures.sortino,
    "return": lambda returns: float(np.prod(1.0 + returns) - 1.0) if len(returns) else math.nan,
    "calmar": lambda returns: figures.calmar(returns, float(len(returns))),
}
OK, FAILED, MEMORY = "ok", "failed", "memory"
# Asked of the optimiser at a time, and told together: a number of the plan, not of the machine, so that what it is told
# before it is asked again does not depend on how many workers there are.
BATCH = 8


@dataclass(frozen=True)
class Plan:
    """What was asked for: everything that the bytes of the result depend on."""

    strategy: str
    source: str  # hash of the strategy's source
    data: str  # hash of the events
    settings: str  # hash of the settings
    symbol: str
    data_name: str
    axes: tuple[Axis, ...]
    search: str
    trials: int
    seed: int
    score: str
    split: str
    folds: int
    purge_ns: int
    embargo_ns: int
    latency_ms: float | None
    draws: int
    blocks: int = overfit.BLOCKS


@dataclass(frozen=True)
class Trial:
    """One finished trial. `returns` stand for the same periods in every trial."""

    number: int
    params: Params
    status: str
    error: str = ""
    fills: int = 0
    fees: float = 0.0
    equity_end: float = 0.0
    tape: str = ""
    since_ns: int = 0  # the end of the first period
    period_ns: int = 0
    returns: Floats = field(default_factory=lambda: np.empty(0))

    @property
    def ranked(self) -> bool:
        """It ran, and something came of it: what never traded is no candidate."""
        return self.status == OK and len(self.returns) > 1 and bool(np.any(self.returns != self.returns[0]))


# ------------------------------------------------------------------------------------------------------- the directory
class Store:
    """The directory of one sweep."""

    def __init__(self, root: Path, plan: Plan) -> None:
        self.root, self.trials_path = root, root / "trials"
        text = _json(asdict(plan))
        kept = root / "plan.json"
        if kept.is_file():
            if kept.read_bytes() != text:
                raise SweepDiffers(f"{root}: {_first_difference(json.loads(kept.read_bytes()), json.loads(text))}")
        elif root.is_dir() and any(root.iterdir()):
            raise SweepImpossible(f"{root} holds something else; name an empty directory with --out")
        self.trials_path.mkdir(parents=True, exist_ok=True)
        if not kept.is_file():
            write_whole(kept, text)

    def read(self) -> dict[int, Trial]:
        """Every finished trial. What wanted memory is tried again: there may be more of it now."""
        found = (_trial(path.read_bytes()) for path in sorted(self.trials_path.glob("*.json")))
        return {trial.number: trial for trial in found if trial.status != MEMORY}

    def write(self, trial: Trial) -> None:
        packed = base64.b64encode(trial.returns.astype("<f8").tobytes()).decode()
        write_whole(self.trials_path / f"{trial.number:06}.json", _json({**asdict(trial), "returns": packed}))

    def finish(self, result: Mapping[str, Any], page: str, winner: str) -> None:
        write_whole(self.root / "report.html", page.encode())
        write_whole(self.root / "winner.html", winner.encode())
        write_whole(self.root / "result.json", _json(result))


def _json(value: Any) -> bytes:
    return json.dumps(value, indent=1, sort_keys=True, allow_nan=False).encode() + b"\n"


def _trial(text: bytes) -> Trial:
    row = json.loads(text)
    return Trial(**{**row, "returns": np.frombuffer(base64.b64decode(row["returns"]), "<f8").astype(np.float64)})


def _first_difference(kept: dict[str, Any], asked: dict[str, Any]) -> str:
    name = next(name for name in (*kept, *asked) if kept.get(name) != asked.get(name))
    return f"its {name} was {kept.get(name)!r}, now it is {asked.get(name)!r}"


# ---------------------------------------------------------------------------------------------------------- the search
Batch = Sequence[tuple[int, Params]]
# Runs a batch and gives its trials in whatever order they end.
Runner = Callable[[Batch], Iterator[Trial]]


def size(plan: Plan) -> int:
    return sum(1 for _ in space.grid(plan.axes)) if plan.search == "grid" else plan.trials


def run_all(plan: Plan, store: Store, run: Runner, done: Callable[[Trial], None]) -> list[Trial]:
    """Run what is not there yet; every trial in order of its number."""
    kept = store.read()

    def finish(batch: Batch) -> list[Trial]:
        missing = []
        for number, params in batch:
            if number in kept and kept[number].params == params:
                done(kept[number])
            else:
                missing.append((number, params))
        for trial in run(missing) if missing else ():
            store.write(trial)
            kept[trial.number] = trial
            done(trial)
        return [kept[number] for number, _ in batch]

    if plan.search == "optuna":
        return _optimise(plan, finish)
    if plan.search == "grid":
        return finish(list(enumerate(space.grid(plan.axes))))
    shares = (draws.uniforms(plan.seed, number, len(plan.axes)) for number in range(plan.trials))
    return finish([(number, space.drawn(plan.axes, row.tolist())) for number, row in enumerate(shares)])


def _optimise(plan: Plan, finish: Callable[[Batch], list[Trial]]) -> list[Trial]:
    """Ask for a batch, run it, tell it. A sweep that is taken up asks again and is told what was kept."""
    try:
        import optuna  # noqa: PLC0415  (an extra: the engine runs without it)
    except ImportError as error:
        raise ExtraMissing("--search optuna: pip install 'bot4[sweep]'.") from error
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=plan.seed % 2**32))
    ranges: dict[str, Any] = {}
    for axis in plan.axes:
        if axis.values:
            # The place among the values: what is near in the list is near for the optimiser.
            ranges[axis.name] = optuna.distributions.IntDistribution(0, len(axis.values) - 1)
        else:
            ranges[axis.name] = optuna.distributions.FloatDistribution(axis.low, axis.high, log=axis.log)
    out: list[Trial] = []
    while len(out) < plan.trials:
        asked = [study.ask(ranges) for _ in range(min(BATCH, plan.trials - len(out)))]
        batch = [
            (
                len(out) + at,
                {a.name: a.values[one.params[a.name]] if a.values else one.params[a.name] for a in plan.axes},
            )
            for at, one in enumerate(asked)
        ]
        for one, trial in zip(asked, finish(batch), strict=True):
            value = SCORES[plan.score](trial.returns) if trial.ranked else math.nan
            if math.isfinite(value):
                study.tell(one, value)
            else:
                study.tell(one, state=optuna.trial.TrialState.FAIL)
            out.append(trial)
    return out


# ---------------------------------------------------------------------------------------------------------- the result
@dataclass(frozen=True)
class Fold:
    """One split: who was chosen, and what that one did where it was not chosen."""

    since_ns: int
    until_ns: int
    train_periods: int
    test_periods: int
    chosen: int
    train_score: float
    test_score: float
    rank: float  # of the chosen one among all where it is judged: 1 the best, 0 the worst


@dataclass(frozen=True)
class Result:
    """What may be said of a sweep."""

    plan: Plan
    trials: tuple[Trial, ...]
    winner: Trial
    scores: dict[int, float]  # of the trials that can be ranked
    folds: tuple[Fold, ...]
    unseen: Floats  # periods of the chosen ones where they were judged, in order of time
    luck: overfit.Overfit | None
    monte_carlo: overfit.MonteCarlo
    selection_p: float
    timing_p: float
    sharpe: float
    sharpe_error: float
    deflated: float

    @property
    def failed(self) -> int:
        return sum(trial.status != OK for trial in self.trials)


def best(scores: Mapping[int, float]) -> int:
    """The highest; of equals the first."""
    return min(scores, key=lambda number: (-scores[number], number))


def judge(plan: Plan, trials: Sequence[Trial], held: Callable[[Trial], tuple[Floats, Floats]]) -> Result:
    """`held` gives the winner's position over each period and the market's move in it, for the test of its timing."""
    ranked = {trial.number: trial for trial in trials if trial.ranked}
    score = SCORES[plan.score]
    scores = {number: score(trial.returns) for number, trial in ranked.items()}
    scores = {number: value for number, value in scores.items() if math.isfinite(value)}
    if not scores:
        raise SweepEmpty(f"{len(trials)} trials, none with a {plan.score}")
    winner = ranked[best(scores)]
    if len({(t.since_ns, t.period_ns, len(t.returns)) for t in ranked.values()}) > 1:
        raise SweepImpossible("trials with different periods: the data changed between them")
    times = winner.since_ns + winner.period_ns * np.arange(len(winner.returns), dtype=np.int64)
    matrix = np.column_stack([ranked[number].returns for number in sorted(scores)])
    folds, unseen = _folds(plan, ranked, scores, times)
    all_ratios = overfit.ratios(matrix)
    spread = float(np.std(all_ratios, ddof=1)) if len(all_ratios) > 1 else 0.0
    position, moves = held(winner)
    return Result(
        plan=plan,
        trials=tuple(trials),
        winner=winner,
        scores=scores,
        folds=folds,
        unseen=unseen,
        luck=overfit.probability_of_overfitting(matrix, plan.blocks),
        monte_carlo=overfit.monte_carlo(winner.returns, seed=plan.seed, count=plan.draws),
        selection_p=overfit.selection_test(matrix, seed=plan.seed, count=plan.draws),
        timing_p=overfit.timing_test(position, moves, seed=plan.seed, count=plan.draws),
        sharpe=figures.sharpe(winner.returns),
        sharpe_error=figures.sharpe_error(winner.returns),
        # Every trial counts that was looked at, also those that failed or never traded.
        deflated=figures.deflated_sharpe(winner.returns, len(trials), spread),
    )


def _folds(
    plan: Plan, ranked: Mapping[int, Trial], scores: Mapping[int, float], times: npt.NDArray[np.int64]
) -> tuple[tuple[Fold, ...], Floats]:
    score, out, unseen = SCORES[plan.score], [], []
    for split in splits.make(plan.split, times, plan.folds, purge_ns=plan.purge_ns, embargo_ns=plan.embargo_ns):
        train = {number: _finite(score(ranked[number].returns[split.train])) for number in scores}
        test = {number: _finite(score(ranked[number].returns[split.test])) for number in scores}
        chosen = best(train)
        below = sum(test[number] < test[chosen] for number in scores)
        unseen.append(ranked[chosen].returns[split.test])
        out.append(
            Fold(
                split.since_ns, split.until_ns, int(split.train.sum()), int(split.test.sum()), chosen,
                train[chosen], test[chosen], below / (len(scores) - 1) if len(scores) > 1 else 1.0,
            )
        )  # fmt: skip
    return tuple(out), np.concatenate(unseen) if unseen else np.empty(0)


def _finite(value: float) -> float:
    """A part of time in which a trial did nothing has no figure: it earned nothing there."""
    return value if math.isfinite(value) else 0.0
