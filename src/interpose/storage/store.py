"""Where responses are kept: the interface of every cache store, with its exact errors.

A store keeps *variants* under keys. A key is the primary key of a response as `StoredHead.key` has it; a store that
needs short keys digests it for itself. Two heads with the same key and the same `vary` are the same variant, and the
later one takes the place of the earlier.

    look / find     what is there          writer     a response as it comes; there only once it is committed
    refresh         a newer head           remove     this one is wrong
    purge           what matches is wrong  entries    what is there, for people

Traffic never fails because of a store: no method raises for a disk that is full, a server that is away or an entry
that is damaged. What cannot be read is not there, what cannot be written is not kept, and `counters` tell. Only misuse
raises ValueError. Everything is called on the event loop; `tests/support/store_conformance.py` says the rest in tests
that run on every implementation.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

from interpose.core.body import Body
from interpose.protocol.stored import StoredHead

Match = Callable[[StoredHead], bool]
"""Whether a stored response is meant. One that has an attribute `scope` means only what is in that `Scope`; one that
has an attribute `pattern`, a text, can be told to another process."""


class Copies(Protocol):
    """What has copies of what is in a store that others change, too."""

    def changed(self, key: bytes) -> None:
        """What is stored under this key is another now."""

    def purged(self, match: Match, *, soft: bool) -> None:
        """What matches was removed, or made stale."""

    def forget_all(self) -> None:
        """Everything may be another now."""


class Scope(NamedTuple):
    """What belongs together and may have to go together, so that a store need not look through all of it. `kind` is
    `host`, `tag` or `url`; hosts are without a port."""

    kind: str
    value: bytes


def url_in(key: bytes) -> bytes:
    """The URL in a key; what follows it chooses among its answers."""
    return key.removeprefix(b"GET ").partition(b" ")[0]


def host_in(authority: bytes) -> bytes:
    """An authority without its port, as a `Scope` has it."""
    host, colon, port = authority.rpartition(b":")
    return host if colon and b"]" not in port else authority


def scopes_of(head: StoredHead) -> list[Scope]:
    """Every scope that a response is in."""
    url = url_in(head.key)
    host = host_in(url.partition(b"://")[2].partition(b"/")[0])
    return [Scope("url", url), Scope("host", host), *[Scope("tag", tag) for tag in head.tags]]


class Content(Protocol):
    """Content that is not one piece of memory: in a file, or in many pieces."""

    length: int

    def body(self, first: int, last: int) -> Body:
        """The octets from `first` to `last`, both included and there. What turns out damaged fails this body, visibly,
        and is not there for the next look."""


class Entry:
    """One stored response: its head and its content. Any number of readers may read it, at their own pace, also after
    it was removed or replaced."""

    __slots__ = ("content", "head")

    def __init__(self, head: StoredHead, content: bytes | Content) -> None:
        self.head = head
        self.content = content

    def body(self, first: int = 0, last: int | None = None) -> Body:
        """A fresh body for one reader: all of the content, or the octets from `first` to `last`, both included."""
        content = self.content
        if not isinstance(content, bytes):
            body = content.body(first, content.length - 1 if last is None else last)
        elif last is None:
            body = Body(content[first:] if first else content)
        else:
            return Body(content[first : last + 1])
        if first == 0 and last is None:
            body.digest = self.head.sha256
        return body


def is_same_response(one: StoredHead, other: StoredHead) -> bool:
    """Whether both are heads of the same stored response, purged softly or not: what `refresh` and `remove` go by, so
    that an entry of one tier means the same in another. A refreshed response is another one."""
    return (
        one.response_time == other.response_time
        and one.sha256 == other.sha256
        and one.vary == other.vary
        and one.request_time == other.request_time
        and one.key == other.key
    )


class Writer(Protocol):
    """Takes in the content of one response. Exactly one of `commit` and `abort` ends it; later calls do nothing."""

    @property
    def gave_up(self) -> bool:
        """Whether this response will not be kept: too large, no room, no disk. More chunks may come and are ignored.
        What is stored of the same variant stays; whoever does not want it any more removes it."""

    def write(self, chunk: bytes) -> None:
        """The next octets. Never blocks the loop for long, never raises."""

    def commit(self, head: StoredHead) -> None:
        """The content is complete and right, and this is its head, with `length` and `sha256` of what was written: look
        for it from now on (a store with a writing thread or a server: soon, at the latest after `settle`).

        ValueError when `length` is not what was written: nothing is kept then.
        """

    def abort(self) -> None:
        """The response broke off or must not be kept: leave nothing of it."""


class Store(Protocol):
    """Keeps responses, within bounds."""

    def look(self, key: bytes) -> Sequence[Entry] | None:
        """The variants under `key` at once, first the one that was stored or refreshed last; none when there are none.
        None when only `find` can tell. This is the path of a hit: as quick as it can be made, and it counts as a use.
        The caller does not change the sequence, which may change when something is awaited."""

    async def find(self, key: bytes) -> Sequence[Entry]:
        """What `look` would say if it could wait."""

    def writer(self, head: StoredHead) -> Writer:
        """What takes in the response with this head. `length` may be 0 while it is not known; when it is known to be
        too much, the writer has given up already."""

    def refresh(self, entry: Entry, head: StoredHead) -> None:
        """Give an entry that is still stored a newer head (a 304 came). Does nothing when it was removed or replaced.
        `entry` itself stays as it is; the next look finds another one, first of all."""

    def remove(self, entry: Entry) -> None:
        """Keep this entry no longer. Does nothing when it was removed or replaced."""

    def forget(self, key: bytes) -> None:
        """Keep nothing under `key` any longer: what it was is wrong. Where that takes time, nothing is found under it
        meanwhile; a store whose server is away does it before anything is found there again."""

    async def purge(self, match: Match, *, soft: bool) -> int:
        """Remove what matches; the number of entries that did. `soft`: keep them, expired, to be validated before the
        next use or to serve when the origin fails. What is being written meanwhile is not met."""

    async def entries(self, match: Match, limit: int) -> list[StoredHead]:
        """Up to `limit` heads that match, in no special order."""

    def counters(self) -> dict[str, float]:
        """What to show: `objects` and `bytes` held, `stored`, `evicted` and `refused` so far, and what the kind of
        store adds."""

    async def settle(self) -> None:
        """Wait until what was asked for so far is done."""

    async def close(self) -> None:
        """Settle, and let go of files, threads and connections. Nothing is asked of a closed store."""


class SharedStore(Store, Protocol):
    """A store that others change, too: other workers, other machines."""

    @property
    def is_away(self) -> bool:
        """Whether nothing can be stored there for the moment."""

    def listen(self, copies: Copies) -> None:
        """Tell `copies` from now on what has changed, whoever has changed it, soon after it was."""
