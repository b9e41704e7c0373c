"""How a setting is described: its unit, its range, which way it becomes stricter, and when a change of it acts.

Each field of the schema is `Annotated` with one of these. From that one description come the checks, the comments in
config/base.toml, the JSON schema for editors and the rules of a reload, so none of them can drift from the others.

Numbers are whole: a TOML float is not the number that was typed. Amounts of money and of assets stand in quotes
("0.01") and are kept as 1e-8 exactly; rates stand in quotes as percent ("0.1") and are kept as 1e-8 of one.
"""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from typing import Any, Literal

import msgspec

Strict = Literal["down", "up", "restart", "live"]
FORMS = {"amount": 10**8, "percent": 10**6}


def whole(unit: str, low: int, high: int, text: str, strict: Strict = "restart") -> msgspec.Meta:
    """A whole number. `strict`: which way it tightens, or whether a change waits for a restart or acts at once."""
    return msgspec.Meta(ge=low, le=high, description=text, extra={"unit": unit, "strict": strict})


def amount(unit: str, low: str, high: str, text: str, strict: Strict = "restart", form: str = "amount") -> msgspec.Meta:
    """A decimal in quotes, kept as a whole number of 1e-8 (`form` "percent": of 1e-8 of one)."""
    low_e8, high_e8 = from_text(low, form), from_text(high, form)
    schema: dict[str, Any] = {"type": "string", "pattern": r"^-?[0-9]+(\.[0-9]+)?$", "minimum": None, "maximum": None}
    return msgspec.Meta(
        ge=low_e8,
        le=high_e8,
        description=text,
        extra={"unit": unit, "strict": strict, "form": form},
        extra_json_schema=schema,
    )


def percent(low: str, high: str, text: str, strict: Strict = "restart") -> msgspec.Meta:
    return amount("percent", low, high, text, strict, "percent")


def text(description: str, pattern: str | None = None, strict: Strict = "restart") -> msgspec.Meta:
    return msgspec.Meta(description=description, pattern=pattern, extra={"unit": "text", "strict": strict})


def plain(unit: str, description: str, strict: Strict = "restart") -> msgspec.Meta:
    """A choice, a switch, a list: the type says what is allowed."""
    return msgspec.Meta(description=description, extra={"unit": unit, "strict": strict})


def from_text(value: str, form: str) -> int:
    """The whole number that a quoted decimal means, or ValueError."""
    try:
        scaled = Decimal(value) * FORMS[form]
    except InvalidOperation:
        raise ValueError(f"{value!r} is not a number") from None
    if not scaled.is_finite() or scaled != scaled.to_integral_value():
        raise ValueError(f"{value!r} has more than eight places")
    return int(scaled)


def to_text(value: int, form: str) -> str:
    """The shortest quoted decimal that means this number."""
    shown = format(Decimal(value) / FORMS[form], "f")
    return shown.rstrip("0").rstrip(".") if "." in shown else shown
