"""Holds raw values against the schema, every one of them, and says everything that is wrong.

msgspec stops at the first mistake; a person wants them all. So the walk goes over msgspec's own description of the
types and collects; what passes it is converted by msgspec, which is then a proof and not a report.
"""

from __future__ import annotations

import re
from typing import Any

import msgspec
from msgspec import inspect

from engine.settings.problems import Key, Problems, nearest, shown
from engine.settings.units import FORMS, from_text, to_text

MISSING = object()


def check(kind: inspect.Type, value: Any, key: Key, problems: Problems) -> Any:  # noqa: PLR0911, PLR0912 - one a type
    """The value as the schema keeps it, or MISSING after a problem was noted."""
    form = unit = None
    while isinstance(kind, inspect.Metadata):
        form, unit = (kind.extra or {}).get("form"), (kind.extra or {}).get("unit")
        kind = kind.type
    match kind:
        case inspect.StructType():
            return _struct(kind, value, key, problems)
        case inspect.DictType():
            return _table(kind, value, key, problems)
        case inspect.VarTupleType():
            return _list(kind, value, key, problems)
        case inspect.IntType() if form:
            return _decimal(kind, value, key, problems, form, unit or "")
        case inspect.IntType():
            return _whole(kind, value, key, problems, unit or "")
        case inspect.StrType():
            return _text(kind, value, key, problems)
        case inspect.LiteralType():
            if value in kind.values:
                return value
            near = nearest(value, [str(v) for v in kind.values]) if isinstance(value, str) else None
            problems.add(key, shown(value), "one of " + ", ".join(str(v) for v in kind.values), near)
        case inspect.BoolType():
            if isinstance(value, bool):
                return value
            problems.add(key, shown(value), "true or false")
        case inspect.UnionType():
            # Parameters of strategies: a number of either kind. Their ranges are the strategy's own.
            if isinstance(value, int | float) and not isinstance(value, bool):
                return value
            problems.add(key, shown(value), "a number")
        case _:
            raise TypeError(f"{'.'.join(key)}: the schema uses {kind}, which the walk does not know")
    return MISSING


def _struct(kind: inspect.StructType, value: Any, key: Key, problems: Problems) -> Any:
    if not isinstance(value, dict):
        problems.add(key, shown(value), "a table")
        return MISSING
    fields = {field.encode_name: field for field in kind.fields}
    out: dict[str, Any] = {}
    for name, inner in value.items():
        if name not in fields:
            problems.add((*key, name), "a key that does not exist", "a key of the schema", nearest(name, fields))
        elif (checked := check(fields[name].type, inner, (*key, name), problems)) is not MISSING:
            out[name] = checked
    for name, field in fields.items():
        if field.required and name not in value:
            problems.add((*key, name), "nothing", "a value: it has no default")
    return out


def _table(kind: inspect.DictType, value: Any, key: Key, problems: Problems) -> Any:
    if not isinstance(value, dict):
        problems.add(key, shown(value), "a table")
        return MISSING
    checked = {name: check(kind.value_type, inner, (*key, name), problems) for name, inner in value.items()}
    return {name: inner for name, inner in checked.items() if inner is not MISSING}


def _list(kind: inspect.VarTupleType, value: Any, key: Key, problems: Problems) -> Any:
    if not isinstance(value, list | tuple):
        problems.add(key, shown(value), "a list")
        return MISSING
    checked = [check(kind.item_type, inner, key, problems) for inner in value]
    return [inner for inner in checked if inner is not MISSING]


def _whole(kind: inspect.IntType, value: Any, key: Key, problems: Problems, unit: str) -> Any:
    low, high = kind.ge, kind.le
    if isinstance(value, int) and not isinstance(value, bool) and (low is None or low <= value <= (high or 0)):
        return value
    limits = "" if low is None else f" from {low} to {high}"
    problems.add(key, shown(value), f"a whole number{limits}{f' {unit}' if unit else ''}")
    return MISSING


def _decimal(kind: inspect.IntType, value: Any, key: Key, problems: Problems, form: str, unit: str) -> Any:
    low, high = int(kind.ge or 0), int(kind.le or 0)
    expected = f'a number in quotes from "{to_text(low, form)}" to "{to_text(high, form)}" {unit}'
    try:
        number = from_text(value, form) if isinstance(value, str) else None
    except ValueError:
        number = None
    if number is None or not low <= number <= high:
        places = "" if form not in FORMS else ", exact to 1e-8"
        problems.add(key, shown(value), expected + places)
        return MISSING
    return number


def _text(kind: inspect.StrType, value: Any, key: Key, problems: Problems) -> Any:
    if not isinstance(value, str):
        problems.add(key, shown(value), "text in quotes")
    elif kind.pattern and not re.search(kind.pattern, value):
        problems.add(key, shown(value), f"text of the form {kind.pattern}")
    else:
        return value
    return MISSING


def build(schema: type[Any], raw: dict[str, Any], problems: Problems) -> Any:
    """Raw values as an instance of the schema, or MISSING with problems noted."""
    checked = check(inspect.type_info(schema), raw, (), problems)
    if problems.found or checked is MISSING:
        return MISSING
    return msgspec.convert(checked, schema)
