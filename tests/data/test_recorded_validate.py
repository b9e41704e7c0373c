"""The ingest gate over recordings of real venues: good data passes, twelve kinds of damage do not."""

from __future__ import annotations

import gzip
from functools import lru_cache

import numpy as np
import pytest

from engine._core import validate as core
from engine._core.parse import Parser
from engine._core.types import EVENT, LEVEL, QUOTE, TRADE, Flag, Kind, Status
from engine._core.validate import Class
from engine.model import validate as model
from tests.support.shared import shared_path

pytestmark = pytest.mark.needs_shared

MS = 10**6
WITHOUT_QUOTE_TIME = {"needs_time": 0xFF & ~(1 << Class.CLASS_IMAGE) & ~(1 << Class.CLASS_QUOTE)}
# name: the parser's symbol row, the venue's clock minus the recorder's, limits that are this venue's own
RECORDINGS = {
    "spot_btcusdt_20230405": ("BTCUSDT", "0.01", "0.00000001", 0, WITHOUT_QUOTE_TIME),
    "spot_btcusdt_20240808": ("BTCUSDT", "0.01", "0.00000001", 1270 * MS, WITHOUT_QUOTE_TIME),
    "usdm_btcusdt_20230404": ("BTCUSDT", "0.10", "0.001", 0, {}),
    "usdm_btcusdt_20230405": ("BTCUSDT", "0.10", "0.001", 0, {}),
    "usdm_btcusdt_20240808": ("BTCUSDT", "0.10", "0.001", 1270 * MS, {}),
    "usdm_ethusdt_20240808": ("ETHUSDT", "0.01", "0.001", 1270 * MS, {}),
    "cm_btcusd_perp_20240808": ("BTCUSD_PERP", "0.1", "1", 1270 * MS, {}),
}


@lru_cache
def recorded(name):
    """Every market event of a recording, through the compiled parser."""
    symbol, tick, lot, *_ = RECORDINGS[name]
    parser = Parser([(symbol, 0, tick, lot)], context_symbol=symbol, context_snapshot=True, levels_max=8192, room=20000)
    out = []
    with gzip.open(shared_path("binance_raw", f"{name}.log.gz"), "rb") as lines:
        for line in lines:
            stamp, text = line.rstrip().split(b" ", 1)
            status, events = parser.read(text, int(stamp) * (1 if len(stamp) > 17 else 1000))
            assert status in (Status.OK, Status.PARSE_NOT_DATA), (status, text[:200])
            out.append(events.copy())
    return np.concatenate(out)


def gate(impl, name):
    _, tick, _, offset, own = RECORDINGS[name]
    g = impl.Validate(symbols=1)
    g.configure(0, px_ticks_max=2**40, tick_e8=round(float(tick) * 1e8), **own)
    g.clock(0, offset)
    return g


# What is refused in the recordings. In 2023 the recorder's link stood still for up to three seconds, so depth messages
# of that time are stale, levels and all; and the venue printed one trade two per cent off a market that did not move.
REFUSED = {
    "usdm_btcusdt_20230405": {"VALIDATE_STALE": 793, "VALIDATE_CONDEMNED": 5111, "VALIDATE_SPIKE": 1},
}


@pytest.mark.parametrize("name", RECORDINGS)
def test_good_data_passes_and_only_late_or_wild_data_is_refused(name):
    events = recorded(name)
    g = gate(core, name)
    g.events(events)
    g.check()
    row = g.row(0)
    assert g.counts(0) == REFUSED.get(name, {})
    # Data that late halts the symbol; nothing else in these recordings does.
    assert (row["halt_count"], row["suspect_count"], row["jump_count"]) == (int(name in REFUSED), 0, 0)
    assert g.totals()[:2] == (len(events) - sum(g.counts(0).values()), sum(g.counts(0).values()))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["spot_btcusdt_20230405", "usdm_btcusdt_20230404"])
def test_the_twin_judges_a_recording_alike(name):
    events = recorded(name)[:60_000]
    ours, twin = gate(core, name), gate(model, name)
    assert np.array_equal(ours.events(events), twin.events(events))
    assert ours.row(0) == twin.row(0)


# ------------------------------------------------------------------------------------------- twelve kinds of damage
def _px(kind, field, change):
    def damage(event, before):
        view = event.view({Kind.KIND_TRADE: TRADE, Kind.KIND_QUOTE: QUOTE, Kind.KIND_BOOK_LEVEL: LEVEL}[kind])
        view[field] = change(view[field])

    return kind, damage


def _head(kind, change):
    def damage(event, before):
        change(event, before)

    return kind, damage


def _again(event, before):
    event[:] = before


def _older(event, before):
    event["ts_venue_ns"] = before["ts_venue_ns"] - 1


def _late(event, before):
    event["ts_recv_ns"] += 10**10


def _future(event, before):
    event["ts_venue_ns"] += 10**9


def _no_time(event, before):
    event["ts_venue_ns"] = 0
    event["flags"] |= np.uint8(Flag.FLAG_NO_VENUE_TIME)


def _swap(event, before):
    view = event.view(QUOTE)
    view["bid_px_ticks"], view["ask_px_ticks"] = view["ask_px_ticks"].copy(), view["bid_px_ticks"].copy()


def _no_first(event, before):
    event["flags"] &= ~np.uint8(Flag.FLAG_FIRST)


DAMAGE = {
    "minus one": (*_px(Kind.KIND_TRADE, "px_ticks", lambda px: px * 0 - 1), Status.VALIDATE_BAD_PRICE),
    "a quantity of zero": (*_px(Kind.KIND_TRADE, "qty_lots", lambda q: q * 0), Status.VALIDATE_BAD_QUANTITY),
    "a digit too many": (*_px(Kind.KIND_TRADE, "px_ticks", lambda px: px * 10), Status.VALIDATE_BAND),
    "a spike of one percent": (*_px(Kind.KIND_TRADE, "px_ticks", lambda px: px + px // 100), Status.VALIDATE_SPIKE),
    "sent twice": (*_head(Kind.KIND_TRADE, _again), Status.VALIDATE_DUPLICATE),
    "time running backwards": (*_head(Kind.KIND_TRADE, _older), Status.VALIDATE_ORDER),
    "ten seconds late": (*_head(Kind.KIND_TRADE, _late), Status.VALIDATE_STALE),
    "a second in the future": (*_head(Kind.KIND_TRADE, _future), Status.VALIDATE_CLOCK),
    "without a time": (*_head(Kind.KIND_TRADE, _no_time), Status.VALIDATE_NO_TIME),
    "crossed": (*_head(Kind.KIND_QUOTE, _swap), Status.VALIDATE_CROSSED),
    "a beginning lost": (*_head(Kind.KIND_BOOK_LEVEL, _no_first), Status.VALIDATE_TORN),
    "a negative level": (*_px(Kind.KIND_BOOK_LEVEL, "qty_lots", lambda q: q * 0 - 7), Status.VALIDATE_BAD_QUANTITY),
}


@pytest.mark.parametrize("what", DAMAGE)
@pytest.mark.parametrize("seed", range(5))
def test_damage_to_recorded_events_is_refused_with_its_reason(what, seed):
    """One event among good ones; those before and after it pass as if it had never been."""
    kind, damage, expected = DAMAGE[what]
    name = "usdm_btcusdt_20240808"
    # The first seconds warm up the reference; then one event out of the next forty thousand.
    events = recorded(name)[:60_000].copy()
    firsts = np.flatnonzero((events["kind"] == kind) & (events["flags"] & Flag.FLAG_FIRST > 0))
    firsts = firsts[firsts > 20_000]
    at = int(np.random.default_rng(seed).choice(firsts[firsts < 59_000]))
    same = np.flatnonzero(events["kind"] == kind)
    before = events[same[np.searchsorted(same, at) - 1]].copy()
    damaged = events[at : at + 1].copy()
    damage(damaged, before)
    g = gate(core, name)
    assert not g.events(events[:at]).any()
    assert g.event(damaged, max(int(damaged["ts_recv_ns"][0]), int(events["ts_recv_ns"][at]))) == expected
    refused = g.refusal
    assert (int(refused["reason"]), int(refused["kind"])) == (expected, Kind.KIND_REFUSAL)
    if kind == Kind.KIND_BOOK_LEVEL:
        # The rest of its message is refused with it.
        rest = at + 1 + int(np.flatnonzero(events["flags"][at:] & Flag.FLAG_LAST)[0])
        assert set(g.events(events[at + 1 : rest]).tolist()) <= {Status.VALIDATE_CONDEMNED}
        at = rest - 1
    assert not g.events(events[at + 1 :]).any()
    assert EVENT.itemsize == 64
