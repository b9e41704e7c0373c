"""Why not? Names every reason of a denial: which stage refused, each rule of it that failed, and what that means.

Owns: the reading of `decision_t` records. Does not own: the rules (each stage's own kernel has the list) or where the
records are kept (the tape).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from engine._core.discipline import DecisionFlag
from engine._core.discipline import Reason as DisciplineReason
from engine._core.risk import Rule
from engine._core.routing import Against
from engine._core.strategy import StrategyRule
from engine._core.types import DECISION, Flag, Kind, Stage, Status

STRATEGY_NONE = 0xFFFF

# One sentence a rule. A rule without one is named all the same; a test holds the lists against the kernels'.
GATE = {
    "LATCH": "the latch is set: nothing opens until it is reset at the machine",
    "MODE": "the mode does not take this order",
    "BREAKER": "a breaker on the order's way is open",
    "SYMBOL_HALTED": "the symbol, or its venue's user stream, is halted",
    "BOOK_UNTRUSTED": "the price is not trusted",
    "BOOK_STALE": "the price is too old",
    "PX_RANGE": "the price is outside the instrument's range",
    "PX_PERCENT": "the price is outside the venue's band around its reference",
    "PX_BAND": "the price is too far from the mid",
    "QTY_RANGE": "the quantity is outside the instrument's range",
    "NOTIONAL_RANGE": "the order's value is outside the venue's range",
    "ORDER_NOTIONAL": "the order's value is above the limit of one order",
    "POSITION_SHARE": "the position would be too large a share of equity",
    "GROSS": "gross exposure would pass its limit",
    "NET": "net exposure would pass its limit",
    "LEVERAGE": "leverage would pass its limit",
    "CORRELATION": "too correlated with what is held, or that is not known",
    "DRAWDOWN": "the drawdown has reached its limit",
    "DAILY_LOSS": "the day's loss has reached its limit",
    "EQUITY_STALE": "the equity is not known well enough",
    "MARGIN": "not enough margin",
    "LIQUIDATION": "too near the liquidation price",
    "STOP_MISSING": "no protective stop, or one on the wrong side",
    "ORDER_RATE": "too many orders a second",
    "CHURN": "too many orders and cancels of this symbol",
    "OPEN_ORDERS_SYMBOL": "too many open orders in this symbol",
    "OPEN_ORDERS_ALL": "too many open orders",
    "REJECTS": "too many rejects in a row",
    "DUPLICATE_INTENT": "the same intent is alive already",
    "SELF_TRADE": "it would trade with an order of our own",
    "CLOCK_DRIFT": "the clock is off",
    "SIGNAL_STALE": "the signal is too old",
    "NOT_REDUCING": "it would not reduce what is held",
    "NOT_OWNED": "the account does not have so much of it to sell",
    "FEES_STALE": "what the venue charges has not been heard for too long",
}
DISCIPLINE = {
    "FOMO": "it chases a fast rise",
    "REVENGE": "it follows a loss too soon",
    "OVERCONFIDENCE": "it is larger than the cap after a streak",
    "LOSS_AVERSION": "it adds to a position that should be closed",
    "CONFIRMATION": "too few independent sources say so",
    "COOLDOWN_FOMO": "the rest after chasing is not over",
    "COOLDOWN_REVENGE": "the rest after a loss is not over",
    "TOO_FEW_SAMPLES": "the strategy has too few results to judge",
    "INSIGNIFICANT": "its results may be luck",
    "NEGATIVE_EV": "its results lose",
    "LOW_SHARPE": "its Sharpe ratio is too low",
    "LOW_CONFIDENCE": "its confidence is too low",
    "BAD_INPUT": "a fact that the rules need is missing",
}
STRATEGY = {
    "WISH": "the wish contradicts itself",
    "ORDER_LOTS": "larger than the strategy's own limit of one order",
    "POSITION": "the strategy's own position limit",
    "ORDER_COUNT": "the strategy's own limit of live orders",
    "PLACE_RATE": "the strategy's own rate of new orders",
    "SIZE": "no size is left of it, or none can be said: equity, stop, record",
    "SLIPPAGE": "the live book would fill it too far from the mid",
    "COST": "its target does not earn back what it costs",
    "APPROVAL": "more would be at stake than may be without a person's word: `bot4 approve`",
    "CARRY": "the venue has no such order and it cannot be emulated",
}
ROUTE = {
    "HALTED": "a venue is halted",
    "UNTRUSTED": "a venue's price is not trusted",
    "STALE": "a venue's price is too old",
    "BREAKER": "a venue's breaker is open",
    "BUDGET": "no request left at a venue",
    "EXCLUDED": "a venue was excluded",
    "INPUT": "a venue's facts cannot be",
    "LOTS": "not a whole number of a venue's lots, or outside its limits",
    "THIN": "a venue's book is too thin",
    "BALANCE": "not enough money at a venue",
}
GATE_BITS = int(Rule.RULE_COUNT)


@dataclass(frozen=True)
class Reason:
    """One rule that failed."""

    stage: str
    rule: str
    text: str


@dataclass(frozen=True)
class Denial:
    """One wish that was not carried out."""

    ts_ns: int
    strategy: int | None
    tag: int
    symbol: int
    side: str
    px_ticks: int
    qty_lots: int
    largest_lots: int
    reasons: tuple[Reason, ...]


def _bits(mask: int) -> Iterator[int]:
    return (bit for bit in range(64) if mask >> bit & 1)


def _named(stage: Stage, numbers: Any, prefix: str, texts: dict[str, str], mask: int) -> list[Reason]:
    by_bit = {int(member): name.removeprefix(prefix) for name, member in numbers.__members__.items()}
    out = []
    for bit in _bits(mask):
        rule = by_bit.get(bit, f"BIT_{bit}")
        out.append(Reason(_word(stage), rule, texts.get(rule, "a rule that this version does not know")))
    return out


def _word(stage: Stage) -> str:
    return str(stage.name).removeprefix("STAGE_").lower()


def explain(record: Any) -> list[Reason]:
    """Every reason of one DECISION record, by its stage's own names."""
    mask = int(record["reasons"]) & 0xFFFF_FFFF_FFFF_FFFF
    number = int(record["origin"]) >> 32 & 0xFFFF
    if number >= Stage.STAGE_COUNT:
        return [Reason("unknown", f"STAGE_{number}", "a stage that this version does not know")]
    stage = Stage(number)
    if stage == Stage.STAGE_STRATEGY:
        return _named(stage, StrategyRule, "STRATEGY_RULE_", STRATEGY, mask)
    if stage == Stage.STAGE_DISCIPLINE:
        return _named(stage, DisciplineReason, "REASON_", DISCIPLINE, mask)
    if stage == Stage.STAGE_GATE:
        return _named(stage, Rule, "RULE_", GATE, mask)
    if stage == Stage.STAGE_ROUTE:
        # A bit mask of its own: the members are the bits' values, not their numbers.
        known = {name.removeprefix("AGAINST_"): int(member) for name, member in Against.__members__.items()}
        return [
            Reason(_word(stage), name, ROUTE.get(name, "")) for name, bit in known.items() if bit and mask & bit == bit
        ]
    # The order table and the venue's driver answer with a status.
    name = str(Status(mask).name) if mask in set(Status.__members__.values()) and mask else "REFUSED"
    return [Reason(_word(stage), name, f"the {'order table' if stage == Stage.STAGE_ORDERS else 'venue'} refused it")]


def is_refusal(records: Any) -> Any:
    """Which DECISION records refused something: the others say what an observing validator let pass."""
    return (records["flags"] & int(DecisionFlag.DECISION_OBSERVED)) == 0


def denial(record: Any) -> Denial:
    origin = int(record["origin"])
    strategy = origin & 0xFFFF
    return Denial(
        ts_ns=int(record["ts_recv_ns"]),
        strategy=None if strategy == STRATEGY_NONE else strategy,
        tag=origin >> 16 & 0xFFFF,
        symbol=int(record["symbol"]),
        side="sell" if int(record["flags"]) & Flag.FLAG_SELL else "buy",
        px_ticks=int(record["px_ticks"]),
        qty_lots=int(record["qty_lots"]),
        largest_lots=int(record["headroom_lots"]),
        reasons=tuple(explain(record)),
    )


def denials(records: npt.NDArray[Any]) -> Iterator[Denial]:
    """Every denial among records of a tape or a step, oldest first."""
    found = np.ascontiguousarray(records[records["kind"] == Kind.KIND_DECISION]).view(DECISION)
    found = found[is_refusal(found)]
    return (denial(record) for record in found)
