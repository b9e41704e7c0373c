"""How an account of perpetuals is set up at its venue, and whether the core can count in it. One meaning for all."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class AccountSettings:
    """What it is set to, as its venue says it."""

    dual: bool
    margins: dict[str, tuple[str, int]]  # margin type and leverage by symbol

    def why_not(self, margin_ppm: Mapping[str, int]) -> str:
        """Empty when it fits: one-way, cross margin, and no more margin asked than the core sets aside."""
        if self.dual:
            return "positions are held by side (hedge mode); one-way is what is counted here"
        for text, share in margin_ppm.items():
            kind, leverage = self.margins.get(text, ("unknown", 1))
            if kind.upper() not in ("CROSSED", "CROSS"):
                return f"{text}: margin is {kind.lower()}; cross is what is counted here"
            if leverage * share < 10**6:
                return f"{text}: leverage {leverage} asks for more margin than {share / 10**4:g} % of notional"
        return ""
