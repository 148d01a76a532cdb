"""What supervisor and worker say to each other, as MessagePack in frames with a length.

Every message is one struct, told apart by its tag. A frame is four octets of length (big-endian) and the message. Both
sides are the same program of the same version, so nothing here is negotiated; what cannot be decoded ends the link.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from interpose.core.tally import Tally

MAX_FRAME_BYTES = 1 << 26
"""The largest message: far above any configuration, far below what would hurt."""

_LENGTH_BYTES = 4


class Message(msgspec.Struct, frozen=True, tag=True, array_like=True):
    """What every message is."""


class Grant(msgspec.Struct, frozen=True, array_like=True):
    """One listening socket that a worker is to accept on: its number, the same in every process, and its listener."""

    number: int
    listener: str


class Grants(msgspec.Struct, frozen=True, array_like=True):
    """All sockets that a worker is to accept on from now on; others it lets go of.

    `fresh` are the numbers of those it does not have yet: their descriptors wait on the pair, in this order.
    """

    sockets: tuple[Grant, ...]
    fresh: tuple[int, ...]


# --- supervisor to worker ------------------------------------------------------------------------------------------


class Start(Message, frozen=True):
    """Begin: the first message, once. `config` is opaque to this package."""

    number: int
    generation: int
    config: bytes
    grants: Grants
    grace_s: float
    memory_limit_bytes: int


class Accept(Message, frozen=True):
    """Accept on these sockets from now on: some were a dead worker's, or go back to the one that replaced it."""

    grants: Grants


class Prepare(Message, frozen=True):
    """Build everything that `config` needs, without effect on traffic; answered by `Prepared`."""

    generation: int
    config: bytes


class Commit(Message, frozen=True):
    """Swap to what was prepared; answered by `Committed`."""

    generation: int
    grants: Grants
    grace_s: float
    memory_limit_bytes: int


class Abandon(Message, frozen=True):
    """Forget what was prepared: another worker could not."""


class Drain(Message, frozen=True):
    """Stop accepting, let exchanges finish for `grace_s`, exit. A second one may shorten the grace.

    With `keep_idle` connections without an exchange are not cut either, but end with their next answer: another worker
    takes over, and no client is to notice.
    """

    grace_s: float
    keep_idle: bool = False


class ReopenLogs(Message, frozen=True):
    """Log files were moved away: open them anew."""


class Ask(Message, frozen=True):
    """A question about what the worker keeps, opaque here; answered by `Told`, in turn after those asked before.

    What takes its time, because traffic has to pass for it, is answered out of turn.
    """

    number: int
    question: bytes
    in_turn: bool = True


class Reply(Message, frozen=True):
    """The answer to a `Call`, opaque here; or the failure that it came to: its kind, status and detail."""

    number: int
    answer: bytes = b""
    failure: tuple[str, int, str] | None = None


# --- worker to supervisor ------------------------------------------------------------------------------------------


class Ready(Message, frozen=True):
    """The worker accepts on what it was granted."""


class Broken(Message, frozen=True):
    """The worker could not start, and why, in sentences. It exits after this."""

    errors: tuple[str, ...]


class Prepared(Message, frozen=True):
    """Everything is built, or `errors` say why not."""

    generation: int
    errors: tuple[str, ...] = ()


class Committed(Message, frozen=True):
    """The new generation serves. A worker that cannot commit ends, and its successor begins with the new one."""

    generation: int


class Counters(Message, frozen=True):
    """Where the worker's counts stand. It comes about once a second and is the sign of life.

    Of `tallies` only those that have changed come.
    """

    values: dict[str, float]
    tallies: list[Tally] = []


class Leaving(Message, frozen=True):
    """The worker asks to be replaced, and why. It goes on until it is told to drain."""

    reason: str


class Record(Message, frozen=True):
    """Something worth keeping, opaque here; dropped rather than waited for."""

    data: bytes


class Call(Message, frozen=True):
    """The worker asks for something and waits, for hours if need be; answered by `Reply`. `topic` says what about."""

    number: int
    topic: str
    question: bytes


class Withdraw(Message, frozen=True):
    """Nobody waits for the reply to that call any more."""

    number: int


class Told(Message, frozen=True):
    """The answer to an `Ask`, opaque here."""

    number: int
    answer: bytes


ToWorker = Start | Accept | Prepare | Commit | Abandon | Drain | ReopenLogs | Ask | Reply
ToSupervisor = Ready | Broken | Prepared | Committed | Counters | Leaving | Record | Told | Call | Withdraw

_ENCODER = msgspec.msgpack.Encoder()
_DECODER: msgspec.msgpack.Decoder[ToWorker | ToSupervisor] = msgspec.msgpack.Decoder(ToWorker | ToSupervisor)


def encode(message: Message) -> bytes:
    """The frame of one message."""
    payload = _ENCODER.encode(message)
    if len(payload) > MAX_FRAME_BYTES:
        raise ValueError(f"a message of {len(payload)} bytes is above the {MAX_FRAME_BYTES} of the link")
    return len(payload).to_bytes(_LENGTH_BYTES, "big") + payload


class FrameReader:
    """Bytes in, messages out. Keeps at most one incomplete frame."""

    __slots__ = ("_buffer",)

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[ToWorker | ToSupervisor]:
        """The messages that `data` completes. ValueError (msgspec's is one) for what is none."""
        buffer = self._buffer
        buffer += data
        start = 0
        try:
            while len(buffer) - start >= _LENGTH_BYTES:
                size = int.from_bytes(buffer[start : start + _LENGTH_BYTES], "big")
                if size > MAX_FRAME_BYTES:
                    raise ValueError(f"a frame of {size} bytes is above the {MAX_FRAME_BYTES} of the link")
                end = start + _LENGTH_BYTES + size
                if len(buffer) < end:
                    break
                with memoryview(buffer) as view:
                    message = _DECODER.decode(view[start + _LENGTH_BYTES : end])
                start = end
                yield message
        finally:
            del buffer[:start]
