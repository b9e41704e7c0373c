"""The world, its orders, brackets, triggers and the gate."""

from __future__ import annotations

from engine._core.types import Status
from engine.errors.base import Bot4Error
from engine.errors.memory import BadSize, CapacityError
from engine.errors.safety import SafetyError


class WorldError(Bot4Error, ValueError):
    code = "BOT4-900"
    sentence = "The core refused an event or an image of its state."


class BadEvent(WorldError):
    code = "BOT4-901"
    sentence = "An event is of a kind that the core does not take as input."
    status = Status.WORLD_BAD_EVENT


class UnknownSymbol(WorldError, LookupError):
    code = "BOT4-902"
    sentence = "An event names an instrument that the world does not hold."
    status = Status.WORLD_UNKNOWN_SYMBOL


class BadLayout(WorldError):
    code = "BOT4-903"
    sentence = "A world image has another layout version, size or magic."
    remedy = "Use the build that wrote it, or replay the journal from its start."
    status = Status.WORLD_BAD_LAYOUT


class OrderError(Bot4Error, RuntimeError):
    code = "BOT4-920"
    sentence = "The order table refused an operation; nothing was changed."
    remedy = "`bot4 events --order ID` shows what was reported for the order."


class OrderIllegalTransition(OrderError):
    code = "BOT4-921"
    sentence = "The order's state does not allow what was reported for it."
    status = Status.ORDER_ILLEGAL


class OrderOverfill(OrderError, ValueError):
    code = "BOT4-922"
    sentence = "A fill is larger than what was left of its order."
    status = Status.ORDER_OVERFILL


class OrderTableFull(OrderError, CapacityError):
    code = "BOT4-923"
    sentence = "The order table has no free slot."
    status = Status.ORDER_TABLE_FULL


class OrderUnknownId(OrderError, LookupError):
    code = "BOT4-924"
    sentence = "No live order has this client id."
    status = Status.ORDER_UNKNOWN_ID


class OrderBadTerms(OrderError, ValueError):
    code = "BOT4-925"
    sentence = "A request or a report contradicts itself: type, time in force, price or quantity do not go together."
    status = Status.ORDER_BAD_TERMS


class OrderDuplicateId(OrderError):
    code = "BOT4-926"
    sentence = "This client id was used within the last 24 hours; the first request's answer holds."
    status = Status.ORDER_DUPLICATE_ID


class OrderDuplicateFill(OrderError):
    code = "BOT4-927"
    sentence = "This trade was booked before."
    status = Status.ORDER_DUPLICATE_FILL


class OrderLateFill(OrderError):
    code = "BOT4-928"
    sentence = "A fill came for an order that had ended; it was booked."
    remedy = "Compare the position with the venue: its reports overtook each other or one was lost."
    status = Status.ORDER_LATE_FILL


class OrderBusy(OrderError):
    code = "BOT4-929"
    sentence = "This strategy, symbol, side and tag has a live order already."
    status = Status.ORDER_BUSY


class OrderMismatch(OrderError, ValueError):
    code = "BOT4-930"
    sentence = "A report names another symbol or side than its order has."
    status = Status.ORDER_MISMATCH


class BracketError(OrderError):
    code = "BOT4-934"
    sentence = "The bracket table refused an operation; nothing was changed."
    remedy = "`bot4 orders --brackets` shows every bracket with its legs."


class BracketTableFull(BracketError, CapacityError):
    code = "BOT4-935"
    sentence = "The bracket table has no free slot."
    status = Status.BRACKET_TABLE_FULL


class BracketBadTerms(BracketError, ValueError):
    code = "BOT4-936"
    sentence = "A bracket's terms contradict each other."
    status = Status.BRACKET_BAD_TERMS


class BracketUnknown(BracketError, LookupError):
    code = "BOT4-937"
    sentence = "No bracket stands in this slot."
    status = Status.BRACKET_UNKNOWN


class BracketIllegal(BracketError):
    code = "BOT4-938"
    sentence = "The bracket's table has no row for what was found."
    status = Status.BRACKET_ILLEGAL


class TriggerError(OrderError):
    code = "BOT4-940"
    sentence = "The trigger table refused an operation; nothing was changed."
    remedy = "`bot4 orders --triggers` shows every conditional order that waits."


class TriggerTableFull(TriggerError, CapacityError):
    code = "BOT4-941"
    sentence = "The trigger table has no free slot."
    status = Status.TRIGGER_TABLE_FULL


class TriggerBadTerms(TriggerError, ValueError):
    code = "BOT4-942"
    sentence = "A conditional order's terms contradict each other."
    status = Status.TRIGGER_BAD_TERMS


class TriggerUnknown(TriggerError, LookupError):
    code = "BOT4-943"
    sentence = "No conditional order waits in this slot."
    status = Status.TRIGGER_UNKNOWN


class GateDenied(Bot4Error, PermissionError):
    code = "BOT4-951"
    sentence = "The gate denied the order."
    remedy = "`bot4 why` lists every rule that failed and the headroom to each limit."
    status = Status.GATE_DENIED


class LimitLooser(SafetyError, ValueError):
    code = "BOT4-952"
    sentence = "A limit may be tightened at once, never loosened while the engine runs."
    remedy = "Change the configuration; a looser limit acts after its waiting time."
    status = Status.LIMIT_LOOSER


class CorrelationFull(CapacityError):
    code = "BOT4-953"
    sentence = "No more symbols can be tracked for correlation."
    status = Status.CORRELATION_FULL


class CorrelationBadShape(BadSize):
    code = "BOT4-954"
    sentence = "A correlation table of this shape, or a symbol outside it, is impossible."
    status = Status.CORRELATION_BAD_SHAPE
