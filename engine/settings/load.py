"""Settings out of their layers: base, tier, the user's files, the environment. Each later one wins, key by key.

Owns: the order of the layers, where each value came from, and that everything wrong is said at once before anything
starts. Reads no clock; what was in force before and what may not be loosened yet is cooldown.py's.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
from msgspec import inspect

from engine.errors import FeesBadSchedule, FeesUnknownVenue, SettingsMissing
from engine.settings import tiers
from engine.settings.fees import load_fees, rates_at
from engine.settings.locate import lines_of
from engine.settings.problems import Key, Origin, Problems
from engine.settings.relations import check_relations
from engine.settings.schema import Settings
from engine.settings.units import to_text
from engine.settings.walk import MISSING, build

PREFIX = "BOT4__"


@dataclass(frozen=True)
class Loaded:
    """Effective settings, the tier they stand in, and the place that each written value came from."""

    settings: Settings
    tier: tiers.Tier
    ladder: tuple[tiers.TierFile, ...]
    origins: dict[Key, Origin]

    @property
    def hash(self) -> str:
        return self.settings.hash()

    def origin(self, key: Key) -> str:
        found = self.origins.get(key)
        return str(found) if found else "default"


def config_directory() -> Path:
    """Where the settings that ship stand: config/ of a checkout, engine/config/ of an installed package."""
    package = Path(__file__).resolve().parents[1]
    inside = package / "config"
    return inside if inside.is_dir() else package.parent / "config"


def load(
    files: Sequence[Path | str] = (),
    *,
    environ: Mapping[str, str] | None = None,
    directory: Path | None = None,
    tier: str | None = None,
    capital: int | None = None,
    unseal: Callable[[bytes], bytes] | None = None,
) -> Loaded:
    """Effective settings, or one error with every mistake.

    `tier` overrides the tier that is named or chosen; `capital` (1e-8) what the file says the account holds; `unseal`
    opens a sealed file.
    """
    directory = directory or config_directory()
    problems = Problems()
    base: dict[str, Any] = {}
    _merge(base, _read(directory / "base.toml", problems), (), problems, directory / "base.toml")
    user: dict[str, Any] = {}
    user_problems = Problems()
    for file in files:
        path = Path(file)
        _merge(user, _read(path, user_problems, unseal), (), user_problems, path)
    _environment(user, environ or {}, user_problems)

    ladder = tiers.read_ladder(directory / "tiers")
    chosen = _tier(ladder, base, user, tier, capital)
    raw: dict[str, Any] = {}
    _overlay(raw, base)
    _overlay(raw, chosen.tier.settings)
    _overlay(raw, user)
    problems.origins |= chosen.origins() | user_problems.origins
    problems.found += user_problems.found
    _schedule(raw, directory / "fees", problems)
    settings = build(Settings, raw, problems)
    problems.raise_if_any()
    assert settings is not MISSING
    if capital is not None:
        settings = msgspec.structs.replace(settings, account=msgspec.structs.replace(settings.account, capital=capital))
    check_relations(settings, problems)
    for key, found, expected in tiers.forbidden(settings, chosen.tier):
        problems.add(key, found, expected)
    problems.raise_if_any()
    if settings.engine.mode == "live":
        tiers.require_live(ladder, settings.account.capital)
    return Loaded(settings, chosen.tier, ladder, problems.origins)


def _tier(
    ladder: tuple[tiers.TierFile, ...],
    base: dict[str, Any],
    user: dict[str, Any],
    name: str | None,
    capital: int | None,
) -> tiers.TierFile:
    """The tier that is named, or else the one the capital stands in; wrong values are reported later."""

    def written(section: str, key: str, default: Any) -> Any:
        for layer in (user, base):
            body = layer.get(section)
            if isinstance(body, dict) and key in body:
                return body[key]
        return default

    name = name or written("tier", "name", "auto")
    if name in tiers.NAMES:
        return tiers.find(ladder, name)
    if capital is None:
        problems = Problems()
        partial = build(Settings, {"account": {"capital": written("account", "capital", "100000")}}, problems)
        capital = Settings().account.capital if partial is MISSING else partial.account.capital
    standing = tiers.choose(ladder, capital)
    return ladder[standing or 0]


def _read(path: Path, problems: Problems, unseal: Callable[[bytes], bytes] | None = None) -> tuple[dict[str, Any], str]:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise SettingsMissing(f"{path}: {error.strerror}.") from None
    if unseal is not None and content.startswith(b"BOT4SEAL"):
        content = unseal(content)
    try:
        text = content.decode()
        return tomllib.loads(text), text
    except UnicodeDecodeError as error:
        problems.origins[("file",)] = Origin(str(path))
        problems.add(("file",), f"a byte that is not UTF-8 at {error.start}", "TOML in UTF-8")
    except tomllib.TOMLDecodeError as error:
        problems.origins[("file",)] = Origin(str(path))
        problems.add(("file",), str(error), "TOML")
    return {}, ""


def _merge(into: dict[str, Any], read: tuple[dict[str, Any], str], key: Key, problems: Problems, path: Path) -> None:
    raw, text = read
    problems.origins |= {(*key, *found): Origin(str(path), line) for found, line in lines_of(text).items()}
    _overlay(into, raw)


def _overlay(into: dict[str, Any], above: Mapping[str, Any]) -> None:
    """Tables are joined key by key; any other value replaces the one below."""
    for name, value in above.items():
        if isinstance(value, Mapping):
            below = into.get(name)
            into[name] = dict(below) if isinstance(below, dict) else {}
            _overlay(into[name], value)
        else:
            into[name] = value


def _schedule(raw: dict[str, Any], directory: Path, problems: Problems) -> None:
    """Rates of a venue's schedule for its instruments that name none. Over sockets the venue's own word wins later."""
    venues, instruments = raw.get("venues", {}), raw.get("instruments", {})
    read = cache(lambda name: load_fees(directory / f"{name}.toml"))
    for row in instruments.values() if isinstance(instruments, dict) and isinstance(venues, dict) else ():
        name = row.get("venue", "paper") if isinstance(row, dict) else None
        venue = venues.get(name) if isinstance(name, str) else None
        if not isinstance(venue, dict) or not venue.get("fees") or not isinstance(venue["fees"], str):
            continue
        volume = venue.get("fees_volume", 0)
        try:
            fees = read(venue["fees"]).market(row.get("market", "spot"))
        except (FeesUnknownVenue, FeesBadSchedule) as error:
            problems.add(("venues", str(name), "fees"), repr(venue["fees"]), error.detail)
            return
        if not isinstance(volume, int) or volume < 0:
            continue  # said with the section's other mistakes
        maker, taker = rates_at(fees, volume, discounted=venue.get("fees_discounted") is True)
        row.setdefault("fee_maker", to_text(maker, "percent"))
        row.setdefault("fee_taker", to_text(taker, "percent"))


def _environment(into: dict[str, Any], environ: Mapping[str, str], problems: Problems) -> None:
    """BOT4__SECTION__KEY: the value as in a file; quotes around a text may be left out."""
    for variable in sorted(environ):
        if not variable.startswith(PREFIX):
            continue
        key, leaf = _place(tuple(variable[len(PREFIX) :].split("__")), into)
        for depth in range(1, len(key)):
            # Only for a table that no file opened: an unknown one is then told by the variable's name.
            if key[0] not in Settings.__struct_fields__:
                problems.origins.setdefault(key[:depth], Origin(f"environment {variable}"))
        problems.origins[key] = Origin(f"environment {variable}")
        table = into
        for part in key[:-1]:
            inner = table.get(part)
            table[part] = dict(inner) if isinstance(inner, dict) else {}
            table = table[part]
        table[key[-1]] = _variable(environ[variable], leaf)


def _place(parts: Key, into: dict[str, Any]) -> tuple[Key, inspect.Type | None]:
    """The key that a variable means. Names of the schema are lower case; an entry is found whatever its case."""
    kind: inspect.Type | None = inspect.type_info(Settings)
    key: Key = ()
    present: Any = into
    for part in parts:
        while isinstance(kind, inspect.Metadata) and not isinstance(kind.type, inspect.IntType):
            kind = kind.type
        name = part.lower()
        if isinstance(kind, inspect.StructType):
            field = next((f for f in kind.fields if f.encode_name == name), None)
            kind = field.type if field else None
        else:
            names = present if isinstance(present, dict) else {}
            name = next((entry for entry in names if entry.lower() == part.lower()), part)
            kind = kind.value_type if isinstance(kind, inspect.DictType) else None
        key = (*key, name)
        present = present.get(name) if isinstance(present, dict) else None
    return key, kind


def _variable(value: str, kind: inspect.Type | None) -> Any:
    form = None
    while isinstance(kind, inspect.Metadata):
        form, kind = (kind.extra or {}).get("form"), kind.type
    if form or isinstance(kind, inspect.StrType | inspect.LiteralType):
        return value[1:-1] if len(value) > 1 and value[0] == value[-1] == '"' else value
    try:
        return tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        return value
