"""Write the seed inputs: every example message in every form, and some broken ones.

Run as `python -m tests.fuzz.make_corpus`.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from tests.support.frames import MESSAGES, REPLIES, SBE, combined

CORPUS = Path(__file__).with_name("corpus")


def seeds() -> list[bytes]:
    texts = [*MESSAGES.values(), *REPLIES.values()]
    out = [b"\x00" + text for text in texts]
    out += [b"\x00" + combined(text) for text in texts]
    out += [b"\x02" + combined(text, b"bnbbtc@depth20@100ms") for text in texts[:3]]
    out += [b"\x06" + text for text in texts[:8]]
    out += [bytes([choice]) + frame for frame in SBE.values() for choice in (1, 5)]
    spaced = MESSAGES["usdm_agg"].replace(b",", b" ,\n").replace(b":", b"\t: ")
    out += [
        b"\x00" + spaced,
        b"\x00" + b"[" * 40,
        b'\x00{"e":"tr\\u0061de"}',
        b'\x00{"\xc3\xa9":[1.5e-3,true,"\xf0\x9f\x98\x80"]}',
    ]
    return out


if __name__ == "__main__":
    CORPUS.mkdir(exist_ok=True)
    for seed in seeds():
        (CORPUS / hashlib.sha1(seed, usedforsecurity=False).hexdigest()[:16]).write_bytes(seed)
