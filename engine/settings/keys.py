"""The keys of the schema by their path: what each means, its value in a set of settings, and which way it tightens."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

import msgspec
from msgspec import inspect

from engine.settings.problems import Key, dotted
from engine.settings.schema import Settings
from engine.settings.units import to_text

ANY = "*"  # stands for the name of an entry in a pattern: venues.*.rest


@dataclass(frozen=True)
class Description:
    """One key as the schema describes it."""

    key: Key
    unit: str
    strict: str
    form: str | None
    text: str
    kind: inspect.Type
    default: Any
    required: bool

    @property
    def guarded(self) -> bool:
        """Whether loosening it waits."""
        return self.strict in ("up", "down")

    def is_looser(self, new: int, old: int) -> bool:
        return new > old if self.strict == "down" else new < old

    def show(self, value: Any) -> str:
        """The value as it would be written in a file."""
        return toml_value(value, self.form)

    def range(self) -> str:
        match self.kind:
            case inspect.IntType() if self.form:
                return (
                    f'"{to_text(int(self.kind.ge or 0), self.form)}" to "{to_text(int(self.kind.le or 0), self.form)}"'
                )
            case inspect.IntType() if self.kind.ge is not None:
                return f"{self.kind.ge:,} to {self.kind.le:,}"
            case inspect.LiteralType():
                return ", ".join(sorted(str(value) for value in self.kind.values))
            case inspect.BoolType():
                return "true, false"
        return ""


def toml_value(value: Any, form: str | None = None) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return f'"{to_text(value, form)}"' if form else f"{value:_}" if abs(value) >= 10_000 else str(value)
    if isinstance(value, str):
        return msgspec.json.encode(value).decode()
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{k} = {toml_value(v)}" for k, v in value.items()) + " }" if value else "{}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(toml_value(v) for v in value) + "]"
    return str(value)


@cache
def descriptions(schema: type[Any] = Settings) -> dict[Key, Description]:
    """Every key of a schema by its pattern, in the schema's order."""
    return {entry.key: entry for entry in _walk(inspect.type_info(schema), ())}


def _walk(kind: inspect.Type, key: Key) -> Iterator[Description]:
    assert isinstance(kind, inspect.StructType)
    for field in kind.fields:
        extra: dict[str, Any] = {}
        inner, text = field.type, ""
        while isinstance(inner, inspect.Metadata):
            extra = inner.extra or extra
            text = (inner.extra_json_schema or {}).get("description", text)
            inner = inner.type
        path = (*key, field.encode_name)
        if isinstance(inner, inspect.StructType):
            yield from _walk(inner, path)
        elif isinstance(inner, inspect.DictType) and isinstance(inner.value_type, inspect.StructType):
            yield from _walk(inner.value_type, (*path, ANY))
        else:
            yield Description(
                path,
                extra.get("unit", ""),
                extra.get("strict", "restart"),
                extra.get("form"),
                text,
                inner,
                None if field.required else field.default,
                field.required,
            )


def describe(key: Key) -> Description | None:
    """The description of a key as it is written, entries by their names."""
    known = descriptions()
    for pattern, found in known.items():
        if len(pattern) == len(key) and all(p in (ANY, k) for p, k in zip(pattern, key, strict=True)):
            return found
    return None


def values(settings: msgspec.Struct, key: Key = ()) -> dict[Key, Any]:
    """Every value by its path, in the schema's order."""
    out: dict[Key, Any] = {}
    for name in settings.__struct_fields__:
        value = getattr(settings, name)
        path = (*key, name)
        if isinstance(value, msgspec.Struct):
            out.update(values(value, path))
        elif isinstance(value, dict) and any(isinstance(entry, msgspec.Struct) for entry in value.values()):
            for entry_name, entry in value.items():
                out.update(values(entry, (*path, entry_name)))
        elif not _is_tables(path):
            out[path] = value
    return out


def _is_tables(path: Key) -> bool:
    """Whether entries stand there, each a table of its own: nothing is written as long as nobody names one."""
    depth = len(path)
    return any(pattern[:depth] == path and pattern[depth : depth + 1] == (ANY,) for pattern in descriptions())


def with_values(settings: Settings, changes: dict[Key, Any]) -> Settings:
    """The same settings with some values replaced."""
    raw = msgspec.to_builtins(settings)
    for key, value in changes.items():
        table = raw
        for part in key[:-1]:
            table = table[part]
        table[key[-1]] = value
    return msgspec.convert(raw, Settings)


@dataclass(frozen=True)
class Change:
    """One key that differs between two sets of settings; None where it does not exist."""

    key: Key
    old: Any
    new: Any
    effect: str  # tighten, loosen, live, restart

    def __str__(self) -> str:
        description = describe(self.key)
        show = description.show if description else toml_value
        old = "nothing" if self.old is None else show(self.old)
        new = "nothing" if self.new is None else show(self.new)
        return f"{dotted(self.key)}: {old} -> {new} ({self.effect})"


def differences(old: Settings, new: Settings) -> list[Change]:
    """What changes between two sets of settings, and how each change acts."""
    before, after = values(old), values(new)
    changes = []
    for key in [*before, *(key for key in after if key not in before)]:
        if key in before and key in after and before[key] == after[key]:
            continue
        changes.append(Change(key, before.get(key), after.get(key), _effect(key, before, after)))
    return changes


def _effect(key: Key, before: dict[Key, Any], after: dict[Key, Any]) -> str:
    found = describe(key)
    if found is None or key not in before or key not in after:
        return "restart"
    if found.guarded:
        return "loosen" if found.is_looser(after[key], before[key]) else "tighten"
    return found.strict
