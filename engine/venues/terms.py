"""What the terms of an intent say, above the numbers: its type, its time in force and its flags, one byte each."""

from __future__ import annotations

from engine._core.types import TermsFlag

POST_ONLY, REDUCE_ONLY = int(TermsFlag.TERMS_POST_ONLY), int(TermsFlag.TERMS_REDUCE_ONLY)
# What lowers a position: it leaves when what opens one may not.
REDUCES = REDUCE_ONLY | int(TermsFlag.TERMS_CLOSING)


def unpack(terms: int) -> tuple[int, int, int]:
    """(type, time in force, flags)"""
    return terms >> 16 & 0xFF, terms >> 24 & 0xFF, flags_of(terms)


def flags_of(terms: int) -> int:
    return terms >> 32 & 0xFF


def reduces(terms: int) -> bool:
    return bool(flags_of(terms) & REDUCES)
