"""A trained model's word: long while it calls a rise likely, short while it calls one unlikely, flat in between.

Idea: a few measures of trend, stretch and noise say a little about the next bars; a logistic regression weighs them
better than a person would. The model is the file beside this one: `bot4 model fit` trains it, or imports one of
LightGBM or XGBoost; it carries the hash of FEATURES and is refused for others. It answers in the step, at a closed bar.

Earns where what it learned still holds. Loses when the market has changed since, and on every trade whose edge is less
than its costs, which is most of them: `enter` must stand clear of a half by more than a fee. Its share right on bars it
never saw stands in the file, and that is the figure to believe.
"""

from __future__ import annotations

from typing import Any

from engine.strategy.contract import NONE, OK, Feature, Parameter, ceil_to_int, leave, protect, take

FEATURES = (
    Feature("rsi", 14), Feature("zscore", 20), Feature("trend", 20), Feature("trend", 50), Feature("ma_gap", 10),
    Feature("roc", 5), Feature("bb_pos", 20), Feature("r2", 20), Feature("atr", 14),
)  # fmt: skip
FEATURE_BARS_S = 0  # the venue's own closed bars
MODEL = "learned.json"
ATR, RISE = 8, 9  # the last feature, and behind it the model's one output

PARAMETERS = (
    Parameter("qty", 10, 1, 1_000_000, "lots", "quantity of an entry"),
    Parameter("slip", 2, 0, 1_000, "ticks", "how far beyond the touch an order may fill"),
    Parameter("both_sides", 1, 0, 1, "0 or 1", "1 also goes short"),
    Parameter("enter", 0.55, 0.5, 1.0, "1", "chance of a rise that is bought; one minus it is sold"),
    Parameter("leave_at", 0.5, 0.0, 1.0, "1", "chance at which a long is left; one minus it for a short"),
    Parameter("stop_atr", 4.0, 0.5, 100.0, "1", "distance of the stop, in average ranges of a bar"),
)
QTY, SLIP, BOTH_SIDES = range(3)
ENTER, LEAVE_AT, STOP_ATR = range(3)


SECOND_NS = 1_000_000_000


def decide(view: Any, wishes: Any) -> int:
    params, floats = view["params"], view["params_f64"]
    # A bar's close comes without a quote: the model has its new word, and the next quote is what it is acted on at.
    if view["now_ns"] - view["book_ns"] > SECOND_NS:
        return OK
    wishes["bid"][0]["kind"] = NONE
    wishes["ask"][0]["kind"] = NONE
    rise, noise, lots = view["features"][RISE], view["features"][ATR], view["position_lots"]
    # Before every feature is warm the model says nothing: not a number, which no comparison is true of.
    if view["book_trusted"] == 0 or not noise > 0.0:
        return OK
    stop = ceil_to_int(floats[STOP_ATR] * noise)
    if (lots > 0 and rise < floats[LEAVE_AT]) or (lots < 0 and 1.0 - rise < floats[LEAVE_AT]):
        leave(view, wishes, params[SLIP])
    elif lots == 0 and rise > floats[ENTER]:
        take(view, wishes["bid"][0], 0, params[QTY], params[SLIP])
        protect(wishes["bid"][0], 0, stop, 0)
    elif lots == 0 and 1.0 - rise > floats[ENTER] and params[BOTH_SIDES] == 1:
        take(view, wishes["ask"][0], 1, params[QTY], params[SLIP])
        protect(wishes["ask"][0], 1, stop, 0)
    return OK
