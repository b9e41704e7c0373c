"""Sealing: a passphrase, scrypt and AES-256-GCM around some bytes. The keystore and sealed settings files rest on it.

The form: magic, version, the three numbers of scrypt, salt, nonce, ciphertext with tag. Everything before the
ciphertext is authenticated with it, so numbers of scrypt that were made cheaper do not open. Opening costs a tenth of a
second and 64 MiB by design; it happens at start.
"""

from __future__ import annotations

import os
import struct

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from engine.errors import KeystoreBadFile, SettingsSealed

MAGIC = b"BOT4SEAL"
VERSION = 1
_HEAD = struct.Struct(">8sBBBB")  # magic, version, log2 of scrypt's n, r, p
SALT, NONCE, TAG = 16, 12, 16
LOG_N, R, P = 16, 8, 1
# What a file may ask of the machine that opens it: 1 GiB at most.
LOG_N_MAX, R_MAX, P_MAX = 20, 8, 4


def seal(content: bytes, passphrase: str, *, log_n: int = LOG_N) -> bytes:
    """The content, sealed. The same content never gives the same bytes."""
    head = _HEAD.pack(MAGIC, VERSION, log_n, R, P) + os.urandom(SALT) + os.urandom(NONCE)
    return head + AESGCM(_key(head, passphrase)).encrypt(head[-NONCE:], content, head)


def open_bytes(sealed: bytes, passphrase: str) -> bytes | None:
    """The content, or None when the passphrase or the file is not the one; a file of another form raises."""
    if len(sealed) < _HEAD.size + SALT + NONCE + TAG or not sealed.startswith(MAGIC):
        raise KeystoreBadFile("It does not begin like a sealed file.")
    _, version, log_n, r, p = _HEAD.unpack_from(sealed)
    if version != VERSION or not 10 <= log_n <= LOG_N_MAX or not 1 <= r <= R_MAX or not 1 <= p <= P_MAX:
        raise KeystoreBadFile(f"Version {version}, scrypt {log_n}, {r}, {p}.")
    head = sealed[: _HEAD.size + SALT + NONCE]
    try:
        return AESGCM(_key(head, passphrase)).decrypt(head[-NONCE:], sealed[len(head) :], head)
    except InvalidTag:
        return None


def open_sealed(sealed: bytes, passphrase: str) -> bytes:
    """The text of a sealed settings file."""
    try:
        content = open_bytes(sealed, passphrase)
    except KeystoreBadFile as error:
        raise SettingsSealed(error.detail) from None
    if content is None:
        raise SettingsSealed()
    return content


def _key(head: bytes, passphrase: str) -> bytes:
    _, _, log_n, r, p = _HEAD.unpack_from(head)
    salt = head[_HEAD.size : _HEAD.size + SALT]
    return Scrypt(salt=salt, length=32, n=1 << log_n, r=r, p=p).derive(passphrase.encode())
