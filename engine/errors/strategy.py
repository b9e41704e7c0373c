"""Strategies, their builds, and execution algorithms."""

from __future__ import annotations

from engine._core.types import Status
from engine.errors.base import Bot4Error
from engine.errors.memory import CapacityError


class StrategyError(Bot4Error, ValueError):
    code = "BOT4-960"
    sentence = "A strategy cannot be used like this."
    remedy = "docs/strategies.md says what is accepted."


class StrategyBadAct(StrategyError):
    code = "BOT4-961"
    sentence = "An event asks a strategy for something that is neither a stop with a reason nor a resume."
    status = Status.STRATEGY_BAD_ACT


class StrategyBadAbi(StrategyError):
    code = "BOT4-962"
    sentence = "A built strategy was made for another layout of the view."
    remedy = "Build it again with this engine: `bot4 strategy build`."
    status = Status.STRATEGY_BAD_ABI


class StrategySlotsFull(StrategyError, CapacityError):
    code = "BOT4-963"
    sentence = "No place is left for another measured or plain Python strategy in this process."
    remedy = "Close the ones no longer used, or compile them."
    status = Status.STRATEGY_SLOTS_FULL


class StrategyUnknown(StrategyError, LookupError):
    code = "BOT4-964"
    sentence = "No strategy of this name exists."


class StrategyBadParameter(StrategyError):
    code = "BOT4-965"
    sentence = "A parameter of a strategy is unknown, of the wrong type or out of its range."
    remedy = "`bot4 strategy list` shows every parameter with its unit, default and range."


class StrategyNotAccepted(StrategyError):
    code = "BOT4-966"
    sentence = "The source of this strategy uses something that a compiled strategy may not."


class StrategyAllocates(StrategyNotAccepted):
    code = "BOT4-967"
    sentence = "The compiled strategy would allocate memory."
    remedy = "Keep what must last in view['state']; no arrays, lists, strings or dictionaries of its own."


class StrategyCompileRefused(StrategyError, PermissionError):
    code = "BOT4-968"
    sentence = "This process trades: it neither compiles nor loads a compiler."
    remedy = "Build beforehand: `bot4 strategy build NAME`, then start."


class StrategyNotBuilt(StrategyError, FileNotFoundError):
    code = "BOT4-969"
    sentence = "No built object for this strategy, these parameters and these versions is in the cache."
    remedy = "Build it: `bot4 strategy build NAME`."


class StrategyCacheCorrupt(StrategyError, OSError):
    code = "BOT4-970"
    sentence = "A file of the strategy cache is not what the builder wrote; it was not loaded."
    remedy = "Find out who changed it, then build again: `bot4 strategy build NAME --force`."


class StrategyBuildFailed(StrategyError, RuntimeError):
    code = "BOT4-979"
    sentence = "The strategy could not be compiled or linked."


class AlgoError(Bot4Error, ValueError):
    code = "BOT4-977"
    sentence = "An execution algorithm refused an operation; nothing was changed."
    remedy = "docs/kernels/algos.md lists what a parent order may ask for."


class AlgoBadConfig(AlgoError):
    code = "BOT4-971"
    sentence = "A parent order's settings contradict each other or lie outside their limits."
    status = Status.ALGO_BAD_CONFIG


class AlgoTableFull(AlgoError, CapacityError):
    code = "BOT4-972"
    sentence = "Every place for a parent order is taken."
    status = Status.ALGO_TABLE_FULL


class AlgoUnknown(AlgoError, LookupError):
    code = "BOT4-973"
    sentence = "No parent order has this number."
    status = Status.ALGO_UNKNOWN


class AlgoNotLive(AlgoError, RuntimeError):
    code = "BOT4-974"
    sentence = "The parent order is at its end."
    status = Status.ALGO_NOT_LIVE


class AlgoUnknownChild(AlgoError, LookupError):
    code = "BOT4-975"
    sentence = "A report names a child that this parent order never had."
    status = Status.ALGO_UNKNOWN_CHILD
