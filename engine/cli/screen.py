"""The picture in a terminal: what `bot4 run` shows, `bot4 top` fills the screen with and `bot4 status` prints once."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.layout import Layout
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from engine.observe.status import Event, Status, SymbolStatus

HIDDEN = "hidden"
_MODE_STYLE = {"Normal": "bold green", "Paused": "bold yellow", "Reduced": "bold yellow", "Emergency": "bold red"}


def duration(ns: int | None) -> str:
    """A duration in the unit that a person reads it in."""
    if ns is None:
        return "-"
    for size, unit in ((86_400 * 10**9, "d"), (3_600 * 10**9, "h"), (60 * 10**9, "min"), (10**9, "s"), (10**6, "ms")):
        if ns >= size:
            return f"{ns / size:.1f} {unit}"
    return f"{ns / 1_000:.1f} us" if ns >= 1_000 else f"{ns} ns"


def number(value: float | None, places: int = 2, *, hidden: bool = False, sign: bool = False) -> str:
    if value is None:
        return HIDDEN if hidden else "-"
    return f"{value:+,.{places}f}" if sign else f"{value:,.{places}f}"


def size(count: int | None) -> str:
    value = float(count or 0)
    for unit in ("B", "kB", "MB", "GB"):
        if value < 1_000 or unit == "GB":
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1_000
    return ""


def headline(status: Status) -> Text:
    """Mode, latch, health: what is read first."""
    text = Text()
    if status.latch.tripped:
        text.append(f" HALTED: {', '.join(status.latch.reasons) or 'unknown'} ", "bold white on red")
    else:
        text.append(f" {status.mode} ", f"{_MODE_STYLE.get(status.mode, 'bold')} reverse")
    text.append(f"  {status.name} ({status.run}), tier {status.tier}", "bold")
    if status.unhealthy and not status.latch.tripped:
        text.append(f"  not healthy: {'; '.join(status.unhealthy)}", "bold red")
    if status.redacted:
        text.append("  positions and profit hidden until the daily cut", "yellow")
    if status.waiting:
        text.append(f"  {status.waiting} settings wait", "yellow")
    return text


def _grid(*columns: str, title: str | None = None) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold", box=None, pad_edge=False, expand=True)
    for at, column in enumerate(columns):
        table.add_column(column, justify="left" if at == 0 else "right", header_style="dim", no_wrap=True)
    return table


def symbols(status: Status) -> Table:
    table = _grid("symbol", "bid", "ask", "age", "position", "profit", "orders")
    for row in status.symbols:
        trusted = row.trusted and not row.halted
        places = _places(row)
        table.add_row(
            Text(row.name, "" if trusted else "red"),
            number(row.bid, places),
            number(row.ask, places),
            duration(row.book_age_ns),
            number(row.position, 4, hidden=status.redacted),
            _profit(row.unrealised, status.redacted),
            str(row.orders_open),
        )
    return table


def _places(row: SymbolStatus) -> int:
    return 2 if (row.bid or 0) >= 10 else 5


def _profit(value: float | None, redacted: bool) -> Text:
    return Text(number(value, hidden=redacted, sign=True), "" if not value else "green" if value > 0 else "red")


def facts(status: Status) -> Table:
    account, journal, way = status.account, status.journal, status.stage("tick_to_order")
    table = Table(box=None, show_header=False, pad_edge=False, expand=True)
    table.add_column(style="dim", no_wrap=True)
    table.add_column(no_wrap=True, overflow="ellipsis")
    equity = f"{number(account.equity, hidden=status.redacted)} {account.asset}"
    table.add_row("equity", Text.assemble(equity, "  today ", _profit(account.day_profit, status.redacted)))
    drawdown = "-" if account.drawdown_ppm is None else f"{account.drawdown_ppm / 10_000:.2f} %"
    table.add_row("drawdown", drawdown)
    if way is not None:
        table.add_row("tick to order", f"p50 {duration(way.p50_ns)}, p99 {duration(way.p99_ns)}, of {way.count:,}")
    state = ("healthy" if journal.healthy else "NOT HEALTHY") if journal.enabled else "off"
    table.add_row("journal", f"{state}, {journal.records:,} records, {size(journal.bytes)}, {journal.mode}")
    counts = status.counts
    table.add_row(
        "counted", ", ".join(f"{counts[n]:,} {n}" for n in ("events", "intents", "fills", "denied") if n in counts)
    )
    bad = [f"{b.name} {b.state}" for b in status.breakers if b.state != "closed"]
    table.add_row("breakers", Text(", ".join(bad), "red") if bad else Text(f"{len(status.breakers)} closed"))
    lost = [feed.name for feed in status.feeds if not feed.connected]
    table.add_row("feeds", Text(f"lost: {', '.join(lost)}", "red") if lost else Text(f"{len(status.feeds)} connected"))
    table.add_row("switch", f"{status.safety.switch or '-'}, dead-man {status.safety.dead_man or '-'}")
    return table


def orders(status: Status, most: int = 10) -> Table:
    table = _grid("order", "side", "price", "quantity", "filled", "age")
    for row in status.orders[:most]:
        hidden = status.redacted
        table.add_row(
            row.symbol, row.side, number(row.px, hidden=hidden), number(row.qty, 4, hidden=hidden),
            number(row.filled, 4, hidden=hidden), duration(row.age_ns),
        )  # fmt: skip
    if len(status.orders) > most:
        table.add_row(f"and {len(status.orders) - most} more", *[""] * 5)
    return table


def headroom(status: Status, width: int = 24) -> Table:
    table = _grid("limit", "used", "")
    rows = sorted((row for row in status.headroom if row.used_ppm is not None), key=lambda r: -(r.used_ppm or 0))
    for row in rows[:8]:
        used = (row.used_ppm or 0) / 1_000_000
        bar = "█" * min(width, round(used * width))
        table.add_row(row.rule, f"{used:.0%}", Text(bar.ljust(width, "·"), "red" if used >= 0.9 else "green"))
    return table


def refusals(status: Status, most: int = 5) -> Table:
    table = _grid("last why not", "side", "reasons")
    for row in status.why[:most]:
        table.add_row(f"{row.symbol} {row.strategy}".strip(), row.side, Text(", ".join(row.reasons), "yellow"))
    return table


def strategies(status: Status) -> Table:
    table = _grid("strategy", "symbol", "calls", "intents", "denied", "state")
    for row in status.strategies:
        state = Text(row.state, "green" if row.state == "running" else "red")
        table.add_row(row.name, row.symbol, f"{row.calls:,}", f"{row.intents:,}", f"{row.denied:,}", state)
    return table


def tail(events: list[Event], most: int = 8) -> Table:
    table = _grid("event", "")
    style = {"warning": "yellow", "error": "bold red"}
    for event in events[-most:]:
        table.add_row(Text(event.kind, style.get(event.severity, "")), Text(event.text or event.symbol))
    return table


def screen(status: Status, events: list[Event] | None = None) -> RenderableType:
    """The compact form: one panel, as `bot4 run` shows it."""
    parts: list[RenderableType] = [headline(status), Text(), symbols(status), Text(), facts(status)]
    if status.strategies:
        parts += [Text(), strategies(status)]
    if status.why:
        parts += [Text(), refusals(status, 3)]
    if events:
        parts += [Text(), tail(events, 4)]
    style = "red" if status.latch.tripped else "green" if status.mode == "Normal" else "yellow"
    return Panel(Group(*parts), title=f"Bot4 {status.session}", border_style=style)


def full_screen(status: Status, events: list[Event]) -> RenderableType:
    """All of it, for `bot4 top`."""
    layout = Layout()
    style = "red" if status.latch.tripped else "green" if status.mode == "Normal" else "yellow"

    def panel(title: str, body: RenderableType) -> Panel:
        return Panel(body, title=title, title_align="left", border_style=style)

    layout.split_column(
        Layout(panel("Bot4", headline(status)), size=3, name="head"),
        Layout(name="upper", ratio=2),
        Layout(name="lower", ratio=3),
    )
    layout["upper"].split_row(
        Layout(panel("symbols", symbols(status)), ratio=3), Layout(panel("engine", facts(status)), ratio=2)
    )
    layout["lower"].split_row(Layout(name="left", ratio=3), Layout(name="right", ratio=2))
    layout["left"].split_column(
        Layout(panel("orders", orders(status))), Layout(panel("strategies", strategies(status)))
    )
    layout["right"].split_column(
        Layout(panel("gate", headroom(status))),
        Layout(panel("why not", refusals(status))),
        Layout(panel("events", tail(events))),
    )
    return layout
