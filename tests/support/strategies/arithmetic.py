"""Every integer operation of the contract, on whatever the view holds."""

from engine.strategy.contract import INT64_MAX, OK, clamp

PARAMETERS = ()
WEIGHTS = (3, -5, 7)


def decide(view, wishes):
    a, b = view["position_lots"], view["params"][0]
    bid, ask = wishes["bid"][0], wishes["ask"][1]
    bid["kind"] = a // b
    bid["px_ticks"] = a % b
    bid["qty_lots"] = a + b
    bid["type"] = a - b
    bid["tif"] = a * b
    bid["flags"] = -a
    bid["stop_px_ticks"] = abs(a)
    bid["target_px_ticks"] = a * a
    bid["trigger_px_ticks"] = (a << 63) ^ (b >> 7) | (a & b)
    bid["trail_ticks"] = ~a
    bid["display_lots"] = min(a, b) + max(a, b)
    bid["expire_ns"] = clamp(a, -5, 5)
    # An optimiser that believes in "never overflows" makes this constant.
    ask["kind"] = 1 if a + 1 > a else 0
    ask["px_ticks"] = 1 if a * 2 // 2 == a else 0
    ask["qty_lots"] = (a - INT64_MAX) // -1
    ask["type"] = -7 // (b if b != 0 else 2)
    ask["tif"] = -7 % (b if b != 0 else 2)
    total = view["state"][0]
    for i in range(3):
        total = total * 31 + WEIGHTS[i] * view["state"][i]
    view["state"][5] = total
    view["state"][6] += 1
    return OK
