from __future__ import annotations

import os
import random
import shutil
import sqlite3
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.support import desk_crash, desk_small_disk
from tests.support.desk_conformance import held, new_id, request

from interpose.core.hold import INLINE_BYTES, Content, Held, HeldMessage, Settled, Verdict, What
from interpose.storage.desk.contents import Damaged, IncomingFile
from interpose.storage.desk.database import FILE, Database
from interpose.storage.desk.place import READABLE
from interpose.storage.desk.store import Full, Room, Seen, State, Store

LONG = b"0123456789" * 10_000


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = Store(str(tmp_path / "desk"))
    yield store
    store.close()


@pytest.fixture
def quick_path() -> Iterator[Path]:
    """A directory in memory where there is such a thing: for many desks, of which none is to survive."""
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryDirectory(dir=memory, prefix="desk-") as directory:
        yield Path(directory)


def long_held(directory: Path, data: bytes = LONG) -> Held:
    id = new_id()
    file = IncomingFile(str(directory), id)
    file.write(data)
    return held(HeldMessage(What.REQUEST, "PUT", "http://a.example/", content=file.finish()), id=id)


def test_directories_and_files_are_for_their_owner_alone(store: Store, tmp_path: Path) -> None:
    old = os.umask(0)
    try:
        store.put(long_held(tmp_path / "desk"))
        store.put(held())
        store.edit(store.put(held()).id, 1, lambda before: request(LONG), "ann", 0.0)
    finally:
        os.umask(old)
    modes = {path: stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "desk").rglob("*")}
    assert {path.name: oct(mode) for path, mode in modes.items() if path.is_dir() and mode != 0o700} == {}
    assert {path.name: oct(mode) for path, mode in modes.items() if path.is_file() and mode != 0o600} == {}
    assert stat.S_IMODE((tmp_path / "desk").stat().st_mode) == 0o700


def test_what_is_stored_is_on_the_disk_before_it_is_told(store: Store) -> None:
    database = store._database
    assert database.number("PRAGMA synchronous") == 2  # FULL
    assert database.one("PRAGMA journal_mode")[0] == "wal"  # type: ignore[index]
    assert database.number("PRAGMA secure_delete") == 1


@pytest.mark.parametrize("id", ["../../x", "aaaa", "AAAAAAAA", "aaaaaaaaaaa", "aaaa/aaa", "aaaaaaa\x00", ""])
def test_a38_an_id_that_is_no_id_of_ours_reaches_no_file(store: Store, tmp_path: Path, id: str) -> None:
    with pytest.raises(ValueError, match="no id of a hold"):
        store.put(held(id=id))
    with pytest.raises(ValueError, match="no id of a hold"):
        IncomingFile(str(tmp_path / "desk"), id)


def test_a38_only_what_a_worker_wrote_for_this_hold_is_taken_over(store: Store, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_bytes(b"secret")
    id = new_id()
    for file in (str(elsewhere), f"{tmp_path}/desk/incoming/../../elsewhere", f"{tmp_path}/desk/incoming/other"):
        content = Content(6, Content.of(b"secret").sha256, b"", file)
        with pytest.raises(ValueError, match="is not where it should be"):
            store.put(held(HeldMessage(What.REQUEST, "PUT", "http://a.example/", content=content), id=id))
    link = tmp_path / "desk" / "incoming" / id
    link.symlink_to(elsewhere)
    content = Content(6, Content.of(b"secret").sha256, b"", str(link))
    with pytest.raises(Damaged, match="cannot be read"):
        store.put(held(HeldMessage(What.REQUEST, "PUT", "http://a.example/", content=content), id=id))
    assert elsewhere.read_bytes() == b"secret"
    assert store.holds(tuple(State), 10) == []


def test_a40_a_release_hashes_again_what_is_on_the_disk(store: Store, tmp_path: Path) -> None:
    what = long_held(tmp_path / "desk")
    hold = store.put(what)
    file = tmp_path / "desk" / "contents" / f"{hold.id}.1"
    for wrong in (LONG[:-1] + b"x", LONG + b"x", LONG[:-1], b""):
        file.write_bytes(wrong)
        with pytest.raises(Damaged):
            store.decide(hold.id, Verdict.RELEASE, Seen(hold.version, hold.digest), "ann", 0.0)
    file.unlink()
    with pytest.raises(Damaged, match="cannot be read"):
        store.decide(hold.id, Verdict.RELEASE, Seen(hold.version, hold.digest), "ann", 0.0)
    assert store.hold(hold.id).state is State.WAITING
    file.write_bytes(LONG)
    _, decision = store.decide(hold.id, Verdict.RELEASE, Seen(hold.version, hold.digest), "ann", 0.0)
    assert decision.digest == what.message.digest


def test_a40_a_message_changed_in_the_database_is_not_released(store: Store) -> None:
    hold = store.put(held())
    other = store.put(held(request(b'{"amount": 999}')))
    with store._database.transaction():  # the row of another message, which is sound in itself
        store._database.execute(
            "UPDATE messages SET (digest, message) = (SELECT digest, message FROM messages WHERE hold = ?) "
            "WHERE hold = ?",
            other.n,
            hold.n,
        )
    with pytest.raises(Damaged, match="not the one that was seen"):
        store.decide(hold.id, Verdict.RELEASE, Seen(hold.version, hold.digest), "ann", 0.0)
    with pytest.raises(Damaged):
        store.decide(hold.id, Verdict.RELEASE, None, "deadline", 0.0)
    store.decide(hold.id, Verdict.DROP, None, "ann", 0.0)


def test_a40_the_audit_can_only_grow(store: Store) -> None:
    store.put(held())
    for sql in (
        "UPDATE audit SET who = 'eve'",
        "DELETE FROM audit",
        "INSERT OR REPLACE INTO audit SELECT * FROM audit",
    ):
        with pytest.raises(sqlite3.IntegrityError), store._database.transaction():
            store._database.execute(sql)
    assert store.audit.is_sound()


@pytest.mark.parametrize(
    "forge",
    [
        "UPDATE audit SET who = 'eve' WHERE n = 2",
        "UPDATE audit SET why = 'never' WHERE n = 3",
        "UPDATE audit SET at = at + 1 WHERE n = 1",
        "UPDATE audit SET digest = zeroblob(32) WHERE n = 2",
        "UPDATE audit SET version = 7 WHERE n = 2",
        "DELETE FROM audit WHERE n = 2",
        "UPDATE audit SET chain = zeroblob(32) WHERE n = 1",
    ],
)
def test_a40_an_entry_that_was_changed_or_taken_out_shows(tmp_path: Path, forge: str) -> None:
    store = Store(str(tmp_path / "desk"))
    hold = store.put(held())
    hold = store.edit(hold.id, 1, lambda before: request(b"new"), "ann", 1.0)
    store.decide(hold.id, Verdict.DROP, None, "ann", 2.0, why="no")
    assert [entry.what for entry in store.audit.of(hold.id)] == ["held", "edited", "dropped"]
    assert store.audit.is_sound()
    with sqlite3.connect(tmp_path / "desk" / FILE) as thief:
        guards = thief.execute("SELECT name, sql FROM sqlite_schema WHERE type = 'trigger'").fetchall()
        for name, _ in guards:
            thief.execute(f"DROP TRIGGER {name}")
        thief.execute(forge)
        for _, sql in guards:
            thief.execute(sql)
    thief.close()
    store.close()
    store = Store(str(tmp_path / "desk"))
    assert not store.problem
    assert not store.audit.is_sound()
    store.close()


def test_f9_killed_at_every_step_it_has_what_was_acknowledged_and_nothing_torn(quick_path: Path) -> None:
    program = [sys.executable, desk_crash.__file__, str(quick_path)]
    told = subprocess.run(program, capture_output=True, text=True, timeout=55)
    assert told.returncode == 0, told.stderr
    lines = told.stdout.splitlines()
    assert [line for line in lines if not line.endswith("right")] == []
    assert lines[-1].startswith("ended 20 ")
    assert len(lines) > 50
    assert {line.split(" ")[1] for line in lines} == {str(count) for count in range(21)}


def flip(data: bytearray, chance: random.Random) -> None:
    data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)


def scribble(data: bytearray, chance: random.Random) -> None:
    start = chance.randrange(len(data))
    data[start : start + 200] = chance.randbytes(len(data[start : start + 200]))


def blank_page(data: bytearray, chance: random.Random) -> None:
    start = 4096 * chance.randrange(len(data) // 4096)
    data[start : start + 4096] = bytes(4096)


def cut(data: bytearray, chance: random.Random) -> None:
    del data[chance.randrange(len(data)) :]


def spoil_header(data: bytearray, chance: random.Random) -> None:
    data[chance.randrange(100)] = chance.randrange(256)


@pytest.mark.parametrize("mutate", [flip, scribble, blank_page, cut, spoil_header])
def test_f8_a_damaged_database_gives_no_wrong_octet_and_is_never_a_reason_not_to_start(
    quick_path: Path, mutate: Callable[[bytearray, random.Random], None]
) -> None:
    origin = quick_path / "origin"
    store = Store(str(origin))
    known = {}
    for number in range(30):
        what = long_held(origin, LONG + b"%d" % number) if number % 3 else held(request(b"%d" % number * 50))
        known[what.id] = store.put(what).digest
    store.close()
    set_aside = sound = 0
    refused: list[str] = []
    for seed in range(40):
        directory = quick_path / str(seed)
        shutil.copytree(origin, directory)
        data = bytearray((directory / FILE).read_bytes())
        mutate(data, random.Random(f"{mutate.__name__} {seed}"))
        (directory / FILE).write_bytes(data)
        try:
            store = Store(str(directory))
        except ValueError as error:
            refused.append(str(error))
            continue
        assert_nothing_wrong(store, known)
        if store.problem:
            set_aside += 1
            [aside] = directory.glob("corrupt-*")
            assert (aside / FILE).read_bytes() == bytes(data)
            assert len(list((aside / "contents").iterdir())) == 20
            assert (aside / READABLE).stat().st_mode & 0o777 == 0o600
            assert store.holds(tuple(State), 100) == []
        else:
            sound += 1
            assert len(list((directory / "contents").iterdir())) >= 1
        assert store.put(held()).state is State.WAITING
        store.close()
        shutil.rmtree(directory)
    assert [reason for reason in refused if "later version" not in reason] == []
    assert len(refused) < 5
    assert set_aside or mutate is flip
    assert sound or mutate is not flip


def assert_nothing_wrong(store: Store, known: dict[str, bytes]) -> None:
    """What the store would release is what was put into it."""
    store.recover(5000.0)
    for hold in store.holds(tuple(State), 100):
        try:
            message = store.messages.verified(hold)
        except Damaged:
            continue
        assert message.digest in known.values()


def test_f8_a_desk_set_aside_keeps_what_can_be_read(tmp_path: Path) -> None:
    store = Store(str(tmp_path / "desk"))
    ids = [store.put(held(request(b"%d" % number))).id for number in range(5)]
    store.close()
    with sqlite3.connect(tmp_path / "desk" / FILE) as database:
        database.execute("PRAGMA user_version = 99999")
    database.close()
    store = Store(str(tmp_path / "desk"))
    assert store.problem.startswith(f"The desk in {tmp_path}/desk was damaged")
    assert "5 holds" in store.problem
    [aside] = (tmp_path / "desk").glob("corrupt-*")
    lines = (aside / READABLE).read_text().splitlines()
    assert [id in line for id, line in zip(ids, lines, strict=True)] == [True] * 5
    store.close()


@pytest.mark.parametrize("kept", ["contents", "wal", "empty"])
def test_f8_a_database_that_is_gone_is_not_taken_for_a_new_one(tmp_path: Path, kept: str) -> None:
    store = Store(str(tmp_path / "desk"))
    store.put(long_held(tmp_path / "desk"))
    store.close()
    database = tmp_path / "desk" / FILE
    if kept == "empty":
        database.write_bytes(b"")
    else:
        database.unlink()
    if kept == "wal":
        shutil.rmtree(tmp_path / "desk" / "contents")
        Path(f"{database}-wal").write_bytes(b"log")
    store = Store(str(tmp_path / "desk"))
    assert store.problem
    [aside] = (tmp_path / "desk").glob("corrupt-*")
    assert (kept == "wal") or len(list((aside / "contents").iterdir())) == 1
    store.close()


def test_f8_a_later_format_is_left_alone(tmp_path: Path) -> None:
    Store(str(tmp_path / "desk")).close()
    with sqlite3.connect(tmp_path / "desk" / FILE) as database:
        database.execute("PRAGMA user_version = 2")
    database.close()
    before = (tmp_path / "desk" / FILE).read_bytes()
    with pytest.raises(ValueError, match="later version of Interpose"):
        Store(str(tmp_path / "desk"))
    assert (tmp_path / "desk" / FILE).read_bytes() == before
    assert list((tmp_path / "desk").glob("corrupt-*")) == []


def test_what_nobody_names_goes_at_the_start(tmp_path: Path) -> None:
    store = Store(str(tmp_path / "desk"))
    kept = store.put(long_held(tmp_path / "desk"))
    store.close()
    contents, incoming = tmp_path / "desk" / "contents", tmp_path / "desk" / "incoming"
    (contents / "zzzzzzzz.3").write_bytes(b"orphan")
    (contents / "README").write_bytes(b"somebody's own")
    (incoming / "yyyyyyyy").write_bytes(b"new")
    (incoming / "xxxxxxxx").write_bytes(b"old")
    os.utime(incoming / "xxxxxxxx", (0, 0))
    store = Store(str(tmp_path / "desk"))
    assert {path.name for path in contents.iterdir()} == {f"{kept.id}.1", "README"}
    assert {path.name for path in incoming.iterdir()} == {"yyyyyyyy"}
    store.close()


def test_an_edit_that_keeps_the_content_keeps_its_file_to_the_end(store: Store, tmp_path: Path) -> None:
    hold = store.put(long_held(tmp_path / "desk"))
    for version in (1, 2):
        hold = store.edit(
            hold.id,
            version,
            lambda before: HeldMessage(What.REQUEST, f"{before.method}X", before.target, content=before.content),
            "ann",
            0.0,
        )
    store.decide(hold.id, Verdict.RELEASE, None, "ann", 1.0)
    hold = store.settle(hold.id, Settled(status=200), "interpose", 2.0)
    assert b"".join(store.messages.contents.pieces(store.messages.current(hold).content)) == LONG
    store.purge(3.0, 0.0, 4.0)
    assert list((tmp_path / "desk" / "contents").iterdir()) == []


def test_f6_a_disk_without_room_leaves_nothing_half(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_room(*arguments: object, **named: object) -> None:
        raise OSError(28, "No space left on device")

    hold = store.put(held())
    for owner, name in ((os, "fsync"), (os, "rename"), (os, "write"), (Database, "commit")):
        what = long_held(tmp_path / "desk")
        with monkeypatch.context() as patch:
            patch.setattr(owner, name, no_room)
            with pytest.raises(OSError, match="No space left"):
                store.edit(hold.id, 1, lambda before: request(LONG), "ann", 0.0)
            if name != "write":  # taking over writes nothing but the database
                with pytest.raises(OSError, match="No space left"):
                    store.put(what)
    assert (store.hold(hold.id).version, len(store.holds(tuple(State), 10))) == (1, 1)
    assert list((tmp_path / "desk" / "contents").iterdir()) == []
    assert store.put(long_held(tmp_path / "desk")).size == len(LONG)
    assert store.edit(hold.id, 1, lambda before: request(LONG), "ann", 0.0).version == 2
    assert store.audit.is_sound()


def test_the_room_that_is_taken_is_that_of_all_contents(store: Store, tmp_path: Path) -> None:
    def taken() -> tuple[int, int]:
        number = store._database.number
        return number("SELECT bytes FROM taken"), number("SELECT COALESCE(SUM(size), 0) FROM messages")

    hold = store.put(held(request(b"1" * 100)))
    other = store.put(long_held(tmp_path / "desk"))
    assert taken() == (100 + len(LONG), 100 + len(LONG))
    store.edit(hold.id, 1, lambda before: request(b"2" * 1000), "ann", 0.0)
    store.edit(hold.id, 2, lambda before: request(b"3" * 10), "ann", 0.0)
    assert taken() == (110 + len(LONG), 110 + len(LONG))
    for id in (hold.id, other.id):
        store.decide(id, Verdict.DROP, None, "ann", 1.0)
        store.settle(id, Settled(failure="dropped"), "ann", 2.0)
    assert taken() == (10 + len(LONG), 10 + len(LONG))
    store.purge(3.0, 0.0, 4.0)
    assert taken() == (0, 0)


def test_an_edit_needs_room_too_and_no_place(tmp_path: Path) -> None:
    store = Store(str(tmp_path / "desk"), Room(max_holds=1, max_bytes=2 << 20))
    hold = store.put(held())

    def to(size: int) -> Callable[[HeldMessage], HeldMessage]:
        return lambda before: HeldMessage(before.what, content=Content.of(bytes(size)))

    with pytest.raises(Full, match="above its limit"):
        store.edit(hold.id, 1, to(3 << 20), "ann", 0.0)
    hold = store.edit(hold.id, 1, to(1 << 20), "ann", 0.0)
    with pytest.raises(Full, match="above its limit"):  # the one before goes when this one is there
        store.edit(hold.id, 2, to((1 << 20) - 1), "ann", 0.0)
    assert (hold.version, hold.size) == (2, 1 << 20)
    with pytest.raises(Full, match="the most that it takes"):
        store.put(held())
    store.close()


def test_short_content_stays_in_the_database(store: Store, tmp_path: Path) -> None:
    store.put(held(request(b"x" * INLINE_BYTES)))
    assert list((tmp_path / "desk" / "contents").iterdir()) == []


def test_many_holds_of_a_program_that_ended_are_found_in_one_go(tmp_path: Path) -> None:
    store = Store(str(tmp_path / "desk"))
    for _ in range(200):
        store.put(held(timeout_s=5.0))
    commits = 0
    commit = Database.commit

    def counted(self: Database) -> None:
        nonlocal commits
        commits += 1
        commit(self)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Database, "commit", counted)
        store.recover(10.0)
    assert commits == 1
    assert {hold.outcome for hold in store.unsettled()} == {"The program ended, and its client has gone."}
    store.close()


def test_f6_a_disk_that_is_really_full_refuses_and_recovers_without_a_restart(tmp_path: Path) -> None:
    program = [sys.executable, desk_small_disk.__file__, str(tmp_path / "desk")]
    told = subprocess.run(program, capture_output=True, text=True, timeout=50)
    assert told.returncode == 0, told.stderr
    assert told.stdout.splitlines() == [
        "edit: File too large",
        "refused: {('proxy_internal_error', 507)}",
        "some of both: True True",
        "all there: True",
        "all whole: True True ''",
    ]
