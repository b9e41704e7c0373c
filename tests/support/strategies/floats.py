"""Every float operation of the contract, and the way back to integers."""

import math

from engine.strategy.contract import OK, ceil_to_int, clamp, floor_to_int

PARAMETERS = ()


def decide(view, wishes):
    x, y = view["features"][0], view["features"][1]
    out = view["state_f64"]
    n = view["position_lots"]
    out[0] = x / y
    out[1] = x // y
    out[2] = x % y if y > 0.0 else 0.0
    out[3] = x * y + x - y
    out[4] = math.sqrt(x)
    out[5] = math.exp(x)
    out[6] = math.log(x)
    out[7] = n / view["params"][0]
    out[8] = math.fabs(x) + math.copysign(1.0, y)
    out[9] = x * x
    out[10] = math.tanh(x) + math.atan2(x, y)
    out[11] = math.log1p(x) + math.expm1(y)
    out[12] = math.sin(clamp(x, -10.0, 10.0))
    wishes["bid"][0]["px_ticks"] = floor_to_int(x)
    wishes["bid"][0]["qty_lots"] = ceil_to_int(y)
    wishes["bid"][0]["kind"] = 1 if x > n else 2
    wishes["ask"][0]["kind"] = 1 if math.isnan(x) or math.isinf(y) else 2
    wishes["ask"][0]["px_ticks"] = floor_to_int(float(n) * x)
    wishes["signal"]["valid"] = 1
    wishes["signal"]["sharpe"] = x
    wishes["signal"]["confidence"] = y
    return OK
