"""Strategies by name: their parameters checked, their limits as data, their code found and bound.

A strategy is named by its module path. The module has `PARAMETERS` and either a function `decide(view, wishes)`,
which is compiled, or a class `Strategy` with a method of that name, which runs as plain Python at its own cost.
Owns: names, schemas, the errors of a wrong configuration. Does not own: code (cache.py), rows in the world.
"""

from __future__ import annotations

import difflib
import importlib
import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

from engine._core.features_feed import FeedSource, feed_hash
from engine._core.features_table import TABLE
from engine._core.step import Core
from engine._core.strategy import STRATEGY_LIMITS
from engine._core.strategy_abi import SIZES
from engine.errors import StrategyBadParameter, StrategyNotAccepted, StrategyUnknown
from engine.strategy import models
from engine.strategy.cache import Cache
from engine.strategy.contract import Feature, Parameter
from engine.strategy.hook import PythonHook
from engine.strategy.meter import Meter

PACKAGE = "strategies"
LIMIT_NAMES = tuple(name for name in STRATEGY_LIMITS.names or () if name != "reserved")
INT64_MAX = 2**63 - 1
# What is fed, nanoseconds of a bar, (family, window) of each value, and a packed model where there is one.
Request = tuple[int, int, tuple[tuple[str, int], ...], *tuple[bytes, ...]]
WINDOW_MAX = 1_000


@dataclass(frozen=True)
class Budget:
    """How long one call may take; measured by the driver, see meter.pyx."""

    budget_ns: int = 50_000
    hard_ns: int = 5_000_000
    strikes_max: int = 3
    forgive_count: int = 1_000


@dataclass(frozen=True)
class Definition:
    """A strategy as its module states it."""

    name: str
    text: str
    parameters: tuple[Parameter, ...]
    decide: Callable[[Any, Any], int] | None
    plain: type[Any] | None
    features: Request | None = None
    peers: int = 0  # how many other symbols it watches
    legs: int = 1  # 2: one file placed on its own symbol and on its first peer, each watching the other
    model: models.Trained | None = None  # its outputs stand in the view behind the features

    @property
    def is_plain(self) -> bool:
        """Runs as Python, under the interpreter lock."""
        return self.plain is not None

    def values(self, given: Mapping[str, Any]) -> tuple[tuple[int, ...], tuple[float, ...]]:
        """(int slots, float slots) of a configuration; whatever is not given has its default."""
        known = [parameter.name for parameter in self.parameters]
        for name in given:
            if name not in known:
                raise StrategyBadParameter(f"{self.name} has no {name!r}.{nearest(name, known)}")
        ints: list[int] = []
        floats: list[float] = []
        for parameter in self.parameters:
            value = _checked(self.name, parameter, given.get(parameter.name, parameter.default))
            (floats if parameter.is_float else ints).append(value)  # type: ignore[arg-type]
        return tuple(ints), tuple(floats)


@dataclass(frozen=True)
class Placement:
    """One strategy in one slot: what a tier file says about it."""

    name: str
    symbol: int
    params: Mapping[str, Any] = field(default_factory=dict)
    limits: Mapping[str, int] = field(default_factory=dict)
    budget: Budget | None = None
    peers: tuple[int, ...] = ()


def nearest(name: str, known: list[str] | tuple[str, ...]) -> str:
    found = difflib.get_close_matches(name, known, n=1)
    return f" Did you mean {found[0]!r}?" if found else f" It has: {', '.join(known) or 'none'}."


def _checked(strategy: str, parameter: Parameter, value: Any) -> int | float:
    what = f"{strategy}: {parameter.name} = {value!r}"
    wanted = (int, float) if parameter.is_float else int
    if isinstance(value, bool) or not isinstance(value, wanted):
        raise StrategyBadParameter(f"{what}; {'a number' if parameter.is_float else 'a whole number'} is needed.")
    # Stated as "inside", so that NaN is outside.
    if not parameter.low <= value <= parameter.high:
        raise StrategyBadParameter(f"{what} {parameter.unit}; {parameter.low} to {parameter.high} is allowed.")
    return float(value) if parameter.is_float else value


def checked_limits(strategy: str, limits: Mapping[str, int]) -> dict[str, int]:
    for name, value in limits.items():
        if name not in LIMIT_NAMES:
            raise StrategyBadParameter(f"{strategy} has no limit {name!r}.{nearest(name, LIMIT_NAMES)}")
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= INT64_MAX:
            raise StrategyBadParameter(f"{strategy}: limit {name} = {value!r}; a whole number from 0 is needed.")
    return dict(limits)


def names() -> list[str]:
    """Every strategy in the package `strategies`; a leading underscore hides one."""
    package = importlib.import_module(PACKAGE)
    return sorted(f"{PACKAGE}.{m.name}" for m in pkgutil.iter_modules(package.__path__) if not m.name.startswith("_"))


def find(name: str) -> Definition:
    """The definition of a strategy by its module path, checked."""
    return define(_module(name))


def _module(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not (name == error.name or name.startswith(error.name + ".")):
            raise
        raise StrategyUnknown(f"{name!r}.{nearest(name, names())}") from error


def define(module: ModuleType) -> Definition:
    decide, plain = getattr(module, "decide", None), getattr(module, "Strategy", None)
    if (decide is None) == (plain is None):
        raise StrategyNotAccepted(f"{module.__name__} needs either a function decide or a class Strategy.")
    parameters = getattr(module, "PARAMETERS", None)
    if not isinstance(parameters, tuple) or not all(isinstance(item, Parameter) for item in parameters):
        raise StrategyNotAccepted(f"{module.__name__}.PARAMETERS must be a tuple of Parameter.")
    if len({parameter.name for parameter in parameters}) != len(parameters):
        raise StrategyNotAccepted(f"{module.__name__}.PARAMETERS names one twice.")
    floats = sum(parameter.is_float for parameter in parameters)
    if floats > SIZES["params_f64"] or len(parameters) - floats > SIZES["params"]:
        raise StrategyNotAccepted(f"{module.__name__} has more parameters than the view has room for.")
    for parameter in parameters:
        _checked(module.__name__, parameter, parameter.default)
    text = (module.__doc__ or "").strip()
    peers = _peers(module)
    legs = getattr(module, "LEGS", 1)
    if legs not in (1, 2) or legs - 1 > peers:
        raise StrategyNotAccepted(f"{module.__name__}.LEGS = {legs!r}; 1, or 2 for one that watches a peer.")
    asked, model = _request(module), None
    request: Request | None = asked
    if getattr(module, "MODEL", None) is not None:
        model = models.load(model_path(module), _asked(module, asked))
        if len(model.inputs) + len(model.outputs) > SIZES["features"]:
            raise StrategyNotAccepted(
                f"{module.__name__}: a view has {SIZES['features']} features and outputs together."
            )
        request = (*_asked(module, asked), model.block)
    return Definition(module.__name__, text, parameters, decide, plain, request, peers, legs, model)


def _asked(module: ModuleType, request: models.Request | None) -> models.Request:
    if request is None:
        raise StrategyNotAccepted(f"{module.__name__}.MODEL needs FEATURES: what it is asked about.")
    return request


def model_path(module: ModuleType) -> Path:
    """Where a module's model is: `MODEL` is a file beside it."""
    name = getattr(module, "MODEL", None)
    if not isinstance(name, str) or not name or module.__file__ is None:
        raise StrategyNotAccepted(f"{module.__name__}.MODEL = {name!r}; the name of a file beside the module.")
    return Path(module.__file__).parent / name


def learns(name: str) -> tuple[models.Request, Path]:
    """What a strategy's model is to be trained on, and where it is to stand; it need not be there yet."""
    module = _module(name)
    return _asked(module, _request(module)), model_path(module)


def _peers(module: ModuleType) -> int:
    """How many symbols a module watches beside its own: `PEERS` is that number, 0 where it says none."""
    count = getattr(module, "PEERS", 0)
    if isinstance(count, bool) or not isinstance(count, int) or not 0 <= count <= SIZES["peers"]:
        raise StrategyNotAccepted(f"{module.__name__}.PEERS = {count!r}; a whole number up to {SIZES['peers']}.")
    return count


def _request(module: ModuleType) -> models.Request | None:
    """What a module asks for of the features kernel, checked; None when it asks for nothing."""
    wanted = getattr(module, "FEATURES", ())
    if not isinstance(wanted, tuple) or not all(isinstance(item, Feature) for item in wanted):
        raise StrategyNotAccepted(f"{module.__name__}.FEATURES must be a tuple of Feature.")
    if not wanted:
        return None
    if len(wanted) > SIZES["features"]:
        raise StrategyNotAccepted(f"{module.__name__} asks for {len(wanted)} features; a view has {SIZES['features']}.")
    known = [row.name for row in TABLE]
    for item in wanted:
        if item.family not in known:
            raise StrategyNotAccepted(f"{module.__name__}: no feature {item.family!r}.{nearest(item.family, known)}")
        if not 1 <= item.window <= WINDOW_MAX:
            raise StrategyNotAccepted(f"{module.__name__}: {item.family} over {item.window}; 1 to {WINDOW_MAX}.")
    every = getattr(module, "FEATURE_BARS_S", None)
    if every is not None and (isinstance(every, bool) or not isinstance(every, int) or not 0 <= every <= 86_400):
        raise StrategyNotAccepted(f"{module.__name__}.FEATURE_BARS_S = {every!r}; whole seconds up to a day.")
    source = FeedSource.FEED_BARS if every == 0 else FeedSource.FEED_TOUCH
    return int(source), (every or 0) * 10**9, tuple((item.family, item.window) for item in wanted)


def features_hash(definition: Definition) -> str | None:
    """What a strategy's features are, as one number: stored with a session and with whatever was trained on them."""
    return None if definition.features is None else feed_hash(definition.features).hex()


def build(name: str, cache: Cache, *, cpu: str | None = None, force: bool = False) -> Definition:
    """Have a strategy built if it is one that is compiled. In a child process; refused where the engine trades."""
    definition = find(name)
    if definition.decide is not None:
        cache.build(definition.decide, definition.parameters, cpu=cpu, force=force)
    return definition


def bind(core: Core, slot: int, placement: Placement, *, cache: Cache, meter: Meter | None = None) -> Definition:
    """Put a strategy into a slot of the core: parameters, limits, code. Nothing is compiled.

    With a meter its calls are measured, and the driver owes the meter's events to the core.
    """
    definition = find(placement.name)
    ints, floats = definition.values(placement.params)
    limits = checked_limits(definition.name, placement.limits)
    if len(placement.peers) != definition.peers:
        raise StrategyBadParameter(
            f"{definition.name} watches {definition.peers} other symbols, and {len(placement.peers)} are named."
        )
    core.world.set_strategy(slot, placement.symbol, ints, floats, limits, placement.peers)
    code: Any
    if definition.plain is not None:
        code = PythonHook(core.world, slot, definition.plain().decide)
    else:
        assert definition.decide is not None
        code = cache.load(definition.decide, definition.parameters)
    address = code.address
    if meter is not None:
        budget = placement.budget or Budget()
        address = meter.wrap(
            slot,
            address,
            budget_ns=budget.budget_ns,
            hard_ns=budget.hard_ns,
            strikes_max=budget.strikes_max,
            forgive_count=budget.forgive_count,
            keep=code,
        )
    core.bind(slot, address, (code, meter))
    return definition
