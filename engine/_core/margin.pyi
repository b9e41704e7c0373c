from typing import final

@final
class MarginTiers:
    def __init__(self) -> None: ...
    def add(self, notional_cap: int, maintenance_e8: int, *, leverage_max: int, amount: int = ...) -> None: ...
    def rows(self) -> list[tuple[int, int, int, int]]: ...
    def maintenance(self, notional: int) -> int: ...
    def initial(self, notional: int, leverage: int) -> int: ...
    def order(
        self,
        *,
        position_lots: int,
        sell: bool,
        qty_lots: int,
        px_ticks: int,
        unit_value: int,
        leverage: int,
        open_lots: int = ...,
    ) -> int: ...
    def liquidation_px_e8(
        self,
        *,
        lots: int,
        cost: int,
        unit_value: int,
        tick_e8: int,
        wallet: int,
        other_maintenance: int = ...,
        other_unrealised: int = ...,
    ) -> int: ...
    def check(self) -> None: ...

def account_headroom(
    required: int = ...,
    *,
    wallet: int,
    unrealised: int,
    initial: int,
    now_ns: int,
    age_max_ns: int,
    ts_ns: int,
    reserved_orders: int = ...,
    is_known: bool = ...,
) -> int: ...
def distance_e8(lots: int, mark_px_e8: int, liquidation_px_e8: int) -> int: ...
def leverage_e8(gross: int, equity: int) -> int: ...
def reduces(
    *,
    position_lots: int,
    position_ts_ns: int,
    sell: bool,
    qty_lots: int,
    now_ns: int,
    age_max_ns: int,
    open_reducing_lots: int = ...,
) -> None: ...
