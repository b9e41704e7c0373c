"""Twin of the signer: the definition of RFC 2104 over the standard library's SHA-256."""

from __future__ import annotations

import hashlib
from typing import NoReturn


class HmacKey:
    def __init__(self, secret: bytes) -> None:
        secret = bytes(secret)
        block = (hashlib.sha256(secret).digest() if len(secret) > 64 else secret).ljust(64, b"\0")
        self._inner = bytes(b ^ 0x36 for b in block)
        self._outer = bytes(b ^ 0x5C for b in block)

    def __reduce__(self) -> NoReturn:
        raise TypeError("a key is not copied")

    def sign(self, message: bytes) -> bytes:
        return hashlib.sha256(self._outer + hashlib.sha256(self._inner + bytes(message)).digest()).digest()

    def sign_after(self, head: bytes, tail: bytes) -> bytes:
        return self.sign(bytes(head) + bytes(tail))
