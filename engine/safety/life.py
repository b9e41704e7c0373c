"""The life of the latch after a trip: what `bot4 reset` asks for, and the one place where a latch file goes away.

Order of things, each a refusal when it is not so: root or the service's user; no engine runs on this state; there is a
trip; the loops are seen closed again; the phrase was typed. Then the reset is made durable in the audit, and only then
the file is put aside - renamed, kept as evidence, never deleted. A start after that is Paused, and Normal needs a
person and a reconciled account.
"""

from __future__ import annotations

import getpass
import os
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine._core.clock import utc_ns
from engine._core.latch import Latch
from engine.errors import AuditBadKey, AuditLocked, ResetRefused
from engine.safety.audit import KEY_BYTES_MIN, Audit, Entry, Kind
from engine.safety.mark import Mark
from engine.settings.files import write_durable

PHRASE = "I have found the cause"


@dataclass(frozen=True)
class Reset:
    reasons: tuple[str, ...]
    kept: tuple[str, ...]  # where the evidence is
    audit_id: str


KEY_FILE = "audit.key"
LATCH_NAME = "latch"  # in the state folder; not a setting: another name would forget a trip


def audit_key(instance: str, path: Path | None = None, *, state: Path | None = None) -> bytes:
    """The key of the audit: from a file, from $CREDENTIALS_DIRECTORY, beside the audit of a paper engine, or unsealed
    by root."""
    if path is not None:
        return path.read_bytes()
    credentials = os.environ.get("CREDENTIALS_DIRECTORY")
    if credentials and (file := Path(credentials) / "bot4_audit-key").is_file():
        return file.read_bytes()
    if state is not None and (state / KEY_FILE).is_file():
        return (state / KEY_FILE).read_bytes()
    sealed = Path("/etc/bot4/credentials") / instance / "engine" / "audit-key"
    try:
        return subprocess.run(
            ["/usr/bin/systemd-creds", "decrypt", "--name=bot4_audit-key", str(sealed), "-"],
            capture_output=True,
            check=True,
            timeout=20,
        ).stdout
    except (OSError, subprocess.SubprocessError) as error:
        raise AuditBadKey(f"{sealed} cannot be unsealed ({type(error).__name__}); root, or --key") from error


def new_key() -> bytes:
    """From the kernel: the one place of this engine, beside the sealing of settings, where chance is wanted."""
    with Path("/dev/urandom").open("rb") as chance:
        return chance.read(KEY_BYTES_MIN)


def paper_key(state: Path) -> bytes:
    """The key where nobody gave one: made once, beside the audit. It shows accidents, not its owner's hand."""
    if os.environ.get("CREDENTIALS_DIRECTORY"):
        return audit_key("")
    path = state / KEY_FILE
    if not path.is_file():
        write_durable(path, new_key())
    return path.read_bytes()


def check_person(state: Path) -> str:
    """Root or the user that the engine runs as, which owns the state."""
    user = os.geteuid()
    if user not in (0, state.stat().st_uid):
        raise ResetRefused(f"user {user} is neither root nor the owner of {state}")
    return f"{getpass.getuser()} ({os.environ.get('SUDO_USER', 'directly')})"


def reset(
    state: Path,
    *,
    typed: str,
    key: bytes,
    switch_closed: Callable[[], str],
    switch: str,
    reason: str,
    **audit_options: Any,
) -> Reset:
    """Put the latch file aside; raises ResetRefused with what is missing, and changes nothing then.

    `switch_closed` says what is wrong with the loops, or nothing; `switch` names in the audit what was asked.
    """
    actor = check_person(state)
    if typed != PHRASE:
        raise ResetRefused(f"the phrase is: {PHRASE}")
    if not reason.strip():
        raise ResetRefused("say what the cause was")
    try:
        audit = Audit(state / "audit", key, **audit_options)
    except AuditLocked as error:
        raise ResetRefused("an engine runs on this state; it has to end first") from error
    with audit:
        with Latch(state / LATCH_NAME) as latch:
            if not latch.tripped:
                raise ResetRefused("the latch is not tripped")
            reasons, note = latch.reasons, latch.note
        if trouble := switch_closed():
            raise ResetRefused(trouble)
        record = audit.append(
            Entry(
                Kind.RESET,
                "reset",
                trigger=", ".join(reasons),
                rule="safety/latch-life",
                affected="latch",
                actor=actor,
                explanation=reason,
                human=True,
                data={"note": note, "switch": switch},
            )
        )
        Mark(state).leave(f"reset after {', '.join(reasons)}; audit {record.audit_id}")
        kept = _put_aside(state)
        with Latch(state / LATCH_NAME) as latch:
            if latch.tripped:
                raise ResetRefused(f"{', '.join(latch.reasons)}: {latch.start_detail}")
    return Reset(reasons, kept, record.audit_id)


def _put_aside(state: Path) -> tuple[str, ...]:
    stamp, kept = utc_ns(), []
    for name in (f"{LATCH_NAME}.tmp", LATCH_NAME):  # the unfinished one first: alone it still trips
        path = state / name
        if path.exists():
            aside = path.with_name(f"{name}.cleared-{stamp}")
            path.rename(aside)
            kept.append(str(aside))
    directory = os.open(state, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
    return tuple(kept)
