"""The journal: full, torn, corrupt, or not what was replayed."""

from __future__ import annotations

from engine._core.types import Status
from engine.errors.base import Bot4Error


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


class JournalClosed(JournalError):
    code = "BOT4-985"
    sentence = "A closed segment takes no more records."
    remedy = "Open the next segment; a closed one is never written again."
    status = Status.TAPE_CLOSED


class JournalChain(JournalError):
    code = "BOT4-986"
    sentence = "A block of the journal does not follow the one before it."
    remedy = "Do not start on it: restore the named segment from a copy, or begin from the last snapshot before it."
    status = Status.TAPE_CHAIN
