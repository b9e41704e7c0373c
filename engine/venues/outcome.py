"""What a venue's answer means for us: one taxonomy for every venue's codes.

The order path asks two things of an answer: may the order be live, and may we go on. `Outcome` answers the first,
`Act` the second; each venue has a table from its codes to both. A code that no table knows is UNKNOWN on the order
path: only an answer that is understood ends an order.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum


class Outcome(IntEnum):
    DONE = 0
    REJECTED = 1  # the venue did not do it, and will not
    UNKNOWN = 2  # it may have done it: ask by client id
    NO_ORDER = 3  # there is no such order
    TOO_LATE = 4  # the order is filled or gone in a way that only its record tells
    NOT_SENT = 5  # refused on the way: it certainly did nothing, and may be sent again


class Act(IntEnum):
    NONE = 0
    RETRY = 1  # transient: the same request may go again, after a pause and a look at the state
    SLOW = 2  # a rate limit
    SLOW_ORDERS = 3  # the limit on new orders alone
    BAN = 4
    CLOCK = 5  # our time stamp is off: measure again
    KEY = 6  # key, signature or permission: nothing signed will pass
    HALT = 7  # this market takes no orders now
    FIX = 8  # the request itself is wrong: a bug of ours or filters that changed


@dataclass(frozen=True)
class Meaning:
    outcome: Outcome
    act: Act
    name: str  # one word for logs and counters
