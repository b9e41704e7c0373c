from typing import Any

import numpy.typing as npt

from engine._core.histogram import Histogram
from engine._core.step import Core
from engine._core.tape import Tape

def pump(core: Core, tape: Tape, events: npt.NDArray[Any], step_ns: Histogram, order_ns: Histogram) -> int: ...
