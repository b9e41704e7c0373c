"""Sessions, snapshots and recovery: what keeps a journal from being opened, and what keeps the engine from going on."""

from __future__ import annotations

from engine.errors.base import Bot4Error
from engine.errors.journal import JournalError


class SessionError(JournalError):
    code = "BOT4-1700"
    sentence = "The session's directory cannot be used."
    remedy = "`bot4 journal verify DIR` says what is there and what can be done."


class SessionLocked(SessionError):
    code = "BOT4-1701"
    sentence = "Another engine writes this journal."
    remedy = "Stop it first. Two engines on one journal would send the same order ids."


class SessionMissing(SessionError, FileNotFoundError):
    code = "BOT4-1702"
    sentence = "There is no session here."
    remedy = "Name the journal's directory, or one session's directory inside it."


class SnapshotBad(SessionError):
    code = "BOT4-1703"
    sentence = "A snapshot is not what was written."
    remedy = "Recovery takes the one before it; the first snapshot of the session begins at its first event."


class SnapshotMissing(SessionError, FileNotFoundError):
    code = "BOT4-1704"
    sentence = "The session has no snapshot that can be loaded."
    remedy = "Restore the session's snapshots from a copy, or begin a new session and reconcile with the venue."


class RecoveryRefused(Bot4Error, RuntimeError):
    code = "BOT4-1705"
    sentence = "The engine does not start on what it found."
    remedy = "The detail names what differs and what is allowed; docs/journal/runbook.md goes through it."


class ReconciliationBreak(Bot4Error, RuntimeError):
    code = "BOT4-1706"
    sentence = "Our books and the venue's differ by more than is tolerated."
    remedy = "No new order is sent where it says so; look at the table of breaks before anything is resumed."


class ArchiveBad(SessionError):
    code = "BOT4-1707"
    sentence = "A compressed segment does not open."
    remedy = "Restore the file from a copy; the segments before and after it are not harmed."


class WorldFoundBreak(Bot4Error, AssertionError):
    code = "BOT4-1708"
    sentence = "The seeded world broke a promise."
    remedy = "The detail names the checker, the seed and the event; the same seed does it again."


class WorldCannotHold(Bot4Error, ValueError):
    code = "BOT4-1709"
    sentence = "The seeded world has no data that this strategy decides by."
    remedy = "Certify what trades one symbol; the others are tried by backtest, paper and a rehearsal."
