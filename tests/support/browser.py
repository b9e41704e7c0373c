"""A headless Chromium that the machine has; nothing is fetched or installed here."""

from __future__ import annotations

import shutil

NAMES = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")


def chromium() -> str | None:
    """The path of a Chromium of the system, or None."""
    return next((path for name in NAMES if (path := shutil.which(name))), None)
