"""Data coming in: decimals, frames and books that are refused."""

from __future__ import annotations

from engine._core.types import Status
from engine.errors.base import Bot4Error
from engine.errors.memory import CapacityError


class DataError(Bot4Error, ValueError):
    code = "BOT4-400"
    sentence = "Data from outside was refused; nothing of it was applied."
    remedy = "Look at the counters of refused data; if they grow, the venue changed or the feed is broken."


class DecimalError(DataError):
    code = "BOT4-410"
    sentence = "A decimal number is not in the plain form digits[.digits]."


class DecimalEmpty(DecimalError):
    code = "BOT4-401"
    sentence = "A decimal number is empty."
    status = Status.DECIMAL_EMPTY


class DecimalSign(DecimalError):
    code = "BOT4-402"
    sentence = "A decimal number carries a sign."
    status = Status.DECIMAL_SIGN


class DecimalExponent(DecimalError):
    code = "BOT4-403"
    sentence = "A decimal number carries an exponent."
    status = Status.DECIMAL_EXPONENT


class DecimalBlank(DecimalError):
    code = "BOT4-404"
    sentence = "A decimal number contains white space."
    status = Status.DECIMAL_BLANK


class DecimalEmptyPart(DecimalError):
    code = "BOT4-405"
    sentence = "A decimal number has no digit before or after its point."
    status = Status.DECIMAL_EMPTY_PART


class DecimalTooManyDigits(DecimalError):
    code = "BOT4-406"
    sentence = "A decimal number has more digits than its scale keeps."
    status = Status.DECIMAL_TOO_MANY_DIGITS


class DecimalOverflow(DecimalError, OverflowError):
    code = "BOT4-407"
    sentence = "A decimal number does not fit into 63 bits at its scale."
    status = Status.DECIMAL_OVERFLOW


class DecimalBadCharacter(DecimalError):
    code = "BOT4-408"
    sentence = "A decimal number contains a character that is neither a digit nor a point."
    status = Status.DECIMAL_BAD_CHARACTER


class DecimalOffStep(DecimalError):
    code = "BOT4-409"
    sentence = "A number is not a whole multiple of its instrument's step."
    status = Status.DECIMAL_OFF_STEP


class DecimalBadScale(DecimalError):
    code = "BOT4-411"
    sentence = "A scale lies outside 0 to 18."
    status = Status.DECIMAL_BAD_SCALE


class DecimalBadStep(DecimalError):
    code = "BOT4-412"
    sentence = "A step, a lot or a divisor must be 1 or more."
    remedy = "Correct the instrument's definition; the detail names the number."
    status = Status.DECIMAL_BAD_STEP


class FrameError(DataError):
    code = "BOT4-500"
    sentence = "A frame from a venue could not be read."


class FrameTruncated(FrameError, EOFError):
    code = "BOT4-501"
    sentence = "A frame ends before its message does."
    status = Status.PARSE_TRUNCATED


class FrameSyntax(FrameError):
    code = "BOT4-502"
    sentence = "A frame is not valid JSON."
    status = Status.PARSE_SYNTAX


class FrameWrongType(FrameError):
    code = "BOT4-503"
    sentence = "A field of a frame has the wrong JSON type."
    status = Status.PARSE_WRONG_TYPE


class FrameMissingKey(FrameError):
    code = "BOT4-504"
    sentence = "A field that the message must have is not there."
    status = Status.PARSE_MISSING_KEY


class FrameUnknownSymbol(FrameError):
    code = "BOT4-505"
    sentence = "A frame speaks of a symbol that was not registered."
    status = Status.PARSE_UNKNOWN_SYMBOL


class FrameUnknownEvent(FrameError):
    code = "BOT4-506"
    sentence = "A frame is of an event type that this parser does not know."
    status = Status.PARSE_UNKNOWN_EVENT


class FrameBadNumber(FrameError):
    code = "BOT4-507"
    sentence = "A number in a frame is not exact at its instrument's scale."
    status = Status.PARSE_BAD_NUMBER


class FrameTooLong(FrameError):
    code = "BOT4-508"
    sentence = "A frame is longer than the limit."
    status = Status.PARSE_TOO_LONG


class FrameTooManyLevels(FrameError):
    code = "BOT4-509"
    sentence = "A depth message has more levels than the limit."
    status = Status.PARSE_TOO_MANY_LEVELS


class FrameEscape(FrameError):
    code = "BOT4-510"
    sentence = "A string that must be plain text contains an escape."
    status = Status.PARSE_ESCAPE


class FrameTooDeep(FrameError):
    code = "BOT4-511"
    sentence = "A frame nests deeper than the limit."
    status = Status.PARSE_TOO_DEEP


class FrameDuplicateKey(FrameError):
    code = "BOT4-512"
    sentence = "A field stands twice in one object."
    status = Status.PARSE_DUPLICATE_KEY


class FrameNoRoom(FrameError, BufferError):
    code = "BOT4-513"
    sentence = "The events of a frame do not fit into the room given for them."
    status = Status.PARSE_NO_ROOM


class FrameNotData(FrameError):
    code = "BOT4-514"
    sentence = "A frame is a reply or a notice, not market data."
    status = Status.PARSE_NOT_DATA


class FrameBadSchema(FrameError):
    code = "BOT4-515"
    sentence = "A binary frame has an unknown schema, template or block length."
    status = Status.PARSE_BAD_SCHEMA


class FrameTrailing(FrameError):
    code = "BOT4-516"
    sentence = "Something stands behind the end of a frame's message."
    status = Status.PARSE_TRAILING


class SymbolsFull(FrameError, CapacityError):
    code = "BOT4-517"
    sentence = "The symbol table has no room for another symbol."
    remedy = "Raise its capacity in the configuration and start again."
    status = Status.PARSE_SYMBOLS_FULL


class BadSymbol(FrameError):
    code = "BOT4-518"
    sentence = "A symbol cannot be registered: empty, too long, not plain text, or there already."
    remedy = "Correct the symbol list; the detail names it."
    status = Status.PARSE_BAD_SYMBOL


class BookError(DataError):
    code = "BOT4-600"
    sentence = "The order book refused an operation."


class BookOutside(BookError):
    code = "BOT4-601"
    sentence = "The question reaches past the book's horizon, where levels were dropped for want of room."
    status = Status.BOOK_OUTSIDE


class BookFull(BookError, CapacityError):
    code = "BOT4-602"
    sentence = "The book's overflow has no room for another level."
    status = Status.BOOK_FULL


class BookCrossed(BookError):
    code = "BOT4-603"
    sentence = "The best bid is at or above the best ask."
    status = Status.BOOK_CROSSED


class BookGap(BookError):
    code = "BOT4-604"
    sentence = "An update does not follow the one before it; something was lost."
    remedy = "The book is rebuilding; quoting on it resumes after the next snapshot."
    status = Status.BOOK_GAP


class BookStaleUpdate(BookError):
    code = "BOT4-605"
    sentence = "An update is older than the book."
    status = Status.BOOK_STALE_UPDATE


class BookBadPrice(BookError):
    code = "BOT4-606"
    sentence = "A level's price is negative, zero or beyond the limit."
    status = Status.BOOK_BAD_PRICE


class BookBadQuantity(BookError):
    code = "BOT4-607"
    sentence = "A level's quantity is negative or beyond the limit."
    status = Status.BOOK_BAD_QUANTITY


class BookUntrusted(BookError):
    code = "BOT4-608"
    sentence = "The book is not live: a gap, a bad checksum or no snapshot yet."
    remedy = "Wait until its trust state is live; never quote on it before."
    status = Status.BOOK_UNTRUSTED


class BookChecksum(BookError):
    code = "BOT4-609"
    sentence = "The venue's checksum and the book disagree."
    remedy = "The book is rebuilding; resubscribe and take a new snapshot."
    status = Status.BOOK_CHECKSUM


class BookEmptySide(BookError, LookupError):
    code = "BOT4-610"
    sentence = "This side of the book holds no level."
    status = Status.BOOK_EMPTY_SIDE


class BookMismatch(BookError):
    code = "BOT4-611"
    sentence = "A quote and the book of the same sequence number disagree."
    remedy = "The book is rebuilding; take a new snapshot."
    status = Status.BOOK_MISMATCH


class BookTooThin(BookError, LookupError):
    code = "BOT4-612"
    sentence = "This side of the book does not hold the quantity asked for."
    status = Status.BOOK_TOO_THIN
