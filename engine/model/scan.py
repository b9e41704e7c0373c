"""Twin of the JSON scanner: the standard library's, made as strict as RFC 8259, with everything left as text.

Numbers stay the text they were written as. An escape inside a string becomes the character MARK, which no UTF-8 text
can contain, so that whoever reads the string sees that there was one.
"""

from __future__ import annotations

import json
import re
from typing import Any, NoReturn

from engine._core.types import Status

MARK = "\udcff"
DEPTH_MAX = 32
ESCAPE = re.compile(r'\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})')
# The scanner tells a cut document, a broken one, a too deep one and one with something behind it apart by where it
# meets the fault first. This twin only knows that a document is malformed.
MALFORMED = frozenset({Status.PARSE_TRUNCATED, Status.PARSE_SYNTAX, Status.PARSE_TOO_DEEP, Status.PARSE_TRAILING})


class Malformed(Exception):  # noqa: N818
    """The text is not one JSON value of permitted depth."""


class Number(str):
    """A JSON number as it was written."""

    __slots__ = ()


class Object(list[tuple[str, Any]]):
    """A JSON object with its members in order, repeated keys and all."""


def _refuse(text: str) -> NoReturn:
    raise Malformed(text)


def _depth(value: Any) -> int:
    if isinstance(value, Object):
        return 1 + max((_depth(inner) for _, inner in value), default=0)
    if isinstance(value, list):
        return 1 + max(map(_depth, value), default=0)
    return 0


def load(document: bytes) -> Any:
    """The value of a document: Object, list, str, Number, True, False or None."""
    try:
        text = ESCAPE.sub(MARK, document.decode("utf-8"))
        value = json.loads(text, parse_float=Number, parse_int=Number, parse_constant=_refuse, object_pairs_hook=Object)
        too_deep = _depth(value) > DEPTH_MAX
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise Malformed(str(error)) from None
    if too_deep:
        raise Malformed("too deep")
    return value


def validate(document: bytes) -> int:
    """Status.OK, or one of MALFORMED: which one only the scanner knows."""
    try:
        load(document)
    except Malformed:
        return int(Status.PARSE_SYNTAX)
    return int(Status.OK)
