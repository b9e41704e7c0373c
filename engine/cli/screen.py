"""The picture in a terminal: what `bot4 run` shows, `bot4 top` fills the screen with and `bot4 status` prints once."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.layout import Layout
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from engine.observe.status import Event, OrderStatus, Status, SymbolStatus

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
    if status.started_ns:
        text.append(f"  up {duration(status.ts_ns - status.started_ns)}", "dim")
    if not status.healthy and not status.latch.tripped:
        text.append("  NOT HEALTHY", "bold red")
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
    table.add_column(style="dim", no_wrap=True, width=13)
    table.add_column(no_wrap=True, overflow="ellipsis", ratio=1)
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
    closed = f"{len(status.breakers)} closed" if status.breakers else "none in use"
    table.add_row("breakers", Text(", ".join(bad), "red") if bad else Text(closed))
    table.add_row("health", health(status))
    lost = [feed.name for feed in status.feeds if not feed.connected]
    table.add_row("feeds", Text(f"lost: {', '.join(lost)}", "red") if lost else Text(f"{len(status.feeds)} connected"))
    table.add_row("switch", f"{status.safety.switch or '-'}, dead-man {status.safety.dead_man or '-'}")
    if status.safety.drills_overdue:
        table.add_row("drills", Text(f"overdue: {', '.join(status.safety.drills_overdue)}", "yellow"))
    refused = [row for row in status.host if "REFUSED" in row]
    if status.host:
        table.add_row("host", Text("; ".join(refused), "yellow") if refused else f"{len(status.host)} wishes granted")
    return table


def side_of(row: OrderStatus) -> str:
    """A limit order is what an order is; any other says so, for its price is one that it waits for."""
    return row.side if row.type == "limit" else f"{row.side} {row.type}"


def orders(status: Status, most: int = 10, *, total: bool = True) -> Table:
    head = "order" if total else f"order ({len(status.orders)} live)"
    table = _grid(head, "side", "price", "quantity", "filled", "age")
    for row in status.orders[:most]:
        hidden = status.redacted
        table.add_row(
            row.symbol, side_of(row), number(row.px, hidden=hidden), number(row.qty, 4, hidden=hidden),
            number(row.filled, 4, hidden=hidden), duration(row.age_ns),
        )  # fmt: skip
    if not status.orders:
        table.add_row(Text("none", "dim"), *[""] * 5)
    if total and len(status.orders) > most:
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
    """The last ones; those that say the same of the same strategy are one line."""
    table = _grid("last why not", "side", "reasons")
    alike: dict[tuple[str, str, tuple[str, ...]], list[str]] = {}
    for row in (why for why in status.why if not why.observed):
        sides = alike.setdefault((row.symbol, row.strategy, row.reasons), [])
        if row.side not in sides:
            sides.append(row.side)
    for (symbol, strategy, reasons), sides in list(alike.items())[:most]:
        table.add_row(f"{symbol} {strategy}".strip(), ", ".join(sides), Text(", ".join(reasons), "yellow"))
    if not status.why:
        table.add_row(Text("nothing was refused", "dim"), "", "")
    return table


def strategies(status: Status, most: int = 64) -> Table:
    table = _grid("strategy", "symbol", "calls", "intents", "denied", "state")
    for row in status.strategies[:most]:
        state = Text(row.state, "green" if row.state == "running" else "red")
        table.add_row(row.name, row.symbol, f"{row.calls:,}", f"{row.intents:,}", f"{row.denied:,}", state)
    return table


def tail(events: list[Event], most: int = 8) -> Table:
    table = Table(box=None, pad_edge=False, expand=True)
    table.add_column("event", header_style="dim", no_wrap=True, width=10)
    table.add_column("", no_wrap=True, overflow="ellipsis", ratio=1)
    style = {"warning": "yellow", "error": "bold red"}
    for event in events[-most:] if most > 0 else ():
        table.add_row(Text(event.kind, style.get(event.severity, "")), Text(f"{event.symbol} {event.text}".strip()))
    if not events:
        table.add_row(Text("nothing yet", "dim"), "")
    return table


def health(status: Status) -> Text:
    """One line: well, or everything that is not."""
    if status.latch.tripped:
        return Text("the latch is tripped: nothing leaves", "bold red")
    if not status.healthy:
        return Text("; ".join(status.unhealthy) or "not healthy", "bold red")
    lost = sum(not feed.connected for feed in status.feeds)
    parts = [f"well, {len(status.feeds) - lost} streams connected"]
    parts.append(f"{len(status.breakers)} breakers closed" if status.breakers else "no breaker in use")
    if status.loop_lag_ns is not None:
        parts.append(f"loop {duration(status.loop_lag_ns)} late")
    if status.memory_bytes is not None:
        parts.append(size(status.memory_bytes))
    return Text(", ".join(parts), "green")


def _short_facts(status: Status) -> Table:
    """What `bot4 run` says of account, latency, journal and health: a line each."""
    account, journal, way, counts = status.account, status.journal, status.stage("tick_to_order"), status.counts
    table = Table(box=None, show_header=False, pad_edge=False, expand=True)
    table.add_column(style="dim", no_wrap=True, width=13)
    table.add_column(no_wrap=True, overflow="ellipsis", ratio=1)
    fall = "-" if account.drawdown_ppm is None else f"{account.drawdown_ppm / 10_000:.2f} %"
    equity = f"{number(account.equity, hidden=status.redacted)} {account.asset}, today "
    today = _profit(account.day_profit, status.redacted)
    table.add_row("equity", Text.assemble(equity, today, f", drawdown {fall}"))
    done = ", ".join(f"{counts[n]:,} {n}" for n in ("events", "intents", "fills", "denied") if n in counts)
    table.add_row("counted", done)
    if way is not None:
        table.add_row(
            "tick to order", f"p50 {duration(way.p50_ns)}, p99 {duration(way.p99_ns)} of {way.count:,} orders"
        )
    state = ("healthy" if journal.healthy else "NOT HEALTHY") if journal.enabled else "off"
    words = (
        f"{state}, {journal.records:,} records, {size(journal.bytes)}, {journal.mode}, lag {duration(journal.lag_ns)}"
    )
    table.add_row("journal", Text(words, "" if journal.healthy else "bold red"))
    table.add_row("health", health(status))
    return table


def _rows_for(height: int, wants: list[tuple[int, int]]) -> list[int]:
    """Shares `height` lines out to tables that want (least, most) rows each, one line of heading included."""
    given = [least for least, _ in wants]
    spare = height - sum(given)
    while spare > 0 and any(have < most for have, (_, most) in zip(given, wants, strict=True)):
        for at, (_, most) in enumerate(wants):
            if given[at] < most and spare > 0:
                given[at] += 1
                spare -= 1
    return given


def screen(
    status: Status, events: list[Event] | None = None, *, height: int | None = None, page: str = ""
) -> RenderableType:
    """One panel, as `bot4 run` shows it live. With a height it is never taller: 24 lines hold every part."""
    tail_of = events or []
    fixed = 2 + 1 + 1 + len(status.symbols) + 5
    wants = [
        (2, 1 + min(12, max(1, len(status.orders)))),  # orders
        (2, 1 + min(6, max(1, len(status.why)))),  # why not
        (2, 1 + min(8, max(1, len(tail_of)))),  # events
        (0, 1 + len(status.strategies)),
    ]
    lines = _rows_for(height - fixed, wants) if height is not None else [most for _, most in wants]
    parts: list[RenderableType] = [headline(status), symbols(status), _short_facts(status)]
    parts += [orders(status, lines[0] - 1, total=False), refusals(status, lines[1] - 1), tail(tail_of, lines[2] - 1)]
    if lines[3] > 1:
        parts.append(strategies(status, lines[3] - 1))
    style = "red" if status.latch.tripped else "green" if status.mode == "Normal" else "yellow"
    hint = f"Ctrl-C stops in order{f' - {page}' if page else ''}"
    return Panel(Group(*parts), title=f"Bot4 {status.session}", subtitle=hint if page else None, border_style=style)


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
