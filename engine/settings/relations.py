"""What no single key can be wrong about: relations between settings. Each names the key that a person would move."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator

from engine.settings.problems import Key, Problems, shown
from engine.settings.schema import BREAKER_COMPONENTS, Settings
from engine.settings.units import to_text

Breach = tuple[Key, str, str]


def check_relations(settings: Settings, problems: Problems) -> None:
    for part in (_sizes, _limits, _safety, _network, _names, _breakers, _instruments, _routes, _venues):
        for key, found, expected in part(settings):
            problems.add(key, found, expected)


def is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _sizes(s: Settings) -> Iterator[Breach]:
    if (size := s.journal.segment_bytes) & (size - 1):
        yield ("journal", "segment_bytes"), str(size), f"a power of two, like {1 << size.bit_length()}"
    if s.journal.disk_max_bytes < 2 * size:
        yield ("journal", "disk_max_bytes"), str(s.journal.disk_max_bytes), f"room for two segments, {2 * size}"
    for name, entries, room in (
        ("symbols", len(s.instruments), s.capacity.symbols),
        ("strategies", sum(entry.enabled for entry in s.strategies.values()), s.capacity.strategies),
        ("components", len(s.venues) + len(BREAKER_COMPONENTS), s.capacity.components),
    ):
        if entries > room:
            yield ("capacity", name), str(room), f"at least {entries}: so many are configured"
    if s.capacity.brackets > s.capacity.orders:
        yield ("capacity", "brackets"), str(s.capacity.brackets), f"at most capacity.orders, {s.capacity.orders}"


def _limits(s: Settings) -> Iterator[Breach]:
    if s.limits.open_orders_symbol > s.limits.open_orders_all:
        yield (
            ("limits", "open_orders_symbol"),
            str(s.limits.open_orders_symbol),
            f"at most limits.open_orders_all, {s.limits.open_orders_all}",
        )
    if s.limits.open_orders_all > s.capacity.orders:
        yield (
            ("limits", "open_orders_all"),
            str(s.limits.open_orders_all),
            f"at most capacity.orders, {s.capacity.orders}",
        )
    if s.limits.net_share_ppm > s.limits.gross_share_ppm:
        yield (
            ("limits", "net_share_ppm"),
            str(s.limits.net_share_ppm),
            f"at most limits.gross_share_ppm, {s.limits.gross_share_ppm}",
        )
    if s.discipline.samples_min > s.discipline.window:
        yield (
            ("discipline", "samples_min"),
            str(s.discipline.samples_min),
            f"at most discipline.window, {s.discipline.window}",
        )
    if s.limits.daily_loss_ppm > s.limits.drawdown_ppm:
        yield (
            ("limits", "daily_loss_ppm"),
            str(s.limits.daily_loss_ppm),
            f"at most limits.drawdown_ppm, {s.limits.drawdown_ppm}",
        )


def _safety(s: Settings) -> Iterator[Breach]:
    live = s.engine.mode == "live"
    if live and s.discipline.biases == "observe":
        yield ("discipline", "biases"), '"observe"', "enforce: with real money haste is refused"
    if live and s.discipline.validator == "observe":
        yield ("discipline", "validator"), '"observe"', "auto or enforce: with real money a record decides"
    if live and not s.journal.enabled:
        yield ("journal", "enabled"), "false", "true: live trading is always written down"
    if live and s.journal.mode == "off":
        yield ("journal", "mode"), '"off"', "group or each: live, what is acknowledged is on the disk"
    if 0 < s.safety.dead_man_ms < 30_000:
        yield (
            ("safety", "dead_man_ms"),
            str(s.safety.dead_man_ms),
            "0, or at least 30000: it is renewed every ten seconds",
        )
    pins = [getattr(s.safety, name) for name in _PINS]
    for at, (name, pin) in enumerate(zip(_PINS, pins, strict=True)):
        if pin in pins[:at]:
            yield ("safety", name), str(pin), f"a pin that safety.{_PINS[pins.index(pin)]} does not use"


_PINS = ("pin_switch", "pin_green", "pin_yellow", "pin_red", "pin_tamper")


def _network(s: Settings) -> Iterator[Breach]:
    d = s.dashboard
    if not is_loopback(d.host):
        if not d.token:
            yield ("dashboard", "token"), '""', f"the name of a secret: {d.host} is not loopback"
        if not (d.tls_certificate and d.tls_key):
            yield ("dashboard", "tls_certificate"), shown(d.tls_certificate), f"TLS: {d.host} is not loopback"
    if bool(d.tls_certificate) != bool(d.tls_key):
        yield ("dashboard", "tls_key"), shown(d.tls_key), "certificate and key together"
    if not is_loopback(s.metrics.host):
        yield ("metrics", "host"), shown(s.metrics.host), "a loopback address: the endpoint knows no secret"
    if d.enabled and s.metrics.enabled and d.port == s.metrics.port != 0:
        yield ("metrics", "port"), str(s.metrics.port), "another port than dashboard.port"


def _names(s: Settings) -> Iterator[Breach]:
    for name, strategy in s.strategies.items():
        if strategy.symbol not in s.instruments:
            yield ("strategies", name, "symbol"), shown(strategy.symbol), _one_of("instruments", s.instruments)
        for peer in strategy.peers:
            if peer not in s.instruments or peer == strategy.symbol:
                others = [known for known in s.instruments if known != strategy.symbol]
                yield ("strategies", name, "peers"), shown(peer), f"another symbol, {_one_of('instruments', others)}"
        if strategy.budget_ns > strategy.hard_ns:
            yield ("strategies", name, "budget_ns"), str(strategy.budget_ns), f"at most hard_ns, {strategy.hard_ns}"
    for name, instrument in s.instruments.items():
        if instrument.venue not in s.venues:
            yield ("instruments", name, "venue"), shown(instrument.venue), _one_of("venues", s.venues)


def _breakers(s: Settings) -> Iterator[Breach]:
    known = {*s.venues, *BREAKER_COMPONENTS}
    owners = [(("venues", name, "breaker"), venue.breaker) for name, venue in s.venues.items()]
    for key, breaker in [*owners, *((("breakers", name), entry) for name, entry in s.breakers.items())]:
        for needed in breaker.depends_on:
            if needed not in known:
                yield (*key, "depends_on"), shown(needed), f"one of {', '.join(sorted(known))}"
        if breaker.minimum_calls > breaker.window:
            yield (*key, "minimum_calls"), str(breaker.minimum_calls), f"at most window, {breaker.window}"
        if not breaker.error_rate_ppm and not breaker.failures_in_a_row:
            yield (*key, "failures_in_a_row"), "0", "one of both rules on: by rate or by row"
    for name in s.breakers:
        if name not in BREAKER_COMPONENTS:
            allowed = f"one of {', '.join(BREAKER_COMPONENTS)}; a venue's stands at the venue"
            yield ("breakers", name), shown(name), allowed
    for name in sorted(set(s.venues) & set(BREAKER_COMPONENTS)):
        yield ("venues", name), "a name that a breaker has", "a name of its own"
    yield from _breaker_cycles(s)


def _breaker_cycles(s: Settings) -> Iterator[Breach]:
    """Every venue rests on all components of its own accord; a way back from one of them is a circle."""
    needs = {name: set(form.depends_on) for name, form in s.breakers.items()}
    needs |= {name: {*venue.breaker.depends_on, *BREAKER_COMPONENTS} for name, venue in s.venues.items()}
    for name in sorted(needs):
        reached, todo = set[str](), list(needs[name])
        while todo:
            one = todo.pop()
            if one not in reached:
                reached.add(one)
                todo += needs.get(one, ())
        if name in reached:
            key = ("venues", name, "breaker") if name in s.venues else ("breakers", name)
            yield (*key, "depends_on"), "a circle", "components that do not need this one"


def _one_of(section: str, names: object) -> str:
    listed = ", ".join(sorted(names))  # type: ignore[call-overload]
    return f"an entry of [{section}]: {listed or 'there is none'}"


def _instruments(s: Settings) -> Iterator[Breach]:
    for name, i in s.instruments.items():
        if i.tick * i.lot % 10**8:
            shown_lot = to_text(i.lot, "amount")
            yield ("instruments", name, "lot"), f'"{shown_lot}"', "tick x lot a whole number of 1e-8 of the quote asset"
        for field, step in (("px_min", i.tick), ("px_max", i.tick), ("qty_min", i.lot), ("qty_max", i.lot)):
            if getattr(i, field) % step:
                found = to_text(getattr(i, field), "amount")
                yield ("instruments", name, field), f'"{found}"', f"a multiple of {to_text(step, 'amount')}"
        if i.px_range_ticks[0] >= i.px_range_ticks[1]:
            yield ("instruments", name, "px_max"), f'"{to_text(i.px_max, "amount")}"', "more than px_min"
        if i.qty_range_lots[0] > i.qty_range_lots[1]:
            yield ("instruments", name, "qty_max"), f'"{to_text(i.qty_max, "amount")}"', "at least qty_min"
        if i.quote != s.account.asset:
            yield ("instruments", name, "quote"), shown(i.quote), f"the account's asset, {s.account.asset}"
        if i.fee_maker > i.fee_taker:
            yield ("instruments", name, "fee_maker"), f'"{to_text(i.fee_maker, "percent")}"', "at most fee_taker"


ROUTE_VENUES = 8  # as many as the core compares for one order


def _routes(s: Settings) -> Iterator[Breach]:
    """What is routed must be the same thing in the same steps, a venue each, and stand in one route."""
    taken: dict[str, str] = {}
    for name, route in s.routes.items():
        key = ("routes", name, "instruments")
        unknown = [one for one in route.instruments if one not in s.instruments]
        for one in unknown:
            yield key, shown(one), _one_of("instruments", s.instruments)
        if not 2 <= len(route.instruments) <= ROUTE_VENUES:
            yield key, str(len(route.instruments)), f"two to {ROUTE_VENUES} instruments"
        for one in route.instruments:
            if taken.setdefault(one, name) != name:
                yield key, shown(one), f"an instrument that routes.{taken[one]} does not have"
        if unknown or len(set(route.instruments)) != len(route.instruments):
            if not unknown:
                yield key, ", ".join(route.instruments), "each instrument once"
            continue
        rows = [s.instruments[one] for one in route.instruments]
        if len({row.venue for row in rows}) != len(rows):
            yield key, ", ".join(row.venue for row in rows), "instruments of different venues"
        for owner, strategy in s.strategies.items():
            if strategy.enabled and strategy.symbol in route.instruments and strategy.limits.get("nets"):
                allowed = f"0: routes.{name} spreads {strategy.symbol} over venues, and its stop follows one position"
                yield ("strategies", owner, "limits"), "nets = 1", allowed
        for field in ("base", "quote", "market", "tick", "lot"):
            if len({getattr(row, field) for row in rows}) > 1:
                yield key, ", ".join(route.instruments), f"instruments that agree in {field}"


def _venues(s: Settings) -> Iterator[Breach]:
    for name, venue in s.venues.items():
        if venue.reconnect_ms_min > venue.reconnect_ms_max:
            yield ("venues", name, "reconnect_ms_min"), str(venue.reconnect_ms_min), "at most reconnect_ms_max"
        if venue.protocol == "ccxt" and not venue.exchange:
            yield ("venues", name, "exchange"), '""', "the name that ccxt has for the exchange"
        if s.engine.mode == "live" and venue.enabled and venue.protocol != "embedded" and not venue.credential:
            yield ("venues", name, "credential"), '""', "the name of a secret: live orders are signed"
        if s.engine.mode == "live" and venue.enabled and venue.protocol == "embedded":
            yield ("venues", name, "protocol"), '"embedded"', "a real venue in live mode"
