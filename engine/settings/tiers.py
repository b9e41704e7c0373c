"""Capital tiers: what an account of some size may use, and how it moves between them.

Owns: the tier files' form, the ladder they make, which tier a capital stands in, and what settings may not ask of a
tier. Does not own: settings (load.py), the evidence for a promotion: it is handed in. A capital on a bound belongs to
the lower tier; on the way up it must clear the bound by the hysteresis; below the lowest bound nothing trades live.
A yearly target is text beside the realised figure: nothing here reads it.
"""

from __future__ import annotations

import itertools
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import msgspec

from engine.errors import TierBadFile, TierForbids, TierTooSmall, TierUnknown
from engine.settings.files import write_durable
from engine.settings.keys import descriptions
from engine.settings.locate import lines_of
from engine.settings.problems import Key, Origin, Problem, Problems, dotted, nearest, shown
from engine.settings.schema import Settings
from engine.settings.trading import Section
from engine.settings.units import amount, from_text, plain, text, to_text, whole
from engine.settings.walk import MISSING, build

PPM = 1_000_000
DAY_NS = 86_400 * 10**9
NAMES = ("survival", "growth", "acceleration", "institutional", "whale")


class Grants(Section, frozen=True, kw_only=True):
    """The most that settings may ask for in this tier."""

    venues_max: Annotated[int, whole("venues", 1, 64, "Venues in use.")]
    leverage_max_ppm: Annotated[int, whole("ppm", 1_000_000, 10_000_000, "Leverage; 1,000,000 is none.")]
    features: Annotated[tuple[str, ...], plain("list", "Features that may be enabled.")]
    models: Annotated[tuple[str, ...], plain("list", "Models that may be enabled.")]
    calls_per_day: Annotated[int, whole("calls", 0, 1_000_000, "Calls of paid enrichment a day.")]


class Promotion(Section, frozen=True, kw_only=True):
    """What has to be shown before this tier is entered from below."""

    days_clean: Annotated[int, whole("days", 0, 3_650, "Days without a trip, a breach or an unexplained difference.")]
    parity_ppm: Annotated[int, whole("ppm", 0, 1_000_000, "Live results over what paper had for the same days.")]
    drills: Annotated[int, whole("drills", 0, 1_000, "Kill switch drills passed in the tier below.")]


class Tier(Section, frozen=True, kw_only=True):
    """One tier file."""

    name: Annotated[str, text("Name of the tier.")]
    text: Annotated[str, text("What it is, in a sentence.")]
    apy_target: Annotated[str, text("Target of the year, as text beside the realised figure; never used.")]
    capital_from: Annotated[int, amount("USD", "0", "40000000000", "Lower bound: not in this tier itself.")]
    capital_to: Annotated[int, amount("USD", "0", "40000000000", "Upper bound: in this tier.")]
    grants: Grants
    promotion: Promotion
    live_without_switch: Annotated[
        bool, plain("switch", "Real money without a kill switch on pins: said in words.")
    ] = False
    why: Annotated[dict[str, str], plain("table", "Why a setting of this tier is looser than the base.")] = {}
    settings: Annotated[dict[str, Any], plain("table", "Settings of this tier, over the base.")] = {}


@dataclass(frozen=True)
class TierFile:
    tier: Tier
    path: Path
    lines: dict[Key, int]

    def origins(self) -> dict[Key, Origin]:
        """Of the settings in it, by their own keys."""
        return {key[1:]: Origin(str(self.path), line) for key, line in self.lines.items() if key[0] == "settings"}


def read_tier(path: Path) -> TierFile:
    """One tier file; all its mistakes at once."""
    try:
        content = path.read_text(encoding="utf-8")
        raw = tomllib.loads(content)
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise TierBadFile(f"{path}: {error}") from None
    lines = lines_of(content)
    problems = Problems({key: Origin(str(path), line) for key, line in lines.items()})
    own = raw.pop("settings", {})
    tier = build(Tier, raw, problems)
    problems.raise_if_any()
    assert tier is not MISSING
    return TierFile(msgspec.structs.replace(tier, settings=own), path, lines)


def read_ladder(directory: Path) -> tuple[TierFile, ...]:
    """The five tiers, lowest first, as one ladder without a gap."""
    ladder = tuple(read_tier(directory / f"{name}.toml") for name in NAMES)
    for name, file in zip(NAMES, ladder, strict=True):
        if file.tier.name != name:
            raise TierBadFile(f"{file.path}: name = {file.tier.name!r}, expected {name!r}")
    for below, above in itertools.pairwise(ladder):
        if below.tier.capital_to != above.tier.capital_from:
            raise TierBadFile(f"{above.path}: capital_from is not the capital_to of {below.tier.name}")
        if not _contains(above.tier.grants, below.tier.grants):
            raise TierBadFile(f"{above.path}: it grants less than {below.tier.name}")
    return ladder


def _contains(above: Grants, below: Grants) -> bool:
    counts = all(
        getattr(above, name) >= getattr(below, name) for name in ("venues_max", "leverage_max_ppm", "calls_per_day")
    )
    return counts and set(above.features) >= set(below.features) and set(above.models) >= set(below.models)


def find(ladder: Sequence[TierFile], name: str) -> TierFile:
    for file in ladder:
        if file.tier.name == name:
            return file
    near = nearest(name, [file.tier.name for file in ladder])
    raise TierUnknown(f"{name!r}{f'; did you mean {near!r}?' if near else ''}")


def choose(
    ladder: Sequence[TierFile], capital: int, *, current: str | None = None, hysteresis_ppm: int = 0
) -> int | None:
    """The index of the tier that this capital stands in; None below the lowest. Above the highest it is the highest.

    With a current tier, a higher one counts only when its lower bound is cleared by the hysteresis.
    """
    standing = None
    now = NAMES.index(current) if current else None
    for at, file in enumerate(ladder):
        bound = file.tier.capital_from
        if now is not None and at > now:
            bound += bound * hysteresis_ppm // PPM
        # The lowest bound is the least that trades at all, and is enough; every other belongs to the tier below.
        if capital > bound or (at == 0 and capital == bound):
            standing = at
    return standing


def forbidden(settings: Settings, tier: Tier) -> Iterator[tuple[Key, str, str]]:
    """What these settings ask for beyond the tier: key, found, expected."""
    grants = tier.grants
    used = [name for name, venue in settings.venues.items() if venue.enabled]
    if len(used) > grants.venues_max:
        yield ("venues",), f"{len(used)} enabled", f"at most {grants.venues_max} in tier {tier.name}"
    if settings.limits.leverage_tier_ppm > grants.leverage_max_ppm:
        found = str(settings.limits.leverage_tier_ppm)
        yield ("limits", "leverage_tier_ppm"), found, f"at most {grants.leverage_max_ppm} in tier {tier.name}"
    if settings.models.calls_per_day > grants.calls_per_day:
        found = str(settings.models.calls_per_day)
        yield ("models", "calls_per_day"), found, f"at most {grants.calls_per_day} in tier {tier.name}"
    asked: list[tuple[Key, Sequence[str], Sequence[str]]] = [
        (("features", "enabled"), settings.features.enabled, grants.features),
        (("models", "enabled"), settings.models.enabled, grants.models),
    ]
    asked += [
        (("strategies", name, "features"), strategy.features, grants.features)
        for name, strategy in settings.strategies.items()
        if strategy.enabled
    ]
    for key, wanted, granted in asked:
        for name in wanted:
            if name not in granted:
                yield key, shown(name), f"what tier {tier.name} grants: {', '.join(granted) or 'nothing'}"


def require_allowed(settings: Settings, tier: Tier) -> None:
    """Raise when the settings ask for more than the tier grants."""
    found = [str(Problem(Origin("settings"), dotted(key), what, want)) for key, what, want in forbidden(settings, tier)]
    if found:
        raise TierForbids("".join(f"\n  {line}" for line in found))


def require_live(ladder: Sequence[TierFile], capital: int) -> None:
    """Raise when the capital is too small to trade live at all."""
    least = ladder[0].tier.capital_from
    if capital < least:
        raise TierTooSmall(f"{to_text(capital, 'amount')} is below {to_text(least, 'amount')}.")


def looser_than_base(file: TierFile, base: Settings) -> Iterator[tuple[Key, str, str]]:
    """Settings of a tier that are looser than the base and do not say why, and reasons for nothing."""
    known = descriptions()
    base_values = {key: getattr(getattr(base, key[0]), key[1]) for key in known if len(key) == 2}
    explained = set(file.tier.why)
    for section, body in file.tier.settings.items():
        for name, value in body.items() if isinstance(body, dict) else ():
            description = known.get((section, name))
            if description is None or not description.guarded or not isinstance(value, int | str):
                continue
            number = value if isinstance(value, int) else _number(value, description.form)
            if number is None or not description.is_looser(number, base_values[section, name]):
                continue
            if f"{section}.{name}" not in explained:
                allowed = description.show(base_values[section, name])
                yield (section, name), shown(value), f"not looser than {allowed}, or a reason under [why]"
            explained.discard(f"{section}.{name}")
    for key in sorted(explained):
        yield ("why", key), "a reason", "a setting of this tier that is looser than the base"


def _number(value: str, form: str | None) -> int | None:
    try:
        return from_text(value, form) if form else None
    except ValueError:
        return None


# ------------------------------------------------------------------------------------------- moving on the ladder
class Evidence(Section, frozen=True, kw_only=True):
    """What can be shown for a promotion, each since the tier in force was entered. Comes from journal and drills."""

    days_clean: int = 0
    parity_ppm: int = 0
    drills: int = 0
    drills_overdue: tuple[str, ...] = ()  # kinds that nobody has passed lately


class Standing(Section, frozen=True, kw_only=True):
    """Which tier is in force and since when; kept in a file of the engine's folder."""

    name: str
    since_ns: int


@dataclass(frozen=True)
class Move:
    """What a look at the capital came to."""

    standing: Standing | None  # None: below the lowest bound, nothing trades live
    change: str  # stay, promote, demote, wait, none
    missing: tuple[str, ...] = ()  # what promotion still needs


def move(
    ladder: Sequence[TierFile],
    capital: int,
    evidence: Evidence,
    current: Standing | None,
    now_ns: int,
    *,
    hysteresis_ppm: int,
    cooldown_days: int,
) -> Move:
    """Down at once and as far as the capital says; up one tier at a time, with evidence and after the cooldown."""
    name = current.name if current else None
    if name is not None and name not in NAMES:
        raise TierUnknown(f"{name!r} stands in the record of the tier in force.")
    to = choose(ladder, capital, current=name, hysteresis_ppm=hysteresis_ppm)
    if to is None:
        return Move(None, "none", (f"capital of {to_text(ladder[0].tier.capital_from, 'amount')}",))
    if current is None:
        # A first start takes the lowest tier whatever the capital: the others are earned.
        return Move(Standing(name=NAMES[0], since_ns=now_ns), "promote" if to else "stay")
    at = NAMES.index(current.name)
    if to < at:
        return Move(Standing(name=NAMES[to], since_ns=now_ns), "demote")
    if to == at:
        return Move(current, "stay", tuple(_missing_capital(ladder, at, capital, hysteresis_ppm)))
    missing = tuple(_missing(ladder[at + 1].tier, evidence, current, now_ns, cooldown_days))
    if missing:
        return Move(current, "wait", missing)
    return Move(Standing(name=NAMES[at + 1], since_ns=now_ns), "promote")


def _missing(above: Tier, evidence: Evidence, current: Standing, now_ns: int, cooldown_days: int) -> Iterator[str]:
    needs = above.promotion
    rest = cooldown_days - (now_ns - current.since_ns) / DAY_NS
    if rest > 0:
        yield f"{rest:.1f} more days in {current.name}"
    if evidence.days_clean < needs.days_clean:
        yield f"{needs.days_clean - evidence.days_clean} more days without a trip or a breach"
    if evidence.parity_ppm < needs.parity_ppm:
        has = f"{evidence.parity_ppm / 10_000:.0f} %"
        yield f"parity of live with paper of {needs.parity_ppm / 10_000:.0f} %, not {has}"
    if evidence.drills < needs.drills:
        yield f"{needs.drills - evidence.drills} more kill switch drills passed"
    if evidence.drills_overdue:
        yield f"the overdue drills: {', '.join(evidence.drills_overdue)}"


def _missing_capital(ladder: Sequence[TierFile], at: int, capital: int, hysteresis_ppm: int) -> Iterator[str]:
    if at + 1 < len(ladder):
        bound = ladder[at + 1].tier.capital_from
        bound += bound * hysteresis_ppm // PPM
        yield f"capital above {to_text(bound, 'amount')}, not {to_text(capital, 'amount')}"


def read_standing(path: Path) -> Standing | None:
    """The tier in force; None at a first start. A file that cannot be read is refused, not taken for a first start."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Standing)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.DecodeError, msgspec.ValidationError) as error:
        raise TierBadFile(f"{path}: {error}") from None


def write_standing(path: Path, standing: Standing) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_durable(path, msgspec.json.encode(standing))
