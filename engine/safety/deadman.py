"""The venue's own dead-man timer, kept armed by the heart-beat: it cancels when machine, network and courier are gone.

Owns: one thread that arms the timer anew every quarter of its time, as long as the engine's pulse moved since the last
turn. A loop that stands still is not vouched for: the timer runs out and the venue cancels. Does not own: whether a
venue has such a timer; one without is said in words, at start and in the status.

    Binance USD-M   POST /fapi/v1/countdownCancelAll, per symbol      Kraken   POST /0/private/CancelAllOrdersAfter
    through ccxt    cancelAllOrdersAfter, where the exchange has it   Binance spot   none

Cost: one request per symbol each quarter of the time (weight 10 at Binance): 30 s is 8 requests a minute.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import http.client
import json
import threading
import urllib.parse
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from engine._core.clock import monotonic_ns, utc_ns
from engine.errors import DeadManRefused
from engine.safety import courier
from engine.safety.armed import SECOND, Armed
from engine.safety.pulse import Pulse


class Timer(Protocol):
    """One venue's timer. `arm(0)` switches it off; a refusal raises."""

    def arm(self, seconds: float) -> None:
        """Cancel everything unless armed again within so many seconds."""

    def close(self) -> None:
        """Give the connection back; what is armed stays armed."""


class BinanceUsdmTimer:
    """Per symbol: each one that may have orders is named."""

    def __init__(self, venue: courier.Venue, symbols: Sequence[str]) -> None:
        self._client = courier.Client(venue)
        self._symbols = tuple(symbols)
        self._synced = False

    def arm(self, seconds: float) -> None:
        try:
            if not self._synced:
                self._client.sync_clock()
                self._synced = True
            for symbol in self._symbols:
                wanted = int(seconds * 1000)
                answer = self._client.call("POST", "/fapi/v1/countdownCancelAll", symbol=symbol, countdownTime=wanted)
                if int(answer.get("countdownTime", -1)) != wanted:
                    raise DeadManRefused(f"{symbol}: {answer}")
        except courier.VenueError as error:
            self._synced = self._synced and error.code != courier.CLOCK_WRONG
            raise DeadManRefused(str(error)) from error

    def close(self) -> None:
        self._client.close()


class KrakenTimer:
    """For the whole account."""

    PATH = "/0/private/CancelAllOrdersAfter"

    def __init__(self, base_url: str, key: str, secret: str, *, timeout_s: float = 5.0) -> None:
        self._url = urllib.parse.urlsplit(base_url)
        self._key = key
        self._secret = base64.b64decode(secret)
        self._timeout_s = timeout_s

    def sign(self, nonce: str, body: str) -> str:
        digest = hashlib.sha256((nonce + body).encode()).digest()
        return base64.b64encode(hmac.new(self._secret, self.PATH.encode() + digest, hashlib.sha512).digest()).decode()

    def arm(self, seconds: float) -> None:
        nonce = str(utc_ns() // 1_000_000)
        body = urllib.parse.urlencode({"nonce": nonce, "timeout": int(seconds)})
        kind = http.client.HTTPSConnection if self._url.scheme == "https" else http.client.HTTPConnection
        connection = kind(self._url.hostname or "", self._url.port, timeout=self._timeout_s)
        headers = {
            "API-Key": self._key,
            "API-Sign": self.sign(nonce, body),
            "Content-Type": "application/x-www-form-urlencoded",
        }
        try:
            connection.request("POST", self.PATH, body, headers)
            answer = json.loads(connection.getresponse().read())
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise DeadManRefused(f"{type(error).__name__}: {error}") from error
        finally:
            connection.close()
        if answer.get("error"):
            raise DeadManRefused(", ".join(map(str, answer["error"])))

    def close(self) -> None:
        """Each request has a connection of its own."""


class CcxtTimer:
    """Any venue whose ccxt class can; `exchange` is a synchronous one."""

    def __init__(self, exchange: Any) -> None:
        if not exchange.has.get("cancelAllOrdersAfter"):
            raise DeadManRefused(f"{exchange.id} has no such timer in ccxt")
        self._exchange = exchange

    def arm(self, seconds: float) -> None:
        try:
            self._exchange.cancel_all_orders_after(int(seconds * 1000))
        except Exception as error:
            raise DeadManRefused(f"{type(error).__name__}: {error}") from error

    def close(self) -> None:
        """The exchange is the caller's."""


class DeadMan:
    """Keeps the timers of all venues armed. `timers` maps a venue's name to its timer, or to None where it has none."""

    def __init__(
        self,
        timers: dict[str, Timer | None],
        pulse: Pulse,
        *,
        seconds: float = 30.0,
        on_lost: Callable[[str, Exception], object] | None = None,
    ) -> None:
        self._timers = timers
        self._pulse = pulse
        self._seconds = seconds
        self._on_lost = on_lost
        after_ns = int(seconds * SECOND)
        self._armed = {name: Armed(available=timer is not None, after_ns=after_ns) for name, timer in timers.items()}
        self._beats = -1
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="dead-man", daemon=True)
        self.held_back = 0  # turns in which the loop had not moved

    def start(self) -> None:
        """Arm once, so that start-up can say how it stands, then keep it armed."""
        self.turn()
        self._thread.start()

    def turn(self) -> None:
        """One round over the venues, if the loop has moved since the last one."""
        beats = self._pulse.beats
        if beats == self._beats and self._pulse.armed:
            self.held_back += 1
            return
        self._beats = beats
        for name, timer in self._timers.items():
            if timer is None:
                continue
            try:
                timer.arm(self._seconds)
            except DeadManRefused as error:
                first = not self._armed[name].error
                self._armed[name].refused(error.detail)
                if first and self._on_lost is not None:
                    self._on_lost(name, error)
            else:
                self._armed[name].armed(monotonic_ns())

    def _run(self) -> None:
        while not self._stop.wait(self._seconds / 4):
            self.turn()

    def status(self) -> dict[str, str]:
        """In words, per venue: what stands behind the engine."""
        return {name: armed.state(monotonic_ns()) for name, armed in self._armed.items()}

    def close(self, *, disarm: bool) -> None:
        """End the thread. After an orderly stop nothing is open and the timers are switched off; else they run out."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()
        if disarm:
            for name, timer in self._timers.items():
                try:
                    if timer is not None and self._armed[name].was_armed:
                        timer.arm(0)
                        self._armed[name].disarmed()
                except DeadManRefused as error:
                    self._armed[name].refused(error.detail)
        for timer in self._timers.values():
            if timer is not None:
                timer.close()
