"""Discipline: the validator, each bias by its rule, cooldowns to the nanosecond, and the twin over random lives."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from engine._core import discipline as core
from engine._core.discipline import UNKNOWN, Bias, Claim, Corrective, Reason, Sign
from engine._core.types import Status
from engine.errors import DisciplineBadConfig
from engine.model import discipline as model

STEM = "discipline"
HOUR = 3600 * 10**9
T0 = 1_700_000_000 * 10**9
FACTS = {
    "equity": 1_000_000,
    "position_share_ppm": 20_000,
    "bid_px_ticks": 99,
    "ask_px_ticks": 101,
    "rise_ppm": 0,
    "sentiment_ppm": 0,
    "px_band_low_ticks": 90,
    "px_band_high_ticks": 110,
}
BUY = {
    "strategy": 0,
    "symbol": 0,
    "px_ticks": 100,
    "qty_lots": 10,
    "notional": 1_000,
    "stop_ppm": 10_000,
    "sources": 0b111,
}
SELL = BUY | {"sell": 1}


def reasons(mask):
    return {Reason(i).name.removeprefix("REASON_") for i in range(Reason.REASON_COUNT) if mask >> i & 1}


def feed(d, returns, *, strategy=0, symbol=1, start=T0 - 400 * HOUR, gap=4 * HOUR, notional=1_000_000, stop=10_000):
    """Closed trades; the last one lies hours before T0."""
    for i, r in enumerate(returns):
        assert d.result(
            strategy, symbol, pnl=r, notional=notional, now_ns=start + i * gap, stop_ppm=stop
        ) == Status.OK  # fmt: skip


GOOD = [3_000, 1_000, 2_000, -500] * 10  # a strong edge, the last result a loss long ago


def proven(impl, **rules):
    d = impl.Discipline(strategies=2, symbols=3, **rules)
    feed(d, GOOD)
    feed(d, GOOD, strategy=1)
    return d


def ask(d, now_ns=T0, facts=None, **signal):
    status, verdict = d.check_signal(now_ns, BUY | signal, FACTS | (facts or {}))
    assert (status == Status.OK) == (verdict["reasons"] == 0)
    return reasons(verdict["reasons"]), verdict


# ------------------------------------------------------------------------------------------------- the validator
def test_a_signal_with_a_proven_record_and_no_bias_passes(impl):
    d = proven(impl)
    found, verdict = ask(d)
    assert (found, verdict["actions"], verdict["explored"]) == (set(), [], 0)
    d.check()


def test_signal_validator_requires_evidence_of_its_own(impl):
    d = impl.Discipline(strategies=1, symbols=2)
    found, _ = ask(d, p=0.0001, ev=5.0, sharpe=9.0, confidence=0.99, claims=15)
    assert found == {"TOO_FEW_SAMPLES", "INSIGNIFICANT", "NEGATIVE_EV", "LOW_SHARPE", "LOW_CONFIDENCE"}


def test_too_few_samples_is_a_reason_of_its_own(impl):
    d = impl.Discipline(strategies=1, symbols=2)
    feed(d, GOOD[:29])
    assert ask(d)[0] == {"TOO_FEW_SAMPLES"}
    feed(d, [2_000], start=T0 - 10 * HOUR)
    assert ask(d)[0] == set()


@pytest.mark.parametrize(
    ("claim", "good", "bad", "reason"),
    [
        ("p", 0.0499, 0.05, "INSIGNIFICANT"),
        ("ev", 1e-9, 0.0, "NEGATIVE_EV"),
        ("sharpe", 2.0001, 2.0, "LOW_SHARPE"),
        ("confidence", 0.7501, 0.75, "LOW_CONFIDENCE"),
    ],
)
def test_signal_validator_takes_the_worse_of_record_and_claim(impl, claim, good, bad, reason):
    bit = {"p": Claim.CLAIM_P, "ev": Claim.CLAIM_EV, "sharpe": Claim.CLAIM_SHARPE}.get(claim, Claim.CLAIM_CONFIDENCE)
    d = proven(impl)
    assert ask(d, **{claim: good, "claims": bit})[0] == set()
    assert ask(d, **{claim: bad, "claims": bit})[0] == {reason}
    assert ask(d, **{claim: float("nan"), "claims": bit})[0] == {reason}
    assert ask(d, **{claim: bad})[0] == set()  # not claimed: the record alone


@pytest.mark.parametrize(
    ("returns", "expected"),
    [
        ([-1_000, -2_000, -500, 100] * 10, {"INSIGNIFICANT", "NEGATIVE_EV", "LOW_SHARPE", "LOW_CONFIDENCE"}),
        ([1_000] * 40, {"INSIGNIFICANT", "LOW_SHARPE", "LOW_CONFIDENCE"}),  # no spread: proves nothing
        ([50_000, -49_000] * 20, {"INSIGNIFICANT", "LOW_SHARPE", "LOW_CONFIDENCE"}),
    ],
)
def test_signal_validator_rejects_by_type(impl, returns, expected):
    d = impl.Discipline(strategies=1, symbols=2)
    feed(d, returns)
    found = ask(d)[0] - {"OVERCONFIDENCE"}
    assert found >= expected - {"LOW_SHARPE"}
    assert "TOO_FEW_SAMPLES" not in found


def test_a_burst_of_trades_is_not_annualised_as_if_it_lasted_a_year(impl):
    slow, burst = impl.Discipline(strategies=1, symbols=2), impl.Discipline(strategies=1, symbols=2)
    weak = [3_000, -2_900] * 50
    feed(slow, weak, gap=24 * HOUR, start=T0 - 200 * 24 * HOUR)
    feed(burst, weak, gap=10**6, start=T0 - HOUR)
    assert slow.statistics(0)["t"] == pytest.approx(burst.statistics(0)["t"])
    years = 24 * HOUR / (31_557_600 * 10**9)
    assert burst.statistics(0)["sharpe"] == pytest.approx(
        burst.statistics(0)["t"] / 100**0.5 * (99 / years) ** 0.5
    )  # fmt: skip


def test_many_trials_need_stronger_evidence(impl):
    """One strategy picked out of a thousand that were tried is judged at a thousandth of the level."""
    medium = [4_000, -2_000, 3_000, -2_500, 1_000] * 16
    for trials, expected in ((1, set()), (1000, {"INSIGNIFICANT"})):
        d = impl.Discipline(strategies=1, symbols=2, trials=trials)
        feed(d, medium)
        assert ask(d)[0] == expected


def test_paper_explores_small_and_so_many_times_and_live_never(impl):
    d = impl.Discipline(strategies=1, symbols=2, paper=1, explore_max=2)
    assert ask(d, notional=1_001)[0] >= {"TOO_FEW_SAMPLES"}
    for _ in range(2):
        found, verdict = ask(d)
        assert (found, verdict["explored"]) == (set(), 1)
    assert "TOO_FEW_SAMPLES" in ask(d)[0]
    assert "CONFIRMATION" in ask(impl.Discipline(strategies=1, symbols=1, paper=1), sources=1)[0]
    d.check()


def test_paper_never_excuses_a_record_that_is_long_enough_and_bad(impl):
    d = impl.Discipline(strategies=1, symbols=2, paper=1)
    feed(d, [-1_000, 500] * 20)
    assert "NEGATIVE_EV" in ask(d)[0]


def test_exits_are_never_refused_and_flips_are_no_exits(impl):
    d = impl.Discipline(strategies=1, symbols=1)
    _, verdict = ask(d, sell=1, facts={"position_lots": 10})
    assert (verdict["reasons"], verdict["reducing"]) == (0, 1)
    assert ask(d, sell=1, qty_lots=11, facts={"position_lots": 10})[1]["reducing"] == 0
    assert ask(d, facts={"position_lots": -10})[1]["reducing"] == 1
    assert ask(d, qty_lots=11, facts={"position_lots": -10})[1]["reducing"] == 0


@pytest.mark.parametrize(
    "bad",
    [
        {"notional": 0}, {"qty_lots": 0}, {"px_ticks": 0}, {"stop_ppm": 0}, {"facts": {"equity": 0}},
        {"facts": {"position_share_ppm": 0}}, {"facts": {"rise_ppm": UNKNOWN}}, {"facts": {"px_band_low_ticks": 0}},
        {"facts": {"bid_px_ticks": 101}}, {"facts": {"px_band_high_ticks": 90}},
    ],
)  # fmt: skip
def test_missing_input_is_refused(impl, bad):
    assert "BAD_INPUT" in ask(proven(impl), **bad)[0]


# ------------------------------------------------------------------------------------------------- the biases
def fomo_cases():
    hot = {"rise_ppm": 50_000, "sentiment_ppm": 700_000}
    return [
        (BUY, hot, True),
        (BUY, hot | {"rise_ppm": 49_999}, False),
        (BUY, hot | {"sentiment_ppm": 699_999}, False),
        (BUY, hot | {"sentiment_ppm": UNKNOWN}, True),
        (SELL, hot, False),
        (SELL, {"rise_ppm": -50_000, "sentiment_ppm": -700_000}, True),
        (BUY | {"px_ticks": 110}, {}, False),
        (BUY | {"px_ticks": 111}, {}, True),
        (SELL | {"px_ticks": 89}, {}, True),
    ]


@pytest.mark.parametrize(("signal", "facts", "expected"), fomo_cases())
def test_bias_fomo_blocks_for_one_hour(impl, signal, facts, expected):
    d = proven(impl)
    found, verdict = ask(d, **signal, facts=facts)
    assert ("FOMO" in found) == expected
    if not expected:
        return
    assert verdict["actions"][0]["kind"] == Corrective.CORRECT_BLOCK
    assert verdict["until_ns"] == T0 + HOUR
    assert ask(d, T0 + HOUR - 1)[0] == {"COOLDOWN_FOMO"}
    assert ask(d, T0 + HOUR - 1, strategy=1)[0] == {"COOLDOWN_FOMO"}  # the rise is the symbol's
    assert ask(d, T0 + HOUR - 1, symbol=2)[0] == set()
    assert ask(d, T0 + HOUR)[0] == set()


def test_bias_revenge_trading_blocks_for_four_hours(impl):
    d = proven(impl)
    d.result(0, 0, pnl=-1, notional=1_000_000, now_ns=T0, stop_ppm=10_000)
    window = HOUR // 4
    at = T0 + window - 1
    found, verdict = ask(d, at)
    assert (found, verdict["until_ns"]) == ({"REVENGE"}, at + 4 * HOUR)
    assert ask(d, at + 4 * HOUR - 1)[0] == {"COOLDOWN_REVENGE"}
    assert ask(d, at + 4 * HOUR)[0] == set()


def test_bias_revenge_follows_the_strategy_and_the_symbol(impl):
    for signal, expected in (
        ({"strategy": 0, "symbol": 2}, {"REVENGE"}),
        ({"strategy": 1, "symbol": 0}, {"REVENGE"}),
        ({"strategy": 1, "symbol": 2}, set()),
    ):
        d = proven(impl)
        d.result(0, 0, pnl=-1, notional=1_000_000, now_ns=T0, stop_ppm=10_000)
        assert ask(d, T0 + 1, **signal)[0] == expected
    d = proven(impl)
    d.result(0, 0, pnl=-1, notional=1_000_000, now_ns=T0, stop_ppm=10_000)
    assert ask(d, T0 + HOUR // 4)[0] == set()
    d.result(0, 0, pnl=0, notional=1_000_000, now_ns=T0 + HOUR, stop_ppm=10_000)
    assert ask(d, T0 + HOUR)[0] == set()


def test_bias_overconfidence_caps_at_one_percent_for_four_hours(impl):
    d = proven(impl)
    feed(d, [2_000] * 5, start=T0 - 30 * HOUR)
    assert ask(d)[1]["signs"] == 0
    feed(d, [2_000], start=T0 - HOUR)
    found, verdict = ask(d, notional=10_000)
    assert (found, verdict["signs"], verdict["notional_max"]) == (set(), Sign.SIGN_STREAK, 10_000)
    assert (verdict["scale_ppm"], verdict["detected"]) == (500_000, 1 << Bias.BIAS_OVERCONFIDENCE)
    assert ask(d, notional=10_001)[0] == {"OVERCONFIDENCE"}
    d.result(0, 1, pnl=0, notional=1_000_000, now_ns=T0 + 1, stop_ppm=10_000)
    assert ask(d, T0 + 4 * HOUR - 1)[1]["scale_ppm"] == 500_000
    assert ask(d, T0 + 4 * HOUR)[1]["scale_ppm"] == 1_000_000


def test_overconfidence_size_is_half_again_the_recorded_mean(impl):
    d = proven(impl)
    assert ask(d, notional=1_500_000)[1]["signs"] == 0
    assert ask(d, notional=1_500_001)[1]["signs"] == Sign.SIGN_SIZE


def test_overconfidence_counts_an_ignored_risk_warning(impl):
    d = proven(impl)
    d.warn(0, 1_000, T0)
    assert ask(d, T0 + 1, notional=999)[1]["signs"] == 0
    assert ask(d, T0 + 1, notional=1_000)[1]["signs"] == Sign.SIGN_WARNING
    assert d.statistics(0)["ignored_warnings"] == 1
    assert ask(d, T0 + HOUR // 4)[1]["signs"] == 0


def test_overconfidence_sees_stops_shrink_three_times_in_a_row(impl):
    d = proven(impl)
    for i, stop in enumerate((9_000, 8_000)):
        d.result(0, 1, pnl=0, notional=1_000_000, now_ns=T0 - 10 + i, stop_ppm=stop)
    assert ask(d, stop_ppm=8_000)[1]["signs"] == 0
    assert ask(d, stop_ppm=7_999)[1]["signs"] == Sign.SIGN_STOPS


@pytest.mark.parametrize(("lots", "stop", "held"), [(5, 99, True), (5, 98, False), (-5, 101, True), (-5, 102, False)])
def test_bias_loss_aversion_forces_the_stop(impl, lots, stop, held):
    d = proven(impl, stop_grace_ns=100, stop_retry_ns=50)
    facts = FACTS | {"position_lots": lots, "px_stop_ticks": stop}
    assert d.position(T0, 0, facts) is None
    assert d.position(T0 + 99, 0, facts) is None
    action = d.position(T0 + 100, 0, facts)
    assert (action is not None) == held
    if held:
        assert (action["kind"], action["value"]) == (Corrective.CORRECT_FORCE_STOP, lots)
        assert d.position(T0 + 149, 0, facts) is None
        assert d.position(T0 + 150, 0, facts) is not None
        side = {"sell": 1} if lots < 0 else {}
        assert ask(d, T0 + 151, facts=facts, **side)[0] == {"LOSS_AVERSION"}


def test_a_position_without_a_stop_or_a_price_takes_no_more(impl):
    d = proven(impl)
    assert ask(d, facts={"position_lots": 5})[0] == {"LOSS_AVERSION"}
    assert ask(d, facts={"position_lots": 5, "px_stop_ticks": 50})[0] == set()


@pytest.mark.parametrize(("sources", "passes"), [(0, False), (1, False), (3, False), (7, True), (1 << 63 | 5, True)])
def test_bias_confirmation_requires_three_independent_sources(impl, sources, passes):
    found, verdict = ask(proven(impl), sources=sources)
    assert found == (set() if passes else {"CONFIRMATION"})
    if not passes:
        assert verdict["actions"][0]["value"] == 3


# ------------------------------------------------------------------------------------------------- nothing overrides
def blocked(impl):
    d = proven(impl)
    ask(d, px_ticks=111)
    d.result(0, 0, pnl=-1, notional=1_000_000, now_ns=T0, stop_ppm=10_000)
    d.warn(0, 1, T0)
    ask(d, T0)
    assert sum(end is not None for end in d.cooldowns().values()) >= 4
    return d


def test_cooldowns_survive_a_restart(impl):
    d = blocked(impl).restart()
    assert ask(d, T0 + HOUR - 1)[0] >= {"COOLDOWN_FOMO", "COOLDOWN_REVENGE"}


def test_a_new_table_goes_on_with_the_record_and_the_rests_of_the_one_before(impl):
    before = blocked(impl)
    d = impl.Discipline(strategies=2, symbols=4, window=128)
    assert (d.carry(1, before, 0), d.carry_symbol(3, before, 0)) == (Status.OK, Status.OK)
    d.check()
    for name, there, here in (("strategy", 0, 1), ("symbol", 0, 3)):
        mine = {key[2]: end for key, end in d.cooldowns().items() if key[:2] == (name, here)}
        assert mine == {key[2]: end for key, end in before.cooldowns().items() if key[:2] == (name, there)}
    assert d.statistics(1) == before.statistics(0)


def test_a_smaller_record_keeps_the_newest_results_and_is_judged_anew(impl):
    before = impl.Discipline(strategies=1, symbols=1)
    for at in range(100):
        before.result(0, 0, pnl=1_000 + at % 7 if at >= 60 else -1_000, notional=10**6, now_ns=T0 + at * HOUR)
    d = impl.Discipline(strategies=1, symbols=1, window=40)
    d.carry(0, before, 0)
    d.check()
    statistics = d.statistics(0)
    assert (statistics["samples"], statistics["results"], statistics["failed"]) == (40, 100, 0)
    assert before.statistics(0)["failed"] != 0


def test_a_record_is_not_carried_over_another_one_nor_between_what_is_not_there(impl):
    d, before = proven(impl), blocked(impl)
    assert d.carry(0, before, 0) == Status.DISCIPLINE_BAD_RESULT
    empty = impl.Discipline(strategies=1, symbols=1)
    assert empty.carry(1, before, 0) == empty.carry(0, before, 9) == Status.DISCIPLINE_UNKNOWN
    assert empty.carry_symbol(1, before, 0) == empty.carry_symbol(0, before, 99) == Status.DISCIPLINE_UNKNOWN


def test_where_nothing_is_known_everybody_rests(impl):
    d = impl.Discipline(strategies=2, symbols=2)
    d.rest(T0)
    found, verdict = ask(d)
    assert {"COOLDOWN_FOMO", "COOLDOWN_REVENGE"} <= found
    assert verdict["until_ns"] == T0 + 4 * HOUR


# ------------------------------------------------------------------------------------------------- observing
def observing(impl):
    return impl.Discipline(strategies=2, symbols=4, paper=1, validator=1)


def test_an_observing_validator_lets_pass_and_says_what_it_has_against_it(impl):
    d = observing(impl)
    found, verdict = ask(d)
    assert found == set()
    everything = {"TOO_FEW_SAMPLES", "INSIGNIFICANT", "NEGATIVE_EV", "LOW_SHARPE", "LOW_CONFIDENCE"}
    assert reasons(verdict["observed"]) == everything
    assert (verdict["news"], d.counts["observed"], d.counts["refused"]) == (1, 1, 0)
    assert ask(d)[1]["news"] == 0  # the same as before is no news
    assert d.counts["observed_by_reason"]["REASON_NEGATIVE_EV"] == 2


def test_an_observing_validator_notes_claims_and_excuses_no_bias(impl):
    d = observing(impl)
    _, verdict = ask(d, claims=8, confidence=0.1)
    assert verdict["observed"] >> Reason.REASON_LOW_CONFIDENCE & 1
    assert ask(d, sources=1)[0] == {"CONFIRMATION"}
    assert ask(d, px_ticks=111)[0] >= {"FOMO"}
    d.result(0, 0, pnl=-1, notional=1_000_000, now_ns=T0, stop_ppm=10_000)
    assert ask(d, T0 + 2 * HOUR + 1)[0] == set()
    assert ask(d, T0)[0] >= {"REVENGE"}


def test_a_rehearsal_notes_the_biases_too_and_caps_nothing(impl):
    d = impl.Discipline(strategies=2, symbols=4, paper=1, validator=2)
    d.result(0, 0, pnl=-1, notional=1_000_000, now_ns=T0, stop_ppm=10_000)
    found, verdict = ask(d, T0, sources=1, px_ticks=111)
    assert found == set()
    assert {"REVENGE", "CONFIRMATION", "FOMO"} <= reasons(verdict["observed"])
    assert (verdict["scale_ppm"], d.counts["refused"], d.counts["observed"]) == (1_000_000, 0, 1)
    # What cannot be a signal at all is refused in a rehearsal as well.
    assert ask(d, T0, qty_lots=0)[0] >= {"BAD_INPUT"}


def test_only_paper_may_observe(impl):
    with pytest.raises(DisciplineBadConfig):
        impl.Discipline(strategies=1, symbols=1, validator=2)
    with pytest.raises(DisciplineBadConfig):
        impl.Discipline(strategies=1, symbols=1, validator=1)
    with pytest.raises(DisciplineBadConfig):
        impl.Discipline(strategies=1, symbols=1, paper=1, validator=3)


def test_no_call_shortens_a_cooldown(impl):
    d = blocked(impl)
    calls = {
        "result": lambda: d.result(0, 0, pnl=10**9, notional=1, now_ns=T0 + 5),
        "warn": lambda: d.warn(0, 2**60, T0 + 10 * HOUR),
        "position": lambda: d.position(T0 - HOUR, 0, FACTS),
        "check_signal": lambda: d.check_signal(T0 - HOUR, BUY | {"px_ticks": 111}, FACTS),
        "statistics": lambda: d.statistics(0),
        "cooldowns": d.cooldowns,
        "restart": d.restart,
        "check": d.check,
        "image": lambda: len(d.image()),
        "carry": lambda: d.carry(0, proven(impl), 0),
        "carry_symbol": lambda: d.carry_symbol(0, proven(impl), 0),
        "rest": lambda: d.rest(T0 - 100 * HOUR),
        "load": lambda: core.Discipline.load(proven(core).image()),
    }
    public = {name for name in dir(core.Discipline) if not name.startswith("_")}
    assert public - {"rules", "counts"} == set(calls), "a new method has to be shown harmless here"
    before = d.cooldowns()
    for name, call in calls.items():
        if hasattr(d, name):
            call()
        after = d.cooldowns()
        assert all(end is None or (after[key] or 0) >= end for key, end in before.items()), name


def test_no_function_of_the_kernel_clears_a_cooldown():
    """Whoever gets the block to write to is one of these, and each moves an end through `arm` or `_later` alone."""
    root = Path(__file__).parents[2] / "engine" / "_core"
    contract = (root / "discipline.pxd").read_text()
    writers = set(re.findall(r"^cdef (?!inline)[\w ]+?\*? ?(\w+)\((?:discipline_t\* \w+)", contract, re.MULTILINE))
    names = ("init", "check", "result", "warn", "position", "carry", "carry_symbol", "rest")
    assert writers == {f"discipline_{name}" for name in names}
    parts = ("discipline.pyx", "discipline_biases.pxd", "discipline_record.pxd")
    source = "".join((root / part).read_text() for part in parts)
    fields = ("fomo_until_ns", "revenge_until_ns", "cap_until_ns")
    for name in fields:
        writes = re.findall(rf"\.{name} = (?!=)[^\n]*", source)
        assert all(write.endswith("NEVER") for write in writes), writes
    inside = source[
        source.index("cdef int discipline_init") : source.index("# ---", source.index("cdef int discipline_init"))
    ]
    assert source.count("_until_ns = ") == inside.count("_until_ns = ") + source.count(
        "out.until_ns = "
    ) - inside.count("out.until_ns = ") + len(re.findall(r"action\.until_ns = ", source))


@pytest.mark.parametrize(
    "rule_",
    [
        {"p_max": 0.051}, {"p_max": float("nan")}, {"sharpe_min": 1.99}, {"confidence_min": 0.74},
        {"fomo_cooldown_ns": HOUR - 1}, {"revenge_cooldown_ns": 4 * HOUR - 1}, {"cap_ppm": 10_001},
        {"cap_cooldown_ns": 0}, {"size_factor_ppm": 1_500_001}, {"wins_max": 6}, {"confirmations_min": 2},
        {"samples_min": 9}, {"samples_min": 257}, {"window": 1025}, {"paper": 2}, {"trials": 0},
    ],
)  # fmt: skip
def test_a_rule_looser_than_it_may_be_is_refused(impl, rule_):
    with pytest.raises(DisciplineBadConfig):
        impl.Discipline(strategies=1, symbols=1, **rule_)


def test_a_result_out_of_order_or_without_a_stake_is_refused_and_counted(impl):
    d = proven(impl)
    assert d.result(0, 0, pnl=1, notional=0, now_ns=T0) == Status.DISCIPLINE_BAD_RESULT
    assert d.result(0, 0, pnl=1, notional=1, now_ns=0) == Status.DISCIPLINE_BAD_RESULT
    assert d.result(9, 0, pnl=1, notional=1, now_ns=T0) == Status.DISCIPLINE_UNKNOWN
    assert d.counts["results_refused"] == 3


# ------------------------------------------------------------------------------------------------- against the twin
FACES = ("samples", "sum_e8", "failed", "wins_in_row", "stops_shrunk", "notional_sum", "ignored_warnings", "explored",
         "clamped", "refused", "results")  # fmt: skip


class Lives(RuleBasedStateMachine):
    @initialize(paper=st.sampled_from([0, 1]), window=st.sampled_from([10, 12, 30]))
    def start(self, paper, window):
        rules = {"paper": paper, "window": window, "samples_min": 10, "explore_max": 3, "stop_grace_ns": 60 * 10**9}
        self.both = [impl.Discipline(strategies=2, symbols=2, **rules) for impl in (core, model)]
        self.now = T0

    def same(self, call):
        kernel, twin = (call(d) for d in self.both)
        assert kernel == twin
        return kernel

    @rule(
        strategy=st.integers(0, 2), symbol=st.integers(0, 1), wait=st.sampled_from([0, 1, HOUR, 24 * HOUR]),
        pnl=st.one_of(st.integers(-2_000, 3_000), st.sampled_from([-(2**62), 2**62, 0])),
        notional=st.sampled_from([1, 999, 10_000, 1_000_000, 2**52]), stop=st.integers(0, 3),
    )  # fmt: skip
    def trade(self, strategy, symbol, wait, pnl, notional, stop):
        self.now += wait
        self.same(
            lambda d: d.result(strategy, symbol, pnl=pnl, notional=notional, now_ns=self.now, stop_ppm=stop * 1000)
        )

    @rule(strategy=st.integers(0, 1), edge=st.integers(-500, 3_000), seed=st.integers(0, 50))
    def many_trades(self, strategy, edge, seed):
        for i in range(12):
            self.now += HOUR
            pnl = edge + (seed * 37 + i * 101) % 700 - 350
            self.same(lambda d, pnl=pnl: d.result(strategy, 0, pnl=pnl, notional=100_000, now_ns=self.now, stop_ppm=1))

    @rule(strategy=st.integers(0, 1), notional=st.sampled_from([1, 1_000, 20_000]))
    def warn(self, strategy, notional):
        self.same(lambda d: d.warn(strategy, notional, self.now))

    @rule(
        wait=st.sampled_from([0, 1, HOUR // 4 - 1, HOUR // 4, HOUR - 1, HOUR, 4 * HOUR - 1, 4 * HOUR, 5 * HOUR]),
        strategy=st.sampled_from([0, 0, 1, 2]), symbol=st.integers(0, 1), sell=st.booleans(),
        px=st.sampled_from([89, 90, 100, 110, 111]), qty=st.sampled_from([0, 1, 10]),
        notional=st.sampled_from([0, 900, 1_000, 10_000, 10_001, 200_000, 2**62]), stop_ppm=st.sampled_from([0, 1, 900]),  # noqa: E501
        sources=st.sampled_from([7, 7, 7, 1, 0, 2**64 - 1]), claims=st.sampled_from([0, 0, 15]),
        p=st.sampled_from([0.01, 0.05, float("nan")]), rise=st.sampled_from([0, 50_000, -50_000, UNKNOWN]),
        sentiment=st.sampled_from([0, 700_000, -700_000, UNKNOWN]), lots=st.sampled_from([0, 0, 0, 5, -5]),
        stop=st.sampled_from([0, 50, 99, 101, 150]), bid=st.sampled_from([99, 99, 0]),
        equity=st.sampled_from([1_000_000, 0]),
    )  # fmt: skip
    def signal(
        self, wait, strategy, symbol, sell, px, qty, notional, stop_ppm, sources, claims, p, rise, sentiment,
               lots, stop, bid, equity):  # fmt: skip
        self.now += wait
        signal = {
            "strategy": strategy, "symbol": symbol, "sell": int(sell), "px_ticks": px, "qty_lots": qty,
            "notional": notional, "stop_ppm": stop_ppm, "sources": sources, "claims": claims, "p": p, "ev": 0.1,
            "sharpe": 3.0, "confidence": 0.9,
        }  # fmt: skip
        facts = FACTS | {
            "rise_ppm": rise, "sentiment_ppm": sentiment, "position_lots": lots, "px_stop_ticks": stop,
            "bid_px_ticks": bid, "equity": equity,
        }  # fmt: skip
        record = self.both[0].statistics(strategy)["failed"] if strategy < 2 else 0
        before = self.both[0].cooldowns()
        status, verdict = self.same(lambda d: d.check_signal(self.now, signal, facts))
        self.judge(status, verdict, signal, facts, record, before)

    def judge(self, status, verdict, signal, facts, record, before):
        """Stated without the twin: what passed had the mathematics, no cooldown, no bias by its rule."""
        if status != Status.OK or verdict["reducing"]:
            return
        assert record == 0 or (verdict["explored"] and signal["notional"] <= 1_000)
        assert signal["sources"].bit_count() >= 3
        way = -1 if signal["sell"] else 1
        assert 90 <= signal["px_ticks"] <= 110 or (way > 0) == (signal["px_ticks"] < 90)
        hot = facts["sentiment_ppm"] == UNKNOWN or way * facts["sentiment_ppm"] >= 700_000
        assert not (hot and way * facts["rise_ppm"] >= 50_000)
        for key in (("symbol", signal["symbol"], "fomo"), ("symbol", signal["symbol"], "revenge"),
                    ("strategy", signal["strategy"], "revenge")):  # fmt: skip
            assert before[key] is None or self.now >= before[key]
        assert signal["notional"] <= verdict["notional_max"]

    @invariant()
    def agree(self):
        if not hasattr(self, "both"):
            return
        kernel, twin = self.both
        for strategy in range(2):
            a, b = kernel.statistics(strategy), twin.statistics(strategy)
            assert {k: a[k] for k in FACES} == {k: b[k] for k in FACES}
            for name in ("ev", "t", "p", "sharpe", "sharpe_se"):
                assert a[name] == pytest.approx(b[name], rel=1e-9, abs=1e-12), name
        assert kernel.cooldowns() == twin.cooldowns()
        assert kernel.counts == twin.counts
        kernel.check()


TestLives = Lives.TestCase
TestLives.settings = settings(max_examples=60, stateful_step_count=25)


@settings(max_examples=150)
@given(t=st.floats(0.01, 30), freedom=st.integers(1, 400))
def test_the_tail_of_the_distribution_agrees_with_another_way_to_it(t, freedom):
    assert core.tail(t, freedom) == pytest.approx(model.tail(t, freedom), rel=1e-6, abs=1e-13)


def test_the_tail_is_the_one_of_the_tables():
    for t, freedom in ((6.313752, 1), (2.919986, 2), (1.812461, 10), (1.697261, 30), (1.659, 101.0)):
        assert core.tail(t, int(freedom)) == pytest.approx(0.05, abs=2e-4)
