"""Breakers and the latch: what holds an order back, and what could not be made safe."""

from __future__ import annotations

from engine._core.types import Status
from engine.errors.base import Bot4Error
from engine.errors.memory import CapacityError


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
