"""Cut off from its exchange a session through ccxt holds its cancels, as a native one does, and sends each once.

The streams go on meanwhile, so the market keeps asking the core what it wants: every message would be one more cancel.
"""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest

pytest.importorskip("ccxt", reason="ccxt is an extra: pip install bot4[ccxt]")

from engine._core.types import Kind
from engine.runtime.engine import at_venue
from tests.integration.test_run_ccxt import settings_at
from tests.integration.test_several_venues import open_at
from tests.support.relay import Relay
from tests.support.served import served
from tests.support.trading import Trading

MESSAGES = 30
# One order, so far from the market that nothing fills it, and taken back whenever that moves.
RESTS = """
[strategies.follows]
module = "tests.support.strategies.follows"
symbol = "BTC_ccxt"
limits = { nets = 1 }
"""


@pytest.fixture
def venue():
    with served("--seed", "7") as (_, port):
        yield port


def cancels_in(asked: list[bytes]) -> int:
    return sum(one.count(b"DELETE /api/v3/order") for one in asked)


def test_cancels_wait_while_no_request_gets_through_and_leave_once_when_one_does(tmp_path, venue):
    with Relay(venue) as relay:
        path = settings_at(tmp_path, ccxt=venue)
        # Requests through the relay, streams past it.
        text = path.read_text().replace(f"http://127.0.0.1:{venue}", f"http://127.0.0.1:{relay.port}")
        path.write_text(text.replace("enabled = true", "enabled = false") + RESTS)
        trading = Trading(tmp_path, path)
        images = Counter()

        def inputs(events):
            images["books"] += int((events["kind"] == int(Kind.KIND_BOOK_LEVEL)).any())

        def resting():
            return {int(row["id_order"]) for row in at_venue(trading.world)}

        async def live():
            async with trading.running():
                trading.engine.watch(inputs, lambda _: None)
                await trading.until(lambda: resting() and not trading.exchange._under_way)
                orders, before = resting(), cancels_in(relay.passed)
                relay.is_cut = True
                # The first one finds out; it waits like those after it.
                await trading.until(lambda: set(trading.exchange._cancels) == orders)
                tried, begun = cancels_in(relay.unanswered), images["books"]
                assert tried
                await trading.until(lambda: images["books"] >= begun + MESSAGES)
                assert cancels_in(relay.unanswered) == tried
                assert (resting(), set(trading.exchange._cancels)) == (orders, orders)
                assert "no answer" in trading.exchange.gate.why()["orders"]
                relay.is_cut = False
                await trading.until(lambda: not orders & resting())
                # Nothing new is placed before both sides are compared, so no other cancel can be among them.
                assert cancels_in(relay.passed) - before == len(orders)
                await trading.until(lambda: trading.exchange.gate.is_open)

        asyncio.run(live())
        assert open_at(venue) == []
    trading.world.check()
