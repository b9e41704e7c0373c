"""Structured logs: one JSON document a line to stderr, or fields to journald; plain text on a terminal.

Every handler carries the redacting filter; it is set up in one place, so no sink can be without it. Logging is never on
the path of an event: the loop logs what people need to know, the journal keeps what happened.
"""

from __future__ import annotations

import logging
import os
import socket
import sys
from collections.abc import Mapping
from typing import TextIO

import msgspec

from engine.observe.times import iso_ns
from engine.settings.redact import REDACTOR, RedactingFilter, Redactor
from engine.settings.schema import Logs

ROOT = "bot4"
JOURNALD = "/run/systemd/journal/socket"
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime"}
_PRIORITY = {logging.DEBUG: 7, logging.INFO: 6, logging.WARNING: 4, logging.ERROR: 3, logging.CRITICAL: 2}


def fields_of(record: logging.LogRecord) -> dict[str, object]:
    """What was given as `extra`."""
    return {name: value for name, value in vars(record).items() if name not in _STANDARD}


class JsonFormatter(logging.Formatter):
    """One line, one document: time, level, logger, message, the fields, the traceback."""

    def __init__(self, engine: str) -> None:
        super().__init__()
        self.engine = engine

    def format(self, record: logging.LogRecord) -> str:
        body: dict[str, object] = {
            "time": iso_ns(int(record.created * 1e9)),
            "level": record.levelname.lower(),
            "engine": self.engine,
            "logger": record.name,
            "message": record.getMessage(),
        } | fields_of(record)
        if record.exc_text:
            body["traceback"] = record.exc_text
        return msgspec.json.encode(body, enc_hook=str).decode()


class JournaldHandler(logging.Handler):
    """Speaks journald's own protocol: fields by name over its datagram socket. A dead journald loses lines only."""

    def __init__(self, engine: str, path: str = JOURNALD) -> None:
        super().__init__()
        self.engine = engine
        self.path = path
        self.lost_count = 0
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.setblocking(False)

    def emit(self, record: logging.LogRecord) -> None:
        fields: dict[str, object] = {
            "MESSAGE": record.getMessage(),
            "PRIORITY": _PRIORITY.get(record.levelno, 6),
            "SYSLOG_IDENTIFIER": self.engine,
            "LOGGER": record.name,
        }
        if record.exc_text:
            fields["TRACEBACK"] = record.exc_text
        fields |= {f"BOT4_{name.upper()}": value for name, value in fields_of(record).items()}
        try:
            self._socket.sendto(b"".join(_field(name, str(value)) for name, value in fields.items()), self.path)
        except OSError:
            self.lost_count += 1

    def close(self) -> None:
        self._socket.close()
        super().close()


def _field(name: str, value: str) -> bytes:
    content = value.encode(errors="replace")
    if b"\n" not in content:
        return name.encode() + b"=" + content + b"\n"
    # A value of several lines is told with its length.
    return name.encode() + b"\n" + len(content).to_bytes(8, "little") + content + b"\n"


def setup(
    settings: Logs,
    engine: str,
    *,
    stream: TextIO | None = None,
    environ: Mapping[str, str] = os.environ,
    redactor: Redactor = REDACTOR,
) -> logging.Logger:
    """The engine's logger with its one handler; called again, it replaces it."""
    out = stream or sys.stderr
    journald = settings.sink == "journald" or (settings.sink == "auto" and "JOURNAL_STREAM" in environ)
    handler: logging.Handler = JournaldHandler(engine) if journald else logging.StreamHandler(out)
    as_text = settings.form == "text" or (settings.form == "auto" and out.isatty())
    handler.setFormatter(
        logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s") if as_text else JsonFormatter(engine)
    )
    handler.addFilter(RedactingFilter(redactor))
    logger = logging.getLogger(ROOT)
    for old in list(logger.handlers):
        logger.removeHandler(old)
        old.close()
    logger.addHandler(handler)
    logger.setLevel(settings.level.upper())
    logger.propagate = False
    return logger
