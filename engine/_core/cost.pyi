from typing import final

import numpy as np
import numpy.typing as npt

WARN_NS: int
REFUSE_NS: int

@final
class FeeTable:
    def __init__(self, rows: int, *, warn_ns: int = ..., refuse_ns: int = ...) -> None: ...
    def add_tier(self, row: int, volume_min: int, maker_e8: int, taker_e8: int) -> None: ...
    def set_tier(self, row: int, tier: int) -> None: ...
    def set_volume(self, row: int, volume: int) -> None: ...
    def set_discount(self, row: int, discount_e8: int, *, asset: int, pays: bool) -> None: ...
    def refresh(self, row: int, maker_e8: int, taker_e8: int, ts_ns: int) -> None: ...
    def rate(self, row: int, maker: bool, *, now_ns: int) -> tuple[int, bool]: ...

def is_maker(*, sell: bool, px_ticks: int, bid_px_ticks: int, ask_px_ticks: int, post_only: bool) -> bool: ...
def fee(value: int, rate_e8: int) -> int: ...
def funding(value: int, rate_e8: int, *, short_side: bool) -> int: ...
def walk(
    px_ticks: npt.NDArray[np.int64],
    qty_lots: npt.NDArray[np.int64],
    *,
    sell: bool,
    want_lots: int,
    limit_ticks: int = ...,
) -> tuple[int, int, int]: ...
def estimate(
    px_ticks: npt.NDArray[np.int64],
    qty_lots: npt.NDArray[np.int64],
    *,
    sell: bool,
    qty: int,
    unit_value: int,
    bid_px_ticks: int,
    ask_px_ticks: int,
    maker_e8: int,
    taker_e8: int,
    limit_ticks: int = ...,
    post_only: bool = ...,
    funding_rate_e8: int = ...,
    funding_count: int = ...,
    network_fee: int = ...,
) -> dict[str, int]: ...
