"""A process of its own with a disk store: `python disk_worker.py COMMAND DIRECTORY`. One line in, one line out.

serve   `put N SIZE`, `get N`, `remove N`, `purge`, `soft`: what it did; `get` says `none`, `wrong` or `right SIZE`
churn   stores, replaces, removes and purges until it is killed; says `done N` after each N
check   a directory on each line: a forked child opens it, reads everything and stores something; its exit status
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.support.store_conformance import begin, content_of, head_for, read

from interpose.core.failure import Failure
from interpose.storage import disk_thread
from interpose.storage.disk_store import DiskStore

MAX_BYTES = 8 << 20
KEYS = 28
SIZES = (0, 300, 5000, 16384, 16385, 70000, 400000)
WRONG, NOT_STORED = 3, 4
DEADLINE_S = 5


def key_of_number(number: int) -> bytes:
    return b"GET http://a.example/%d" % number


def content_for(number: int) -> bytes:
    return content_of(SIZES[number % len(SIZES)], number)


async def put(store: DiskStore, number: int, content: bytes | None = None, time: float = 1000.0) -> None:
    content = content_for(number) if content is None else content
    head = head_for(content, key_of_number(number), time=time)
    begin(store, head, [content] if content else []).commit(head)


async def verdict(store: DiskStore, number: int, content: bytes | None = None) -> str:
    """What the store has to say about a number: `none`, `right` or `wrong`. An answer that breaks off is no answer."""
    content = content_for(number) if content is None else content
    for entry in store.look(key_of_number(number)):
        try:
            if entry.head.key != key_of_number(number) or await read(entry) != content:
                return "wrong"
        except Failure:
            continue
        return "right"
    return "none"


async def next_line(reader: asyncio.StreamReader) -> list[str]:
    return (await reader.readline()).decode().split()


async def serve(directory: str) -> None:
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    store = DiskStore(directory, MAX_BYTES)
    print("ready", flush=True)
    while words := await next_line(reader):
        match words:
            case ["put", number, size]:
                await put(store, int(number), content_of(int(size), int(number)))
            case ["get", number]:
                found = store.look(key_of_number(int(number)))
                size = found[0].head.length if found else 0
                answer = await verdict(store, int(number), content_of(size, int(number)))
                print(f"{answer} {size}" if answer == "right" else answer, flush=True)
                continue
            case ["remove", number]:
                for entry in store.look(key_of_number(int(number))):
                    store.remove(entry)
            case ["purge" | "soft" as how]:
                print(await store.purge(lambda head: True, soft=how == "soft"), flush=True)
                continue
        await store.settle()
        print("ok", flush=True)
    await store.close()


async def churn(directory: str) -> None:
    chances = random.Random(int(os.environ.get("SEED", "1")))
    store = DiskStore(directory, MAX_BYTES)
    for count in range(1_000_000):
        number = chances.randrange(KEYS)
        choice = chances.random()
        if choice < 0.8:
            await put(store, number, time=1000.0 + count)
        elif choice < 0.95:
            for entry in store.look(key_of_number(number)):
                store.remove(entry)
        elif choice < 0.97:
            await store.purge(lambda head: head.length == 5000, soft=chances.random() < 0.5)
        if await verdict(store, chances.randrange(KEYS)) == "wrong":
            os._exit(WRONG)
        if count % 8 == 0:
            await store.settle()
        print(f"done {count}", flush=True)


async def fill(directory: str) -> None:
    store = DiskStore(directory, MAX_BYTES)
    for number in range(KEYS):
        await put(store, number)
    await store.settle()
    await store.close()


async def check(directory: str) -> int:
    """Read everything, then wait until something can be stored, for as long as the deadline leaves us."""
    store = DiskStore(directory, MAX_BYTES)
    for number in range(KEYS):
        if await verdict(store, number) == "wrong":
            return WRONG
    await store.entries(lambda head: True, 1000)
    for attempt in range(2000):
        await put(store, 1000, b"new %d" % attempt)
        await store.settle()
        if await verdict(store, 1000, b"new %d" % attempt) == "right":
            break
        await asyncio.sleep(0.002)
    else:
        return NOT_STORED
    for number in range(KEYS):
        if await verdict(store, number) == "wrong":
            return WRONG
    await store.close()
    return 0


def check_all() -> None:
    disk_thread.TICK_S, disk_thread.ASIDE_S = 0.01, 0.01
    print("ready", flush=True)
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            signal.alarm(DEADLINE_S)
            os._exit(asyncio.run(check(line.rstrip("\n"))))
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)


if __name__ == "__main__":
    match sys.argv[1]:
        case "check":
            check_all()
        case "serve":
            asyncio.run(serve(sys.argv[2]))
        case "churn":
            asyncio.run(churn(sys.argv[2]))
        case "fill":
            asyncio.run(fill(sys.argv[2]))
