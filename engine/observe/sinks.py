"""Where alerts go: Slack, Discord, PagerDuty, Telegram, a webhook of one's own, mail.

Each sink has a queue and a task of its own: a dead one costs nobody else anything, and the loop nothing. What a sink
does not take is tried again, a few times with growing waits, then counted as lost and logged. Every text is redacted
before it is sent; a sink's address and secret never stand in an error.
"""

from __future__ import annotations

import asyncio
import logging
import smtplib
from email.message import EmailMessage
from typing import Any

import aiohttp

from engine.errors import AlertUndelivered
from engine.observe.alerts import SEVERITIES, Message
from engine.settings.redact import REDACTOR, Redactor
from engine.settings.schema import Sink
from engine.settings.secrets import Secret

log = logging.getLogger("bot4.alerts")
_COLOUR = {"P0": 0xEF5B5B, "P1": 0xE0803A, "P2": 0xE0B050, "P3": 0x5AA2E8}
_DUTY = {"P0": "critical", "P1": "error", "P2": "warning", "P3": "info"}
ATTEMPTS = 3


def body_of(sink: Sink, message: Message, secret: str) -> tuple[str, dict[str, Any]]:
    """(address, JSON body) in the form that the service takes."""
    match sink.kind:
        case "slack":
            return sink.host or secret, {"text": f"*{message.title}*\n{message.text}"}
        case "discord":
            embed = {
                "title": message.title[:256],
                "description": message.text[:4_000],
                "color": _COLOUR[message.severity],
            }
            return sink.host or secret, {"embeds": [embed], "allowed_mentions": {"parse": []}}
        case "pagerduty":
            event = {
                "routing_key": secret,
                "event_action": "resolve" if message.kind == "resolved" else "trigger",
                "dedup_key": f"{message.engine}/{message.group}",
                "payload": {
                    "summary": message.title[:1_024],
                    "source": message.engine,
                    "severity": _DUTY[message.severity],
                    "group": message.group,
                    "custom_details": {"text": message.text},
                },
            }
            return sink.host or "https://events.pagerduty.com/v2/enqueue", event
        case "telegram":
            base = sink.host or "https://api.telegram.org"
            return f"{base}/bot{secret}/sendMessage", {"chat_id": sink.to, "text": f"{message.title}\n{message.text}"}
    findings = [
        {"rule": f.rule, "subject": f.subject, "severity": f.severity, "text": f.text} for f in message.findings
    ]
    return sink.host or secret, {
        "number": message.number,
        "time_ns": message.ts_ns,
        "kind": message.kind,
        "severity": message.severity,
        "group": message.group,
        "engine": message.engine,
        "title": message.title,
        "findings": findings,
        "suppressed": list(message.suppressed),
    }


def mail_of(sink: Sink, message: Message, redactor: Redactor = REDACTOR) -> EmailMessage:
    mail = EmailMessage()
    mail["Subject"] = redactor.text(message.title).replace("\n", " ")[:200]
    mail["From"] = sink.sender or f"{message.engine}@localhost"
    mail["To"] = sink.to
    mail.set_content(redactor.text(message.text))
    return mail


class SinkTask:
    """One sink with its queue."""

    def __init__(self, name: str, sink: Sink, secret: Secret, *, queue_max: int, redactor: Redactor = REDACTOR) -> None:
        self.name, self.sink, self._secret, self._redactor = name, sink, secret, redactor
        self.sent_count = self.lost_count = 0
        self._queue: asyncio.Queue[Message] = asyncio.Queue(queue_max)
        self._task: asyncio.Task[None] | None = None

    def wants(self, message: Message) -> bool:
        enough = SEVERITIES.index(message.severity) <= SEVERITIES.index(self.sink.severity_min)
        # Who is woken by an escalation is also told that it is over.
        return enough and (not self.sink.escalation or message.kind == "escalation" or message.escalated)

    def offer(self, message: Message) -> None:
        """Never waits: with a full queue the oldest message is lost, for the newest says more."""
        if self._queue.full():
            self._queue.get_nowait()
            self._queue.task_done()
            self.lost_count += 1
        self._queue.put_nowait(message)

    def start(self) -> None:
        self._task = asyncio.create_task(self._run())

    async def drain(self) -> None:
        """Until everything that was offered was sent or lost."""
        await self._queue.join()

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None

    async def _run(self) -> None:
        timeout = aiohttp.ClientTimeout(total=self.sink.timeout_ms / 1000)
        async with aiohttp.ClientSession(timeout=timeout) as session:
            while True:
                message = await self._queue.get()
                try:
                    await self._deliver(session, message)
                finally:
                    self._queue.task_done()

    async def _deliver(self, session: aiohttp.ClientSession, message: Message) -> None:
        for attempt in range(1, ATTEMPTS + 1):
            try:
                await self._send(session, message)
            except AlertUndelivered as error:
                if attempt < ATTEMPTS:
                    await asyncio.sleep(min(2**attempt * self.sink.timeout_ms / 50_000, 30))
                    continue
                self.lost_count += 1
                log.warning("alert not delivered: %s", error, extra={"sink": self.name})
            else:
                self.sent_count += 1
                return

    async def _send(self, session: aiohttp.ClientSession, message: Message) -> None:
        if self.sink.kind == "mail":
            await asyncio.to_thread(self._mail, message)
            return
        address, body = body_of(self.sink, message, self._secret.reveal())
        if self.sink.kind != "pagerduty":
            body = self._redactor.value(body)
        else:
            # Its routing key stands in the body by the service's own form.
            body = {
                name: value if name == "routing_key" else self._redactor.value(value) for name, value in body.items()
            }
        try:
            async with session.post(address, json=body) as answer:
                code = answer.status
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            # The error's own text would hold the address.
            raise AlertUndelivered(f"{self.name}: {type(error).__name__}.") from None
        if code >= 300:
            raise AlertUndelivered(f"{self.name} answered {code}.")

    def _mail(self, message: Message) -> None:
        host, _, port = self.sink.host.partition(":")
        mail = mail_of(self.sink, message, self._redactor)
        try:
            with smtplib.SMTP(host or "localhost", int(port or 25), timeout=self.sink.timeout_ms / 1000) as server:
                if server.has_extn("starttls"):
                    server.starttls()
                if self.sink.sender and self._secret.reveal() and server.has_extn("auth"):
                    server.login(self.sink.sender, self._secret.reveal())
                server.send_message(mail)
        except (OSError, smtplib.SMTPException) as error:
            raise AlertUndelivered(f"{self.name}: {type(error).__name__}.") from None


class Dispatcher:
    """All sinks."""

    def __init__(self, sinks: list[SinkTask]) -> None:
        self.sinks = sinks

    def start(self) -> None:
        for sink in self.sinks:
            sink.start()

    def send(self, messages: list[Message]) -> None:
        """Offer messages to whoever wants them. Returns at once."""
        for message in messages:
            log.warning(
                message.title, extra={"severity": message.severity, "group": message.group, "kind": message.kind}
            )
            for sink in self.sinks:
                if sink.wants(message):
                    sink.offer(message)

    async def drain(self) -> None:
        await asyncio.gather(*(sink.drain() for sink in self.sinks))

    async def close(self) -> None:
        await asyncio.gather(*(sink.close() for sink in self.sinks))
