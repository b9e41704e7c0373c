"""What a death leaves on the disk: pages that were never written, a record that was being written, a bit that turns."""

from __future__ import annotations

from pathlib import Path

BLOCK, HEAD, PER_BLOCK = 4096, 320, 59


def spot_of(path: Path, record_number: int, size: int) -> tuple[Path, int] | None:
    """File and offset of a record of a session."""
    for file in sorted((path / "segments").glob("*.b4t")):
        data = file.read_bytes()
        first = int.from_bytes(data[128:136], "little")
        room = (len(data) // BLOCK - 1) * PER_BLOCK
        if data[140:144] != bytes(4) and first <= record_number < first + room:
            block, slot = divmod(record_number - first, PER_BLOCK)
            at = BLOCK * (1 + block) + HEAD + 64 * slot
            return (file, at) if at + size <= len(data) else None
    return None


def poke(file: Path, at: int, data: bytes | None) -> int:
    """Change bytes of a file; returns the first byte that stood there."""
    with file.open("r+b") as out:
        out.seek(at)
        before = out.read(1)[0]
        if data is not None:
            out.seek(at)
            out.write(data)
    return before


def tear(path: Path, count: int, number: int) -> None:
    """The first bytes of a record that was being written."""
    spot = spot_of(path, count, 64)
    if spot is not None:
        poke(*spot, bytes([2] * (1 + number % 63)))


def lose_pages(path: Path, durable: int, count: int, number: int) -> None:
    """Power: of the pages that were not written, some are on the disk and some are not, in any order."""
    for index, start in enumerate(range(durable - durable % PER_BLOCK, count, PER_BLOCK)):
        if (number >> index % 30) & 1 and start >= durable:
            continue
        for record_number in range(max(start, durable), min(start + PER_BLOCK, count)):
            spot = spot_of(path, record_number, 64)
            if spot is not None:
                file, at = spot
                poke(file, at, bytes(64))
                slot = (at % BLOCK - HEAD) // 64
                poke(file, at - at % BLOCK + 84 + 4 * slot, bytes(4))
