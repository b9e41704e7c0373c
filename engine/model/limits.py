"""Twin of the limits: names, values, and which way each one tightens."""

from __future__ import annotations

from engine.errors import LimitLooser

NAMES = (
    "book_age_ns px_band_ppm order_notional position_share_ppm gross_share_ppm net_share_ppm leverage_tier_ppm "
    "leverage_regime_ppm correlation_ppm drawdown_ppm daily_loss_ppm margin_ppm liquidation_ppm open_orders_symbol "
    "open_orders_all rejects_in_a_row clock_drift_ns signal_age_ns equity_age_ns orders_per_second cancels_per_second "
    "churn_per_minute approval_over"
).split()
FLOORS = {"margin_ppm", "liquidation_ppm"}


class Limits(dict[str, int]):
    """All limits by name, 0 until set."""

    def __init__(self) -> None:
        super().__init__(dict.fromkeys(NAMES, 0))

    def tighten(self, name: str, value: int) -> None:
        looser = value < self[name] if name in FLOORS else value > self[name]
        if looser:
            raise LimitLooser(f"{name} to {value}")
        self[name] = value
