"""The rules that protect from people, and the modes."""

from __future__ import annotations

from engine._core.types import Status
from engine.errors.base import Bot4Error


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
