"""Alerts from the session's own picture to servers on this machine, on a time that the test hands in."""

from __future__ import annotations

import json

import msgspec
import pytest
from aiohttp import web
from click.testing import CliRunner

from engine.cli.main import cli
from engine.cli.output import EXIT_UNHEALTHY
from engine.observe.status import BreakerStatus, FeedStatus
from engine.settings.secrets import Secrets
from engine.web.faces import Faces
from tests.support.hand import Hand, paper
from tests.support.serving import running_loop

SECOND = 10**9
MINUTE = 60 * SECOND
NOON = 1_700_006_400 * SECOND + 12 * 3_600 * SECOND
NIGHT = NOON + 12 * 3_600 * SECOND


class Town:
    """One HTTP server that is every service: what each was told, in order."""

    def __init__(self):
        self.told = {"slack": [], "duty": [], "own": []}

    async def start(self):
        app = web.Application()
        app.router.add_post("/{who}", self._take)
        self.runner = web.AppRunner(app, access_log=None)
        await self.runner.setup()
        await web.TCPSite(self.runner, "127.0.0.1", 0).start()
        return f"http://127.0.0.1:{self.runner.addresses[0][1]}"

    async def _take(self, request):
        self.told[request.match_info["who"]].append(await request.json())
        return web.Response()


class Desk:
    """Session, faces and services on one loop. The clock stands until the test moves it."""

    def __init__(self, loop, directory):
        self.loop, self.now_ns, self.overlay = loop, NOON, {}
        self.hand, self.town = Hand(directory), Town()
        self.hand.run(500)
        address = loop.run(self.town.start())
        settings = self._settings(directory, address)
        secrets = Secrets({f"BOT4_SECRET_{name}": f"{name.lower()}-key-value" for name in ("SLACK", "DUTY", "OWN")})
        self.faces = Faces(settings, self, self.hand.control, secrets, now_ns=lambda: self.now_ns)
        # Everything but the task that looks by itself: the test says when.
        loop.run(self.faces.control.start())
        loop.call(self.faces.sinks.start)

    def _settings(self, directory, address):
        path = directory.parent / "alerts.toml"
        path.write_text(
            f'[alerts]\nquiet_from = "23:00"\nquiet_to = "06:00"\n'
            f'[alerts.sinks.team]\nkind = "slack"\ncredential = "slack"\nhost = "{address}/slack"\n'
            f'[alerts.sinks.duty]\nkind = "pagerduty"\ncredential = "duty"\nhost = "{address}/duty"\n'
            f"escalation = true\n"
            f'[alerts.sinks.own]\nkind = "webhook"\ncredential = "own"\nhost = "{address}/own"\nseverity_min = "P3"\n'
        )
        return paper(directory, path).settings

    # The session's picture, with what the test says is otherwise.
    def status(self):
        return msgspec.structs.replace(self.hand.picture.status(), **self.overlay)

    def events(self, after, most):
        return self.hand.picture.events(after, most)

    def why(self, most, symbol):
        return self.hand.picture.why(most, symbol)

    def look(self, seconds=0.0):
        """Let the alerts' time pass, judge once, and wait until every sink has what it was given."""
        self.now_ns += int(seconds * SECOND)
        self.loop.call(self.faces.look)
        self.loop.run(self.faces.sinks.drain())

    def bot4(self, *words, code=0):
        done = CliRunner().invoke(cli, [*words, "--directory", str(self.hand.session.root)])
        assert done.exit_code == code, done.output
        return done.output

    def close(self):
        self.loop.run(self.faces.close())
        self.loop.run(self.town.runner.cleanup())
        self.hand.close()


@pytest.fixture
def desk(tmp_path):
    with running_loop() as loop:
        it = Desk(loop, tmp_path / "paper")
        yield it
        it.close()


LOST = {"feeds": (FeedStatus(name="market", connected=False),)}


def _breaker(*names):
    return {"breakers": tuple(BreakerStatus(name=name, state="open") for name in names)}


def test_a_session_that_is_well_tells_nobody_anything(desk):
    for _ in range(5):
        desk.look(60)
    assert desk.town.told == {"slack": [], "duty": [], "own": []}
    assert "no alert is open" in desk.bot4("alerts")


def test_a_trip_is_told_at_once_escalated_after_ten_minutes_and_not_when_somebody_acknowledged(desk):
    desk.bot4("halt", "--reason", "drill")
    desk.look()
    (told,) = desk.town.told["slack"]
    assert told["text"].startswith("*[P0] paper: halted: command")
    assert desk.town.told["duty"] == []
    assert "halted: command (open)" in desk.bot4("alerts", code=EXIT_UNHEALTHY)
    desk.look(599)
    assert desk.town.told["duty"] == []
    desk.look(1)
    (page,) = desk.town.told["duty"]
    assert page["payload"]["summary"].startswith("[P0] paper: nobody acknowledged: halted")
    assert page["payload"]["severity"] == "critical"
    desk.look(3_600)
    assert len(desk.town.told["duty"]) == 1
    assert "ESCALATED" in desk.bot4("alerts", code=EXIT_UNHEALTHY)


def test_what_was_escalated_is_resolved_there_as_well(desk):
    desk.overlay = _breaker("venue")
    desk.look()
    desk.look(600)
    desk.overlay = {}
    desk.look()
    assert [page["event_action"] for page in desk.town.told["duty"]] == ["trigger", "resolve"]
    assert len({page["dedup_key"] for page in desk.town.told["duty"]}) == 1


def test_acknowledged_is_not_escalated(desk):
    desk.overlay = _breaker("venue")
    desk.look()
    assert len(desk.town.told["slack"]) == 1
    assert "BOT4-1422" in str(CliRunner().invoke(cli, ["ack", "nothing", "-d", str(desk.hand.session.root)]).exception)
    assert "1 alert is acknowledged" in desk.bot4("ack", "breakers")
    (alert,) = json.loads(desk.bot4("alerts", "--json"))
    assert (alert["group"], alert["acknowledged"]) == ("breakers", True)
    desk.look(3_600)
    assert desk.town.told["duty"] == []
    desk.overlay = {}
    desk.look()
    assert "resolved" in desk.town.told["slack"][-1]["text"]


def test_alerts_of_one_group_within_five_minutes_are_one_message(desk):
    desk.overlay = _breaker("a")
    desk.look()
    for names in (("a", "b"), ("a", "b", "c"), ("a", "b", "c", "d")):
        desk.overlay = _breaker(*names)
        desk.look(60)
    assert len(desk.town.told["own"]) == 1
    desk.look(120)
    assert [[f["subject"] for f in m["findings"]] for m in desk.town.told["own"]] == [["a"], ["b", "c", "d"]]


def test_what_follows_from_a_lost_feed_is_named_with_it_and_told_by_nobody(desk):
    symbols = tuple(msgspec.structs.replace(row, trusted=False) for row in desk.hand.picture.status().symbols)
    desk.overlay = LOST
    desk.look()
    desk.overlay = LOST | _breaker("venue")
    desk.look(2)
    desk.overlay |= {"symbols": symbols}
    for _ in range(20):
        desk.look(10)
    assert [m["findings"][0]["rule"] for m in desk.town.told["own"]] == ["feed-lost"]
    assert desk.town.told["own"][0]["suppressed"] == ["breaker-open venue"]
    waiting = json.loads(desk.bot4("alerts", "--json", code=EXIT_UNHEALTHY))
    assert sum(alert["rule"] == "book-untrusted" for alert in waiting) == 3
    assert all("told_ns" not in alert for alert in waiting if alert["rule"] != "feed-lost")


def test_in_quiet_hours_only_what_may_wake_people_is_told_and_the_rest_in_the_morning(desk):
    desk.now_ns = NIGHT
    desk.overlay = _breaker("venue")
    desk.look()
    assert desk.town.told["slack"] == []
    desk.bot4("halt")
    desk.look()
    assert [m["text"].split("*")[1][:4] for m in desk.town.told["slack"]] == ["[P0]"]
    desk.look(6 * 3_600)
    assert len(desk.town.told["slack"]) == 2 + 1  # the breaker in the morning, and the trip that nobody acknowledged
    assert any("breaker venue is open" in m["text"] for m in desk.town.told["slack"])


def test_a_dead_service_holds_up_no_other(desk):
    desk.loop.run(desk.town.runner.cleanup())
    desk.overlay = _breaker("venue")
    desk.now_ns += SECOND
    # Offered and back at once: who does not answer is tried by its own task.
    desk.loop.call(desk.faces.look)
    assert "1 alert is acknowledged" in desk.bot4("ack")
