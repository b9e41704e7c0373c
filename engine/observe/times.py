"""Times as people read them."""

from __future__ import annotations

import numpy as np


def iso_ns(ts_ns: int) -> str:
    """UTC to the millisecond."""
    return f"{np.datetime64(ts_ns, 'ns').astype('datetime64[ms]')}Z"


def minute_of_day(ts_ns: int) -> int:
    """Minutes since midnight UTC."""
    return ts_ns // (60 * 10**9) % (24 * 60)
