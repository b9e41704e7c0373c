"""Everything that a running engine may be told or asked. The union `Command` is the whole list.

A person may stop, tighten and liquidate, and may look. No command places, changes or sizes an order: a test walks this
union, so adding one is a decision that shows. One request is one line of JSON, one answer too, so `socat` is a client.
"""

from __future__ import annotations

from typing import Any, Literal, Protocol

import msgspec

from engine.safety.approval import Request

LINE_MAX = 65_536


class _Command(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="command"):
    """Unknown fields are refused: a mistyped one must not be taken for its default."""


class Halt(_Command, frozen=True, tag="halt"):
    """Trip the latch: nothing leaves until the switch is released and `bot4 reset` is confirmed at the machine."""

    reason: str = ""


class Pause(_Command, frozen=True, tag="pause"):
    """No new entries; what protects positions goes on."""


class Resume(_Command, frozen=True, tag="resume"):
    """Back to Normal, if the latch is clear, the cooldown is over and the books are reconciled."""


class Reduce(_Command, frozen=True, tag="reduce"):
    """Reduce-only: positions shrink step by step."""


class Liquidate(_Command, frozen=True, tag="liquidate"):
    """Emergency: cancel everything and go flat."""

    aggressive: bool = False


class Tighten(_Command, frozen=True, tag="tighten"):
    """Make one limit of the gate stricter, now. The other direction is a matter of the settings and waits its day."""

    limit: str
    value: int


class Reload(_Command, frozen=True, tag="reload"):
    """Read the settings again: tightening acts, loosening is queued; the answer is the difference."""


class Approve(_Command, frozen=True, tag="approve"):
    """The operator's signature under one request that waits for a word. It lifts no rule of the gate."""

    number: int
    signature: str


class Deny(_Command, frozen=True, tag="deny"):
    """No to a request that waits for a word: it needs no signature."""

    number: int


class GetApprovals(_Command, frozen=True, tag="approvals"):
    """What waits for a word."""


class Acknowledge(_Command, frozen=True, tag="acknowledge"):
    """Somebody has seen the alerts of a group, or all: they are not escalated any more."""

    group: str = ""


class GetAlerts(_Command, frozen=True, tag="alerts"):
    """What is open: since when, told when, seen by somebody or not."""


class GetStatus(_Command, frozen=True, tag="status"):
    """One picture."""


class GetWhy(_Command, frozen=True, tag="why"):
    """The last refusals with all their reasons."""

    most: int = 20
    symbol: str | None = None


class GetEvents(_Command, frozen=True, tag="events"):
    """Events after a number; with `follow` each further one as it comes."""

    after: int = 0
    most: int = 100
    follow: bool = False


class Watch(_Command, frozen=True, tag="watch"):
    """A picture so many times a second, until the client goes."""

    rate_hz: float = 4.0


Command = (
    Halt | Pause | Resume | Reduce | Liquidate | Tighten | Reload
    | Approve | Deny | GetApprovals | Acknowledge | GetAlerts | GetStatus | GetWhy | GetEvents | Watch
)  # fmt: skip


class Reply(msgspec.Struct, frozen=True, omit_defaults=True):
    """The answer to one command."""

    ok: bool
    text: str = ""  # a sentence for a person
    code: str = ""  # of the error
    kind: Literal["reply", "status", "events", "why", "alerts", "approvals"] = "reply"
    data: Any = None


class Peer(msgspec.Struct, frozen=True):
    """Who asks, as the kernel says."""

    pid: int
    uid: int
    gid: int

    def __str__(self) -> str:
        return f"uid {self.uid} pid {self.pid}"


class OpenAlert(msgspec.Struct, frozen=True, omit_defaults=True):
    """One thing that is wrong, as a person is told of it."""

    group: str
    rule: str
    subject: str
    severity: str
    text: str
    since_ns: int
    told_ns: int | None = None
    acknowledged: bool = False
    escalated: bool = False


class AlertDesk(Protocol):
    """Who keeps the alerts. Called on the loop's thread."""

    def alerts(self) -> list[OpenAlert]: ...

    def acknowledge(self, peer: Peer, group: str) -> str: ...


class Handlers(Protocol):
    """What acts: the composition root. Called on the loop's thread; each returns a sentence for the person.

    A refusal is an error of the engine (`Bot4Error`); its text goes to the person. Each call is audited by whoever
    implements it, with the peer.
    """

    def halt(self, peer: Peer, reason: str) -> str: ...

    def pause(self, peer: Peer) -> str: ...

    def resume(self, peer: Peer) -> str: ...

    def reduce(self, peer: Peer) -> str: ...

    def liquidate(self, peer: Peer, aggressive: bool) -> str: ...

    def tighten(self, peer: Peer, limit: str, value: int) -> str: ...

    def reload(self, peer: Peer) -> str: ...

    def approve(self, peer: Peer, number: int, signature: str) -> str: ...

    def deny(self, peer: Peer, number: int) -> str: ...

    def approvals(self) -> list[Request]:
        """What waits for a word, the oldest first."""
        ...
