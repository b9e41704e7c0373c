"""Every denial names all its reasons, whichever stage refused."""

from __future__ import annotations

import numpy as np
import pytest

from engine._core.discipline import Reason as DisciplineReason
from engine._core.risk import Rule
from engine._core.routing import Against
from engine._core.strategy import StrategyRule
from engine._core.types import DECISION, Kind, Stage, Status
from engine.observe import decisions
from engine.observe.decisions import denials, explain
from tests.support.desks import Desk


def record(stage, reasons, **fields):
    out = np.zeros(1, DECISION)
    out["kind"], out["origin"], out["reasons"] = Kind.KIND_DECISION, int(stage) << 32 | 3, reasons
    for name, value in fields.items():
        out[name] = value
    return out


@pytest.mark.parametrize(
    ("texts", "numbers", "prefix", "ends"),
    [
        (decisions.GATE, Rule, "RULE_", {"COUNT"}),
        (decisions.DISCIPLINE, DisciplineReason, "REASON_", {"COUNT"}),
        (decisions.STRATEGY, StrategyRule, "STRATEGY_RULE_", set()),
        (decisions.ROUTE, Against, "AGAINST_", {"HARD"}),
    ],
)
def test_every_rule_of_the_kernels_has_a_sentence_and_no_other(texts, numbers, prefix, ends):
    assert set(texts) == {name.removeprefix(prefix) for name in numbers.__members__} - ends
    assert all(texts.values())


def test_all_reasons_of_a_stage_are_named_not_only_the_first():
    mask = 1 << Rule.RULE_LATCH | 1 << Rule.RULE_STOP_MISSING | 1 << Rule.RULE_NOT_REDUCING
    found = explain(record(Stage.STAGE_GATE, mask)[0])
    assert [(r.stage, r.rule) for r in found] == [("gate", "LATCH"), ("gate", "STOP_MISSING"), ("gate", "NOT_REDUCING")]


@pytest.mark.parametrize("bit", range(64))
def test_each_bit_of_each_stage_has_a_name(bit):
    mask = np.uint64(1 << bit).astype(np.int64)
    for stage in (Stage.STAGE_STRATEGY, Stage.STAGE_DISCIPLINE, Stage.STAGE_GATE):
        assert len(explain(record(stage, mask)[0])) == 1


def test_a_status_of_the_order_table_is_named():
    assert explain(record(Stage.STAGE_ORDERS, int(Status.ORDER_TABLE_FULL))[0])[0].rule == "ORDER_TABLE_FULL"


def test_a_stage_from_the_future_is_named_as_unknown():
    assert explain(record(200, 1)[0])[0].stage == "unknown"


def test_a_denied_wish_of_a_step_tells_who_what_and_what_would_have_passed():
    desk = Desk(brackets=0)
    desk.wants("ask", qty_lots=9_000, px_ticks=50_005, tag=1)
    desk.quote()
    (found,) = denials(desk.out)
    assert (found.strategy, found.tag, found.symbol, found.side, found.qty_lots) == (0, 1, 0, "sell", 9_000)
    assert "POSITION_SHARE" in {reason.rule for reason in found.reasons}
    assert 0 < found.largest_lots < 9_000
