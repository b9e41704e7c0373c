"""Venues: order bytes that cannot be built, and what the embedded venue's matching refuses."""

from __future__ import annotations

from engine._core.types import Status
from engine.errors.base import Bot4Error
from engine.errors.memory import CapacityError


class EncodeError(Bot4Error, ValueError):
    code = "BOT4-1600"
    sentence = "The bytes of an order could not be built."
    remedy = "Nothing was sent; the detail names the field."


class EncodeNoRoom(EncodeError, CapacityError):
    code = "BOT4-1601"
    sentence = "The message is longer than the buffer that was laid out for it."
    status = Status.ENCODE_NO_ROOM


class EncodeBadTemplate(EncodeError):
    code = "BOT4-1602"
    sentence = "A message template lacks a field or names one twice."
    status = Status.ENCODE_BAD_TEMPLATE


class EncodeBadTerms(EncodeError):
    code = "BOT4-1603"
    sentence = "The venue has no such order type or time in force."
    remedy = "Let the core emulate it, or choose one that the venue's page lists."
    status = Status.ENCODE_BAD_TERMS


class EncodeNoToken(EncodeError, PermissionError):
    code = "BOT4-1604"
    sentence = "An order without the gate's verdict is never sent."
    remedy = "This is a bug in whoever made the intent: only the core makes intents."
    status = Status.ENCODE_NO_TOKEN


class MatchError(Bot4Error, ValueError):
    code = "BOT4-1650"
    sentence = "The matching engine refused the order."
    remedy = "Correct the order; the detail names what is wrong with it."


class MatchBadOrder(MatchError):
    code = "BOT4-1651"
    sentence = "The order contradicts itself or lies outside the instrument's filters."
    status = Status.MATCH_BAD_ORDER


class MatchFull(MatchError, CapacityError):
    code = "BOT4-1652"
    sentence = "The matching engine has no room for another order or level."
    status = Status.MATCH_FULL


class MatchUnknown(MatchError, LookupError):
    code = "BOT4-1653"
    sentence = "The matching engine knows no such order."
    status = Status.MATCH_UNKNOWN


class MatchWouldTake(MatchError):
    code = "BOT4-1654"
    sentence = "A post-only order would have taken liquidity."
    status = Status.MATCH_WOULD_TAKE


class MatchWouldTrigger(MatchError):
    code = "BOT4-1655"
    sentence = "A trigger order would have triggered at once."
    status = Status.MATCH_WOULD_TRIGGER


class MatchSelfTrade(MatchError):
    code = "BOT4-1656"
    sentence = "The order would have traded with one of the same owner."
    status = Status.MATCH_SELF_TRADE


class MatchCannotFill(MatchError):
    code = "BOT4-1657"
    sentence = "A fill-or-kill order cannot be filled whole."
    status = Status.MATCH_CANNOT_FILL


class MatchBadConfig(MatchError):
    code = "BOT4-1658"
    sentence = "The matching engine's configuration is out of range."
    status = Status.MATCH_BAD_CONFIG


class MatchNoLiquidity(MatchError):
    code = "BOT4-1659"
    sentence = "The opposite side of the book is empty."
    status = Status.MATCH_NO_LIQUIDITY
