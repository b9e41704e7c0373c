"""A person's signed word: what a request says, the key that answers it, and the check of the signature.

The key is Ed25519: the engine holds the public half alone, so nothing that runs here can approve for itself. What is
signed is the request as the person sees it, with engine, session, number and deadline in it: a signature fits one
request of one session and no other, however alike they look. Owns: the words, the keys. Does not own: when a word is
asked for and what it lets happen (runtime/approvals).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from pathlib import Path

import msgspec

from engine.errors import ApprovalNoKey
from engine.settings.files import write_durable

KEY_NAME = "approval.key"  # of an engine on paper, beside its audit: it shows accidents, not a hand


class Request(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One thing that waits for a word. Lots rule; quantity, price and value are there to be read."""

    number: int
    engine: str
    session: str
    what: str  # order, resume
    text: str
    strategy: str = ""
    symbol: str = ""
    side: str = ""
    lots: int = 0
    value: str = ""  # of the order, as it was asked for
    asked_ns: int
    until_ns: int

    def message(self) -> bytes:
        """What is signed. A list as JSON: no name can be written so that two requests read the same."""
        rules = [self.what, self.strategy, self.symbol, self.side, self.lots]
        return msgspec.json.encode(["bot4 approval 1", self.engine, self.session, self.number, *rules, self.until_ns])


def new_pair() -> tuple[bytes, str]:
    """A private key as PEM, and its public half as the settings have it."""
    from cryptography.hazmat.primitives import serialization as form  # noqa: PLC0415
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey  # noqa: PLC0415

    key = Ed25519PrivateKey.generate()
    pem = key.private_bytes(form.Encoding.PEM, form.PrivateFormat.PKCS8, form.NoEncryption())
    return pem, public_of(pem)


def _private(pem: bytes):  # type: ignore[no-untyped-def]
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey  # noqa: PLC0415
    from cryptography.hazmat.primitives.serialization import load_pem_private_key  # noqa: PLC0415

    try:
        key = load_pem_private_key(pem, password=None)
    except (ValueError, TypeError) as error:
        raise ApprovalNoKey(f"this is no key: {error}.") from None
    if not isinstance(key, Ed25519PrivateKey):
        raise ApprovalNoKey(f"an Ed25519 key is needed, this is {type(key).__name__}.")
    return key


def public_of(pem: bytes) -> str:
    return base64.b64encode(_private(pem).public_key().public_bytes_raw()).decode()


def sign(pem: bytes, request: Request) -> str:
    return base64.b64encode(_private(pem).sign(request.message())).decode()


def is_signed(public: str, request: Request, signature: str) -> bool:
    """Whether this signature over this request is the key's. Anything that cannot be read is none."""
    from cryptography.exceptions import InvalidSignature  # noqa: PLC0415
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey  # noqa: PLC0415

    try:
        key = Ed25519PublicKey.from_public_bytes(base64.b64decode(public, validate=True))
        key.verify(base64.b64decode(signature, validate=True), request.message())
    except (InvalidSignature, ValueError, binascii.Error):
        return False
    return True


def fingerprint(public: str) -> str:
    """What an audit names a key by."""
    return hashlib.sha256(public.encode()).hexdigest()[:16]


def paper_pair(state: Path) -> str:
    """The public half where the settings name none and no money is real: the pair is made once, in the folder."""
    path = state / KEY_NAME
    if not path.is_file():
        write_durable(path, new_pair()[0])
    return public_of(path.read_bytes())
