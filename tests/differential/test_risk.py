"""The gate: each rule alone, the lanes, the twin over random orders, and the tokens."""

from __future__ import annotations

import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from engine._core import risk as core
from engine._core.risk import Rule
from engine.errors import LimitLooser, UnknownSymbol
from engine.model import risk as model

STEM = "risk"
NOW = 1_700_000_000_000_000_000

LIMITS = {
    "book_age_ns": 500_000_000,
    "px_band_ppm": 50_000,
    "order_notional": 50_000,
    "position_share_ppm": 20_000,
    "gross_share_ppm": 2_000_000,
    "net_share_ppm": 1_000_000,
    "leverage_tier_ppm": 3_000_000,
    "leverage_regime_ppm": 2_000_000,
    "correlation_ppm": 700_000,
    "drawdown_ppm": 150_000,
    "daily_loss_ppm": 50_000,
    "margin_ppm": 1_100_000,
    "liquidation_ppm": 50_000,
    "open_orders_symbol": 4,
    "open_orders_all": 8,
    "rejects_in_a_row": 5,
    "clock_drift_ns": 250_000_000,
    "signal_age_ns": 1_000_000_000,
    "equity_age_ns": 5_000_000_000,
    "orders_per_second": 10,
    "cancels_per_second": 20,
    "churn_per_minute": 100,
}
ACCOUNT = {
    "equity": 1_000_000,
    "peak": 1_000_000,
    "day_base": 1_000_000,
    "margin_available": 1_000_000,
    "position_scale_ppm": 1_000_000,
    "ts_equity_ns": NOW,
}
SYMBOL = {
    "bid_px_ticks": 99,
    "ask_px_ticks": 101,
    "ts_book_ns": NOW,
    "book_trusted": 1,
    "value_q32": 1 << 32,  # one tick x one lot is one unit
    "px_min_ticks": 1,
    "px_max_ticks": 10_000,
    "qty_min_lots": 1,
    "qty_max_lots": 100_000,
    "notional_min": 10,
    "notional_max": 10_000_000,
    "px_ref_ticks": 100,
    "buy_up_ppm": 1_200_000,
    "sell_down_ppm": 800_000,
    "margin_ppm": 100_000,
}
BUY = {"px_ticks": 100, "qty_lots": 100, "px_stop_ticks": 90, "ts_signal_ns": NOW}
SELL = BUY | {"sell": True, "px_stop_ticks": 110}


def gate(impl, *, symbols=1, **changes):
    """A gate in which BUY and SELL pass; `changes` go to the limits, the account or the symbol that knows the name."""
    g = impl.Gate(symbols=symbols, seed=1)
    for where, base, set_ in (
        ("limits", LIMITS, g.set_limits),
        ("account", ACCOUNT, g.set_account),
    ):
        set_(**base | {k: v for k, v in changes.items() if k in base or (where == "account" and k in EXTRA_ACCOUNT)})
    for symbol in range(symbols):
        known = set(SYMBOL) | EXTRA_SYMBOL
        g.set_symbol(symbol, **SYMBOL | {k: v for k, v in changes.items() if k in known and k not in EXTRA_ACCOUNT})
    return g


EXTRA_ACCOUNT = {"latch", "mode", "breaker_denied"}
EXTRA_SYMBOL = {"halted", "lots", "open_buy_lots", "open_sell_lots", "px_liquidation_ticks"}


def rules(mask):
    return {Rule(i).name[5:] for i in range(33) if mask >> i & 1}


def failed(g, now_ns=NOW, **ask):
    return rules(g.place(now_ns, **ask))


def test_a_good_order_passes_on_both_sides(impl):
    g = gate(impl)
    assert failed(g, **BUY) == set()
    assert failed(g, **SELL) == set()
    assert g.counts["passed"] == 2
    g.check()


# ------------------------------------------------------------------------------- each rule alone, at its limit and past
@pytest.mark.parametrize(
    ("name", "at_limit", "past"),
    [
        ("POSITION_SHARE", {"qty_lots": 198}, {"qty_lots": 199}),  # 198 x 101 = 19,998 of 20,000
        ("PX_RANGE", {"px_ticks": 100}, {"px_ticks": 0, "px_stop_ticks": 0}),
        ("QTY_RANGE", {"qty_lots": 1}, {"qty_lots": 0}),
        ("CORRELATION", {"correlation_ppm": 700_000}, {"correlation_ppm": 700_001}),
        ("STOP_MISSING", {"px_stop_ticks": 99}, {"px_stop_ticks": 0}),
        ("STOP_MISSING", {"px_stop_ticks": 1}, {"px_stop_ticks": 100}),
        ("SELF_TRADE", {"px_own_opposite_ticks": 101}, {"px_own_opposite_ticks": 100}),
        ("DUPLICATE_INTENT", {"duplicate": False}, {"duplicate": True}),
        ("SIGNAL_STALE", {"ts_signal_ns": NOW - 1_000_000_000}, {"ts_signal_ns": NOW - 1_000_000_001}),
        ("PX_BAND", {"px_ticks": 105}, {"px_ticks": 106}),
    ],
)
def test_an_order_passes_at_the_limit_and_fails_past_it(impl, name, at_limit, past):
    assert name not in failed(gate(impl), **BUY | at_limit)
    assert name in failed(gate(impl), **BUY | past)


@pytest.mark.parametrize(
    ("name", "at_limit", "past"),
    [
        ("BOOK_STALE", {"ts_book_ns": NOW - 500_000_000}, {"ts_book_ns": NOW - 500_000_001}),
        ("BOOK_UNTRUSTED", {"book_trusted": 1}, {"book_trusted": 0}),
        ("BOOK_UNTRUSTED", {"bid_px_ticks": 100}, {"bid_px_ticks": 101}),
        ("SYMBOL_HALTED", {"halted": 0}, {"halted": 1}),
        ("NOTIONAL_RANGE", {"notional_min": 10_000}, {"notional_min": 10_001}),
        ("NOTIONAL_RANGE", {"notional_max": 10_000}, {"notional_max": 9_999}),
        ("ORDER_NOTIONAL", {"order_notional": 10_000}, {"order_notional": 9_999}),
        ("PX_PERCENT", {"px_ref_ticks": 84}, {"px_ref_ticks": 83}),
        ("PX_PERCENT", {"px_ref_ticks": 100}, {"px_ref_ticks": 0}),
        ("LIQUIDATION", {"px_liquidation_ticks": 95}, {"px_liquidation_ticks": 96}),
        ("MARGIN", {"margin_available": 1_102}, {"margin_available": 1_101}),
        ("DRAWDOWN", {"peak": 1_176_470}, {"peak": 1_176_473}),
        ("DRAWDOWN", {"peak": 1_000_000}, {"peak": 0}),
        ("DAILY_LOSS", {"day_base": 1_052_631}, {"day_base": 1_052_633}),
        ("DAILY_LOSS", {"day_base": 1}, {"day_base": 0}),
        ("EQUITY_STALE", {"ts_equity_ns": NOW - 5_000_000_000}, {"ts_equity_ns": NOW - 5_000_000_001}),
        ("LATCH", {"latch": 0}, {"latch": 1}),
        ("MODE", {"mode": 0}, {"mode": 1}),
        ("BREAKER", {"breaker_denied": 0}, {"breaker_denied": 1}),
        ("POSITION_SHARE", {"lots": 98}, {"lots": 99}),
        ("POSITION_SHARE", {"open_buy_lots": 98}, {"open_buy_lots": 99}),
        ("POSITION_SHARE", {"position_scale_ppm": 505_000}, {"position_scale_ppm": 504_950}),
        ("LEVERAGE", {"leverage_regime_ppm": 10_100}, {"leverage_regime_ppm": 10_099}),
        ("LEVERAGE", {"leverage_tier_ppm": 10_100}, {"leverage_tier_ppm": 10_099}),
        ("GROSS", {"gross_share_ppm": 10_100}, {"gross_share_ppm": 10_099}),
        ("NET", {"net_share_ppm": 10_100}, {"net_share_ppm": 10_099}),
    ],
)
def test_a_state_passes_at_the_limit_and_fails_past_it(impl, name, at_limit, past):
    assert name not in failed(gate(impl, **at_limit), **BUY)
    assert name in failed(gate(impl, **past), **BUY)


def test_rejects_in_a_row_stop_a_symbol(impl):
    g = gate(impl)
    for rejects, bad in ((4, False), (5, True)):
        g.set_symbol(0, rejects_in_a_row=rejects)
        assert ("REJECTS" in failed(g, **BUY)) == bad


def test_clock_drift_fails_in_both_directions(impl):
    for drift, bad in ((250_000_000, False), (250_000_001, True), (-250_000_000, False), (-250_000_001, True)):
        g = gate(impl)
        g.set_account(clock_drift_ns=drift)
        assert ("CLOCK_DRIFT" in failed(g, **BUY)) == bad


def test_open_orders_are_limited_per_symbol_and_in_all(impl):
    g = gate(impl)
    g.set_symbol(0, orders_open=3)
    g.set_account(orders_open=7)
    assert failed(g, **BUY) == set()
    g.set_symbol(0, orders_open=4)
    g.set_account(orders_open=8)
    assert failed(g, **BUY) == {"OPEN_ORDERS_SYMBOL", "OPEN_ORDERS_ALL"}


def test_the_order_rate_allows_a_burst_and_then_one_at_a_time(impl):
    g = gate(impl)
    assert [failed(g, **BUY) for _ in range(10)] == [set()] * 10
    assert failed(g, **BUY) == {"ORDER_RATE"}
    assert failed(g, now_ns=NOW + 99_999_999, **BUY) == {"ORDER_RATE"}
    assert failed(g, now_ns=NOW + 100_000_000, **BUY) == set()
    assert failed(g, now_ns=NOW + 100_000_000, **BUY) == {"ORDER_RATE"}


def test_a_denied_order_uses_up_no_rate(impl):
    g = gate(impl)
    for _ in range(50):
        assert failed(g, **BUY | {"qty_lots": 0}) != set()
    assert failed(g, **BUY) == set()


def test_cancels_have_a_rate_of_their_own(impl):
    g = gate(impl)
    while failed(g, **BUY) == set():
        pass
    assert [g.cancel(NOW) for _ in range(21)] == [True] * 20 + [False]
    assert g.counts["cancels_held"] == 1


def test_churn_counts_orders_and_cancels_of_one_symbol_alone(impl):
    g = gate(impl, symbols=2, churn_per_minute=5, cancels_per_second=1000)
    for _ in range(5):
        g.cancel(NOW, 0)
    assert failed(g, **BUY) == {"CHURN"}
    assert failed(g, symbol=1, **BUY) == set()


def test_every_failure_is_reported_and_not_only_the_first(impl):
    g = gate(impl, latch=1, mode=1, breaker_denied=1, book_trusted=0, halted=1)
    all_failed = failed(g, **BUY | {"qty_lots": 10**9, "px_stop_ticks": 0, "duplicate": True})
    assert {
        "LATCH",
        "MODE",
        "BREAKER",
        "SYMBOL_HALTED",
        "BOOK_UNTRUSTED",
        "QTY_RANGE",
        "ORDER_NOTIONAL",
        "POSITION_SHARE",
        "STOP_MISSING",
        "DUPLICATE_INTENT",
    } <= all_failed
    assert g.counts["denied"] == 1
    assert {name[5:] for name in g.counts["by_rule"]} == all_failed


def test_an_empty_account_passes_nothing(impl):
    g = impl.Gate(symbols=1)
    assert failed(g, **BUY) >= {"BOOK_UNTRUSTED", "PX_PERCENT", "DRAWDOWN", "DAILY_LOSS", "POSITION_SHARE", "MARGIN"}


# --------------------------------------------------------------------------------------------------------- the lanes
def test_a_reduce_only_order_skips_the_caps_but_must_really_reduce(impl):
    g = gate(impl, lots=5_000, position_share_ppm=1, margin_available=0)
    sell = SELL | {"lane": "reduce", "px_stop_ticks": 0, "qty_lots": 5_000}
    assert failed(g, **sell) == set()
    assert failed(g, **sell | {"qty_lots": 5_001}) == {"NOT_REDUCING"}
    assert failed(g, **BUY | {"lane": "reduce"}) == {"NOT_REDUCING"}


def test_what_is_already_being_closed_cannot_be_closed_again(impl):
    g = gate(impl, lots=100)
    assert failed(g, **SELL | {"lane": "reduce", "qty_lots": 40, "closing_lots": 60}) == set()
    assert failed(g, **SELL | {"lane": "reduce", "qty_lots": 41, "closing_lots": 60}) == {"NOT_REDUCING"}


def test_an_entry_on_the_same_side_closes_nothing(impl):
    g = gate(impl, lots=100, open_sell_lots=60)
    assert failed(g, **SELL | {"lane": "reduce", "qty_lots": 100}) == set()
    assert failed(g, **SELL | {"lane": "protective", "qty_lots": 101}) == {"NOT_REDUCING"}


def test_a_short_is_reduced_by_buying(impl):
    g = gate(impl, lots=-100)
    assert failed(g, **BUY | {"lane": "reduce", "qty_lots": 100}) == set()
    assert failed(g, **SELL | {"lane": "reduce", "qty_lots": 1}) == {"NOT_REDUCING"}


@pytest.mark.parametrize(("mode", "lane", "passes"), [
    (0, "normal", True), (0, "reduce", True),
    (1, "normal", False), (1, "reduce", False), (1, "protective", True),
    (2, "normal", False), (2, "reduce", True), (2, "protective", True),
    (3, "normal", False), (3, "reduce", True), (3, "protective", True),
])  # fmt: skip
def test_each_mode_lets_its_lanes_pass(impl, mode, lane, passes):
    g = gate(impl, mode=mode, lots=100)
    assert ("MODE" not in failed(g, **SELL | {"lane": lane})) == passes


def test_only_the_protective_lane_passes_the_latch_and_a_lost_book(impl):
    g = gate(impl, latch=1, book_trusted=0, lots=100)
    assert failed(g, **SELL | {"lane": "reduce"}) == {"LATCH", "BOOK_UNTRUSTED"}
    assert failed(g, **SELL | {"lane": "protective"}) == set()
    assert failed(g, **SELL | {"lane": "protective", "qty_lots": 101}) == {"NOT_REDUCING"}


# ------------------------------------------------------------------------------------------------------ size and value
def test_a_denied_order_suggests_the_largest_size_that_passes(impl):
    g = gate(impl)
    assert failed(g, **BUY | {"qty_lots": 500}) >= {"POSITION_SHARE"}
    suggested = g.largest_lots(**BUY | {"qty_lots": 500})
    assert suggested == 198
    assert failed(g, **BUY | {"qty_lots": suggested}) == set()


def test_no_size_is_suggested_when_none_passes(impl):
    g = gate(impl, lots=1_000)
    assert g.largest_lots(**BUY) == 0
    assert gate(impl, notional_min=19_999).largest_lots(**BUY) == 0


def test_position_limit_counts_everything_that_could_still_fill(impl):
    g = gate(impl, open_sell_lots=99)
    assert "POSITION_SHARE" in failed(g, **SELL)
    assert "POSITION_SHARE" not in failed(g, **BUY)


def test_the_exposure_of_the_account_is_the_sum_over_its_symbols(impl):
    g = gate(impl, symbols=3)
    g.set_symbol(0, lots=10, open_buy_lots=5)
    g.set_symbol(1, lots=-7, open_sell_lots=3)
    for symbol in (0, 1, 2, 0):
        g.expose(symbol, 100)
    g.check()
    account = g.account_values()
    assert (account["gross_worst"], account["long_worst"], account["short_worst"]) == (2500, 800, 0)


def test_a_product_beyond_63_bits_fails_instead_of_wrapping(impl):
    g = gate(impl, qty_max_lots=2**62, px_max_ticks=2**62, value_q32=2**63)
    assert {"ORDER_NOTIONAL", "POSITION_SHARE", "GROSS", "NET", "LEVERAGE", "MARGIN"} <= failed(
        g, **BUY | {"px_ticks": 2**61, "qty_lots": 2**61, "px_stop_ticks": 1}
    )


def test_no_value_that_a_strategy_could_write_wraps_round_into_a_pass(impl):
    least, most = -(2**63), 2**63 - 1
    for name in ("px_ticks", "qty_lots", "px_stop_ticks", "ts_signal_ns"):
        for value in (least, least + 1, most, -1, 0):
            for order in (BUY, SELL):
                assert failed(gate(impl, lots=50), **order | {name: value}) != set(), (name, value)


def test_the_normal_lane_is_let_off_nothing_but_the_proof_that_it_reduces():
    assert [list(rules) for lane, rules in core.LANE_SKIPS.items() if lane == 0] == [[Rule.RULE_NOT_REDUCING]]


def test_a_stamp_from_the_future_is_not_fresh(impl):
    assert failed(gate(impl), **BUY | {"ts_signal_ns": NOW + 1}) == {"SIGNAL_STALE"}
    assert failed(gate(impl, ts_book_ns=NOW + 1), **BUY) == {"BOOK_STALE"}
    assert failed(gate(impl, ts_equity_ns=NOW + 1), **BUY) == {"EQUITY_STALE"}


def test_an_unknown_symbol_is_refused():
    with pytest.raises(UnknownSymbol):
        gate(core).check_order(NOW, symbol=1, **BUY)


# -------------------------------------------------------------------------------------------------- tokens and limits
def test_a_token_passes_its_own_order_and_no_other():
    g = gate(core)
    _, _, token, _ = g.check_order(NOW, id_order=77, **BUY)
    own = (77, 100, 100, 0, False)
    assert g.token_ok(token, *own)
    for at, changed in enumerate((78, 101, 99, 1)):
        other = [*own[:at], changed, *own[at + 1 :]]
        assert not g.token_ok(token, *other)
    assert not g.token_ok(token, 77, 100, 100, 0, True)
    assert not g.token_ok(0, *own)


def test_a_denied_order_gets_no_token():
    assert gate(core).check_order(NOW, **BUY | {"duplicate": True})[2] == 0


def test_a_limit_tightens_at_once_and_never_loosens(impl):
    g = gate(impl)
    g.tighten("order_notional", 10_000)
    g.tighten("order_notional", 10_000)
    g.tighten("margin_ppm", 1_200_000)
    for name, value in (("order_notional", 10_001), ("margin_ppm", 1_199_999)):
        with pytest.raises(LimitLooser):
            g.tighten(name, value)
    assert g.limit_values()["order_notional"] == 10_000
    assert failed(g, **BUY) == set()
    assert failed(g, **BUY | {"qty_lots": 101}) == {"ORDER_NOTIONAL"}


def test_limits_tightened_by_threads_end_at_the_strictest():
    g = gate(core)
    refused = []

    def tighten(start):
        for value in range(start, 0, -4):
            try:
                g.tighten("order_notional", value)
            except LimitLooser:
                refused.append(value)

    threads = [threading.Thread(target=tighten, args=(40_000 + i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert g.limit_values()["order_notional"] == 1
    assert all(value > 1 for value in refused)


# ------------------------------------------------------------------------------------------------------------ the twin
small, big = st.integers(-5, 300), st.integers(0, 2**62)
mixed = st.one_of(small, big)


@given(
    ask=st.fixed_dictionaries(
        {
            "px_ticks": mixed,
            "qty_lots": mixed,
            "px_stop_ticks": mixed,
            "px_own_opposite_ticks": small,
            "closing_lots": small,
            "ts_signal_ns": st.integers(NOW - 2 * 10**9, NOW + 10**9),
            "correlation_ppm": st.one_of(st.integers(-1_000_000, 1_000_001), st.just(2**63 - 1)),
            "sell": st.booleans(),
            "duplicate": st.booleans(),
            "lane": st.sampled_from(["normal", "reduce", "protective"]),
        }
    ),
    symbol=st.fixed_dictionaries(
        dict.fromkeys(("px_max_ticks", "qty_max_lots", "notional_min", "notional_max", "px_ref_ticks"), mixed)
        | dict.fromkeys(("bid_px_ticks", "ask_px_ticks", "px_min_ticks", "qty_min_lots"), small)
        | {name: st.integers(-1000, 1000) for name in ("lots",)}
        | {name: st.integers(0, 1000) for name in ("open_buy_lots", "open_sell_lots", "px_liquidation_ticks")}
        | {"value_q32": st.one_of(st.integers(1, 2**34), st.integers(1, 2**63)), "book_trusted": st.integers(0, 1)}
        | {"buy_up_ppm": st.integers(0, 10**7)}
        | dict.fromkeys(("sell_down_ppm", "margin_ppm"), st.integers(0, 10**6))
        | {"rejects_in_a_row": st.integers(0, 9), "orders_open": st.integers(0, 9), "halted": st.integers(0, 1)}
    ),
    account=st.fixed_dictionaries(
        {name: st.integers(-(10**6), 2**61) for name in ("equity", "peak", "day_base", "margin_available")}
        | {name: st.integers(-(10**7), 10**7) for name in ("gross_worst", "long_worst", "short_worst")}
        | {"mode": st.integers(0, 3), "latch": st.integers(0, 1), "position_scale_ppm": st.integers(0, 10**6)}
    ),
)
@settings(max_examples=1000)
def test_the_kernel_and_the_twin_give_the_same_headroom_for_every_rule(ask, symbol, account):
    ours, twin = gate(core), gate(model)
    for g in (ours, twin):
        g.set_symbol(0, **symbol)
        g.set_account(**account)
    failed_mask, headroom, token, _ = ours.check_order(NOW, **ask)
    expected = twin.headroom(NOW, ask)
    for name, left in expected.items():
        # A kernel that takes the largest number from nothing is one above the smallest: both are "past every limit".
        assert max(headroom[int(Rule["RULE_" + name])], -(2**63 - 1)) == max(model.saturated(left), -(2**63 - 1)), name
    assert failed_mask == twin.failed(NOW, ask)
    assert (token != 0) == (failed_mask == 0)


# Where the short ways to a share and to a value end: at 63 bits of the product, at 82, at two thousand times the base.
EDGES = [0, 1, 10**6 - 1, 10**6, 2**31 - 1, 2**31, 2**44, 2**62, 2**63 - 1]
word = st.one_of(st.sampled_from([sign * edge for edge in EDGES for sign in (1, -1)]), st.integers(-(2**63), 2**63 - 1),
                 st.integers(0, 2**40))  # fmt: skip
# A quarter of it where differences and doubles are made: those of two are then no extreme themselves.
held = word.map(lambda value: value // 4)
PAST = 2**62  # a headroom from here on is past every limit: by which of its sums it got there is not told apart


@given(
    limits=st.fixed_dictionaries({name: word for name in LIMITS if name.endswith("_ppm")}),
    account=st.fixed_dictionaries(dict.fromkeys(("equity", "peak", "day_base", "position_scale_ppm"), held)),
    symbol=st.fixed_dictionaries(
        dict.fromkeys(("px_ref_ticks", "buy_up_ppm", "sell_down_ppm", "margin_ppm"), word)
        | {"bid_px_ticks": st.integers(0, 2**60), "ask_px_ticks": st.integers(0, 2**60)}
        | {"px_liquidation_ticks": st.integers(0, 2**60), "value_q32": st.integers(0, 2**64 - 1)}
    ),
    ask=st.fixed_dictionaries({"px_ticks": held, "qty_lots": held, "sell": st.booleans(), "px_stop_ticks": held}),
)
@settings(max_examples=1000)
def test_every_share_and_value_is_exact_or_saturates_whatever_the_words_are(limits, account, symbol, ask):
    ours, twin = gate(core), gate(model)
    for g in (ours, twin):
        g.set_limits(**limits)
        g.set_account(**account)
        g.set_symbol(0, **symbol)
    failed_mask, headroom, _, _ = ours.check_order(NOW, **ask)
    for name, left in twin.headroom(NOW, ask).items():
        assert max(-PAST, min(PAST, headroom[int(Rule["RULE_" + name])])) == max(-PAST, min(PAST, left)), name
    assert failed_mask == twin.failed(NOW, ask)


@given(lots=st.integers(-300, 300), buys=st.integers(0, 200), sells=st.integers(0, 200), sell=st.booleans(),
       px=st.integers(1, 200), equity=st.integers(0, 3_000_000), lane=st.sampled_from(["normal", "reduce"]),
       gross=st.integers(0, 10**6))  # fmt: skip
@settings(max_examples=300)
def test_the_suggested_size_is_the_largest_that_passes(lots, buys, sells, sell, px, equity, lane, gross):
    pair = gate(core, qty_max_lots=400), gate(model, qty_max_lots=400)
    ask = {"px_ticks": px, "qty_lots": 1, "sell": sell, "lane": lane}
    for g in pair:
        g.set_symbol(0, lots=lots, open_buy_lots=buys, open_sell_lots=sells)
        g.set_account(equity=equity, gross_worst=gross)
    assert pair[0].largest_lots(**ask) == pair[1].largest_lots(**ask)


class Twins(RuleBasedStateMachine):
    """Orders, cancels, exposures and time in any order; counters and sums agree after each."""

    @initialize()
    def start(self):
        self.now = NOW
        self.pair = (gate(core, symbols=2, orders_per_second=3), gate(model, symbols=2, orders_per_second=3))

    @rule(symbol=st.integers(0, 1), sell=st.booleans(), qty=st.integers(0, 300), duplicate=st.booleans())
    def place(self, symbol, sell, qty, duplicate):
        ask = (SELL if sell else BUY) | {"symbol": symbol, "qty_lots": qty, "duplicate": duplicate}
        ask["ts_signal_ns"] = self.now
        assert self.pair[0].place(self.now, **ask) == self.pair[1].place(self.now, **ask)

    @rule(symbol=st.integers(0, 1))
    def cancel(self, symbol):
        assert self.pair[0].cancel(self.now, symbol) == self.pair[1].cancel(self.now, symbol)

    @rule(symbol=st.integers(0, 1), lots=st.integers(-50, 50), buys=st.integers(0, 50), px=st.integers(1, 300))
    def expose(self, symbol, lots, buys, px):
        for g in self.pair:
            g.set_symbol(symbol, lots=lots, open_buy_lots=buys)
            g.expose(symbol, px)

    @rule(step=st.integers(0, 700_000_000))
    def time_passes(self, step):
        self.now += step
        for g in self.pair:
            g.set_account(ts_equity_ns=self.now)
            for symbol in range(2):
                g.set_symbol(symbol, ts_book_ns=self.now)

    @invariant()
    def both_agree(self):
        if not hasattr(self, "pair"):
            return
        ours, twin = self.pair
        ours.check()
        twin.check()
        assert ours.counts == twin.counts
        mine, theirs = ours.account_values(), twin.account_values()
        assert {k: mine[k] for k in theirs} == theirs
        for symbol in range(2):
            mine, theirs = ours.symbol(symbol), twin.symbol(symbol)
            assert {k: mine[k] for k in theirs} == theirs


TestTwins = Twins.TestCase
TestTwins.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)
