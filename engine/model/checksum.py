"""Twin of the checksums: the polynomial bit by bit, and the library's BLAKE2b."""

from __future__ import annotations

import hashlib

POLYNOMIAL = 0x82F63B78


def crc32c_raw(data: bytes, crc: int) -> int:
    """Without inversion at either end: what the tape carries on from record to record."""
    for byte in bytes(data):
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (POLYNOMIAL if crc & 1 else 0)
    return crc


def crc32c(data: bytes, crc: int = 0) -> int:
    return crc32c_raw(data, crc ^ 0xFFFFFFFF) ^ 0xFFFFFFFF


def crc32c_by_table(data: bytes, crc: int = 0) -> int:
    return crc32c(data, crc)


def blake2b(data: bytes, cut: int = 0) -> bytes:
    taken = hashlib.blake2b(bytes(data)[:cut], digest_size=32)
    taken.update(bytes(data)[cut:])
    return taken.digest()


def by_instruction() -> bool:
    return False
