#!/usr/bin/env python3
"""The courier: cancels every open order of the account after the engine died.

A program of its own: one file, the standard library alone, its own configuration and its own key (permission to trade
but not to withdraw; cancel-only where a venue has such keys). It imports nothing of the engine and runs with the
system's Python, so that a broken virtual environment cannot stop it. systemd starts it from `ExecStopPost=` of the
engine's unit, and from a unit of its own; a person may start it too.

Owns: cancelling and confirming that nothing is open. Does not own: positions; it closes none.

Rules. Doubt means work: whatever does not say "clean end" is an unclean one. Each venue has its own thread, so that a
venue that is down holds up no other. A cancel that was answered proves nothing: only the venue's own list of open
orders does, seen empty twice, `settle_s` apart, because an order of the dead engine may still be on its way. A
timeout and a 5xx leave the state unknown and lead back to the list. Exit 0 is said only when every venue is confirmed.

    exit 0    nothing is open at any venue, or the engine ended cleanly and there was nothing to do
    exit 1    something may still be open; the report says where and why
    exit 2    the configuration or a credential cannot be read: something may still be open

Cost: about two round trips to a venue without orders, plus `settle_s`.
"""

from __future__ import annotations

import argparse
import encodings.idna  # noqa: F401 - http.client needs it, and after `become` Python's files may be out of reach
import hashlib
import hmac
import http.client
import json
import os
import pwd
import ssl
import subprocess
import sys
import threading
import time
import tomllib
import urllib.parse
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

EXIT_DONE, EXIT_MAY_BE_OPEN, EXIT_UNUSABLE = 0, 1, 2

# What differs between the two order APIs of Binance. `algo` are the conditional orders, which USD-M keeps apart.
KINDS: dict[str, dict[str, str]] = {
    "binance-spot": {
        "time": "/api/v3/time",
        "open": "/api/v3/openOrders",
        "all": "/api/v3/openOrders",
        "one": "/api/v3/order",
    },
    "binance-usdm": {
        "time": "/fapi/v1/time",
        "open": "/fapi/v1/openOrders",
        "all": "/fapi/v1/allOpenOrders",
        "one": "/fapi/v1/order",
        "algo-open": "/fapi/v1/openAlgoOrders",
        "algo-all": "/fapi/v1/algoOpenOrders",
        "algo-one": "/fapi/v1/algoOrder",
    },
}
UNKNOWN_ORDER = (-2011, -2013)  # already gone: the list will tell
CLOCK_WRONG = -1021
# Answers that no retry can change. The account needs a person.
HOPELESS = (-1022, -2014, -2015)


class UnusableError(Exception):
    """The configuration or a credential cannot be read."""


class VenueError(Exception):
    """The venue answered with an error, or did not answer."""

    def __init__(self, text: str, *, code: int = 0, status: int = 0, retry_after_s: float = 0.0) -> None:
        super().__init__(text)
        self.code = code
        self.status = status
        self.retry_after_s = retry_after_s


@dataclass(frozen=True)
class Venue:
    name: str
    kind: str
    base_url: str
    key: str = field(repr=False)
    secret: str = field(repr=False)
    symbols: tuple[str, ...] = ()  # cancelled without asking first; the venue's list adds the others
    algo_orders: bool = True
    recv_window_ms: int = 5000
    timeout_s: float = 5.0

    @property
    def paths(self) -> dict[str, str]:
        paths = KINDS[self.kind]
        return paths if self.algo_orders else {k: v for k, v in paths.items() if not k.startswith("algo")}


@dataclass(frozen=True)
class Settings:
    venues: tuple[Venue, ...]
    deadline_s: float = 60.0
    settle_s: float = 0.25
    backoff_s: float = 0.1
    backoff_max_s: float = 5.0
    report: Path | None = None
    handover: Path | None = None


@dataclass
class Outcome:
    """What was done at one venue."""

    venue: str
    confirmed: bool = False
    seen_open: int = 0
    cancelled: list[str] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)
    requests: int = 0
    errors: list[str] = field(default_factory=list)
    took_s: float = 0.0


# ------------------------------------------------------------------------------------------------------ configuration
def load(path: Path, environment: Mapping[str, str], sealed: Path | None = None) -> Settings:
    """Read the configuration and its credentials. Unknown keys are errors: a typo must not lose a venue."""
    try:
        raw = tomllib.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise UnusableError(f"{path}: {error}") from error
    general = raw.pop("courier", {})
    tables = raw.pop("venue", [])
    if raw:
        raise UnusableError(f"{path}: unknown table {', '.join(sorted(raw))}")
    # A paper instance says in words that there is no account: an empty file is a mistake.
    if general.pop("account", "live") == "none":
        return Settings(venues=())
    if not tables:
        raise UnusableError(f'{path}: no [[venue]], and no account = "none"')
    try:
        for name in ("report", "handover"):
            if name in general:
                general[name] = Path(general[name])
        return Settings(venues=tuple(_venue(dict(table), path, environment, sealed) for table in tables), **general)
    except TypeError as error:
        raise UnusableError(f"{path}: {error}") from error


def _venue(table: dict[str, Any], path: Path, environment: Mapping[str, str], sealed: Path | None) -> Venue:
    name = table.get("name", "?")
    if table.get("kind") not in KINDS:
        raise UnusableError(f"{path}: venue {name}: kind is none of {', '.join(KINDS)}")
    url = urllib.parse.urlsplit(table.get("base_url", ""))
    # A key in clear text over a network is a key given away; loopback is where tests and `bot4 venue` live.
    if url.scheme != "https" and not (url.scheme == "http" and url.hostname in ("127.0.0.1", "::1", "localhost")):
        raise UnusableError(f"{path}: venue {name}: base_url has to be https")
    key, secret = _credential(table.pop("credential", f"courier_{name}"), environment, sealed)
    table["symbols"] = tuple(table.get("symbols", ()))
    return Venue(key=key, secret=secret, **table)


def _credential(name: str, environment: Mapping[str, str], sealed: Path | None) -> tuple[str, str]:
    """`key=...` and `secret=...` from $CREDENTIALS_DIRECTORY, from a sealed file, or from an absolute path."""
    path, directory = Path(name), environment.get("CREDENTIALS_DIRECTORY")
    if not path.is_absolute():
        if not directory and sealed is None:
            raise UnusableError(f"credential {name}: no $CREDENTIALS_DIRECTORY, and the name is no absolute path")
        path = Path(directory or "/") / name
    try:
        if sealed is not None and not path.is_file():
            text = unseal(sealed / name.removeprefix("courier_"), name)
        else:
            text = path.read_text()
        pairs = dict(line.split("=", 1) for line in text.split("\n") if "=" in line)
        return pairs["key"].strip(), pairs["secret"].strip()
    except (OSError, KeyError, ValueError, subprocess.SubprocessError) as error:
        # The text of the file is never shown.
        raise UnusableError(f"credential {name}: {type(error).__name__}: wants the lines key= and secret=") from error


def unseal(path: Path, name: str) -> str:
    """Decrypt as root: systemd 252 shows an `ExecStopPost=` no credentials, and the engine is not to have these."""
    command = ["/usr/bin/systemd-creds", "decrypt", f"--name={name}", str(path), "-"]
    return subprocess.run(command, capture_output=True, check=True, timeout=20).stdout.decode()


# ---------------------------------------------------------------------------------------------------------- one venue
class Client:
    """Signed requests to one venue, blocking, over one connection that is renewed after any trouble."""

    def __init__(self, venue: Venue) -> None:
        self.venue = venue
        self.requests = 0
        self.offset_ms = 0
        self._url = urllib.parse.urlsplit(venue.base_url)
        self._connection: http.client.HTTPConnection | None = None

    def _connect(self) -> http.client.HTTPConnection:
        if self._connection is None:
            host, port = self._url.hostname or "", self._url.port
            if self._url.scheme == "https":
                context = ssl.create_default_context()
                self._connection = http.client.HTTPSConnection(
                    host, port, timeout=self.venue.timeout_s, context=context
                )
            else:
                self._connection = http.client.HTTPConnection(host, port, timeout=self.venue.timeout_s)
        return self._connection

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
        self._connection = None

    def sync_clock(self) -> None:
        """Learn how far the venue's clock is from ours: a machine that just died may have lost its time."""
        before = time.time()
        answer = self._exchange("GET", self.venue.paths["time"], "")
        middle_ms = (before + time.time()) * 500
        self.offset_ms = int(answer["serverTime"] - middle_ms)

    def call(self, method: str, path: str, **parameters: Any) -> Any:
        stamp = int(time.time() * 1000) + self.offset_ms
        query = urllib.parse.urlencode(
            {**parameters, "recvWindow": self.venue.recv_window_ms, "timestamp": stamp}, quote_via=urllib.parse.quote
        )
        signature = hmac.new(self.venue.secret.encode(), query.encode(), hashlib.sha256).hexdigest()
        return self._exchange(method, path, f"{query}&signature={signature}")

    def _exchange(self, method: str, path: str, query: str) -> Any:
        self.requests += 1
        target = f"{self._url.path.rstrip('/')}{path}{'?' + query if query else ''}"
        try:
            connection = self._connect()
            connection.request(method, target, headers={"X-MBX-APIKEY": self.venue.key, "User-Agent": "bot4-courier"})
            response = connection.getresponse()
            body = response.read(1 << 24)
        except (OSError, http.client.HTTPException) as error:
            self.close()
            raise VenueError(f"{method} {path}: {type(error).__name__}: {error}") from error
        try:
            answer = json.loads(body)
        except ValueError as error:
            self.close()
            raise VenueError(f"{method} {path}: {response.status}, not JSON", status=response.status) from error
        if response.status != 200:
            code = answer.get("code", 0) if isinstance(answer, dict) else 0
            text = answer.get("msg", "") if isinstance(answer, dict) else ""
            wait = response.getheader("Retry-After") or ("10" if response.status in (418, 429) else "0")
            raise VenueError(
                f"{method} {path}: {response.status} {code} {text}",
                code=code,
                status=response.status,
                retry_after_s=float(wait) if wait.replace(".", "", 1).isdigit() else 10.0,
            )
        return answer

    def open_orders(self) -> list[dict[str, Any]]:
        """Every open order of the account. Anything but a list of orders is no answer."""
        orders = []
        for path in ("open", "algo-open"):
            if path not in self.venue.paths:
                continue
            answer = self.call("GET", self.venue.paths[path])
            if not isinstance(answer, list) or not all(isinstance(row, dict) and "symbol" in row for row in answer):
                raise VenueError(f"GET {self.venue.paths[path]}: not a list of orders")
            orders += [{**row, "algo": path == "algo-open"} for row in answer]
        return orders

    def cancel_symbol(self, symbol: str, *, algo: bool) -> None:
        self._gone_is_fine("DELETE", self.venue.paths["algo-all" if algo else "all"], symbol=symbol)

    def cancel_one(self, order: Mapping[str, Any]) -> None:
        if order["algo"]:
            self._gone_is_fine("DELETE", self.venue.paths["algo-one"], algoId=order["algoId"])
        else:
            self._gone_is_fine("DELETE", self.venue.paths["one"], symbol=order["symbol"], orderId=order["orderId"])

    def _gone_is_fine(self, method: str, path: str, **parameters: Any) -> None:
        try:
            self.call(method, path, **parameters)
        except VenueError as answer:
            if answer.code not in UNKNOWN_ORDER:
                raise


def name_of(order: Mapping[str, Any]) -> str:
    return str(order.get("clientOrderId") or order.get("clientAlgoId") or order.get("orderId") or order.get("algoId"))


def clear_venue(
    venue: Venue, settings: Settings, keep: frozenset[str], stop: threading.Event, *, dry_run: bool
) -> Outcome:
    """Cancel until the venue's own list is empty twice, or until the deadline."""
    outcome, client = Outcome(venue.name), Client(venue)
    start = time.monotonic()
    wait, confirmed, blind = settings.backoff_s, 0, set(venue.symbols)
    synced = False
    while True:
        pause = settings.settle_s
        try:
            if not synced:
                client.sync_clock()
                synced = True
            # Configured symbols are cancelled before the first question: the shortest way to silence.
            while blind and not keep and not dry_run:
                client.cancel_symbol(min(blind), algo=False)
                blind.discard(min(blind))
            orders = client.open_orders()
            _note(outcome, orders, keep)
            to_cancel = [order for order in orders if name_of(order) not in keep]
            outcome.left = [f"{order['symbol']} {name_of(order)}" for order in to_cancel]
            if dry_run:
                break
            if not to_cancel:
                confirmed += 1
                if confirmed == 2:
                    outcome.confirmed = True
                    break
            else:
                confirmed = 0
                _cancel(client, to_cancel, keep)
                outcome.cancelled += [text for text in outcome.left if text not in outcome.cancelled]
                pause = 0.0
            wait = settings.backoff_s
        except VenueError as answer:
            confirmed, synced = 0, synced and answer.code != CLOCK_WRONG
            text = str(answer)
            if not outcome.errors or outcome.errors[-1] != text:
                outcome.errors = [*outcome.errors[-19:], text]
            if answer.code in HOPELESS:
                break
            pause = max(wait, answer.retry_after_s)
            wait = min(wait * 2, settings.backoff_max_s)
        if time.monotonic() - start + pause >= settings.deadline_s or stop.wait(pause):
            break
    client.close()
    outcome.requests = client.requests
    outcome.took_s = round(time.monotonic() - start, 4)
    return outcome


def _note(outcome: Outcome, orders: list[dict[str, Any]], keep: frozenset[str]) -> None:
    outcome.seen_open = max(outcome.seen_open, len(orders))
    outcome.kept = sorted(name_of(order) for order in orders if name_of(order) in keep)


def _cancel(client: Client, orders: Iterable[dict[str, Any]], keep: frozenset[str]) -> None:
    """All of a symbol at once, unless something of the account is to stay."""
    if keep:
        for order in orders:
            client.cancel_one(order)
    else:
        for symbol, algo in sorted({(order["symbol"], order["algo"]) for order in orders}):
            client.cancel_symbol(symbol, algo=algo)


# ------------------------------------------------------------------------------------------------- how the engine ended
def ended_cleanly(environment: Mapping[str, str]) -> bool:
    """Whether systemd says that the engine ended on its own wish. No word from systemd is no clean end."""
    return (
        environment.get("SERVICE_RESULT") == "success"
        and environment.get("EXIT_CODE") == "exited"
        and environment.get("EXIT_STATUS") == "0"
    )


def kept_by_handover(path: Path | None, environment: Mapping[str, str]) -> frozenset[str] | None:
    """Client order ids that a trip left standing on purpose: the stops of positions that it did not close.

    Taken only if the trip was carried to its end by exactly the run that has just ended: the invocation id is
    systemd's and new with each start. Anything else - no file, an old one, a damaged one - keeps nothing.
    """
    if path is None:
        return None
    try:
        told = json.loads(path.read_text())
        if told["verified"] is True and told["invocation"] and told["invocation"] == environment.get("INVOCATION_ID"):
            return frozenset(str(name) for name in told["keep"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return None


# --------------------------------------------------------------------------------------------------------------- report
def write_report(directory: Path, document: Mapping[str, Any]) -> str:
    """Durable and whole, or the reason why not: a full disk must not stop the cancelling, which came first."""
    name = directory / f"courier-{document['at_ns']}.json"
    temporary = name.with_suffix(".tmp")
    try:
        directory.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o640)
        with os.fdopen(descriptor, "w") as file:
            json.dump(document, file, indent=1)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(name)
    except OSError as error:
        return f"report not written: {error}"
    return str(name)


def become(user: str) -> None:
    """Give root's rights up for good. Started with them because only root unseals the credentials.

    A user that cannot be had does not stop the cancelling: it is said, and the work goes on as it is.
    """
    try:
        row = pwd.getpwnam(user)
        os.setgroups([])
        os.setresgid(row.pw_gid, row.pw_gid, row.pw_gid)
        os.setresuid(row.pw_uid, row.pw_uid, row.pw_uid)
    except (KeyError, OSError) as error:
        say(f"bot4-courier: still with the rights it was started with: {error}")


def say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def run(settings: Settings, environment: Mapping[str, str], *, dry_run: bool = False) -> int:
    at_ns = time.time_ns()
    told = {name: environment.get(name, "") for name in ("SERVICE_RESULT", "EXIT_CODE", "EXIT_STATUS", "INVOCATION_ID")}
    keep = kept_by_handover(settings.handover, environment) or frozenset()
    if not settings.venues:
        say("bot4-courier: account = none; nothing to do")
        return EXIT_DONE
    stop = threading.Event()
    outcomes: dict[str, Outcome] = {}

    def work(venue: Venue) -> None:
        try:
            outcomes[venue.name] = clear_venue(venue, settings, keep, stop, dry_run=dry_run)
        except Exception as error:  # noqa: BLE001 - whatever broke, this venue is not confirmed and that is said
            outcomes[venue.name] = Outcome(venue.name, errors=[f"{type(error).__name__}: {error}"])

    threads = [threading.Thread(target=work, args=(venue,), name=venue.name) for venue in settings.venues]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    rows = [outcomes[venue.name] for venue in settings.venues]
    done = all(row.confirmed for row in rows) or (dry_run and not any(row.left or row.errors for row in rows))
    document = {
        "at_ns": at_ns,
        "after": told,
        "dry_run": dry_run,
        "done": done,
        "venues": [vars(row) for row in rows],
    }
    for row in rows:
        state = "nothing open" if row.confirmed else "MAY STILL BE OPEN"
        say(
            f"bot4-courier: {row.venue}: {state}; {row.seen_open} seen, {len(row.cancelled)} cancelled, "
            f"{len(row.kept)} kept, {row.requests} requests, {row.took_s} s"
            + "".join(f"; left: {text}" for text in row.left)
            + (f"; last error: {row.errors[-1]}" if row.errors else "")
        )
    if settings.report is not None:
        say(f"bot4-courier: {write_report(settings.report, document)}")
    return EXIT_DONE if done else EXIT_MAY_BE_OPEN


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="bot4-courier",
        description="Cancel every open order of the account, at every venue of the configuration.",
        epilog="Example: bot4-courier --config /etc/bot4/courier-main.toml --dry-run. "
        "Exit 0: nothing is open. 1: something may be. 2: the configuration cannot be read.",
    )
    parser.add_argument("--config", type=Path, required=True)
    parser.add_argument("--report", type=Path, help="directory for reports, in place of the configured one")
    parser.add_argument("--handover", type=Path, help="what a trip left standing, in place of the configured file")
    parser.add_argument("--after-engine", action="store_true", help="as ExecStopPost=: do nothing after a clean end")
    parser.add_argument("--dry-run", action="store_true", help="list what is open and cancel nothing")
    parser.add_argument("--sealed", type=Path, help="directory of credentials as systemd-creds encrypted them (root)")
    parser.add_argument("--user", help="the user to become once the credentials are read")
    options = parser.parse_args(arguments)
    if options.after_engine and ended_cleanly(os.environ):
        say("bot4-courier: the engine ended cleanly; nothing to do")
        return EXIT_DONE
    try:
        settings = load(options.config, os.environ, options.sealed)
    except UnusableError as error:
        say(f"bot4-courier: {error}. Something may still be open.")
        return EXIT_UNUSABLE
    changes = {name: value for name in ("report", "handover") if (value := getattr(options, name)) is not None}
    settings = Settings(**{**vars(settings), **changes})
    if options.user and os.geteuid() == 0:
        become(options.user)
    return run(settings, os.environ, dry_run=options.dry_run)


if __name__ == "__main__":
    sys.exit(main())
