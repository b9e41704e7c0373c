"""Pins, the trip sequence, the audit, the daemon: what keeps money safe and cannot be carried out."""

from __future__ import annotations

from engine.errors.base import Bot4Error
from engine.errors.safety import SafetyError


class LineRefused(SafetyError, OSError):
    code = "BOT4-1301"
    sentence = "The kernel does not give the GPIO lines."
    remedy = "See docs/safety/wiring.md: chip, group `gpio`, and no other program on the lines."


class LineLost(SafetyError, OSError):
    code = "BOT4-1302"
    sentence = "The GPIO chip no longer answers; that is taken as a press."
    remedy = "Mend the hardware, then `bot4 reset`."


class SwitchOpen(SafetyError):
    code = "BOT4-1303"
    sentence = "The loop of the kill switch or of the tamper contact is not seen closed."
    remedy = "Release the switch, look for a cut wire, and start again."


class SwitchMissing(SafetyError):
    code = "BOT4-1304"
    sentence = "Live trading needs a working kill switch."
    remedy = "Wire one (docs/safety/wiring.md), trade on paper, or acknowledge switch = none in the tier file."


class RehearsalMissing(SafetyError):
    code = "BOT4-1307"
    sentence = "Real money waits for a rehearsal: the same engine, live, at a venue's testnet."
    remedy = "Run mode = live at the venue's testnet until it ends in order; docs/howto/go-live.md has the steps."


class GuardNotReady(SafetyError):
    code = "BOT4-1305"
    sentence = "The safety system is not ready, so nothing may trade."
    remedy = "The detail names the part."


class ResetRefused(SafetyError, PermissionError):
    code = "BOT4-1306"
    sentence = "The latch is not reset."
    remedy = "The detail names what is missing; docs/safety/latch-life.md has the steps."


class AuditError(Bot4Error, RuntimeError):
    code = "BOT4-1310"
    sentence = "The audit cannot be kept."
    remedy = "Nothing that has to be recorded may happen unrecorded: mend the disk or the key first."


class AuditWriteFailed(AuditError, OSError):
    code = "BOT4-1311"
    sentence = "An audit record could not be made durable."


class AuditLocked(AuditError):
    code = "BOT4-1312"
    sentence = "Another process writes this audit."
    remedy = "Only one engine or command writes at a time; stop the other one."


class AuditTampered(AuditError):
    code = "BOT4-1313"
    sentence = "The audit was changed by somebody without the key, or a part of it is missing."
    remedy = "`bot4 audit verify` names the place. Keep the files as they are."


class AuditBadKey(AuditError, ValueError):
    code = "BOT4-1314"
    sentence = "The audit key is missing or too short."
    remedy = "32 bytes or more, as the credential `audit-key`; `make install` makes one."


class DrillFailed(SafetyError):
    code = "BOT4-1330"
    sentence = "The drill did not end as it must."
    remedy = "The evidence file says which step failed. Do not trade live before it passes."


class InstallRefused(Bot4Error, RuntimeError):
    code = "BOT4-1340"
    sentence = "The installation was not changed."
    remedy = "The detail names the step; `bot4 install --dry-run` shows all of them."


class LoopSilent(SafetyError):
    code = "BOT4-1350"
    sentence = "The engine's loop does not answer the guard."
    remedy = "The sequence goes on by the other port; `bot4 audit show --kind stall` names what held the loop."
