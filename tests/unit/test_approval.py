"""A signature fits one request of one session: every other word, number or key is refused."""

from __future__ import annotations

import base64

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import ApprovalNoKey
from engine.safety.approval import Request, fingerprint, is_signed, new_pair, paper_pair, public_of, sign

PEM, PUBLIC = new_pair()
REQUEST = Request(
    number=3, engine="bot4", session="s-000007", what="order", text="quoter would buy 2 BTC", strategy="quoter",
    symbol="BTCUSDT", side="buy", lots=2_000, value="120,000.00 USDT", asked_ns=10**18, until_ns=10**18 + 300 * 10**9,
)  # fmt: skip
RULING = ("number", "engine", "session", "what", "strategy", "symbol", "side", "lots", "until_ns")


def test_the_operators_signature_fits_its_request():
    assert public_of(PEM) == PUBLIC
    assert is_signed(PUBLIC, REQUEST, sign(PEM, REQUEST))
    assert fingerprint(PUBLIC) != fingerprint(new_pair()[1])


@pytest.mark.parametrize("name", RULING)
def test_a_signature_fits_no_request_that_differs_in_one_word(name):
    value = getattr(REQUEST, name)
    other = msgspec.structs.replace(REQUEST, **{name: value + 1 if isinstance(value, int) else f"{value}x"})
    assert not is_signed(PUBLIC, other, sign(PEM, REQUEST))


def test_another_key_does_not_approve():
    pem, public = new_pair()
    assert not is_signed(PUBLIC, REQUEST, sign(pem, REQUEST))
    assert not is_signed(public, REQUEST, sign(PEM, REQUEST))
    assert not is_signed("", REQUEST, sign(PEM, REQUEST))


@given(
    st.one_of(st.text(max_size=120), st.binary(min_size=64, max_size=64).map(lambda b: base64.b64encode(b).decode()))
)
def test_what_is_no_signature_is_refused_and_never_raises(text):
    assert not is_signed(PUBLIC, REQUEST, text)


@given(st.tuples(st.text(), st.text(), st.text()), st.tuples(st.text(), st.text(), st.text()))
def test_two_requests_never_read_the_same(one, other):
    """A name that contains what stands between two names does not make one request look like another."""

    def message(words):
        strategy, symbol, side = words
        return msgspec.structs.replace(REQUEST, strategy=strategy, symbol=symbol, side=side).message()

    assert (message(one) == message(other)) == (one == other)


@pytest.mark.parametrize("pem", [b"", b"no key", PEM[:40]])
def test_what_is_no_key_signs_nothing(pem):
    with pytest.raises(ApprovalNoKey):
        sign(pem, REQUEST)


def test_the_pair_of_a_paper_engine_is_made_once_and_read_by_its_owner_alone(tmp_path):
    public = paper_pair(tmp_path)
    assert paper_pair(tmp_path) == public
    assert (tmp_path / "approval.key").stat().st_mode & 0o077 == 0
    assert is_signed(public, REQUEST, sign((tmp_path / "approval.key").read_bytes(), REQUEST))
