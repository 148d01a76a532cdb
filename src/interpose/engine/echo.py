"""Sends back what comes, as it is or transformed: the servers that every course on sockets begins with.

What people copy for this loses data on the second packet, or when a client ends its side first, or grows without bound
for a client that does not read. Here each piece is written as it comes; while the client does not take what it was
sent, nothing more is read from it; and when it has ended its side, everything is sent before ours ends too.
"""

from __future__ import annotations

from collections.abc import Callable

from interpose.core.failure import Failure
from interpose.core.stream import Stream
from interpose.core.watcher import Watcher
from interpose.engine.conversations import Conversation
from interpose.engine.narration import Account, Narration

Transform = Callable[[bytes], bytes]
"""Makes of each byte another one, whatever stands before and behind it: where a piece ends must not matter."""

upper: Transform = bytes.upper
"""a-z become A-Z and every other byte stays, in any locale: UTF-8 beyond ASCII passes unharmed."""


class Echo:
    """The role (a `Serve`). `transform` None sends back what came; `narration` None tells nobody."""

    def __init__(self, transform: Transform | None = None, narration: Narration | None = None) -> None:
        self._transform = transform
        self._narration = narration

    def __call__(self, conversation: Conversation) -> None:
        """Serve one conversation."""
        conversation.answers_at_once = True
        stream = conversation.stream
        exchange = conversation.exchange
        account = None if self._narration is None else self._narration.connected(exchange, stream.info)
        stream.attach(_Echoing(conversation, stream, self._transform, account, exchange.watcher))


class _Echoing:
    """The receiver of one conversation."""

    __slots__ = ("_account", "_conversation", "_stream", "_transform", "_watcher")

    def __init__(
        self,
        conversation: Conversation,
        stream: Stream,
        transform: Transform | None,
        account: Account | None,
        watcher: Watcher | None,
    ) -> None:
        self._conversation = conversation
        self._stream = stream
        self._transform = transform
        self._account = account
        self._watcher = watcher

    def bytes_received(self, data: bytes) -> None:
        """See `core.stream.Receiver`."""
        self._conversation.bytes_in += len(data)
        if self._account is not None:
            self._account.received(data)
        if self._watcher is not None:
            self._watcher.received(data)
        if self._transform is not None:
            data = self._transform(data)
        if self._watcher is not None:
            self._watcher.answered(data)
        if not self._stream.write(data):
            self._stream.pause()

    def writable(self) -> None:
        """See `core.stream.Receiver`."""
        self._stream.resume()

    def end_received(self) -> None:
        """Nothing more comes, so nothing more goes: send what is left, then end."""
        if self._account is not None:
            self._account.sends_no_more()
        self._stream.close()

    def connection_lost(self, failure: Failure | None) -> None:
        """The server finishes the exchange."""
