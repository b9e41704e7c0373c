"""Who may sign: API keys with a shared secret (HMAC-SHA256) or a public key (Ed25519), and the time window."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from dataclasses import dataclass
from urllib.parse import unquote

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from engine.sim.venue.accounts import Account
from engine.sim.venue.wire import MS, ApiError


@dataclass(frozen=True)
class Key:
    account: Account
    secret: bytes = b""
    ed25519_public: bytes = b""  # 32 raw bytes

    def verify(self, payload: bytes, signature: str) -> None:
        if self.ed25519_public:
            try:
                given = base64.b64decode(unquote(signature), validate=True)
                Ed25519PublicKey.from_public_bytes(self.ed25519_public).verify(given, payload)
            except (InvalidSignature, binascii.Error, ValueError) as error:
                raise ApiError(-1022, "Signature for this request is not valid.") from error
            return
        wanted = hmac.new(self.secret, payload, hashlib.sha256).hexdigest()
        if not hmac.compare_digest(wanted.encode(), signature.lower().encode()):
            raise ApiError(-1022, "Signature for this request is not valid.")


def check_time(timestamp: int, recv_window: float, now_ns: int) -> None:
    """The venue's rule: not a second ahead of it, and not older than the window."""
    if not 0 <= recv_window <= 60_000:
        raise ApiError(-1131, "recvWindow must be less than 60000.")
    # Sixteen digits are microseconds.
    sent_ns = timestamp * 1000 if timestamp >= 10**15 else timestamp * MS
    if sent_ns >= now_ns + 10**9:
        raise ApiError(-1021, "Timestamp for this request was 1000ms ahead of the server's time.")
    if now_ns - sent_ns > recv_window * MS:
        raise ApiError(-1021, "Timestamp for this request is outside of the recvWindow.")


def signed_part(raw: str) -> tuple[str, str]:
    """What was signed, exactly as it was sent, and the signature."""
    before, found, signature = raw.rpartition("signature=")
    if not found:
        raise ApiError(-1102, "Mandatory parameter 'signature' was not sent, was empty/null, or malformed.")
    return before.removesuffix("&"), signature.split("&", 1)[0]
