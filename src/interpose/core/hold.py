"""Holds: messages that wait until somebody has looked.

Who stops a message describes it as `Held` and awaits the desk's `Decision`; the desk stores it before anything else. A
held message has a *version* that grows with each edit, and a digest of all that is sent of it: a decision names the
version and digest that its author saw, and whoever carries it out makes sure that this is what leaves.

    held ──> waiting ── release, drop, answer, deadline ──> decided ──> settled (sent, or failed and why)
                └ the client leaves, or the program ends: still waiting, and can still be sent from the desk
"""

from __future__ import annotations

import enum
import hashlib
from typing import NamedTuple, Protocol

import msgspec

from interpose.core.message import Response

INLINE_BYTES = 65536
"""Longer content goes into a file, and the link carries its name."""


class What(enum.StrEnum):
    """What is held."""

    REQUEST = "request"
    RESPONSE = "response"
    CHUNK = "chunk"
    """A piece of a TCP stream."""
    DATAGRAM = "datagram"
    WEBSOCKET = "websocket"
    """One message of a WebSocket."""


class Verdict(enum.StrEnum):
    """What was decided."""

    RELEASE = "release"
    """It goes on, as it is now."""
    DROP = "drop"
    """It does not; an HTTP client is told so with a 403."""
    ANSWER = "answer"
    """(a request) It does not, and the client gets the answer that comes with the decision."""


class Mode(enum.StrEnum):
    """What its sender does meanwhile."""

    WAIT = "wait"
    ACCEPT = "accept"
    """(a request) It was told 202 and a place to ask; the desk delivers later."""


class Content(msgspec.Struct, array_like=True, frozen=True):
    """The octets of a held message: here, or, when they are many, in `file` (an absolute path)."""

    size: int = 0
    sha256: bytes = hashlib.sha256(b"").digest()
    data: bytes = b""
    file: str = ""

    @classmethod
    def of(cls, data: bytes) -> Content:
        """The content `data`, in memory."""
        return cls(len(data), hashlib.sha256(data).digest(), data)


class HeldMessage(msgspec.Struct, array_like=True, frozen=True):
    """A message as it waits: for HTTP with method and target or status; `fields` is a section as in `core.record`."""

    what: What
    method: str = ""
    target: str = ""
    status: int = 0
    reason: str = ""
    fields: bytes = b""
    content: Content = Content()

    @property
    def digest(self) -> bytes:
        """SHA-256 of all that would be sent, with every part's length before it."""
        head = (self.what, self.method, self.target, str(self.status), self.reason)
        parts = [*(text.encode() for text in head), self.fields, self.content.sha256]
        return hashlib.sha256(b"".join(len(part).to_bytes(8, "big") + part for part in parts)).digest()


class Held(msgspec.Struct, array_like=True, frozen=True, kw_only=True):
    """A message, why it is held, and whose it is."""

    id: str
    """Random, short enough to read aloud; made by whoever holds."""
    message: HeldMessage
    mode: Mode = Mode.WAIT
    rule: str = ""
    """The rule's name, or what a script gave as its reason."""
    exchange: str = ""
    listener: str = ""
    route: str = ""
    client: tuple[str, int] = ("", 0)
    user: str = ""
    at: float
    """Wall clock, seconds since 1970."""
    timeout_s: float = 0.0
    """When to decide by itself; 0: never."""
    on_timeout: Verdict = Verdict.DROP
    request: HeldMessage | None = None
    """(a response) The request that it answers, for whoever looks; its content is left out."""


class Decision(msgspec.Struct, array_like=True, frozen=True, kw_only=True):
    """What becomes of a held message. With RELEASE `message` is what leaves, with ANSWER the response to give."""

    verdict: Verdict
    by: str
    """Who: a reviewer's name, `deadline`, `rule`."""
    version: int = 1
    digest: bytes = b""
    """Of `message`: who carries it out compares."""
    message: HeldMessage | None = None
    why: str = ""


class Ruling(NamedTuple):
    """(for scripts, from `exchange.hold`) What was decided, and by whom. Released, the request is what was approved.

    `answer` is the response that somebody gave by hand instead of letting the request go on: return it.
    """

    verdict: Verdict
    by: str
    why: str = ""
    answer: Response | None = None


class Settled(msgspec.Struct, array_like=True, frozen=True, kw_only=True):
    """How it went on after the decision: `status` of the answer that came back, or why nothing did."""

    status: int = 0
    failure: str = ""


class Standing(msgspec.Struct, array_like=True, frozen=True, kw_only=True):
    """What has become of a held message so far, for whoever sent it."""

    state: str
    """`waiting`, `decided`, `settled`."""
    verdict: str = ""
    """What was decided, empty while nobody has."""
    how: Settled | None = None


class Desk(Protocol):
    """Where held messages wait. One in this process, or at the other end of the link: both pass the same tests."""

    async def hold(self, held: Held) -> Decision:
        """Store `held` durably, then wait for a decision; cancelled when nobody waits for it any more.

        A message that cannot be stored is not held: `Failure` (507 for HTTP, `proxy_internal_error`), and nothing of it
        goes on.
        """

    async def accept(self, held: Held) -> None:
        """(mode ACCEPT) Store `held` durably, to be delivered by the desk later. Raises as `hold` does."""

    def settled(self, id: str, how: Settled) -> None:
        """Tell how it went on after the decision."""

    async def standing(self, id: str) -> Standing | None:
        """What has become of a message so far; None for one that is not known (any more)."""
