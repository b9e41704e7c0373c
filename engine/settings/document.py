"""Documents that come out of the schema: config/base.toml, the JSON schema for editors, the reference page."""

from __future__ import annotations

import textwrap
from typing import Any

from msgspec import inspect

from engine.settings.keys import ANY, Description, descriptions, toml_value
from engine.settings.schema import Settings
from engine.settings.trading import Section

HEAD = """\
# Every setting of Bot4 with its unit, its range and its default. Layers: this file, then the tier's, then yours, then
# the environment (BOT4__SECTION__KEY=value); each later one wins. Write what differs into a file of your own and give
# it with --config; `bot4 config show` prints the result and where each value came from.
#
# [tightens down] or [tightens up]: a stricter value acts at once, a looser one after 24 hours. [live]: a change acts at
# once. Without a mark a change acts at the next start. Amounts and percentages stand in quotes, so that they are exact.
# Rendered from the schema: `bot4 config schema --form toml`.
"""
_MARK = {"down": " [tightens down]", "up": " [tightens up]", "live": " [live]", "restart": ""}


def _tables() -> dict[tuple[str, ...], list[Description]]:
    tables: dict[tuple[str, ...], list[Description]] = {}
    for key, description in descriptions().items():
        tables.setdefault(key[:-1], []).append(description)
    return tables


def section_text(table: tuple[str, ...]) -> str:
    """The sentence that the schema's class opens with."""
    kind: Any = inspect.type_info(Settings)
    for part in table:
        while isinstance(kind, inspect.Metadata):
            kind = kind.type
        if isinstance(kind, inspect.StructType):
            kind = next(field.type for field in kind.fields if field.encode_name == part)
        elif isinstance(kind, inspect.DictType):
            kind = kind.value_type
    while isinstance(kind, inspect.Metadata):
        kind = kind.type
    return (kind.cls.__doc__ or "") if isinstance(kind, inspect.StructType) and issubclass(kind.cls, Section) else ""


def note(description: Description) -> str:
    unit = description.unit if description.unit not in ("text", "choice", "switch", "list", "table") else ""
    facts = "; ".join(part for part in (unit, description.range()) if part)
    return f"{description.text}{f' ({facts})' if facts else ''}{_MARK[description.strict]}"


def base_toml() -> str:
    """config/base.toml. Tables of entries stand as comments: there is no entry before somebody names one."""
    out = [HEAD]
    for table, entries in _tables().items():
        of_entries = ANY in table
        # An entry's own table inside it (a venue's breaker) follows its parent, commented out like it.
        name = ".".join("NAME" if part == ANY else part for part in table)
        mark = "# " if of_entries else ""
        out += [f"# {line}" for line in textwrap.wrap(section_text(table), 116)]
        out.append(f"{mark}[{name}]")
        for entry in entries:
            out += [f"# {line}" for line in textwrap.wrap(note(entry), 116)]
            value = "..." if entry.required else toml_value(entry.default, entry.form)
            out.append(f"{mark}{entry.key[-1]} = {value}")
        out.append("")
    return "\n".join(out).rstrip() + "\n"


def json_schema() -> dict[str, Any]:
    """A JSON schema of a settings file, for editors that complete and check TOML."""
    root = _schema_of(inspect.type_info(Settings))
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "Bot4 settings", **root}


def _schema_of(kind: inspect.Type) -> dict[str, Any]:
    text, form = "", None
    while isinstance(kind, inspect.Metadata):
        text = (kind.extra_json_schema or {}).get("description", text)
        form = (kind.extra or {}).get("form", form)
        kind = kind.type
    out = _bare_schema(kind, form)
    return {**out, "description": text} if text else out


def _bare_schema(kind: inspect.Type, form: str | None) -> dict[str, Any]:  # noqa: PLR0911 - one for each type
    match kind:
        case inspect.StructType():
            fields = {field.encode_name: _field_schema(field) for field in kind.fields}
            needed = [field.encode_name for field in kind.fields if field.required]
            out: dict[str, Any] = {"type": "object", "properties": fields, "additionalProperties": False}
            return {**out, "required": needed} if needed else out
        case inspect.DictType():
            return {"type": "object", "additionalProperties": _schema_of(kind.value_type)}
        case inspect.VarTupleType():
            return {"type": "array", "items": _schema_of(kind.item_type)}
        case inspect.IntType() if form:
            return {"type": "string", "pattern": r"^-?[0-9]+(\.[0-9]{1,8})?$"}
        case inspect.IntType():
            bounds = {"minimum": kind.ge, "maximum": kind.le}
            return {"type": "integer", **{name: value for name, value in bounds.items() if value is not None}}
        case inspect.StrType():
            return {"type": "string", "pattern": kind.pattern} if kind.pattern else {"type": "string"}
        case inspect.LiteralType():
            return {"enum": sorted(kind.values)}
        case inspect.BoolType():
            return {"type": "boolean"}
    return {"type": "number"}


def _field_schema(field: inspect.Field) -> dict[str, Any]:
    out = _schema_of(field.type)
    plain = out.get("type") in ("integer", "boolean", "string", "number") or "enum" in out
    if field.required or not plain:
        return out
    form, kind = None, field.type
    while isinstance(kind, inspect.Metadata):
        form, kind = (kind.extra or {}).get("form", form), kind.type
    from_default = toml_value(field.default, form).strip('"') if form else field.default
    return {**out, "default": from_default}


def reference() -> str:
    """The reference page of every setting, in Markdown."""
    out = ["# Settings", "", "Every key, from the schema. `bot4 config show` prints the values in force.", ""]
    for table, entries in _tables().items():
        name = ".".join("NAME" if part == ANY else part for part in table)
        out += [
            f"## `[{name}]`",
            "",
            section_text(table),
            "",
            "| key | default | unit, range | what it is | a change |",
        ]
        out.append("|---|---|---|---|---|")
        for entry in entries:
            default = "required" if entry.required else f"`{toml_value(entry.default, entry.form)}`"
            limits = ", ".join(part for part in (entry.unit, entry.range()) if part)
            change = {"down": "loosening waits: up", "up": "loosening waits: down", "live": "at once"}
            acts = change.get(entry.strict, "at the next start")
            out.append(f"| `{entry.key[-1]}` | {default} | {limits} | {entry.text} | {acts} |")
        out.append("")
    return "\n".join(out)
