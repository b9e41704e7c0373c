"""Keeps secrets out of every sink: logs, alerts, status, errors.

Two ways together: every secret that was read is known and replaced wherever it stands, also encoded for a URL or in
base64; and what looks like a secret (a key named so, a bearer token, a password in an address) is replaced whether it
is known or not. Costs microseconds a line; sinks call it beside the core, never on the path of an event.
"""

from __future__ import annotations

import base64
import logging
import re
from typing import Any
from urllib.parse import quote, quote_plus

MARK = "[redacted]"
# Shorter ones would blacken half of every line, and protect nothing.
LEAST = 6

_NAMED = re.compile(
    r"""(?ix) ( \b (?:api[_-]?)? (?:key|secret|token|password|passphrase|signature|authorization|routing_key) \b
        ["']? \s* [:=] \s* ) (?: "[^"]*" | '[^']*' | (?:(?:bearer|basic)\s+)? [^\s,;&"'}\]]+ )"""
)
_BEARER = re.compile(r"(?i)\b((?:bearer|basic)\s+)[A-Za-z0-9._~+/=-]{8,}")
_ADDRESS = re.compile(r"(?i)\b(\w+://[^/\s:@]+:)[^@\s/]+(@)")
_WEBHOOKS = re.compile(
    r"(?i)(https://(?:hooks\.slack\.com/services|(?:\w+\.)?discord(?:app)?\.com/api/webhooks)/)[^\s\"']+"
)
_BOT = re.compile(r"\b(bot)?\d{6,12}:[A-Za-z0-9_-]{30,}")


class Redactor:
    """Knows what must not be shown."""

    def __init__(self) -> None:
        self._known: set[str] = set()
        self._pattern: re.Pattern[str] | None = None

    def learn(self, secret: str) -> None:
        """From now on this text, in each form it is likely to be sent in, stands nowhere."""
        forms = {part for line in (secret, *secret.split("\n")) for part in _forms(line.strip()) if len(part) >= LEAST}
        if forms <= self._known:
            return
        self._known |= forms
        # The longest first: one secret may begin like another.
        ordered = sorted(self._known, key=len, reverse=True)
        self._pattern = re.compile("|".join(re.escape(form) for form in ordered))

    def text(self, text: str) -> str:
        if self._pattern is not None:
            text = self._pattern.sub(MARK, text)
        text = _WEBHOOKS.sub(rf"\1{MARK}", text)
        text = _BOT.sub(MARK, text)
        text = _NAMED.sub(rf"\1{MARK}", text)
        text = _BEARER.sub(rf"\1{MARK}", text)
        return _ADDRESS.sub(rf"\1{MARK}\2", text)

    def value(self, value: Any) -> Any:
        """The same for nested values, as logs and alerts carry them."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, dict):
            return {self.value(key): self._field(str(key), inner) for key, inner in value.items()}
        if isinstance(value, list | tuple):
            return [self.value(inner) for inner in value]
        return value if isinstance(value, int | float | bool | None) else self.text(str(value))

    def _field(self, name: str, value: Any) -> Any:
        if isinstance(value, str) and _NAMED.match(f"{name}=x"):
            return MARK
        return self.value(value)


def _forms(secret: str) -> set[str]:
    encoded = base64.b64encode(secret.encode()).decode()
    return {secret, quote(secret, safe=""), quote_plus(secret), encoded, encoded.rstrip("="), repr(secret)[1:-1]}


REDACTOR = Redactor()


class RedactingFilter(logging.Filter):
    """On every handler of the engine: message, arguments and traceback are made a text, and that text is cleaned."""

    def __init__(self, redactor: Redactor = REDACTOR) -> None:
        super().__init__()
        self.redactor = redactor

    def filter(self, record: logging.LogRecord) -> bool:
        record.msg = self.redactor.text(record.getMessage())
        record.args = None
        if record.exc_info:
            record.exc_text = self.redactor.text(logging.Formatter().formatException(record.exc_info))
            record.exc_info = None
        elif record.exc_text:
            record.exc_text = self.redactor.text(record.exc_text)
        for name, value in list(vars(record).items()):
            if name not in _STANDARD:
                setattr(record, name, self.redactor.value(value))
        return True


_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime"}
