"""The rules that protect from people and from luck: each may be made stricter here, none looser than it is.

Nothing switches them off where money is real. On paper `validator` says what the figures of a strategy's own record do
and `biases` what its haste does: refuse, or be noted beside every signal that a live engine would not have let pass.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from engine.settings.trading import Section
from engine.settings.units import plain, whole

SECOND = 10**9
DAY_S = 86_400


class Discipline(Section, frozen=True, kw_only=True):
    """Rules on signals, before the gate. A refusal names each; rests go on over a restart."""

    validator: Annotated[
        Literal["auto", "enforce", "observe"],
        plain("choice", "A record that proves nothing is refused, or only noted; auto: paper notes, live refuses."),
    ] = "auto"
    biases: Annotated[
        Literal["enforce", "observe"],
        plain("choice", "A chase, revenge and their like are refused, or on paper only noted."),
    ] = "enforce"
    samples_min: Annotated[int, whole("trades", 30, 1_024, "Closed trades before a record says anything.", "up")] = 30
    window: Annotated[int, whole("trades", 30, 1_024, "Closed trades that are kept.")] = 256
    trials: Annotated[int, whole("strategies", 1, 1_000, "Strategies tried to find this one: p is shared.", "up")] = 1
    p_max_ppm: Annotated[int, whole("ppm", 1, 50_000, "Most that luck alone may explain.", "down")] = 50_000
    sharpe_min_milli: Annotated[int, whole("1/1000", 2_000, 100_000, "Least Sharpe ratio a year.", "up")] = 2_000
    confidence_min_ppm: Annotated[int, whole("ppm", 750_000, 999_999, "Least confidence.", "up")] = 750_000
    rise_window_s: Annotated[int, whole("s", 10, DAY_S, "Window of a fast rise or fall.")] = 300
    fomo_rise_ppm: Annotated[int, whole("ppm", 1, 50_000, "A rise or fall of this much is fast.", "down")] = 50_000
    fomo_sentiment_ppm: Annotated[
        int, whole("ppm", 1, 700_000, "Sentiment that makes it a chase; unknown counts as the highest.", "down")
    ] = 700_000
    fomo_cooldown_s: Annotated[int, whole("s", 3_600, 30 * DAY_S, "Rest of a symbol after a chase.", "up")] = 3_600
    revenge_window_s: Annotated[int, whole("s", 900, DAY_S, "An entry this soon after a loss is revenge.", "up")] = 900
    revenge_cooldown_s: Annotated[
        int, whole("s", 14_400, 30 * DAY_S, "Rest of symbol and strategy after revenge.", "up")
    ] = 14_400
    wins_max: Annotated[int, whole("trades", 1, 5, "More wins in a row are a sign of overconfidence.", "down")] = 5
    size_factor_ppm: Annotated[
        int, whole("ppm", 1_000_000, 1_500_000, "A size above this share of the mean one is a sign.", "down")
    ] = 1_500_000
    shrinking_stops: Annotated[int, whole("trades", 1, 3, "So many stops, each nearer, are a sign.", "down")] = 3
    warning_window_s: Annotated[int, whole("s", 900, DAY_S, "An entry of a warned size within it is a sign.", "up")] = (
        900
    )
    cap_ppm: Annotated[int, whole("ppm", 1, 10_000, "Largest entry after a sign, of equity.", "down")] = 10_000
    cap_cooldown_s: Annotated[int, whole("s", 14_400, 30 * DAY_S, "How long that cap stands.", "up")] = 14_400
    stop_grace_ms: Annotated[
        int, whole("ms", 0, 60_000, "Beyond its stop for longer than this is closed by force.", "down")
    ] = 0
    confirmations_min: Annotated[
        int, whole("sources", 3, 34, "Independent sources of an entry; quotes and trades are two.", "up")
    ] = 3

    def observes(self, mode: str) -> bool:
        return self.validator == "observe" or (self.validator == "auto" and mode == "paper")

    def core(self, mode: str) -> dict[str, Any]:
        """The rules by the names of the kernel `discipline`. Ratios are the only figures that are no whole numbers."""
        return {
            "paper": int(mode == "paper"),
            "validator": 2 if self.biases == "observe" else int(self.observes(mode)),
            "samples_min": self.samples_min,
            "window": self.window,
            "trials": self.trials,
            "p_max": self.p_max_ppm / 1e6,
            "sharpe_min": self.sharpe_min_milli / 1e3,
            "confidence_min": self.confidence_min_ppm / 1e6,
            "fomo_rise_ppm": self.fomo_rise_ppm,
            "fomo_sentiment_ppm": self.fomo_sentiment_ppm,
            "fomo_cooldown_ns": self.fomo_cooldown_s * SECOND,
            "revenge_window_ns": self.revenge_window_s * SECOND,
            "revenge_cooldown_ns": self.revenge_cooldown_s * SECOND,
            "wins_max": self.wins_max,
            "size_factor_ppm": self.size_factor_ppm,
            "shrinking_stops": self.shrinking_stops,
            "warning_window_ns": self.warning_window_s * SECOND,
            "cap_ppm": self.cap_ppm,
            "cap_cooldown_ns": self.cap_cooldown_s * SECOND,
            "stop_grace_ns": self.stop_grace_ms * 10**6,
            "confirmations_min": self.confirmations_min,
        }
