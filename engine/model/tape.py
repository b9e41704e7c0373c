"""Twin of the tape's file: the bytes of a segment, written out from the layout, and the walk that judges them.

The threads, the mapping and the two-segment hand-over are the kernel's alone; what they leave on the disk is what is
compared.
"""

from __future__ import annotations

import hashlib
import struct
from collections import namedtuple

from engine._core.types import Status
from engine.model.checksum import crc32c_raw

MAGIC = 0x3245504154344F42
VERSION, RECORD, BLOCK, RECORDS = 2, 64, 4096, 59
MARK_SEED = 0x4D41524B
RECORDS_AT = BLOCK - RECORDS * RECORD
CHECKS_AT = RECORDS_AT - 4 * RECORDS

ScanView = namedtuple(
    "ScanView", "status good mark chained first_record ts_first_ns ts_last_ns check dirty resumes chain"
)


def _seed(crc: int, check: int, first_record: int) -> int:
    return crc32c_raw(struct.pack("<Q", first_record), check) ^ crc


def mark(count: int) -> int:
    return count << 24 | (crc32c_raw(struct.pack("<Q", count), MARK_SEED) & 0xFFFFFF)


def _chain(block: bytes, before: bytes) -> bytes:
    return hashlib.blake2b(before + block[:8] + block[CHECKS_AT:], digest_size=32).digest()


def build(
    records: list[bytes],
    *,
    blocks: int,
    number: int = 0,
    epoch: int = 1,
    ts_created_ns: int = 0,
    klass: int = 0,
    session: bytes = bytes(16),
    boot: bytes = bytes(16),
    first_record: int = 0,
    check_before: int = 0,
    chain_before: bytes = bytes(32),
    chained: bool = False,
    closed: bool = False,
) -> bytes:
    """The bytes of a segment that holds these records, without marks."""
    head = struct.pack("<QIIIIQQQqII", MAGIC, VERSION, RECORD, BLOCK, RECORDS, number, blocks, epoch, ts_created_ns,
                       klass, 0)  # fmt: skip
    head += session + boot + bytes(28)
    crc = crc32c_raw(head, MARK_SEED)
    opening = struct.pack("<QI", first_record, check_before)
    head += struct.pack("<I", crc) + opening + struct.pack("<I", crc32c_raw(opening, crc)) + chain_before + bytes(16)

    body, check, chain = b"", check_before, chain_before
    groups = [records[at : at + RECORDS] for at in range(0, len(records), RECORDS)] or [[]]
    for index, group in enumerate(groups):
        at = first_record + index * RECORDS
        sums, check = [], _seed(crc, check, at)
        for record in group:
            check = crc32c_raw(record, check)
            sums.append(check)
        sums += [0] * (RECORDS - len(group))
        rest = struct.pack(f"<{RECORDS}I", *sums) + b"".join(group).ljust(RECORDS * RECORD, b"\0")
        block = struct.pack("<QQ", at, 0) + bytes(32) + bytes(36) + rest
        if (chained and len(group) == RECORDS) or (closed and group):
            chain = _chain(block, chain)
            block = block[:16] + chain + block[48:]
        body += block
    closing = bytes(64)
    if closed:
        last_ns = struct.unpack_from("<q", records[-1], 16)[0]
        closing = struct.pack("<Qq", len(records), last_ns) + chain + struct.pack("<I", check)
        closing += struct.pack("<IQ", crc32c_raw(closing, crc) | 1, 0)
    return (head + closing).ljust(BLOCK, b"\0") + body.ljust(blocks * BLOCK, b"\0")


def _behind(image: bytes, blocks: int, stop: int) -> tuple[bool, bool]:
    dirty = False
    for place in range(stop, blocks * RECORDS):
        at = BLOCK + place // RECORDS * BLOCK
        slot = place % RECORDS
        check, before = (struct.unpack_from("<I", image, at + CHECKS_AT + 4 * max(0, k))[0] for k in (slot, slot - 1))
        record = image[at + RECORDS_AT + RECORD * slot :][:RECORD]
        if check == 0 and not any(record):
            continue
        dirty = True
        if slot and record[0] and check == crc32c_raw(record, before):
            return True, True
    return dirty, False


def scan(image: bytes, *, chain: bool = True) -> ScanView:  # noqa: PLR0912  (the walk is one, like the kernel's)
    """Hold every check of a segment's bytes, and its chain."""
    image = bytes(image)
    bad = ScanView(Status.TAPE_CORRUPT, 0, 0, 0, 0, 0, 0, 0, False, False, bytes(32))
    if len(image) < BLOCK:
        return bad
    magic, version, size, block_size, per_block, _, capacity = struct.unpack_from("<QIIIIQQ", image)
    crc = struct.unpack_from("<I", image, 124)[0]
    if (magic, version, size, block_size, per_block) != (MAGIC, VERSION, RECORD, BLOCK, RECORDS):
        return bad
    if crc32c_raw(image[:124], MARK_SEED) != crc:
        return bad
    first, check, opened = struct.unpack_from("<QII", image, 128)
    running = image[144:176]
    if crc32c_raw(image[128:140], crc) != opened:
        status = Status.TAPE_CORRUPT if any(image[128:]) else Status.OK
        return bad._replace(status=status, first_record=first, chain=running)

    blocks = min(len(image) // BLOCK - 1, capacity)
    good: list[int] = []
    highest, chained, ended = 0, 0, False
    for index in range(blocks):
        block = image[BLOCK + index * BLOCK :][:BLOCK]
        at, word = struct.unpack_from("<QQ", block)
        if mark(word >> 24) == word:
            highest = max(highest, word >> 24)
        if ended or at != first + index * RECORDS:
            ended = True
            continue
        total, before, slot = _seed(crc, check, at), len(good), 0
        for slot in range(RECORDS):
            record = block[RECORDS_AT + RECORD * slot :][:RECORD]
            total = crc32c_raw(record, total)
            if record[0] == 0 or total != struct.unpack_from("<I", block, CHECKS_AT + 4 * slot)[0]:
                ended = True
                break
            good.append(struct.unpack_from("<q", record, 16)[0])
            check = total
        if chain and (not ended or slot > 0) and any(block[16:48]):
            if _chain(block, running) == block[16:48]:
                running, chained = block[16:48], chained + 1
            elif not ended:
                return ScanView(Status.TAPE_CHAIN, before, highest, chained, first, good[0], good[-1], check, False,
                                False, running)  # fmt: skip
    dirty, resumes = _behind(image, blocks, len(good)) if ended else (False, False)
    status = Status.TAPE_TORN if dirty else Status.OK
    count, _, closing_chain, closing_check, closed = struct.unpack_from("<Qq32sII", image, 192)
    if closed:
        whole = closed == crc32c_raw(image[192:244], crc) | 1 and count == len(good) and closing_check == check
        agrees = not chain or closing_chain == running
        status = Status.TAPE_CORRUPT if not whole else Status.OK if agrees else Status.TAPE_CHAIN
    times = (good[0], good[-1]) if good else (0, 0)
    return ScanView(status, len(good), highest, chained, first, *times, check, dirty, resumes, running)
