"""The root of the error tree."""

from __future__ import annotations

from typing import ClassVar

from engine._core.types import Status


class Bot4Error(Exception):
    """Root of the tree: `except Bot4Error` catches whatever the engine raises on purpose."""

    code: ClassVar[str] = "BOT4-000"
    sentence: ClassVar[str] = "The engine met a condition it does not carry on from."
    remedy: ClassVar[str] = "Read the detail; if it does not help, run `bot4 doctor`."
    status: ClassVar[Status | None] = None

    def __init__(self, detail: str = "") -> None:
        super().__init__(detail)
        self.detail = detail

    def __str__(self) -> str:
        what = f"{self.sentence} {self.detail}".strip()
        return f"[{self.code}] {what} {self.remedy}"
