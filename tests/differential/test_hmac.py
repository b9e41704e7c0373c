"""The compiled signer and its twin, against RFC 4231 and the venue's own example."""

from __future__ import annotations

import hashlib
import hmac
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine._core.hmac import HmacKey

STEM = "hmac"

# RFC 4231, sections 4.2 to 4.8 (4.6 is about truncation): key, data, digest.
RFC_4231 = [
    (b"\x0b" * 20, b"Hi There", "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"),
    (b"Jefe", b"what do ya want for nothing?", "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"),
    (b"\xaa" * 20, b"\xdd" * 50, "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe"),
    (bytes(range(1, 26)), b"\xcd" * 50, "82558a389a443c0ea4cc819899f2083a85f0faa3e578f8077a2e3ff46729665b"),
    (b"\xaa" * 131, b"Test Using Larger Than Block-Size Key - Hash Key First",
     "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54"),
    (b"\xaa" * 131, b"This is a test using a larger than block-size key and a larger than block-size data. The key "
     b"needs to be hashed before being used by the HMAC algorithm.",
     "9b09ffa71b942fcb27635fbcd5b0e944bfdc63644f0713938a7f51535c3a35e2"),
]  # fmt: skip


@pytest.mark.parametrize(("key", "data", "digest"), RFC_4231, ids=["4.2", "4.3", "4.4", "4.5", "4.7", "4.8"])
def test_the_vectors_of_rfc_4231(impl, key, data, digest):
    assert impl.HmacKey(key).sign(data).hex() == digest


def test_the_example_of_the_venue(impl):
    key = impl.HmacKey(b"NhqPtmdSJYdKjVHjA7PZj4Mge3R5YNiP1e3UZjInClVN65XAbvqqM6A7H5fATj0j")
    payload = (
        b"symbol=LTCBTC&side=BUY&type=LIMIT&timeInForce=GTC&quantity=1&price=0.1&recvWindow=5000"
        b"&timestamp=1499827319559"
    )
    assert key.sign(payload).hex() == "c8db56825ae71d6d79447849e617115f4a920fa2acdcab2b053c4b2838bd6b71"


@given(secret=st.binary(max_size=200), message=st.binary(max_size=400), cut=st.integers(0, 400))
def test_any_secret_any_message_any_cut(secret, message, cut):
    wanted = hmac.new(secret, message, hashlib.sha256).digest()
    key = HmacKey(secret)
    assert key.sign(message) == wanted
    assert key.sign_after(message[:cut], message[cut:]) == wanted
    # A signature leaves the key as it was.
    assert key.sign(message) == wanted


def test_a_key_cannot_be_copied(impl):
    with pytest.raises(TypeError):
        pickle.dumps(impl.HmacKey(b"secret"))
