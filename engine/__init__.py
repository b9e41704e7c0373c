"""Bot4: one process, one core, four drivers. See ARCHITECTURE.md."""

from engine import errors as errors  # binds the error classes to the statuses of the compiled core

__version__ = "0.1.0"
