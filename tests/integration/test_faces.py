"""All faces together on one running session, as the main program has them."""

from __future__ import annotations

import aiohttp
import msgspec
import pytest

from engine.errors import DashboardError, SecretMissing
from engine.observe import commands as c
from engine.observe.client import ControlClient
from engine.settings.load import load
from engine.settings.secrets import Secrets
from engine.web.faces import Faces
from tests.support.hand import Shown
from tests.support.serving import running_loop


def _settings(tmp_path, **environ):
    ports = {"BOT4__DASHBOARD__PORT": "0", "BOT4__METRICS__PORT": "0", "BOT4__ENGINE__DIRECTORY": str(tmp_path)}
    return load(environ=ports | environ).settings


@pytest.fixture
def engine(tmp_path):
    engine = Shown(tmp_path / "session")
    yield engine
    engine.close()


def test_they_start_show_the_same_engine_tell_a_trip_and_stop(tmp_path, engine):
    with running_loop() as loop:
        faces = Faces(_settings(tmp_path), engine, engine, Secrets({}))
        loop.run(faces.start())
        with ControlClient(faces.control.path) as client:
            assert client.status().name == "paper"

            async def look():
                async with aiohttp.ClientSession() as session:
                    async with session.get(f"http://127.0.0.1:{faces.metrics.port}/metrics") as answer:
                        text = await answer.text()
                    async with session.get(faces.dashboard.address) as page:
                        return text, page.status

            text, status = loop.run(look())
            assert ("bot4_latch_tripped 0.0" in text, status) == (True, 200)
            client.call(c.Halt("drill"))
            loop.call(faces.notify)
        # The alert engine has seen the trip as soon as the loop ran its turn.
        while not any(finding.rule == "halted" for finding in loop.call(lambda: faces.judge.open)):
            loop.call(faces.notify)
        loop.run(faces.close())
        loop.run(faces.close())
        assert not faces.control.path.exists()


def test_a_port_that_is_taken_starts_nothing_and_leaves_nothing(tmp_path, engine):
    with running_loop() as loop:
        first = Faces(_settings(tmp_path / "a"), engine, engine, Secrets({}))
        loop.run(first.start())
        taken = str(first.dashboard.port)
        second = Faces(_settings(tmp_path / "b", BOT4__DASHBOARD__PORT=taken), engine, engine, Secrets({}))
        with pytest.raises(DashboardError):
            loop.run(second.start())
        assert not second.control.path.exists()
        loop.run(first.close())


def test_a_sink_without_its_secret_starts_nothing_and_live_hides_by_itself(tmp_path, engine):
    sinks = {"BOT4__ALERTS__SINKS__OPS__KIND": "slack", "BOT4__ALERTS__SINKS__OPS__CREDENTIAL": "hook"}
    settings = _settings(tmp_path, **sinks)
    with pytest.raises(SecretMissing, match="hook"):
        Faces(settings, engine, engine, Secrets({}))
    faces = Faces(settings, engine, engine, Secrets({"BOT4_SECRET_HOOK": "http://127.0.0.1:1/x"}))
    assert not faces.displays[0].redact
    live = msgspec.structs.replace(settings, engine=msgspec.structs.replace(settings.engine, mode="live"))
    hidden = Faces(live, engine, engine, Secrets({"BOT4_SECRET_HOOK": "http://127.0.0.1:1/x"}))
    assert all(display.redact for display in hidden.displays)
