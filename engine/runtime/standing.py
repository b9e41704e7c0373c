"""Which capital tier is in force: earned before a live start, and lost at once while running.

Up is slow and needs evidence: a live engine starts in the tier that its folder shows to be earned (`enter`). Down asks
nobody: once a second of the engine's time the account's equity is held against the ladder, and when it stands in a
lower tier that tier's limits come into force where they are stricter, strategies that need what it does not grant are
stopped, each by an event on the record, and a live engine's next start is held to it.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from engine._core.strategy import StopReason, StrategyAct
from engine.errors import TierForbids, TierTooSmall
from engine.runtime import rehearsal
from engine.runtime.build import strategies_of
from engine.runtime.endpoints import Stage, stage_of, venues_over
from engine.runtime.engine import Engine
from engine.runtime.events import strategy_event
from engine.runtime.evidence import gather
from engine.safety.audit import Entry
from engine.safety.audit import Kind as About
from engine.safety.pins import require_switch
from engine.settings import tiers
from engine.settings.keys import descriptions
from engine.settings.load import Loaded, load

LOOK_NS = 10**9
FILE = "tier.json"


def admit(loaded: Loaded, root: Path, now_ns: int) -> tuple[Stage, str]:
    """How much depends on this start, and what stands in for the switch, in words. Raises what it lacks.

    Where money is real: a kill switch on pins or the tier file's own word, an earned tier, a rehearsal. A rehearsal
    asks none of that, else there would never be a first one.
    """
    settings = loaded.settings
    stage = stage_of(settings)
    words = require_switch(
        settings.safety.switch, live=stage is Stage.LIVE, acknowledged=loaded.tier.live_without_switch
    )
    if stage is Stage.LIVE:
        enter(loaded, root, now_ns)
        protocols = sorted({str(venue.protocol) for venue in venues_over(settings).values()})
        for protocol in protocols or [""]:
            rehearsal.require(root, settings, protocol, now_ns)
    return stage, words


def enter(loaded: Loaded, root: Path, now_ns: int) -> tiers.Standing:
    """The tier that a live start stands in, kept in the folder. Raises where the settings' one has not been earned."""
    settings, path = loaded.settings, root / FILE
    current = tiers.read_standing(path)
    shown = gather(root, current.since_ns if current is not None else 0, now_ns)
    move = tiers.move(
        loaded.ladder, settings.account.capital, shown.evidence, current, now_ns,
        hysteresis_ppm=settings.tier.hysteresis_ppm, cooldown_days=settings.tier.cooldown_days,
    )  # fmt: skip
    if move.standing is None:
        raise TierTooSmall(f"{move.missing[0]} is the least.")
    tiers.write_standing(path, move.standing)
    if tiers.NAMES.index(loaded.tier.name) > tiers.NAMES.index(move.standing.name):
        needs = "; ".join(move.missing) or "a start in that tier"
        raise TierForbids(
            f"these settings stand in {loaded.tier.name}, {move.standing.name} is in force. Promotion needs: {needs}."
        )
    return move.standing


class TierWatch:
    """Holds the equity of a running engine against the ladder."""

    def __init__(
        self,
        engine: Engine,
        loaded: Loaded,
        root: Path,
        *,
        tighten: Callable[[str, int], bool],
        note: Callable[..., None],
        record: Callable[[Entry], object],
    ) -> None:
        self._engine, self._loaded, self._root = engine, loaded, root
        self._tighten, self._note, self._record = tighten, note, record
        self.tier = loaded.tier
        # The lowest rung it stood on. On paper a tier may be tried that the account is too small for: only a fall from
        # where it began counts, which is not known before the first look.
        self._lowest: int | None = None
        self._live = stage_of(loaded.settings) is Stage.LIVE
        if self._live:
            self._lowest = tiers.NAMES.index(loaded.tier.name)
        self._due_ns = 0

    def turn(self, now_ns: int) -> None:
        if now_ns < self._due_ns:
            return
        self._due_ns = now_ns + LOOK_NS
        equity = int(self._engine.core.world.account()["equity"])
        if equity <= 0:
            return
        # Below the lowest bound the lowest tier's limits are the strictest there are.
        at = tiers.choose(self._loaded.ladder, equity, current=self.tier.name) or 0
        if self._lowest is None:
            self._lowest = at
        if at < min(self._lowest, tiers.NAMES.index(self.tier.name)):
            self._lowest = at
            self._demote(self._loaded.ladder[at].tier, equity, now_ns)

    def _demote(self, tier: tiers.Tier, equity: int, now_ns: int) -> None:
        before, self.tier = self.tier, tier
        if self._live:
            tiers.write_standing(self._root / FILE, tiers.Standing(name=tier.name, since_ns=now_ns))
        acted = [*self._stricter(tier), *self._stopped(tier)]
        text = (
            f"{before.name} to {tier.name} at an equity of {equity / 1e8:,.2f}; {', '.join(acted) or 'nothing changed'}"
        )
        self._note("tier", now_ns, text, severity="warning")
        self._record(
            Entry(
                About.TIER,
                "demote",
                trigger="equity",
                rule="howto/tiers",
                affected="account",
                explanation=text,
                data={"equity": equity},
            )
        )

    def _stricter(self, tier: tiers.Tier) -> list[str]:
        """The lower tier's limits, where they are stricter than what is in force."""
        theirs = load([], tier=tier.name, capital=tier.capital_to).settings.limits
        known, ours, acted = descriptions(), self._engine.core.world.limits(), []
        for name in theirs.__struct_fields__:
            value = int(getattr(theirs, name))
            if name not in ours or value == ours[name] or known["limits", name].is_looser(value, ours[name]):
                continue
            if self._tighten(name, value):
                acted.append(f"{name} = {value}")
        return acted

    def _stopped(self, tier: tiers.Tier) -> list[str]:
        """Strategies that need what the lower tier does not grant."""
        acted = []
        for name, slot in strategies_of(self._loaded.settings).items():
            lacking = sorted(set(self._loaded.settings.strategies[name].features) - set(tier.grants.features))
            if lacking:
                stop, why = StrategyAct.STRATEGY_ACT_STOP, StopReason.STOPPED_OPERATOR
                self._engine.take(strategy_event(self._engine.now_ns, slot, stop, why))
                acted.append(f"{name} stopped for want of {', '.join(lacking)}")
        return acted
