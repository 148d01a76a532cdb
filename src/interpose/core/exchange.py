"""An exchange: one request and its response at this hop, from the first byte to the last."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable

from interpose.core.failure import Failure
from interpose.core.fields import Fields
from interpose.core.hold import Ruling
from interpose.core.message_filter import MessageFilter
from interpose.core.stream import UNKNOWN, Address, Stream, TlsInfo
from interpose.core.target import Origin
from interpose.core.watcher import Watcher

log = logging.getLogger("interpose")

VARIANT = "variant."
"""What the names of the notes begin with that tell which level of a factor was chosen: `variant.button`."""


class Outcome:
    """How an exchange ended.

    `status` is what the client was sent, 0 when it left before any answer; `body_bytes` the octets of content written
    to it;
    `failure` why it ended early or was answered by us, None when all went well. `ended` and `Exchange.started` are
    monotonic.
    """

    __slots__ = ("body_bytes", "ended", "failure", "status")

    def __init__(self, status: int, body_bytes: int, failure: Failure | None, ended: float) -> None:
        self.status = status
        self.body_bytes = body_bytes
        self.failure = failure
        self.ended = ended

    def __repr__(self) -> str:
        return f"<Outcome {self.status}, {self.body_bytes} bytes, {self.failure}>"


class Attempt:
    """One try upstream: what really went there and when (seconds, monotonic; 0.0 = did not happen)."""

    __slots__ = (
        "connected",
        "failure",
        "fields",
        "first_byte",
        "head",
        "local",
        "origin",
        "peer",
        "reused",
        "started",
        "status",
        "tls",
    )

    def __init__(self, origin: Origin, started: float) -> None:
        self.origin = origin
        self.started = started
        self.connected = 0.0
        self.first_byte = 0.0
        self.peer: Address | None = None
        self.local: Address | None = None
        self.tls: TlsInfo | None = None
        self.reused = False
        self.fields: Fields | None = None
        """The end-to-end fields as sent."""
        self.head = b""
        """The head as it was written: the request line and all field lines, with the empty line after them."""
        self.status = 0
        self.failure: Failure | None = None


class Exchange:
    """What the filters of one request share, or what is known of a conversation below HTTP.

    `local` is the address of ours that the client connected to, `route` the name of the route that was chosen.
    `number` counts in this worker; `parent` is the exchange whose tunnel carries this one. `client` is who connected;
    `user` who it is, once authentication said so. `started` is monotonic. `authority` is the verified one of an
    intercepted tunnel. `asked` is what the client of a conversation wanted, in words for the log: `TCP 127.0.0.1:5432`.
    """

    __slots__ = (
        "_at_end", "_notes", "_waits", "around", "asked", "attempts", "authority", "bytes_out", "captured", "client",
        "groups", "kept", "listener", "local", "message_filters", "named_limits", "number", "on_end_error", "on_hold",
        "on_interim", "outcome", "parent", "representation", "route", "scheme", "started", "through", "tls", "upstream",
        "user", "watcher", "worker",
    )  # fmt: skip

    def __init__(
        self,
        number: int,
        worker: int,
        listener: str,
        client: Address,
        started: float,
        scheme: str = "http",
        tls: TlsInfo | None = None,
        local: Address = UNKNOWN,
    ) -> None:
        self.number = number
        self.worker = worker
        self.listener = listener
        self.client = client
        self.local = local
        self.route = ""
        self.started = started
        self.scheme = scheme
        self.tls = tls
        self.parent: Exchange | None = None
        self.authority: str | None = None
        self.asked = ""
        self.user: str | None = None
        self.groups: tuple[str, ...] | None = None
        """Of the user; None where users have none, or nobody has said yet."""
        self.through: str | None = None
        """The upstream proxy that it goes through, by name; `direct` for none, None where nobody has said."""
        self.captured: dict[str, str] | None = None
        """What the route's template found in the path, by name; None without one."""
        self.representation: tuple[tuple[str, str], ...] = ()
        """Names and values of what was chosen for this client and may change its answer: a cache's key has them."""
        self.upstream = ""
        """The upstream that a filter has chosen instead of the route's; "" where none has."""
        self.attempts: list[Attempt] = []
        self.bytes_out = 0
        self.outcome: Outcome | None = None
        self.on_interim: Callable[[int, Fields], None] | None = None
        self.on_hold: Callable[[str], Awaitable[Ruling]] | None = None
        """Holds the request as it is now; set while a script has it."""
        self.on_end_error: Callable[[Exchange, Exception], bool] | None = None
        """(scripts) Takes what a function at the end has raised; False where it is somebody else's."""
        self.watcher: Watcher | None = None
        """Who is shown what passes in a conversation, or in a tunnel after the head."""
        self.message_filters: list[MessageFilter] | None = None
        """What is asked about each message of the conversation, or of the tunnel after the head."""
        self.kept: dict[object, object] | None = None
        """(core.per_exchange) What scripts remember of it, by who remembers it."""
        self.around: Callable[[Stream], Stream] | None = None
        """What the client's stream of a conversation below HTTP is put into before its bytes flow."""
        self.named_limits: tuple[str, ...] = ()
        """The limits that an access rule named for it."""
        self._at_end: list[Callable[[Outcome], None]] = []
        self._notes: dict[str, str] | None = None
        self._waits = 0

    @property
    def id(self) -> str:
        """Unique in this run of the program, short enough to read aloud."""
        return f"{self.worker}-{self.number:x}"

    @property
    def notes(self) -> dict[str, str]:
        """What filters have to say about this exchange, for log and journal: `filter`, `rule`, `why` on a refusal."""
        if self._notes is None:
            self._notes = {}
        return self._notes

    def refused_by(self, filter_name: str, rule: str, why: str) -> None:
        """Leave the note that every refusal owes: which filter, which rule, why."""
        self.notes.update(filter=filter_name, rule=rule, why=why)

    def filter_messages(self, message_filter: MessageFilter) -> None:
        """Have `message_filter` asked, after those that are there, before a message goes on."""
        if self.message_filters is None:
            self.message_filters = []
        self.message_filters.append(message_filter)

    def at_end(self, function: Callable[[Outcome], None]) -> None:
        """Call `function` with the outcome after the last byte, on every path, exactly once, last registered first.

        When that has been already (the client left, and somebody goes on all the same) it is called at once.
        """
        self._at_end.append(function)
        if self.outcome is not None:
            self._tell(self.outcome)

    def finish(self, outcome: Outcome) -> None:
        """The server's call at the very end. A function that raises is logged and keeps no other from running."""
        if self.outcome is not None:
            return
        self.outcome = outcome
        self._tell(outcome)

    def _tell(self, outcome: Outcome) -> None:
        functions = self._at_end
        while functions:
            try:
                functions.pop()(outcome)
            except Exception as error:
                if self.on_end_error is None or not self.on_end_error(self, error):
                    log.exception("at_end of exchange %s", self.id)

    @property
    def is_waiting(self) -> bool:
        """Whether somebody is thinking about it: idle and response deadlines are suspended."""
        return self._waits > 0

    def waiting(self, reason: str) -> Waiting:
        """Suspend the deadlines of this exchange while inside (`async with`); `reason` is noted."""
        return Waiting(self, reason)

    def hold(self, reason: str) -> Awaitable[Ruling]:
        """(for scripts) Have somebody look at the request, as it is now, and wait for the decision.

        Once released it is what was approved, edits included. `Failure` (403) when it was dropped, and when it cannot
        be stored; ValueError where there is no desk.
        """
        if self.on_hold is None:
            raise ValueError("nothing can be held here: only a script has a request that can be")
        return self.on_hold(reason)

    def wait(self, more: int) -> None:
        """(Waiting) One more waits for something, or one fewer."""
        self._waits += more


class Waiting:
    """See `Exchange.waiting`. (No generator as a context manager: asynchronous ones cannot be compiled.)"""

    __slots__ = ("_exchange", "_reason")

    def __init__(self, exchange: Exchange, reason: str) -> None:
        self._exchange = exchange
        self._reason = reason

    async def __aenter__(self) -> None:
        self._exchange.notes["waiting"] = self._reason
        self._exchange.wait(1)

    async def __aexit__(self, *error: object) -> None:
        self._exchange.wait(-1)
