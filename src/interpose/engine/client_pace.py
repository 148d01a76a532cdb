"""Whether a client moves: sends the body it has begun, takes what it was sent (THREATS A26). Judged once a second."""

from __future__ import annotations

from interpose.core.stream import Stream
from interpose.engine.pace import HALF_CLOSED, Pace, Timeouts
from interpose.engine.request_receiver import RequestReceiver


class ClientPace:
    """The pace of one client; a new one begins with each exchange and after it."""

    __slots__ = ("_is_sending", "_pace", "_stream")

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._pace: Pace | None = None
        self._is_sending = False

    def between_exchanges(self, now: float, idle_timeout_s: float, timeouts: Timeouts) -> str | None:
        """What is wrong, in words, when it leaves untaken what it was sent, or has all of it and was silent for so
        long."""
        unsent = self._stream.unsent_bytes
        count = self._stream.written_bytes - unsent
        if self._pace is None:
            self._pace = Pace(now, count)
        if not unsent:
            return self._pace.complaint(now, count, idle_timeout_s, 0)
        return self._pace.complaint(now, count, timeouts.body_timeout_s, timeouts.min_rate_bytes_per_s)

    def in_exchange(
        self, now: float, receiver: RequestReceiver | None, *, may_rest: bool, has_ended: bool, timeouts: Timeouts
    ) -> str | None:
        """What is wrong while it is the client's turn to send (`receiver` waits for its body) or to take, in words.

        Else it may rest, and in any case where `may_rest` says so; but having ended its side it may be gone.
        """
        unsent = self._stream.unsent_bytes
        is_sending = receiver is not None
        if self._is_sending is not is_sending:  # what it sent counts no more, or not yet
            self._is_sending = is_sending
            self._pace = None
        if not has_ended and (may_rest or not (unsent or is_sending)):
            self._pace = None
            return None
        count = (receiver.received if receiver is not None else 0) + self._stream.written_bytes - unsent
        if self._pace is None:
            self._pace = Pace(now, count)
        limits = HALF_CLOSED if has_ended else (timeouts.body_timeout_s, timeouts.min_rate_bytes_per_s)
        return self._pace.complaint(now, count, *limits)
