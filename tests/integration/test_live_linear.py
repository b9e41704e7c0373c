"""The live driver on perpetuals: funding, listen keys, settings, positions and the dead-man timer over real sockets."""

from __future__ import annotations

from engine._core.clock import utc_ns
from tests.support import virtual
from tests.support.loopback import bench

SECOND = 10**9


def run(tmp_path, body, **options):
    async def main():
        async with bench(tmp_path, kind="usdm", symbols=1, **options) as both:
            await body(both)

    virtual.run(main())


def test_every_funding_payment_is_booked_once_and_the_timer_is_armed_until_the_end(tmp_path):
    async def body(both):
        form, owner = both.server.form, both.server.keys["key"].account.owner
        await both.until(lambda: len(form.api.incomes.get(owner, ())) >= 3, "three payments")
        assert form.api.countdowns
        assert both.live.dead_man.state(utc_ns()).startswith("armed")
        await both.end()
        assert form.api.countdowns == {}
        assert form.countdown_count == 0
        paid = -sum(income.amount_e8 for income in form.api.incomes[owner])
        assert int(both.engine.core.world.positions()["funding"][0]) == paid
        both.check()

    run(tmp_path, body, funding_ns=2 * SECOND)


def test_an_ended_listen_key_is_replaced_and_nothing_new_leaves_meanwhile(tmp_path):
    async def body(both):
        await both.fills(2)
        form, opened, before = both.server.form, both.live.opened_count, both.live.lines.listen_key
        form.listen_keys = {key: (account, 0) for key, (account, _) in form.listen_keys.items()}
        await both.until(lambda: both.live.opened_count > opened, "the gate's closing and opening")
        assert both.live.lines.listen_key not in ("", before)
        await both.fills(2)
        await both.end()
        both.check()

    run(tmp_path, body)


def test_an_account_that_is_set_to_what_the_core_cannot_count_in_closes_the_gate(tmp_path):
    async def body(both):
        await both.fills(1)
        form, account = both.server.form, both.server.keys["key"].account
        form.api.margin_type(account, {"symbol": "BTCUSDT", "marginType": "ISOLATED"})
        form.api.leverage(account, {"symbol": "BTCUSDT", "leverage": "50"})
        await both.until(lambda: "isolated" in both.live.gate.why().get("settings", ""), "the reason")
        form.api.margin_type(account, {"symbol": "BTCUSDT", "marginType": "CROSSED"})
        form.api.leverage(account, {"symbol": "BTCUSDT", "leverage": "50"})
        await both.until(lambda: both.live.gate.is_open, "the gate's opening")
        form.api.leverage(account, {"symbol": "BTCUSDT", "leverage": "5"})
        await both.until(lambda: "leverage 5" in both.live.gate.why().get("settings", ""), "the reason")
        await both.end()
        both.check()

    run(tmp_path, body)


def test_a_position_that_the_core_knows_nothing_of_keeps_the_gate_shut(tmp_path):
    async def body(both):
        # Somebody else's order, before the driver has compared for the first time.
        account = both.server.keys["key"].account
        terms = {"symbol": "BTCUSDT", "side": "BUY", "type": "MARKET", "quantity": "0.002"}
        both.server.form.api.place(account, terms)
        await both.until(lambda: any(kind == "position" for kind, _ in both.live.notes), "the difference")
        assert "2 lots at the venue, 0 here" in dict(both.live.notes)["position"]
        assert both.live.opened_count == 0
        assert both.counts["intents"] == 0

    run(tmp_path, body)
