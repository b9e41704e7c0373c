"""The venue's rate limits: request weight a minute by address, orders a window by account, 429 and then 418."""

from __future__ import annotations

from dataclasses import dataclass, field

from engine.sim.venue.wire import MS, ApiError

MINUTE_NS, TEN_NS, DAY_NS = 60 * 10**9, 10 * 10**9, 86_400 * 10**9
ADVICE = "Please use WebSocket Streams for live updates to avoid bans."


@dataclass
class Limits:
    """Windows are aligned to the clock, not sliding. Who goes on after a 429 is banned."""

    weight_max: int = 6000
    orders_10s_max: int = 100
    orders_day_max: int = 200_000
    ban_ns: int = 120 * 10**9
    strikes_max: int = 5
    _weights: dict[str, tuple[int, int]] = field(default_factory=dict)
    _orders: dict[tuple[int, int], tuple[int, int]] = field(default_factory=dict)
    _strikes: dict[str, int] = field(default_factory=dict)
    _banned: dict[str, int] = field(default_factory=dict)

    def weigh(self, address: str, weight: int, now_ns: int) -> int:
        """Count a request; returns the weight used in this minute, or raises the venue's 429 or 418."""
        until = self._banned.get(address, 0)
        if now_ns < until:
            text = f"Way too much request weight used; IP banned until {until // MS}. {ADVICE}"
            raise ApiError(-1003, text, 418, retryAfter=until // MS)
        window = now_ns // MINUTE_NS
        begun, used = self._weights.get(address, (window, 0))
        used = (used if begun == window else 0) + weight
        self._weights[address] = (window, used)
        if used <= self.weight_max:
            if begun != window:
                self._strikes.pop(address, None)
            return used
        strikes = self._strikes[address] = self._strikes.get(address, 0) + 1
        if strikes > self.strikes_max:
            self._banned[address] = now_ns + self.ban_ns
        raise ApiError(-1003, f"Too much request weight used; current limit is {self.weight_max} request weight per 1 "
                       "MINUTE. Please use WebSocket Streams for live updates to avoid polling the API.", 429,
                       retryAfter=(window + 1) * MINUTE_NS // MS)  # fmt: skip

    def order(self, owner: int, count: int, now_ns: int) -> tuple[int, int]:
        """Count new orders; returns those of the ten seconds and of the day."""
        out = []
        for span, most in ((TEN_NS, self.orders_10s_max), (DAY_NS, self.orders_day_max)):
            window = now_ns // span
            begun, used = self._orders.get((owner, span), (window, 0))
            used = (used if begun == window else 0) + count
            if used > most:
                text = "10 SECOND" if span == TEN_NS else "1 DAY"
                raise ApiError(-1015, f"Too many new orders; current limit is {most} orders per {text}.", 429,
                               retryAfter=(window + 1) * span // MS)  # fmt: skip
            out.append(used)
        for span, used in zip((TEN_NS, DAY_NS), out, strict=True):
            self._orders[owner, span] = (now_ns // span, used)
        return out[0], out[1]
