"""Signatures and signed requests outside the hot path: log-on, order lists, account questions.

HMAC keys sign through the kernel's kept states. Ed25519 keys (a PEM in PKCS #8) sign through `cryptography`; they are
what `session.logon` takes, after which the encoder's session form needs no signature at all.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Protocol
from urllib.parse import quote, urlencode

import msgspec

from engine._core.hmac import HmacKey

_ENCODE = msgspec.json.Encoder().encode


class Signer(Protocol):
    api_key: str

    def sign(self, payload: bytes) -> str: ...


class HmacSigner:
    def __init__(self, api_key: str, secret: bytes) -> None:
        self.api_key = api_key
        self._key = HmacKey(secret)

    def sign(self, payload: bytes) -> str:
        return self._key.sign(payload).hex()


class Ed25519Signer:
    def __init__(self, api_key: str, pem: bytes) -> None:
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey  # noqa: PLC0415
        from cryptography.hazmat.primitives.serialization import load_pem_private_key  # noqa: PLC0415

        key = load_pem_private_key(pem, password=None)
        if not isinstance(key, Ed25519PrivateKey):
            raise ValueError(f"an Ed25519 key is needed, this is {type(key).__name__}")
        self.api_key = api_key
        self._key = key

    def sign(self, payload: bytes) -> str:
        return base64.b64encode(self._key.sign(payload)).decode()


def query(signer: Signer, params: Mapping[str, object], *, now_ms: int, recv_window_ms: int = 5000) -> str:
    """A signed REST query: percent-encoded first, then signed, the signature last."""
    text = urlencode({**params, "recvWindow": recv_window_ms, "timestamp": now_ms})
    return f"{text}&signature={quote(signer.sign(text.encode()), safe='')}"


def ws_request(
    signer: Signer, request_id: str, method: str, params: Mapping[str, object], *, now_ms: int,
    recv_window_ms: int = 5000,
) -> bytes:  # fmt: skip
    """A signed request of the WebSocket API: keys in alphabetical order, nothing percent-encoded."""
    whole = {**params, "apiKey": signer.api_key, "recvWindow": recv_window_ms, "timestamp": now_ms}
    payload = "&".join(f"{name}={whole[name]}" for name in sorted(whole))
    whole["signature"] = signer.sign(payload.encode())
    return _ENCODE({"id": request_id, "method": method, "params": whole})


def ws_plain(request_id: str, method: str, params: Mapping[str, object] | None = None) -> bytes:
    """A request that needs no signature: before log-on a public one, after it any."""
    return _ENCODE({"id": request_id, "method": method, "params": dict(params or {})})


def logon(signer: Ed25519Signer, request_id: str, *, now_ms: int) -> bytes:
    """`session.logon`: from its answer on, this connection needs no signatures."""
    return ws_request(signer, request_id, "session.logon", {}, now_ms=now_ms)


def subscribe_user(signer: Signer, request_id: str, *, now_ms: int) -> bytes:
    """The user stream on the WebSocket API, for a key of any kind."""
    whole = {"apiKey": signer.api_key, "timestamp": now_ms}
    payload = "&".join(f"{name}={whole[name]}" for name in sorted(whole))
    params = {**whole, "signature": signer.sign(payload.encode())}
    return _ENCODE({"id": request_id, "method": "userDataStream.subscribe.signature", "params": params})
