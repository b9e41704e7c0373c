"""Memory, rings and pools: a size chosen at start is used up, or a handle is not what it was."""

from __future__ import annotations

from engine._core.types import Status
from engine.errors.base import Bot4Error


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
