"""HTTP to one venue: pooled connections, the rate budget before every request, typed errors after it.

Owns: the pool (kept warm: an order over a fresh TLS connection costs two round trips more), timeouts, the bound on a
body. Does not own: what a request means, signatures, retries: a request is sent once. An answer that did not come is
`VenueUnsure`, never "failed".

aiohttp rather than httpx: it is the one that the ccxt bridge brings along, so there is one HTTP library in the process,
and its parser is compiled.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import aiohttp
from yarl import URL

from engine._core.clock import utc_ns
from engine.errors import CertificateRefused, ConnectFailed, FrameRefused, RateDenied, VenueBanned, VenueUnsure
from engine.net.budget import SECOND, Deny, Lane, LimitKind, RateBudget
from engine.net.transport import tls_context

BODY_BYTES_MAX = 64 * 2**20
Counts = Callable[[Mapping[str, str]], list[tuple[LimitKind, int, int]]]


@dataclass(frozen=True)
class Response:
    status: int
    headers: Mapping[str, str]
    body: bytes
    sent_ns: int
    received_ns: int


class HttpClient:
    def __init__(
        self,
        base_url: str,
        budget: RateBudget,
        *,
        counts_of: Counts,
        venue_now_ns: Callable[[int], int] = lambda now_ns: now_ns,
        ca_file: str | None = None,
        pool: int = 8,
        timeout_s: float = 10.0,
    ) -> None:
        self.base_url = base_url.rstrip("/")
        self.budget = budget
        self._counts_of = counts_of
        self._venue_now_ns = venue_now_ns
        self._ca_file = ca_file
        self._pool = pool
        self._timeout = aiohttp.ClientTimeout(total=timeout_s, sock_connect=5.0)
        self._session: aiohttp.ClientSession | None = None
        self.request_count = 0
        self.failure_count = 0

    async def request(
        self, method: str, path: str, query: str = "", *, lane: Lane, weight: int, orders: int = 0,
        headers: Mapping[str, str] | None = None, body: bytes | None = None,
    ) -> Response:  # fmt: skip
        """One request, once. `query` is sent exactly as given: it may be signed."""
        verdict = self.budget.take(lane, self._venue_now_ns(utc_ns()), weight=weight, orders=orders)
        if not verdict.ok:
            kind = VenueBanned if verdict.deny is Deny.BANNED else RateDenied
            raise kind(f"{method} {path}: {verdict.deny.name.lower()}, {verdict.wait_ns / SECOND:.1f} s to wait.")
        response = await self._send(method, path, query, headers, body)
        self._learn(response)
        return response

    async def _send(
        self, method: str, path: str, query: str, headers: Mapping[str, str] | None, body: bytes | None
    ) -> Response:
        # `encoded`: the library must not write a signed query anew.
        url = URL(f"{self.base_url}{path}{'?' + query if query else ''}", encoded=True)
        self.request_count += 1
        sent_ns = utc_ns()
        try:
            async with self._open().request(method, url, headers=headers, data=body, allow_redirects=False) as answer:
                content = await answer.content.read(BODY_BYTES_MAX + 1)
                while len(content) <= BODY_BYTES_MAX and (more := await answer.content.read(2**20)):
                    content += more
                response = Response(answer.status, dict(answer.headers), bytes(content), sent_ns, utc_ns())
        except aiohttp.ClientConnectorCertificateError as error:
            self.failure_count += 1
            raise CertificateRefused(f"{self.base_url}: {error.certificate_error}.") from error
        except aiohttp.ClientConnectorError as error:
            # Nothing left this machine.
            self.failure_count += 1
            raise ConnectFailed(f"{self.base_url}: {error}.") from error
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            self.failure_count += 1
            raise VenueUnsure(f"{method} {path}: {type(error).__name__} {error}.") from error
        if len(response.body) > BODY_BYTES_MAX:
            raise FrameRefused(f"{method} {path}: a body beyond {BODY_BYTES_MAX} bytes.")
        return response

    def _learn(self, response: Response) -> None:
        now = self._venue_now_ns(response.received_ns)
        for kind, interval_ns, count in self._counts_of(response.headers):
            self.budget.told(kind, interval_ns, count, now)
        after = next((v for k, v in response.headers.items() if k.lower() == "retry-after"), "")
        wait = int(after) * SECOND if after.isascii() and after.isdigit() else None
        if response.status == 418:
            self.budget.banned(now, None if wait is None else now + wait)
        elif response.status == 429:
            if b"-1015" in response.body[:64]:
                self.budget.too_many_orders(now, wait)
            else:
                self.budget.too_many(now, wait)

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None or self._session.closed:
            # The system's own resolver, whatever others have installed: theirs end in a thread of their own, later.
            connector = aiohttp.TCPConnector(
                limit=self._pool, ssl=tls_context(self._ca_file), keepalive_timeout=55.0,
                resolver=aiohttp.ThreadedResolver(),
            )  # fmt: skip
            self._session = aiohttp.ClientSession(connector=connector, timeout=self._timeout, trust_env=False)
        return self._session

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None
