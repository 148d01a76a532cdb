"""A desk that is killed at every step that lasts: `python desk_crash.py DIRECTORY` prints one line for each place.

A scenario of calls to the store is run once, and what is there after each call is noted. Then it is run again and
again, in a child that ends without a word at its 1st, 2nd, ... write, fsync, rename, unlink or commit. What a new store
finds then has to be what was there after the last call that had returned, or after the one under way.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from interpose.core.hold import Content, Held, HeldMessage, Mode, Settled, Verdict, What
from interpose.storage.desk.contents import IncomingFile
from interpose.storage.desk.database import Database
from interpose.storage.desk.store import State, Store

DIED = 9
MOST_PLACES = 1000
LONG = 70_000
Snapshot = dict[str, tuple[object, ...]]


def message(content: Content) -> HeldMessage:
    fields = b"Authorization: Bearer x\r\nContent-Type: text/plain\r\n"
    return HeldMessage(What.REQUEST, "PUT", "http://a.example/", fields=fields, content=content)


def with_content(data: bytes) -> Callable[[HeldMessage], HeldMessage]:
    return lambda before: message(Content.of(data))


def held(id: str, content: Content, mode: Mode = Mode.WAIT) -> Held:
    return Held(id=id, message=message(content), mode=mode, at=1000.0, timeout_s=60.0)


def put_long(store: Store, directory: str) -> None:
    file = IncomingFile(directory, "bbbbbbbb")
    file.write(b"b" * LONG)
    file.write(b"b" * LONG)
    store.put(held("bbbbbbbb", file.finish()))


def steps(store: Store, directory: str) -> Iterator[Callable[[], object]]:
    """The scenario: every step is one call that somebody is told of."""
    small, long, later = "aaaaaaaa", "bbbbbbbb", "cccccccc"
    yield lambda: store.put(held(small, Content.of(b"a")))
    yield lambda: put_long(store, directory)
    yield lambda: store.edit(small, 1, with_content(b"1" * LONG), "ann", 1001.0)
    yield lambda: store.edit(small, 2, with_content(b"2" * LONG), "ann", 1002.0)
    yield lambda: store.edit(small, 3, with_content(b"3"), "ann", 1003.0)
    yield lambda: store.edit(long, 1, lambda before: HeldMessage(What.REQUEST, "POST", before.target,
                                                                 content=before.content), "bob", 1003.5)  # fmt: skip
    yield lambda: store.put(held(later, Content.of(b"c"), Mode.ACCEPT))
    yield lambda: store.decide(long, Verdict.RELEASE, None, "ann", 1004.0)
    yield lambda: store.settle(long, Settled(status=200), "interpose", 1005.0)
    yield lambda: store.decide(
        small, Verdict.ANSWER, None, "ann", 1006.0,
        answer=lambda: HeldMessage(What.RESPONSE, status=200, content=Content.of(b"x" * LONG)),
    )  # fmt: skip
    yield lambda: store.settle(small, Settled(status=200), "interpose", 1007.0)
    yield lambda: store.decide(later, Verdict.RELEASE, None, "ann", 1008.0)
    yield lambda: store.begin_attempt(later)
    yield lambda: store.put_off(later, 2000.0, "connection_refused", 1009.0)
    yield lambda: store.reopen(later, "tried often enough", "interpose", 1010.0)
    yield lambda: store.rules.add("host:a.example", 60.0, "ann", later, 1011.0)
    yield lambda: store.rules.remove(1, "ann", 1012.0)
    yield lambda: store.purge(1005.5, 0.0, 1013.0)
    yield lambda: store.purge(1007.5, 0.0, 1014.0)


def snapshot(store: Store) -> Snapshot:
    """What is there: every hold with its message, each octet of which is hashed."""
    found: Snapshot = {}
    for hold in store.holds(tuple(State), 100):
        message = store.messages.current(hold)
        store.messages.contents.verify(message.content)
        if hold.state is not State.SETTLED:
            store.messages.verified(hold)
        others = [store.messages.get(hold, version) for version in (0, 1)]
        for other in others:
            if other is not None:
                store.messages.contents.verify(other.content)
        digests = tuple(other and other.digest for other in others)
        found[hold.id] = (hold.state, hold.version, hold.digest, hold.verdict, hold.attempts, hold.outcome, *digests)
    found["rules"] = tuple(rule.query for rule in store.rules.all(1011.5))
    found["audit"] = (len(store.audit.after(0, 1000)), store.audit.is_sound())
    return found


def die_at(place: int) -> None:
    """Make this process end before the call number `place` of those that last."""
    calls = 0

    def counting(function: Callable[..., object]) -> Callable[..., object]:
        def counted(*arguments: object, **named: object) -> object:
            nonlocal calls
            calls += 1
            if calls == place:
                os._exit(DIED)
            return function(*arguments, **named)

        return counted

    for name in ("write", "fsync", "rename", "unlink"):
        setattr(os, name, counting(getattr(os, name)))
    Database.commit = counting(Database.commit)  # type: ignore[method-assign,assignment]


def run(directory: str, place: int, acknowledged: int) -> None:
    """(in a child) The scenario, up to its end or to `place`; one octet into `acknowledged` as each call returns."""
    write = os.write
    die_at(place)
    store = Store(directory)
    write(acknowledged, b".")
    for step in steps(store, directory):
        step()
        write(acknowledged, b".")
    store.close()
    os._exit(0)


def crash(directory: str, place: int) -> tuple[bool, int]:
    """Whether the child died at `place`, and how many calls had returned before."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        run(directory, place, writer)
    os.close(writer)
    count = 0
    while octets := os.read(reader, 100):
        count += len(octets)
    os.close(reader)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == DIED, count


def leftovers(store: Store, directory: str) -> set[str]:
    """Files of contents that no hold has."""
    named = set()
    for hold in store.holds(tuple(State), 100):
        named |= store.messages.files(hold.n)
    return set(os.listdir(os.path.join(directory, "contents"))) - named


def main(base: str) -> None:
    directory = os.path.join(base, "whole")
    store = Store(directory)
    expected = [snapshot(store)]
    for step in steps(store, directory):
        step()
        expected.append(snapshot(store))
    store.close()
    for place in range(1, MOST_PLACES):
        directory = os.path.join(base, str(place))
        died, count = crash(directory, place)
        store = Store(directory)
        found = snapshot(store)
        allowed = [{}, expected[0]] if count == 0 else expected[count - 1 : count + 1]
        right = found in allowed and not store.problem and not leftovers(store, directory)
        store.recover(3000.0)
        recovered = snapshot(store)
        for id, values in found.items():
            if id not in ("rules", "audit") and recovered[id][1:3] != values[1:3]:
                right = False
        store.close()
        print("died" if died else "ended", count, "right" if right else f"wrong {found}", flush=True)
        if not died:
            return


if __name__ == "__main__":
    main(sys.argv[1])
