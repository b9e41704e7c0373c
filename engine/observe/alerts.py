"""Alerts: when somebody must be told, who, and how often.

Owns: rules over the picture, grouping, suppression of what follows from a known cause, quiet hours, escalation. Does
not own: the picture, the sinks (sinks.py). Pure: time and picture come in, messages come out, so every rule of it can
be tested to the nanosecond. Severities: P0 trading is halted or money is at risk, P1 it will be soon, P2 a part is
lost, P3 worth knowing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

from engine.observe.commands import OpenAlert
from engine.observe.status import Status
from engine.observe.times import minute_of_day
from engine.settings.schema import Alerts

SECOND = 10**9
SEVERITIES = ("P0", "P1", "P2", "P3")


@dataclass(frozen=True)
class Finding:
    """Something that is wrong now, of one rule and one subject."""

    rule: str
    subject: str
    severity: str
    text: str

    @property
    def key(self) -> tuple[str, str]:
        return self.rule, self.subject


@dataclass(frozen=True)
class Rule:
    """A question to the picture. It counts when it was true for `for_ns`; `causes` name rules that explain it."""

    name: str
    severity: str
    find: Callable[[Status], Iterator[tuple[str, str]]]
    for_ns: int = 0
    causes: tuple[str, ...] = ()
    group: str = ""


@dataclass(frozen=True)
class Message:
    """What a sink is handed: all news of one group."""

    number: int
    ts_ns: int
    kind: str  # alert, escalation, resolved
    severity: str
    group: str
    engine: str
    findings: tuple[Finding, ...]
    suppressed: tuple[str, ...] = ()  # what follows from these and is not told by itself
    escalated: bool = False  # resolved: whoever it was escalated to is told as well

    @property
    def title(self) -> str:
        first = self.findings[0]
        more = f" and {len(self.findings) - 1} more" if len(self.findings) > 1 else ""
        mark = {"escalation": "nobody acknowledged: ", "resolved": "resolved: "}.get(self.kind, "")
        return f"[{self.severity}] {self.engine}: {mark}{first.text}{more}"

    @property
    def text(self) -> str:
        lines = [f"{finding.severity} {finding.text}" for finding in self.findings]
        if self.suppressed:
            lines.append(f"follows from it: {', '.join(self.suppressed)}")
        return "\n".join(lines)


@dataclass
class _Open:
    finding: Finding
    since_ns: int
    told_ns: int | None = None
    acknowledged: bool = False
    escalated: bool = False


@dataclass
class _Group:
    last_ns: int | None = None
    waiting: list[Finding] = field(default_factory=list)


class AlertEngine:
    """Pictures in, messages out. One per engine; keeps what is open and what was told."""

    def __init__(self, settings: Alerts, rules: tuple[Rule, ...], *, engine: str = "bot4") -> None:
        self.settings, self.rules, self.engine = settings, rules, engine
        self.number = 0
        self._causes = {rule.name: rule.causes for rule in rules}
        self._rules = {rule.name: rule for rule in rules}
        self._pending: dict[tuple[str, str], int] = {}
        self._open: dict[tuple[str, str], _Open] = {}
        self._groups: dict[str, _Group] = {}

    @property
    def open(self) -> tuple[Finding, ...]:
        return tuple(entry.finding for entry in self._open.values())

    def listed(self) -> list[OpenAlert]:
        """What is open, the worst first."""
        rows = [
            OpenAlert(
                self._group_of(entry.finding.rule), entry.finding.rule, entry.finding.subject, entry.finding.severity,
                entry.finding.text, entry.since_ns, entry.told_ns, entry.acknowledged, entry.escalated,
            )
            for entry in self._open.values()
        ]  # fmt: skip
        return sorted(rows, key=lambda row: (row.severity, row.since_ns, row.rule, row.subject))

    def acknowledge(self, group: str | None = None) -> int:
        """Somebody has seen it: what is open in the group (or everywhere) is not escalated."""
        seen = 0
        for entry in self._open.values():
            if entry.told_ns is not None and group in (None, self._group_of(entry.finding.rule)):
                entry.acknowledged = True
                seen += 1
        return seen

    def step(self, status: Status, now_ns: int) -> list[Message]:
        """Judge one picture."""
        found = self._find(status, now_ns)
        messages = list(self._resolve(found, now_ns))
        for key, finding in found.items():
            if key not in self._open:
                self._open[key] = _Open(finding, now_ns)
        suppressed = {key for key in self._open if self._explained(key[0])}
        quiet = self._is_quiet(now_ns)
        for key, entry in self._open.items():
            group = self._groups.setdefault(self._group_of(key[0]), _Group())
            waits = entry.told_ns is None and key not in suppressed and entry.finding not in group.waiting
            if waits and not (quiet and not self._wakes(entry.finding.severity)):
                group.waiting.append(entry.finding)
        messages += self._flush(suppressed, now_ns)
        messages += self._escalate(now_ns)
        return messages

    # ---------------------------------------------------------------------------------------------------- inside
    def _find(self, status: Status, now_ns: int) -> dict[tuple[str, str], Finding]:
        found, seen = {}, set()
        for rule in self.rules:
            for subject, text in rule.find(status):
                finding = Finding(rule.name, subject, rule.severity, text)
                seen.add(finding.key)
                since = self._pending.setdefault(finding.key, now_ns)
                if now_ns - since >= rule.for_ns:
                    found[finding.key] = finding
        # A rule that was false in between begins its time anew.
        self._pending = {key: since for key, since in self._pending.items() if key in seen}
        return found

    def _resolve(self, found: dict[tuple[str, str], Finding], now_ns: int) -> Iterator[Message]:
        gone: dict[str, list[Finding]] = {}
        escalated = set[str]()
        for key in [key for key in self._open if key not in found]:
            entry = self._open.pop(key)
            group = self._group_of(key[0])
            waiting = self._groups.setdefault(group, _Group()).waiting
            if entry.finding in waiting:
                waiting.remove(entry.finding)
            if entry.told_ns is not None:
                gone.setdefault(group, []).append(entry.finding)
            if entry.escalated:
                escalated.add(group)
        for group, findings in gone.items():
            yield replace(self._message("resolved", group, findings, (), now_ns), escalated=group in escalated)

    def _flush(self, suppressed: set[tuple[str, str]], now_ns: int) -> Iterator[Message]:
        for name, group in self._groups.items():
            group.waiting = [f for f in group.waiting if f.key in self._open and f.key not in suppressed]
            due = group.last_ns is None or now_ns - group.last_ns >= self.settings.group_s * SECOND
            # A P0 does not wait for its group's turn.
            if not group.waiting or not (due or any(f.severity == "P0" for f in group.waiting)):
                continue
            told = {f.rule for f in group.waiting}
            follows = tuple(sorted({f"{r} {s}".strip() for r, s in suppressed if self._follows_from(r, told)}))
            yield self._message("alert", name, group.waiting, follows, now_ns)
            for finding in group.waiting:
                self._open[finding.key].told_ns = now_ns
            group.waiting, group.last_ns = [], now_ns

    def _escalate(self, now_ns: int) -> Iterator[Message]:
        late: dict[str, list[Finding]] = {}
        for key, entry in self._open.items():
            if entry.told_ns is None or entry.acknowledged or entry.escalated or entry.finding.severity > "P1":
                continue
            if now_ns - entry.told_ns >= self.settings.escalate_s * SECOND:
                entry.escalated = True
                late.setdefault(self._group_of(key[0]), []).append(entry.finding)
        for group, findings in late.items():
            yield self._message("escalation", group, findings, (), now_ns)

    def _message(
        self, kind: str, group: str, findings: list[Finding], suppressed: tuple[str, ...], now_ns: int
    ) -> Message:
        self.number += 1
        ordered = tuple(sorted(findings, key=lambda f: (f.severity, f.rule, f.subject)))
        return Message(self.number, now_ns, kind, ordered[0].severity, group, self.engine, ordered, suppressed)

    def _group_of(self, rule: str) -> str:
        return self._rules[rule].group or rule

    def _explained(self, rule: str) -> bool:
        return any(cause == name for cause in self._all_causes(rule) for name, _ in self._open)

    def _follows_from(self, rule: str, told: set[str]) -> bool:
        return bool(self._all_causes(rule) & told)

    def _all_causes(self, rule: str) -> set[str]:
        """Causes of causes as well; a rule is never its own cause, whatever circle was written down."""
        causes, ahead = set(), list(self._causes.get(rule, ()))
        while ahead:
            cause = ahead.pop()
            if cause not in causes and cause != rule:
                causes.add(cause)
                ahead.extend(self._causes.get(cause, ()))
        return causes

    def _wakes(self, severity: str) -> bool:
        return SEVERITIES.index(severity) <= SEVERITIES.index(self.settings.quiet_severity)

    def _is_quiet(self, now_ns: int) -> bool:
        begin, end = (int(t[:2]) * 60 + int(t[3:]) for t in (self.settings.quiet_from, self.settings.quiet_to))
        at = minute_of_day(now_ns)
        # Quiet hours may lie over midnight.
        return begin <= at < end if begin <= end else at >= begin or at < end


# ----------------------------------------------------------------------------------------------------- the rules
def _tripped(s: Status) -> Iterator[tuple[str, str]]:
    if s.latch.tripped:
        yield "", f"halted: {', '.join(s.latch.reasons) or 'unknown'}"


def _latch_file(s: Status) -> Iterator[tuple[str, str]]:
    if not s.latch.durable:
        yield "", "the latch cannot be written to disk"


def _journal(s: Status) -> Iterator[tuple[str, str]]:
    if s.journal.enabled and not s.journal.healthy:
        yield "", "the journal cannot be written: no new order leaves"


def _feeds(s: Status) -> Iterator[tuple[str, str]]:
    for feed in s.feeds:
        if not feed.connected:
            yield feed.name, f"feed {feed.name} is lost"


def _books(s: Status) -> Iterator[tuple[str, str]]:
    for symbol in s.symbols:
        if not symbol.trusted:
            yield symbol.name, f"the book of {symbol.name} is not trusted"


def _breakers(s: Status) -> Iterator[tuple[str, str]]:
    for breaker in s.breakers:
        if breaker.state != "closed":
            yield breaker.name, f"breaker {breaker.name} is {breaker.state}"


def _strategies(s: Status) -> Iterator[tuple[str, str]]:
    for strategy in s.strategies:
        if strategy.state != "running":
            yield f"{strategy.name} {strategy.symbol}".strip(), f"strategy {strategy.name} is {strategy.state}"


def _limits(s: Status) -> Iterator[tuple[str, str]]:
    for row in s.headroom:
        if row.used_ppm is not None and row.used_ppm >= 900_000:
            yield row.rule, f"limit {row.rule} is used to {row.used_ppm / 10_000:.0f} %"


def latency_rule(p99_ns: int, *, stage: str = "tick_to_order", for_ns: int = 0) -> Rule:
    """J-05: p99 of a stage above a bound."""

    def find(s: Status) -> Iterator[tuple[str, str]]:
        way = s.stage(stage)
        if way is not None and way.p99_ns is not None and way.p99_ns > p99_ns:
            yield stage, f"p99 of {stage} is {way.p99_ns / 1000:.0f} us, more than {p99_ns / 1000:.0f} us"

    return Rule("latency", "P2", find, for_ns, group="latency")


RULES = (
    Rule("halted", "P0", _tripped, group="halt"),
    Rule("latch-file", "P0", _latch_file, group="halt"),
    Rule("journal", "P0", _journal, causes=("halted",), group="journal"),
    Rule("feed-lost", "P1", _feeds, for_ns=2 * SECOND, group="data"),
    Rule("book-untrusted", "P2", _books, for_ns=5 * SECOND, causes=("feed-lost", "halted"), group="data"),
    Rule("breaker-open", "P1", _breakers, causes=("feed-lost",), group="breakers"),
    Rule("strategy-stopped", "P2", _strategies, causes=("halted",), group="strategies"),
    Rule("limit-near", "P3", _limits, for_ns=10 * SECOND, group="limits"),
    latency_rule(5_000_000, for_ns=10 * SECOND),
)
