"""A disk cache of 1 GiB: there within a second after a restart, and within its bound however long it is used."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.support.store_conformance import begin, content_of, head_for, read

from interpose.storage.disk_store import DiskStore

pytestmark = pytest.mark.soak

GIB = 1 << 30
FIRST_HIT = """
import asyncio, sys, time
begun = time.perf_counter()
from interpose.storage.disk_store import DiskStore
async def main():
    store = DiskStore(sys.argv[1], 1 << 30)
    for key in sys.argv[2:]:
        assert await store.look(key.encode())[0].body().read(1 << 21)
    print(time.perf_counter() - begun)
    await store.close()
asyncio.run(main())
"""


def disk_bytes(directory: Path) -> int:
    return sum(path.stat().st_blocks * 512 for path in directory.rglob("*"))


async def fill(store: DiskStore, sizes: tuple[int, ...], total: int) -> int:
    """Store contents of these sizes in turn until so many octets have come; how many."""
    number = written = 0
    blocks = [content_of(size) for size in sizes]
    while written < total:
        content = b"%d " % number + blocks[number % len(sizes)]
        head = head_for(content, b"GET http://a.example/%d" % number)
        begin(store, head, [content]).commit(head)
        number += 1
        written += len(content)
        if number % 64 == 0:
            await store.settle()
    await store.settle()
    return number


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("sizes", [(1000, 14000, 40000, 1_000_000), (9000, 16000)])
async def test_restart_with_1_gib_and_then_twice_as_much(tmp_path: Path, sizes: tuple[int, ...]) -> None:
    store = DiskStore(str(tmp_path / "cache"), GIB)
    count = await fill(store, sizes, GIB * 9 // 10)
    assert store.counters()["dropped"] == store.counters()["failures"] == 0
    await store.close()
    keys = [f"GET http://a.example/{count - 1 - number}" for number in range(4)]
    command = [sys.executable, "-c", FIRST_HIT, str(tmp_path / "cache"), *keys]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    restarted = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE, env=environment)
    told, _ = await restarted.communicate()
    assert float(told) < 1.0
    store = DiskStore(str(tmp_path / "cache"), GIB)
    count = await fill(store, sizes, 2 * GIB)
    counters = store.counters()
    assert counters["bytes"] <= GIB
    assert counters["bytes"] > GIB * 3 // 4
    assert counters["evicted"] > 0
    assert disk_bytes(tmp_path / "cache") < GIB * 9 // 8 + (16 << 20)
    [entry] = store.look(b"GET http://a.example/%d" % (count - 1))
    assert (await read(entry)).startswith(b"%d " % (count - 1))
    await store.close()
