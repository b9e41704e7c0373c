from typing import Any

import numpy as np

VIEW: np.dtype[Any]
WISHES: np.dtype[Any]
OK: int
STOP: int
KEEP: int
REST: int
NONE: int
