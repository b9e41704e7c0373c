"""Every error the engine raises: one small tree.

Each class inherits a fitting builtin, so `except ValueError` works as a stranger expects; has a code that never
changes, so that logs can be searched and runbooks can name it; says in a plain sentence what is wrong, and what to
do about it. Code that runs per event returns a status instead (engine/_core/types.pxd); the cold paths turn a status
into its class here.
"""

from __future__ import annotations

from typing import ClassVar

from engine._core.types import Status, bind_errors


class Bot4Error(Exception):
    """Root of the tree: `except Bot4Error` catches whatever the engine raises on purpose."""

    code: ClassVar[str] = "BOT4-000"
    sentence: ClassVar[str] = "The engine met a condition it does not carry on from."
    remedy: ClassVar[str] = "Read the detail; if it does not help, run `bot4 doctor`."
    status: ClassVar[Status | None] = None

    def __init__(self, detail: str = "") -> None:
        super().__init__(detail)
        self.detail = detail

    def __str__(self) -> str:
        what = f"{self.sentence} {self.detail}".strip()
        return f"[{self.code}] {what} {self.remedy}"


def by_status(status: int) -> type[Bot4Error]:
    """The error class of a kernel's status."""
    return _BY_STATUS[status]


# ------------------------------------------------------------------------------------------- memory, rings, pools
class CapacityError(Bot4Error):
    code = "BOT4-100"
    sentence = "A size chosen at start is used up."
    remedy = "Raise the capacity in the configuration and start again."


class ArenaExhausted(CapacityError, MemoryError):
    code = "BOT4-101"
    sentence = "The arena has no room for this block."
    status = Status.ARENA_EXHAUSTED


class ArenaSealed(CapacityError, RuntimeError):
    code = "BOT4-102"
    sentence = "The arena was sealed at start; nothing may be carved from it any more."
    remedy = "Carve every block before `seal()`; a carve after it is a bug in the caller."
    status = Status.ARENA_SEALED


class BadSize(CapacityError, ValueError):
    code = "BOT4-103"
    sentence = "A size is zero, negative, too large or not a power of two where one is needed."
    remedy = "Correct the size; the detail names it."
    status = Status.ARENA_BAD_SIZE


class RingFull(CapacityError, BufferError):
    code = "BOT4-201"
    sentence = "The ring is full and its policy is to refuse."
    remedy = "The reader is too slow: look at its lag, or raise the ring's capacity."
    status = Status.RING_FULL


class RingEmpty(Bot4Error, BufferError):
    code = "BOT4-202"
    sentence = "The ring holds no event for this consumer."
    remedy = "Wait for the producer, or poll."
    status = Status.RING_EMPTY


class RingClosed(Bot4Error, BrokenPipeError):
    code = "BOT4-203"
    sentence = "The ring is closed."
    remedy = "Stop using it; a closed ring is not opened again."
    status = Status.RING_CLOSED


class RingBadSize(BadSize):
    code = "BOT4-204"
    sentence = "A ring's capacity must be a power of two."
    status = Status.RING_BAD_SIZE


class RingConsumersExhausted(CapacityError, LookupError):
    code = "BOT4-205"
    sentence = "The ring has no free place for another consumer."
    status = Status.RING_NO_CONSUMER_SLOT


class RingBadPolicy(Bot4Error, ValueError):
    code = "BOT4-206"
    sentence = "This class of event may not have this overflow policy."
    remedy = "Trades, order events, timers, control and intents wait; only book updates may be conflated."
    status = Status.RING_BAD_POLICY


class RingWait(CapacityError, BlockingIOError):
    code = "BOT4-207"
    sentence = "The ring has no room and this event must not be lost."
    remedy = "Stop reading its source until the ring reports room; if it lasts, the reader is too slow."
    status = Status.RING_WAIT


class RingConflate(CapacityError, BlockingIOError):
    code = "BOT4-208"
    sentence = "The ring has no room and this message belongs into the conflation table."
    remedy = "Hand the whole message to the table; it is flushed when room appears."
    status = Status.RING_CONFLATE


class RingBadMessage(Bot4Error, ValueError):
    code = "BOT4-209"
    sentence = "The events are not one whole book message of one known symbol."
    remedy = "A message starts with FLAG_FIRST, ends with FLAG_LAST and names one symbol throughout."
    status = Status.RING_BAD_MESSAGE


class PoolExhausted(CapacityError, MemoryError):
    code = "BOT4-301"
    sentence = "The pool has no free object."
    status = Status.POOL_EXHAUSTED


class HandleError(Bot4Error, LookupError):
    code = "BOT4-310"
    sentence = "A handle does not name a live object."
    remedy = "The holder kept a handle too long: a bug in the caller, never repaired."


class StaleHandle(HandleError):
    code = "BOT4-302"
    sentence = "The object behind this handle was freed, and its place may hold another now."
    status = Status.POOL_STALE_HANDLE


class DoubleFree(HandleError):
    code = "BOT4-303"
    sentence = "The object was already freed."
    status = Status.POOL_DOUBLE_FREE


class BadHandle(HandleError):
    code = "BOT4-304"
    sentence = "The handle was never given out by this pool."
    status = Status.POOL_BAD_HANDLE


class WrongThread(HandleError, RuntimeError):
    code = "BOT4-305"
    sentence = "A thread-local pool was used from another thread."
    status = Status.POOL_WRONG_THREAD


# --------------------------------------------------------------------------------------------------- data coming in
class DataError(Bot4Error, ValueError):
    code = "BOT4-400"
    sentence = "Data from outside was refused; nothing of it was applied."
    remedy = "Look at the counters of refused data; if they grow, the venue changed or the feed is broken."


class DecimalError(DataError):
    code = "BOT4-410"
    sentence = "A decimal number is not in the plain form digits[.digits]."


class DecimalEmpty(DecimalError):
    code = "BOT4-401"
    sentence = "A decimal number is empty."
    status = Status.DECIMAL_EMPTY


class DecimalSign(DecimalError):
    code = "BOT4-402"
    sentence = "A decimal number carries a sign."
    status = Status.DECIMAL_SIGN


class DecimalExponent(DecimalError):
    code = "BOT4-403"
    sentence = "A decimal number carries an exponent."
    status = Status.DECIMAL_EXPONENT


class DecimalBlank(DecimalError):
    code = "BOT4-404"
    sentence = "A decimal number contains white space."
    status = Status.DECIMAL_BLANK


class DecimalEmptyPart(DecimalError):
    code = "BOT4-405"
    sentence = "A decimal number has no digit before or after its point."
    status = Status.DECIMAL_EMPTY_PART


class DecimalTooManyDigits(DecimalError):
    code = "BOT4-406"
    sentence = "A decimal number has more digits than its scale keeps."
    status = Status.DECIMAL_TOO_MANY_DIGITS


class DecimalOverflow(DecimalError, OverflowError):
    code = "BOT4-407"
    sentence = "A decimal number does not fit into 63 bits at its scale."
    status = Status.DECIMAL_OVERFLOW


class DecimalBadCharacter(DecimalError):
    code = "BOT4-408"
    sentence = "A decimal number contains a character that is neither a digit nor a point."
    status = Status.DECIMAL_BAD_CHARACTER


class DecimalOffStep(DecimalError):
    code = "BOT4-409"
    sentence = "A number is not a whole multiple of its instrument's step."
    status = Status.DECIMAL_OFF_STEP


class DecimalBadScale(DecimalError):
    code = "BOT4-411"
    sentence = "A scale lies outside 0 to 18."
    status = Status.DECIMAL_BAD_SCALE


class DecimalBadStep(DecimalError):
    code = "BOT4-412"
    sentence = "A step, a lot or a divisor must be 1 or more."
    remedy = "Correct the instrument's definition; the detail names the number."
    status = Status.DECIMAL_BAD_STEP


class FrameError(DataError):
    code = "BOT4-500"
    sentence = "A frame from a venue could not be read."


class FrameTruncated(FrameError, EOFError):
    code = "BOT4-501"
    sentence = "A frame ends before its message does."
    status = Status.PARSE_TRUNCATED


class FrameSyntax(FrameError):
    code = "BOT4-502"
    sentence = "A frame is not valid JSON."
    status = Status.PARSE_SYNTAX


class FrameWrongType(FrameError):
    code = "BOT4-503"
    sentence = "A field of a frame has the wrong JSON type."
    status = Status.PARSE_WRONG_TYPE


class FrameMissingKey(FrameError):
    code = "BOT4-504"
    sentence = "A field that the message must have is not there."
    status = Status.PARSE_MISSING_KEY


class FrameUnknownSymbol(FrameError):
    code = "BOT4-505"
    sentence = "A frame speaks of a symbol that was not registered."
    status = Status.PARSE_UNKNOWN_SYMBOL


class FrameUnknownEvent(FrameError):
    code = "BOT4-506"
    sentence = "A frame is of an event type that this parser does not know."
    status = Status.PARSE_UNKNOWN_EVENT


class FrameBadNumber(FrameError):
    code = "BOT4-507"
    sentence = "A number in a frame is not exact at its instrument's scale."
    status = Status.PARSE_BAD_NUMBER


class FrameTooLong(FrameError):
    code = "BOT4-508"
    sentence = "A frame is longer than the limit."
    status = Status.PARSE_TOO_LONG


class FrameTooManyLevels(FrameError):
    code = "BOT4-509"
    sentence = "A depth message has more levels than the limit."
    status = Status.PARSE_TOO_MANY_LEVELS


class FrameEscape(FrameError):
    code = "BOT4-510"
    sentence = "A string that must be plain text contains an escape."
    status = Status.PARSE_ESCAPE


class FrameTooDeep(FrameError):
    code = "BOT4-511"
    sentence = "A frame nests deeper than the limit."
    status = Status.PARSE_TOO_DEEP


class FrameDuplicateKey(FrameError):
    code = "BOT4-512"
    sentence = "A field stands twice in one object."
    status = Status.PARSE_DUPLICATE_KEY


class FrameNoRoom(FrameError, BufferError):
    code = "BOT4-513"
    sentence = "The events of a frame do not fit into the room given for them."
    status = Status.PARSE_NO_ROOM


class FrameNotData(FrameError):
    code = "BOT4-514"
    sentence = "A frame is a reply or a notice, not market data."
    status = Status.PARSE_NOT_DATA


class FrameBadSchema(FrameError):
    code = "BOT4-515"
    sentence = "A binary frame has an unknown schema, template or block length."
    status = Status.PARSE_BAD_SCHEMA


class FrameTrailing(FrameError):
    code = "BOT4-516"
    sentence = "Something stands behind the end of a frame's message."
    status = Status.PARSE_TRAILING


class SymbolsFull(FrameError, CapacityError):
    code = "BOT4-517"
    sentence = "The symbol table has no room for another symbol."
    remedy = "Raise its capacity in the configuration and start again."
    status = Status.PARSE_SYMBOLS_FULL


class BadSymbol(FrameError):
    code = "BOT4-518"
    sentence = "A symbol cannot be registered: empty, too long, not plain text, or there already."
    remedy = "Correct the symbol list; the detail names it."
    status = Status.PARSE_BAD_SYMBOL


class BookError(DataError):
    code = "BOT4-600"
    sentence = "The order book refused an operation."


class BookOutside(BookError):
    code = "BOT4-601"
    sentence = "The question reaches past the book's horizon, where levels were dropped for want of room."
    status = Status.BOOK_OUTSIDE


class BookFull(BookError, CapacityError):
    code = "BOT4-602"
    sentence = "The book's overflow has no room for another level."
    status = Status.BOOK_FULL


class BookCrossed(BookError):
    code = "BOT4-603"
    sentence = "The best bid is at or above the best ask."
    status = Status.BOOK_CROSSED


class BookGap(BookError):
    code = "BOT4-604"
    sentence = "An update does not follow the one before it; something was lost."
    remedy = "The book is rebuilding; quoting on it resumes after the next snapshot."
    status = Status.BOOK_GAP


class BookStaleUpdate(BookError):
    code = "BOT4-605"
    sentence = "An update is older than the book."
    status = Status.BOOK_STALE_UPDATE


class BookBadPrice(BookError):
    code = "BOT4-606"
    sentence = "A level's price is negative, zero or beyond the limit."
    status = Status.BOOK_BAD_PRICE


class BookBadQuantity(BookError):
    code = "BOT4-607"
    sentence = "A level's quantity is negative or beyond the limit."
    status = Status.BOOK_BAD_QUANTITY


class BookUntrusted(BookError):
    code = "BOT4-608"
    sentence = "The book is not live: a gap, a bad checksum or no snapshot yet."
    remedy = "Wait until its trust state is live; never quote on it before."
    status = Status.BOOK_UNTRUSTED


class BookChecksum(BookError):
    code = "BOT4-609"
    sentence = "The venue's checksum and the book disagree."
    remedy = "The book is rebuilding; resubscribe and take a new snapshot."
    status = Status.BOOK_CHECKSUM


class BookEmptySide(BookError, LookupError):
    code = "BOT4-610"
    sentence = "This side of the book holds no level."
    status = Status.BOOK_EMPTY_SIDE


class BookMismatch(BookError):
    code = "BOT4-611"
    sentence = "A quote and the book of the same sequence number disagree."
    remedy = "The book is rebuilding; take a new snapshot."
    status = Status.BOOK_MISMATCH


class BookTooThin(BookError, LookupError):
    code = "BOT4-612"
    sentence = "This side of the book does not hold the quantity asked for."
    status = Status.BOOK_TOO_THIN


# ---------------------------------------------------------------------------------------------- breakers and safety
class BreakerError(Bot4Error, RuntimeError):
    code = "BOT4-700"
    sentence = "A circuit breaker does not allow this call."
    remedy = "Wait for its cooldown; `bot4 status` shows which component failed and since when."


class BreakerOpen(BreakerError):
    code = "BOT4-701"
    sentence = "The component's breaker is open."
    status = Status.BREAKER_OPEN


class BreakerHalfOpenExhausted(BreakerError):
    code = "BOT4-702"
    sentence = "The breaker is half-open and all its trial calls are under way."
    status = Status.BREAKER_HALF_OPEN_EXHAUSTED


class BreakerGlobalOpen(BreakerError):
    code = "BOT4-703"
    sentence = "The global breaker is open: every component is denied."
    status = Status.BREAKER_GLOBAL_OPEN


class BreakerMinimumCallsNotMet(BreakerError):
    code = "BOT4-704"
    sentence = "Too few calls stand in the window to judge the error rate."
    status = Status.BREAKER_MINIMUM_CALLS_NOT_MET


class BreakerTooManyFailures(BreakerError):
    code = "BOT4-705"
    sentence = "The component failed too often and its breaker has just opened."
    status = Status.BREAKER_TOO_MANY_FAILURES


class BreakerCooldown(BreakerError):
    code = "BOT4-706"
    sentence = "A reset is honoured only after the cooldown."
    status = Status.BREAKER_COOLDOWN


class BreakerCycle(BreakerError, ValueError):
    code = "BOT4-707"
    sentence = "The declared dependencies of the breakers contain a circle."
    remedy = "Correct the dependency list; the detail names the circle."
    status = Status.BREAKER_CYCLE


class BreakerUnknownComponent(BreakerError, LookupError):
    code = "BOT4-708"
    sentence = "No breaker of this name or number exists."
    remedy = "Declare the component at start."
    status = Status.BREAKER_UNKNOWN_COMPONENT


class BreakerBadConfig(BreakerError, ValueError):
    code = "BOT4-709"
    sentence = "A breaker's setting lies outside its range."
    remedy = "Correct the setting; the detail names it and its range."
    status = Status.BREAKER_BAD_CONFIG


class BreakerDependencyOpen(BreakerError):
    code = "BOT4-710"
    sentence = "A component that this one depends on is open."
    status = Status.BREAKER_DEPENDENCY_OPEN


class BreakerTableFull(BreakerError, CapacityError):
    code = "BOT4-711"
    sentence = "The breaker table has no room for another component."
    remedy = "A table holds up to 64 components: raise its size, or join components that fail together."
    status = Status.BREAKER_TABLE_FULL


class SafetyError(Bot4Error, RuntimeError):
    code = "BOT4-800"
    sentence = "A safety device forbids this."
    remedy = "Find out why it tripped before anything else; `bot4 status` names the reason."


class LatchTripped(SafetyError):
    code = "BOT4-801"
    sentence = "The latch is tripped: no order leaves this machine."
    status = Status.LATCH_TRIPPED


class LatchNotDurable(SafetyError, OSError):
    code = "BOT4-802"
    sentence = "The latch file could not be written and synced, so the latch cannot be trusted."
    remedy = "Mend the disk or the permissions of the state directory; the engine stays halted until then."
    status = Status.LATCH_NOT_DURABLE


class LatchBadFile(SafetyError, OSError):
    code = "BOT4-803"
    sentence = "The latch file is not one that this engine wrote; it is taken as tripped."
    remedy = "Look at the file; do not delete it before you know who changed it."
    status = Status.LATCH_BAD_FILE


# ----------------------------------------------------------------------------------------------- numbers and clocks
class HistogramOutOfRange(Bot4Error, ValueError):
    code = "BOT4-851"
    sentence = "A value or a percentile lies outside what this histogram was made for."
    remedy = "Choose a larger highest value when the histogram is made."
    status = Status.HISTOGRAM_OUT_OF_RANGE


class HistogramMismatch(Bot4Error, ValueError):
    code = "BOT4-852"
    sentence = "Two histograms of different shape cannot be merged."
    remedy = "Make both with the same precision and highest value."
    status = Status.HISTOGRAM_MISMATCH


class ClockError(Bot4Error, RuntimeError):
    code = "BOT4-870"
    sentence = "The clock cannot be used like this."


class ClockNotInvariant(ClockError):
    code = "BOT4-871"
    sentence = "This machine has no invariant cycle counter."
    remedy = "Nothing to do: the monotonic clock is used in its place, at some 20 ns a reading."
    status = Status.CLOCK_NOT_INVARIANT


class ClockBackwards(ClockError, ValueError):
    code = "BOT4-872"
    sentence = "An injected time lies before the one already set."
    status = Status.CLOCK_BACKWARDS


# ------------------------------------------------------------------------------------------------- core and journal
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


# ------------------------------------------------------------------------------------- strategies and algorithms
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


class JournalError(Bot4Error, OSError):
    code = "BOT4-980"
    sentence = "The journal cannot be used."
    remedy = "No order is sent while it cannot be written; see the runbook on damaged journals."


class JournalFull(JournalError):
    code = "BOT4-981"
    sentence = "The journal's segment has no room for another record."
    status = Status.TAPE_FULL


class JournalTorn(JournalError):
    code = "BOT4-982"
    sentence = "The journal ends in a half-written record."
    remedy = "Recovery cuts it at the last good record."
    status = Status.TAPE_TORN


class JournalCorrupt(JournalError):
    code = "BOT4-983"
    sentence = "The journal is damaged before its end."
    remedy = "Do not start on it: restore the segment from a copy, or start a new session and reconcile with the venue."
    status = Status.TAPE_CORRUPT


class ReplayDiverged(JournalError):
    code = "BOT4-984"
    sentence = "A replay gave another output than the recorded one."
    remedy = "The detail names the event and both records; the build or the configuration is not the recorded one."
    status = Status.TAPE_DIVERGED


# ------------------------------------------------------------------------------------------- ledger, margin and cost
class LedgerError(Bot4Error, ValueError):
    code = "BOT4-130"
    sentence = "The ledger refused a posting; no account was changed."
    remedy = "A fill that cannot be posted is an incident: stop the engine and reconcile with the venue."


class LedgerUnknownSymbol(LedgerError, LookupError):
    code = "BOT4-131"
    sentence = "A posting names an instrument that the ledger was not set up for."
    status = Status.LEDGER_UNKNOWN_SYMBOL


class LedgerUnknownAsset(LedgerError, LookupError):
    code = "BOT4-132"
    sentence = "A posting names an asset that the ledger was not set up for."
    status = Status.LEDGER_UNKNOWN_ASSET


class LedgerBadAmount(LedgerError):
    code = "BOT4-133"
    sentence = "A price, quantity or amount is zero, negative, or takes back more than was ever posted."
    status = Status.LEDGER_BAD_AMOUNT


class LedgerOverflow(LedgerError, OverflowError):
    code = "BOT4-134"
    sentence = "An amount or a balance would pass its limit."
    status = Status.LEDGER_OVERFLOW


class LedgerUnbalanced(LedgerError):
    code = "BOT4-135"
    sentence = "The legs of a posting do not sum to zero in each asset."
    status = Status.LEDGER_UNBALANCED


class LedgerStaleMark(LedgerError):
    code = "BOT4-136"
    sentence = "A mark price is missing or too old, so no value is given."
    remedy = "Wait for a fresh mark price; the detail names the asset or instrument."
    status = Status.LEDGER_STALE_MARK


class LedgerBadSetup(LedgerError):
    code = "BOT4-137"
    sentence = "The ledger cannot be set up like this."
    remedy = "Correct the assets, instruments or capacities; the detail names the field."
    status = Status.LEDGER_BAD_SETUP


class LedgerUnreconciled(LedgerError):
    code = "BOT4-138"
    sentence = "A balance and the venue's statement differ by more than the tolerance."
    remedy = "The engine halts: find the missing fill, fee or transfer before trading goes on."
    status = Status.LEDGER_UNRECONCILED


class LedgerNoBase(LedgerError):
    code = "BOT4-139"
    sentence = "Equity was not established yet, or is not above zero, so nothing can be measured from it."
    remedy = "Wait for the first valuation with fresh marks."
    status = Status.LEDGER_NO_BASE


class MarginError(Bot4Error, ValueError):
    code = "BOT4-140"
    sentence = "The margin rules refused this."
    remedy = "`bot4 status` shows balance, used and available margin and their age."


class MarginMissing(MarginError, LookupError):
    code = "BOT4-141"
    sentence = "The margin account is not known, and an unknown account passes nothing."
    status = Status.MARGIN_MISSING


class MarginStale(MarginError):
    code = "BOT4-142"
    sentence = "The margin account is older than allowed."
    status = Status.MARGIN_STALE


class MarginInsufficient(MarginError):
    code = "BOT4-143"
    sentence = "Available margin is below 110 % of what is required."
    status = Status.MARGIN_INSUFFICIENT


class MarginLeverage(MarginError):
    code = "BOT4-144"
    sentence = "The leverage is above what the bracket of this notional allows."
    status = Status.MARGIN_LEVERAGE


class MarginAboveTiers(MarginError):
    code = "BOT4-145"
    sentence = "The notional lies above the last bracket."
    status = Status.MARGIN_ABOVE_TIERS


class MarginBadTiers(MarginError):
    code = "BOT4-146"
    sentence = "The margin brackets have gaps, fall, or do not join continuously."
    remedy = "Load the venue's brackets again; the detail names the first wrong one."
    status = Status.MARGIN_BAD_TIERS


class MarginNoLiquidation(MarginError):
    code = "BOT4-147"
    sentence = "No price liquidates this position."
    remedy = "Nothing to do: the collateral covers the whole position."
    status = Status.MARGIN_NO_LIQUIDATION


class MarginNotReducing(MarginError):
    code = "BOT4-148"
    sentence = "A reduce-only order would not reduce a position that is known now."
    status = Status.MARGIN_NOT_REDUCING


class MarginOverflow(MarginError, OverflowError):
    code = "BOT4-149"
    sentence = "A margin amount does not fit into 63 bits."
    status = Status.MARGIN_OVERFLOW


class CostError(Bot4Error, ValueError):
    code = "BOT4-150"
    sentence = "The cost of an order cannot be stated."
    remedy = "Without its complete cost an order is not sent."


class FeesOld(CostError):
    code = "BOT4-151"
    sentence = "The fee table is older than a minute; it still counts."
    remedy = "Look why its refresh is late."
    status = Status.FEES_OLD


class FeesStale(CostError):
    code = "BOT4-152"
    sentence = "The fee table is older than five minutes and is not used any more."
    remedy = "Refresh it from the venue."
    status = Status.FEES_STALE


class FeesUnknownVenue(CostError, LookupError):
    code = "BOT4-153"
    sentence = "No fees are known for this venue and market."
    remedy = "Add its file under config/fees."
    status = Status.FEES_UNKNOWN_VENUE


class FeesBadSchedule(CostError):
    code = "BOT4-154"
    sentence = "A fee schedule is not well-formed."
    remedy = "Correct the file; the detail names it and the entry."
    status = Status.FEES_BAD_SCHEDULE


class CostDepthShort(CostError):
    code = "BOT4-155"
    sentence = "The book does not hold enough to fill this quantity."
    status = Status.COST_DEPTH_SHORT


class CostOverflow(CostError, OverflowError):
    code = "BOT4-156"
    sentence = "A cost does not fit into 63 bits."
    status = Status.COST_OVERFLOW


class CostBadInput(CostError):
    code = "BOT4-157"
    sentence = "A price, quantity, rate or equity lies outside its range."
    status = Status.COST_BAD_INPUT


class SizeBelowMinimum(CostError):
    code = "BOT4-158"
    sentence = "The largest size under all caps is below the venue's minimum."
    remedy = "No order is the right order here; the detail names the cap that binds."
    status = Status.SIZE_BELOW_MINIMUM


class MarketDataError(Bot4Error, ValueError):
    code = "BOT4-1000"
    sentence = "An event of a venue was refused before anything saw it."
    remedy = "`bot4 data` counts refusals per symbol and reason; if one grows, look at that venue's feed."


class DataInvalid(MarketDataError):
    code = "BOT4-1020"
    sentence = "An event contradicts itself, its instrument or what was seen before it."


class DataMissing(MarketDataError, LookupError):
    code = "BOT4-1021"
    sentence = "Something that a venue has to send is not there."


class DataBadKind(DataInvalid):
    code = "BOT4-1001"
    sentence = "An event is of a kind that does not come from a venue."
    status = Status.VALIDATE_BAD_KIND


class DataBadSymbol(DataInvalid, LookupError):
    code = "BOT4-1002"
    sentence = "An event names a symbol that was never configured."
    status = Status.VALIDATE_BAD_SYMBOL


class DataBadPrice(DataInvalid):
    code = "BOT4-1003"
    sentence = "A price is zero or negative."
    status = Status.VALIDATE_BAD_PRICE


class DataBadQuantity(DataInvalid):
    code = "BOT4-1004"
    sentence = "A quantity is negative, or zero where something was traded."
    status = Status.VALIDATE_BAD_QUANTITY


class DataPriceRange(DataInvalid):
    code = "BOT4-1005"
    sentence = "A price lies beyond the range of its instrument."
    status = Status.VALIDATE_PX_RANGE


class DataQuantityRange(DataInvalid):
    code = "BOT4-1006"
    sentence = "A quantity lies beyond the largest of its instrument."
    status = Status.VALIDATE_QTY_RANGE


class DataBadBar(DataInvalid):
    code = "BOT4-1007"
    sentence = "The figures of a bar contradict each other."
    status = Status.VALIDATE_BAD_BAR


class DataStale(MarketDataError, TimeoutError):
    code = "BOT4-1008"
    sentence = "An event is older than its class may be."
    status = Status.VALIDATE_STALE


class DataNoTime(DataMissing):
    code = "BOT4-1009"
    sentence = "An event carries no venue time and its class must have one."
    status = Status.VALIDATE_NO_TIME


class DataNoId(DataMissing):
    code = "BOT4-1010"
    sentence = "An event carries no venue number and its class must have one."
    status = Status.VALIDATE_NO_ID


class DataSilent(DataMissing, TimeoutError):
    code = "BOT4-1011"
    sentence = "A symbol was silent for longer than its limit."
    status = Status.VALIDATE_SILENT


class DataOutOfOrder(DataInvalid):
    code = "BOT4-1012"
    sentence = "A venue number or time runs backwards."
    status = Status.VALIDATE_ORDER


class DataDuplicate(DataInvalid):
    code = "BOT4-1013"
    sentence = "An event has come before."
    status = Status.VALIDATE_DUPLICATE


class DataCrossed(DataInvalid):
    code = "BOT4-1014"
    sentence = "A bid stands at or above an ask."
    status = Status.VALIDATE_CROSSED


class DataOffBand(DataInvalid):
    code = "BOT4-1015"
    sentence = "A price is too far from the reference price."
    status = Status.VALIDATE_BAND


class DataSpike(DataInvalid):
    code = "BOT4-1016"
    sentence = "A price steps too far from the one before it, and nothing has confirmed it."
    status = Status.VALIDATE_SPIKE


class DataClock(DataInvalid):
    code = "BOT4-1017"
    sentence = "A venue time lies in the future, or is no time at all."
    status = Status.VALIDATE_CLOCK


class DataTorn(DataInvalid):
    code = "BOT4-1018"
    sentence = "A message lacks its beginning or its end."
    status = Status.VALIDATE_TORN


class DataCondemned(DataInvalid):
    code = "BOT4-1019"
    sentence = "An earlier part of the same message was refused."
    status = Status.VALIDATE_CONDEMNED


class DataBadConfig(BadSize):
    code = "BOT4-1031"
    sentence = "The limits for a symbol's data are impossible."
    status = Status.VALIDATE_BAD_CONFIG


class RouteError(Bot4Error, RuntimeError):
    code = "BOT4-1050"
    sentence = "An order could not be routed; nothing was sent."
    remedy = "The detail names each venue and why it was passed over."


class RouteNone(RouteError):
    code = "BOT4-1051"
    sentence = "No venue can take this order."
    status = Status.ROUTE_NONE


class RouteBadAsk(RouteError, ValueError):
    code = "BOT4-1052"
    sentence = "What should be routed is impossible: quantity, policy or number of parts."
    status = Status.ROUTE_BAD_ASK


class RouteUnknownGroup(RouteError, LookupError):
    code = "BOT4-1053"
    sentence = "No instruments are grouped under this number."
    status = Status.ROUTE_UNKNOWN_GROUP


class RouteOrderLive(RouteError, PermissionError):
    code = "BOT4-1054"
    sentence = "The order may still be live at its venue, so it is not sent to another."
    remedy = "Wait until the venue says how the order ended; only then its rest may go elsewhere."
    status = Status.ROUTE_ORDER_LIVE


class RouteBadConfig(BadSize):
    code = "BOT4-1055"
    sentence = "The groups of venues, or a venue's steps, are impossible."
    status = Status.ROUTE_BAD_CONFIG


# ------------------------------------------------------------------------------------------- discipline and modes
class SignalRefused(Bot4Error, PermissionError):
    code = "BOT4-1101"
    sentence = "The signal was refused by the rules of discipline."
    remedy = "The reasons say which; cooldowns end by time alone and evidence comes from closed trades."
    status = Status.DISCIPLINE_REFUSED


class DisciplineUnknown(Bot4Error, LookupError):
    code = "BOT4-1102"
    sentence = "The strategy or the symbol is not one of this table."
    status = Status.DISCIPLINE_UNKNOWN


class DisciplineBadConfig(Bot4Error, ValueError):
    code = "BOT4-1103"
    sentence = "A rule of discipline is looser than it may be, or a size is out of range."
    remedy = "Rules may only be made stricter than their defaults; docs/kernels/discipline.md lists the bounds."
    status = Status.DISCIPLINE_BAD_CONFIG


class DisciplineBadResult(Bot4Error, ValueError):
    code = "BOT4-1104"
    sentence = "A trade result has no stake, no time, or a time before the last one."
    remedy = "Results come from the ledger in the order of events; anything else is a bug in the caller."
    status = Status.DISCIPLINE_BAD_RESULT


class ModeError(Bot4Error, RuntimeError):
    code = "BOT4-1120"
    sentence = "The mode did not change."
    remedy = "docs/kernels/modes.md has the table of switches."


class ModeIllegal(ModeError):
    code = "BOT4-1121"
    sentence = "There is no such switch of modes."
    status = Status.MODE_ILLEGAL


class ModeNotYours(ModeError, PermissionError):
    code = "BOT4-1122"
    sentence = "Whoever asked may not make this switch of modes."
    status = Status.MODE_NOT_YOURS


class ModeNotReady(ModeError):
    code = "BOT4-1123"
    sentence = "A condition for this switch of modes is not met."
    remedy = "The detail names it: release the latch, wait the cooldown out, reconcile, or let the plan end."
    status = Status.MODE_NOT_READY


class ModeBadConfig(ModeError, ValueError):
    code = "BOT4-1124"
    sentence = "A schedule or a deadline of the modes is out of range."
    status = Status.MODE_BAD_CONFIG


class ModeUnknownSymbol(ModeError, LookupError):
    code = "BOT4-1125"
    sentence = "The symbol is not one of the modes' table."
    status = Status.MODE_UNKNOWN_SYMBOL


def _tree(root: type[Bot4Error]) -> list[type[Bot4Error]]:
    return [root] + [below for child in root.__subclasses__() for below in _tree(child)]


# A class inherits its parent's `status`; only the one that states it in its own body answers for it.
_BY_STATUS: dict[int, type[Bot4Error]] = {
    int(cls.__dict__["status"]): cls for cls in _tree(Bot4Error) if cls.__dict__.get("status") is not None
}

bind_errors(_BY_STATUS)
