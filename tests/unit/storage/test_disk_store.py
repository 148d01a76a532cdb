from __future__ import annotations

import asyncio
import os
import resource
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import lmdb
import pytest
from tests.support.store_conformance import (
    KEY,
    MAX_OBJECT_BYTES,
    Collect,
    StoreConformance,
    begin,
    content_of,
    head_for,
    put,
    read,
)

from interpose.core.failure import Failure
from interpose.storage import disk_index, disk_thread
from interpose.storage.disk_files import ObjectFiles
from interpose.storage.disk_record import key_of
from interpose.storage.disk_store import DiskStore

FIXED_BYTES = 76


class TestConformance(StoreConformance):
    @pytest.fixture
    async def store(self, tmp_path: Path) -> AsyncIterator[DiskStore]:
        store = DiskStore(str(tmp_path / "cache"), 12 * MAX_OBJECT_BYTES, MAX_OBJECT_BYTES)
        yield store
        await store.close()


@pytest.fixture
async def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[DiskStore]:
    """A store of 4 MiB that never lingers."""
    monkeypatch.setattr(disk_thread, "LINGER_S", 0.0)
    store = DiskStore(str(tmp_path / "cache"), 4 << 20)
    yield store
    await store.close()


def stored_records(store: DiskStore) -> tuple[lmdb.Environment, lmdb._Database]:
    """The database below, for tests that damage it."""
    index = store._thread.index
    assert index is not None
    return index._env, index._entries


def object_files(tmp_path: Path) -> list[Path]:
    return [path for path in (tmp_path / "cache" / "objects").rglob("*") if path.is_file()]


def taken_bytes(directory: Path) -> int:
    return sum(path.stat().st_blocks * 512 for path in directory.rglob("*"))


async def test_a18_f8_whichever_octet_of_a_small_entry_is_changed_it_is_not_served(
    store: DiskStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is wrong in the fixed part, which begins a page of the database, ends the index, anything else the entry."""
    monkeypatch.setattr(disk_thread, "TICK_S", 1000.0)
    await put(store, b"hello, this is content")
    env, db = stored_records(store)
    with env.begin(db=db) as txn:
        [(place, good)] = list(txn.cursor())
    for offset in range(len(good)):
        bad = bytearray(good)
        bad[offset] ^= 1 << offset % 8
        with env.begin(write=True, db=db) as txn:
            txn.put(place, bytes(bad))
        assert store.look(KEY) == [], offset
        await store.settle()
        with env.begin(db=db) as txn:
            assert (txn.get(place) is None) == (offset >= FIXED_BYTES), offset
        assert (store._thread._damage is not None) == (offset < FIXED_BYTES), offset
        store._thread._damage = None
    with env.begin(write=True, db=db) as txn:
        txn.put(place, good)
    [entry] = store.look(KEY)
    assert await read(entry) == b"hello, this is content"
    assert store.counters()["damaged"] == len(good) - FIXED_BYTES


async def test_a18_a_record_cut_short_or_under_another_key_is_not_served(
    store: DiskStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(disk_thread, "TICK_S", 1000.0)
    await put(store, b"one")
    env, db = stored_records(store)
    with env.begin(db=db) as txn:
        [(place, good)] = list(txn.cursor())
    for length in range(len(good)):
        with env.begin(write=True, db=db) as txn:
            txn.put(place, good[:length])
        assert store.look(KEY) == [], length
    await store.settle()
    other = b"GET http://a.example/other"
    head = await put(store, b"two", other)
    with env.begin(write=True, db=db) as txn:
        txn.put(key_of(head), good)
    assert store.look(other) == []


@pytest.mark.parametrize("size", [16385, 300000, 196608 * 3])
async def test_a18_f8_no_changed_octet_of_a_large_content_leaves_the_store(
    store: DiskStore, tmp_path: Path, size: int
) -> None:
    content = content_of(size)
    for offset in [0, 1, size // 2, 196607, 196608, size - 1, size, size + 40]:
        for path in object_files(tmp_path):
            path.unlink()
        await put(store, content)
        [path] = object_files(tmp_path)
        if offset >= path.stat().st_size:
            continue
        [before] = store.look(KEY)
        assert await read(before) == content
        with path.open("r+b") as file:
            file.seek(offset)
            changed = file.read(1)[0] ^ 0x10
            file.seek(offset)
            file.write(bytes([changed]))
        [entry] = store.look(KEY)
        collect = Collect(room=1 << 30)
        entry.body().pipe(collect)
        with pytest.raises(Failure):
            await collect.end_comes
        assert content.startswith(bytes(collect.got))
        await store.settle()
        assert store.look(KEY) == []


async def test_a_range_beside_the_damage_is_served_and_one_with_it_is_not(store: DiskStore, tmp_path: Path) -> None:
    content = content_of(196608 * 3)
    await put(store, content)
    [path] = object_files(tmp_path)
    with path.open("r+b") as file:
        file.seek(196608 + 5)
        file.write(b"!")
    [entry] = store.look(KEY)
    assert await read(entry, 400000, 400100) == content[400000:400101]
    with pytest.raises(Failure):
        await read(entry, 196608 + 900, 196608 + 901)


@pytest.mark.parametrize("damage", ["gone", "short", "long", "link"])
async def test_f8_a_file_that_is_not_what_was_stored_is_a_miss(store: DiskStore, tmp_path: Path, damage: str) -> None:
    content = content_of(40000)
    await put(store, content)
    [path] = object_files(tmp_path)
    if damage == "short":
        os.truncate(path, 39999)
    elif damage == "long":
        os.truncate(path, 40001)
    else:
        path.rename(tmp_path / "elsewhere")
        if damage == "link":
            path.symlink_to(tmp_path / "elsewhere")
    assert store.look(KEY) == []
    await store.settle()
    assert store.counters()["objects"] == 0
    await put(store, content)
    assert len(store.look(KEY)) == 1


async def test_what_is_used_stays_when_others_go(store: DiskStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(disk_thread, "TICK_S", 0.0)
    await put(store, content_of(10000), b"GET http://a/used")
    await put(store, content_of(40000), b"GET http://a/used-and-large")
    for number in range(900):
        await put(store, content_of(10000, number), b"GET http://a/%d" % number)
        assert store.look(b"GET http://a/used"), number
        assert store.look(b"GET http://a/used-and-large"), number
    assert store.look(b"GET http://a/0") == []
    assert len(store.look(b"GET http://a/899")) == 1
    assert store.counters()["evicted"] > 500


async def test_the_directory_stays_within_the_bound_whatever_comes(store: DiskStore, tmp_path: Path) -> None:
    for round_number in range(6):
        size = (1000, 100000, 16000, 70000, 300, 250000)[round_number]
        for number in range(9_000_000 // max(size, 9000)):
            content = content_of(size, number)
            head = head_for(content, b"GET http://a/%d/%d" % (round_number, number))
            begin(store, head, [content]).commit(head)
            if number % 64 == 63:
                await store.settle()
        await store.settle()
        assert store.counters()["bytes"] <= 4 << 20
        assert taken_bytes(tmp_path / "cache") < (4 << 20) * 9 // 8 + disk_index.SLACK_BYTES + (1 << 20)


async def test_nobody_else_can_read_what_is_stored(store: DiskStore, tmp_path: Path) -> None:
    await put(store, b"small")
    await put(store, content_of(20000), b"GET http://a/large")
    begin(store, head_for(b""), [content_of(200000)])
    await store.settle()
    paths = list((tmp_path / "cache").rglob("*"))
    assert len(paths) > 8
    for path in [tmp_path / "cache", *paths]:
        assert path.stat().st_mode & 0o777 == (0o700 if path.is_dir() else 0o600), path


def test_a_directory_of_others_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for mode in (0o770, 0o707):
        tmp_path.chmod(mode)
        with pytest.raises(ValueError, match=f"written to by other users; run `chmod go-w {tmp_path}`"):
            DiskStore(str(tmp_path), 1 << 20)
    tmp_path.chmod(0o700)
    (tmp_path / "file").touch()
    for path in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(ValueError, match="is not a directory"):
            DiskStore(str(path), 1 << 20)
    monkeypatch.setattr(os, "geteuid", lambda: tmp_path.stat().st_uid + 1)
    with pytest.raises(ValueError, match="belongs to another user"):
        DiskStore(str(tmp_path), 1 << 20)


async def test_a_process_opens_a_directory_once(store: DiskStore, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="open in this process already"):
        DiskStore(str(tmp_path / "cache"), 4 << 20)


def test_a_store_without_room_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="1048576 at least"):
        DiskStore(str(tmp_path), 1000)


async def test_what_comes_faster_than_the_disk_is_dropped_and_counted(tmp_path: Path) -> None:
    store = DiskStore(str(tmp_path), 4 << 20, queue_bytes=200_000)
    head = head_for(content_of(190_000))
    switch_s = sys.getswitchinterval()
    sys.setswitchinterval(10.0)  # the writing thread has no turn between the two, however crowded the machine is
    try:
        begin(store, head, [content_of(190_000)]).commit(head)
        second = begin(store, head, [content_of(190_000)])
    finally:
        sys.setswitchinterval(switch_s)
    assert second.gave_up
    await store.settle()
    assert store.counters()["dropped"] == 1
    assert len(store.look(KEY)) == 1
    assert not begin(store, head, [content_of(190_000)]).gave_up
    await store.close()
    assert list((tmp_path / "incoming").iterdir()) != []  # one was neither committed nor aborted


async def test_f6_a_full_disk_stops_storing_and_nothing_else(
    store: DiskStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(disk_thread, "ASIDE_S", 0.0)
    await put(store, b"small")
    await put(store, content_of(20000), b"GET http://a/large")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (8192, before[1]))
    try:
        for number in range(20):
            await put(store, content_of(200000), b"GET http://a/file/%d" % number)
            await put(store, content_of(15000), b"GET http://a/record/%d" % number)
        assert len(store.look(KEY)) == 1
        assert len(store.look(b"GET http://a/large")) == 1
        assert store.look(b"GET http://a/file/0") == []
        assert store.look(b"GET http://a/record/0") == []
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    counters = store.counters()
    assert counters["failures"] >= 20
    assert len(object_files(tmp_path)) == 1
    assert list((tmp_path / "cache" / "incoming").iterdir()) == []
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "nothing new is kept in the cache" in caplog.text
    await put(store, content_of(200000), b"GET http://a/file/again")
    assert len(store.look(b"GET http://a/file/again")) == 1


async def test_f6_the_store_steps_aside_for_a_while_after_a_failure(
    store: DiskStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(disk_thread, "ASIDE_S", 1000.0)
    store._thread._step_aside("a test")
    assert store.writer(head_for(b"")).gave_up
    assert store.counters()["aside"] == 1
    assert store.counters()["refused"] == 1
    store._thread.aside_until = 0.0
    await put(store, b"hello")
    assert len(store.look(KEY)) == 1


async def test_f6_a_read_only_directory_is_no_reason_to_fail_and_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    real_open = lmdb.open

    def refuse(*arguments: object, **options: object) -> object:
        raise lmdb.Error("mdb_env_open: Read-only file system")

    monkeypatch.setattr(lmdb, "open", refuse)
    monkeypatch.setattr(disk_thread, "TICK_S", 0.01)
    store = DiskStore(str(tmp_path), 4 << 20)
    assert store.look(KEY) == []
    assert store.writer(head_for(b"")).gave_up
    assert await store.entries(lambda head: True, 10) == []
    assert await store.purge(lambda head: True, soft=False) == 0
    assert "Read-only file system" in caplog.text
    monkeypatch.setattr(lmdb, "open", real_open)
    monkeypatch.setattr(disk_thread, "ASIDE_S", 0.0)
    while store.counters()["aside"]:
        store._thread.aside_until = 0.0
        await asyncio.sleep(0)
    await put(store, b"hello")
    assert len(store.look(KEY)) == 1
    await store.close()


@pytest.mark.parametrize("how", ["removed", "damaged"])
async def test_f8_an_index_that_is_lost_while_running_is_replaced(
    store: DiskStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    monkeypatch.setattr(disk_thread, "TICK_S", 0.0)
    await put(store, b"hello")
    old = store._thread.index
    assert old is not None
    if how == "removed":
        (tmp_path / "cache").rename(tmp_path / "elsewhere")
    else:
        store._thread.report(old, lmdb.CorruptedError("a test"))
    await store.settle()
    await store.settle()
    assert store._thread.index is not old
    assert store.look(KEY) == []
    monkeypatch.setattr(disk_thread, "ASIDE_S", 0.0)
    store._thread.aside_until = 0.0
    await put(store, b"hello")
    await put(store, content_of(20000), b"GET http://a/large")
    assert len(store.look(KEY)) == len(store.look(b"GET http://a/large")) == 1
    kept = [path for path in (tmp_path / "cache").iterdir() if ".corrupt-" in path.name]
    assert len(kept) == (how == "damaged")


@pytest.mark.parametrize("change", ["octets", "length"])
async def test_f8_totals_that_are_wrong_are_noticed(
    store: DiskStore, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    monkeypatch.setattr(disk_thread, "TICK_S", 0.0)
    monkeypatch.setattr(disk_thread, "ASIDE_S", 0.0)
    await put(store, b"hello")
    index = store._thread.index
    assert index is not None
    with index._env.begin(write=True, db=index._state) as txn:
        row = txn.get(b"state")
        txn.put(b"state", b"\xff" + row[1:] if change == "octets" else row[:-1])
    await put(store, b"again", b"GET http://a/again")
    await store.settle()
    await store.settle()
    assert store._thread.index is not index
    await put(store, b"again", b"GET http://a/again")
    assert len(store.look(b"GET http://a/again")) == 1


async def test_files_that_nobody_knows_are_swept_when_they_are_old(store: DiskStore, tmp_path: Path) -> None:
    await put(store, content_of(20000))
    [known] = object_files(tmp_path)
    orphans = [known.with_name(known.name[:2] + "ab" * 7), tmp_path / "cache" / "objects" / "00" / ("00" * 8)]
    incoming = tmp_path / "cache" / "incoming" / ("11" * 8)
    young = known.with_name(known.name[:2] + "cd" * 7)
    for path in [*orphans, incoming, young]:
        path.parent.mkdir(exist_ok=True)
        path.touch()
    for path in [*orphans, incoming, known]:
        os.utime(path, (1000.0, 1000.0))
    index = store._thread.index
    assert index is not None
    files = ObjectFiles(str(tmp_path / "cache"))
    assert sum(files.sweep(index.knows_file) for _ in range(256)) == 3
    assert sorted(object_files(tmp_path)) == sorted([known, young])
    assert not incoming.exists()
    [entry] = store.look(KEY)
    assert await read(entry) == content_of(20000)


async def test_what_was_removed_is_gone_at_once_for_this_process(store: DiskStore) -> None:
    await put(store, b"hello")
    [entry] = store.look(KEY)
    store.remove(entry)
    assert store.look(KEY) == []
    await put(store, b"again")
    assert len(store.look(KEY)) == 1


async def test_an_error_of_ours_costs_a_batch_and_not_the_thread(
    store: DiskStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(disk_thread, "ASIDE_S", 0.0)
    monkeypatch.setattr(disk_index.Changes, "put", lambda *arguments: 1 // 0)
    await put(store, b"hello")
    await put(store, content_of(20000))
    assert store.look(KEY) == []
    monkeypatch.undo()
    store._thread.aside_until = 0.0
    await put(store, b"hello")
    assert len(store.look(KEY)) == 1


async def test_an_error_of_who_asks_for_a_purge_is_theirs(store: DiskStore) -> None:
    await put(store, b"hello")
    with pytest.raises(ZeroDivisionError):
        await store.purge(lambda head: 1 // 0 == 1, soft=False)
    assert len(store.look(KEY)) == 1


async def test_after_a_restart_everything_is_there(tmp_path: Path) -> None:
    store = DiskStore(str(tmp_path), 4 << 20)
    await put(store, b"small")
    await put(store, content_of(300000), b"GET http://a/large")
    before = store.counters()
    await store.close()
    assert list((tmp_path / "guard").iterdir()) == []
    store = DiskStore(str(tmp_path), 4 << 20)
    after = store.counters()
    assert (after["objects"], after["bytes"]) == (before["objects"], before["bytes"])
    assert await read(store.look(KEY)[0]) == b"small"
    assert await read(store.look(b"GET http://a/large")[0]) == content_of(300000)
    await store.close()
