"""Binance's error codes in our taxonomy: errors.md of the spot documents and the USD-M page, read 2026-07-21.

A code tells less than its text for -2010, -2011 and -1013, so their texts decide. HTTP 5xx and -1006, -1007 leave an
order's fate open; nothing else that says "failed" does. A refused time stamp or signature never reached the engine.
"""

from __future__ import annotations

import re

from engine.venues.outcome import Act, Meaning, Outcome

_R, _U, _N = Outcome.REJECTED, Outcome.UNKNOWN, Outcome.NOT_SENT

_CODES: dict[int, tuple[Outcome, Act, str]] = {
    -1000: (_U, Act.RETRY, "unknown_error"),
    -1001: (_U, Act.RETRY, "disconnected"),
    -1002: (_N, Act.KEY, "unauthorized"),
    -1003: (_N, Act.SLOW, "too_many_requests"),
    -1004: (_N, Act.RETRY, "server_busy"),
    -1006: (_U, Act.RETRY, "unexpected_response"),
    -1007: (_U, Act.RETRY, "timeout"),
    -1008: (_N, Act.RETRY, "overloaded"),
    -1010: (_R, Act.FIX, "error_message"),
    -1013: (_R, Act.FIX, "filter"),
    -1014: (_R, Act.FIX, "unknown_order_composition"),
    -1015: (_N, Act.SLOW_ORDERS, "too_many_orders"),
    -1016: (_R, Act.HALT, "shutting_down"),
    -1020: (_R, Act.FIX, "unsupported"),
    -1021: (_N, Act.CLOCK, "timestamp"),
    -1022: (_N, Act.KEY, "signature"),
    -1033: (_R, Act.NONE, "comp_id_in_use"),
    -1034: (_N, Act.SLOW, "too_many_connections"),
    -1035: (_R, Act.NONE, "logged_out"),
    -1099: (_N, Act.KEY, "not_authenticated"),
    -2008: (_N, Act.KEY, "bad_api_id"),
    -2010: (_R, Act.NONE, "rejected"),
    -2011: (_R, Act.NONE, "cancel_rejected"),
    -2013: (Outcome.NO_ORDER, Act.NONE, "no_such_order"),
    -2014: (_N, Act.KEY, "bad_key_format"),
    -2015: (_N, Act.KEY, "key_ip_or_permission"),
    -2016: (_R, Act.HALT, "no_trading_window"),
    -2018: (_R, Act.NONE, "balance_not_sufficient"),
    -2019: (_R, Act.NONE, "margin_not_sufficient"),
    -2020: (_R, Act.NONE, "unable_to_fill"),
    -2021: (_R, Act.NONE, "cancel_replace_partial"),  # USD-M: "would immediately trigger"; see meaning()
    -2022: (_R, Act.NONE, "cancel_replace_failed"),  # USD-M: "ReduceOnly order is rejected"
    -2023: (_R, Act.HALT, "user_in_liquidation"),
    -2024: (_R, Act.NONE, "position_not_sufficient"),
    -2025: (_R, Act.NONE, "max_open_orders"),
    -2026: (Outcome.NO_ORDER, Act.NONE, "archived"),
    -2027: (_R, Act.NONE, "max_leverage_ratio"),
    -2028: (_R, Act.NONE, "min_leverage_ratio"),
    -2035: (_R, Act.NONE, "subscription_active"),
    -2036: (_R, Act.NONE, "subscription_inactive"),
    -2038: (_R, Act.NONE, "amend_rejected"),
    -2039: (Outcome.NO_ORDER, Act.FIX, "client_id_mismatch"),
    -4061: (_R, Act.KEY, "position_side"),
    -4120: (_R, Act.FIX, "algo_service_only"),
    -4164: (_R, Act.FIX, "min_notional"),
    -5021: (_R, Act.NONE, "fok_rejected"),
    -5022: (_R, Act.NONE, "post_only_rejected"),
    -5027: (_R, Act.NONE, "no_need_to_modify"),
    -5028: (_N, Act.RETRY, "timestamp_outside_of_me"),
}

# Texts that say more than their code, tried in this order.
_TEXTS: list[tuple[int, str, tuple[Outcome, Act, str]]] = [
    (-1003, "banned", (_N, Act.BAN, "banned")),
    (-2011, "Unknown order sent", (Outcome.NO_ORDER, Act.NONE, "no_such_order")),
    (-2011, "Order was not canceled due to cancel restrictions", (_R, Act.NONE, "cancel_restrictions")),
    (-2011, "Order was canceled or expired", (Outcome.NO_ORDER, Act.NONE, "ended_before")),
    (-2010, "insufficient balance", (_R, Act.NONE, "balance_not_sufficient")),
    # Our client ids are never used twice: the venue knows this one, so the order may well be live.
    (-2010, "Duplicate order sent", (_U, Act.NONE, "duplicate_id")),
    (-2010, "immediately match and take", (_R, Act.NONE, "would_take")),
    (-2010, "trigger immediately", (_R, Act.NONE, "would_trigger")),
    (-2010, "Market is closed", (_R, Act.HALT, "market_closed")),
    (-2010, "This action is disabled", (_R, Act.HALT, "disabled")),
    (-2010, "liquidity", (_R, Act.NONE, "no_liquidity")),
    (-2010, "Unsupported order combination", (_R, Act.FIX, "unsupported")),
    (-2021, "immediately trigger", (_R, Act.NONE, "would_trigger")),
    (-2022, "ReduceOnly", (_R, Act.NONE, "reduce_only_rejected")),
    (-2038, "insufficient", (_R, Act.NONE, "amend_not_smaller")),
    (-1013, "Market is closed", (_R, Act.HALT, "market_closed")),
    (-4116, "duplicated", (_U, Act.NONE, "duplicate_id")),
]
# Statuses that say it before any code does: none of these requests reached the engine.
_STATUSES: dict[int, tuple[Outcome, Act, str]] = {
    403: (_N, Act.SLOW, "firewall"),
    418: (_N, Act.BAN, "banned"),
    429: (_N, Act.SLOW, "too_many_requests"),
}
_FILTER = re.compile(r"Filter failure: (\w+)")
_UNTIL = re.compile(r"banned until (\d+)")


def meaning(code: int, text: str = "") -> Meaning:
    """What an error means on the order path."""
    for wanted, words, what in _TEXTS:
        if code == wanted and words.lower() in text.lower():
            return Meaning(*what)
    if code == -1013 and (found := _FILTER.search(text)):
        return Meaning(_R, Act.FIX, f"filter_{found[1].lower()}")
    if code in _CODES:
        return Meaning(*_CODES[code])
    # -11xx are parameters, -4xxx filters and settings of USD-M: both are refused before the engine.
    if -1199 <= code <= -1100 or -4999 <= code <= -4000:
        return Meaning(_R, Act.FIX, f"request_{-code}")
    return Meaning(_U, Act.NONE, f"code_{-code}")


def meaning_of_http(status: int, code: int | None, text: str = "") -> Meaning:
    """A REST answer: the status speaks first where it decides, the code where it is known."""
    if status in _STATUSES and not (status == 429 and code == -1015):
        return Meaning(*_STATUSES[status])
    if code is not None and (code in _CODES or status < 500):
        return meaning(code, text)
    if status < 300:
        return Meaning(Outcome.DONE, Act.NONE, "ok")
    return Meaning(_U, Act.RETRY if status >= 500 else Act.NONE, f"http_{status}")


def banned_until_ms(text: str) -> int | None:
    """The end of a ban out of its text, in milliseconds since 1970."""
    found = _UNTIL.search(text)
    return int(found[1]) if found else None
