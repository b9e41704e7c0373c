"""Every error the engine raises: one small tree, one file per field.

Each class inherits a fitting builtin, so `except ValueError` works as a stranger expects; has a code that never
changes, so that logs can be searched and runbooks can name it; says in a plain sentence what is wrong, and what to
do about it. Code that runs per event returns a status instead (engine/_core/types.pxd); the cold paths turn a status
into its class here.
"""

from __future__ import annotations

from engine._core.types import bind_errors
from engine.errors.approval import *
from engine.errors.base import *
from engine.errors.core import *
from engine.errors.data import *
from engine.errors.discipline import *
from engine.errors.features import *
from engine.errors.guard import *
from engine.errors.journal import *
from engine.errors.memory import *
from engine.errors.models import *
from engine.errors.money import *
from engine.errors.net import *
from engine.errors.numbers import *
from engine.errors.observe import *
from engine.errors.recovery import *
from engine.errors.research import *
from engine.errors.safety import *
from engine.errors.settings import *
from engine.errors.sim import *
from engine.errors.strategy import *
from engine.errors.venue import *


def by_status(status: int) -> type[Bot4Error]:
    """The error class of a kernel's status."""
    return _BY_STATUS[status]


def _tree(root: type[Bot4Error]) -> list[type[Bot4Error]]:
    return [root] + [below for child in root.__subclasses__() for below in _tree(child)]


# A class inherits its parent's `status`; only the one that states it in its own body answers for it.
_BY_STATUS: dict[int, type[Bot4Error]] = {
    int(cls.__dict__["status"]): cls for cls in _tree(Bot4Error) if cls.__dict__.get("status") is not None
}

bind_errors(_BY_STATUS)
