"""The spool's directory: what is stored, edited, released and sent is whole, whatever it is called and whoever dies."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.fake_clock import FakeClock

from interpose.storage.spool import REAP_INCOMING_S, Spool
from interpose.storage.spool_item import (
    ENDED,
    MOST_EVENTS,
    NEXT,
    Busy,
    Conflict,
    Item,
    State,
    Unknown,
    WrongState,
    id_of,
    is_id,
    new_id,
    octets_of,
)
from interpose.storage.spool_upload import Damaged, Upload
from interpose.storage.spool_watch import Watch


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    return Spool(str(tmp_path / "spool"))


def begun(spool: Spool, data: bytes = b"hello", *, name: str = "", id_: str = "") -> Upload:
    size, digest = (len(data), sha256(data)) if id_ else (0, "")
    upload = spool.begin(client="192.0.2.1:5", id_=id_, name=name, size=size, sha256=digest)
    assert isinstance(upload, Upload)
    return upload


def stored(
    spool: Spool, data: bytes = b"hello", *, state: State = State.RECEIVED, name: str = "", id_: str = ""
) -> Item:
    upload = begun(spool, data, name=name, id_=id_)
    upload.write(data)
    return upload.finish(state, 1000.0)


def written(upload: Upload, data: bytes) -> Item:
    upload.write(data)
    return upload.finish(State.RECEIVED, 1.0)


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


@pytest.fixture(autouse=True)
def no_descriptor_is_left() -> Iterator[None]:
    before = descriptors()
    yield
    assert descriptors() == before


# --- storing ---------------------------------------------------------------------------------------------------------


def test_what_was_stored_is_found_with_its_manifest(spool: Spool) -> None:
    item = stored(spool, b"hello", name="a/b.txt")
    assert (item.size, item.sha256, item.name, item.state) == (5, sha256(b"hello"), "a/b.txt", State.RECEIVED)
    assert Path(spool.path(item.id)).read_bytes() == b"hello"
    assert spool.items() == [spool.get(item.id[:4])] == [item]
    manifest = json.loads(Path(spool.path(item.id)).with_name("item.json").read_text())
    assert (manifest["id"], manifest["state"], manifest["client"]) == (item.id, "received", "192.0.2.1:5")
    assert spool.preview(item.id, 3, 1)[:3] == (b"ell", 1, 5)


def test_what_is_being_received_is_seen_by_nobody_and_belongs_to_its_owner_alone(spool: Spool) -> None:
    upload = begun(spool, id_=new_id())
    upload.write(b"hel")
    assert spool.items() == []
    assert [(item.id, item.state, size) for item, size in spool.incoming()] == [(upload.item.id, State.RECEIVING, 3)]
    directory = Path(spool.directory, ".incoming", upload.item.id)
    assert {path.stat().st_mode & 0o777 for path in directory.iterdir()} == {0o600}
    assert directory.stat().st_mode & 0o777 == 0o700
    with pytest.raises(Busy):
        spool.begin(client="b", id_=upload.item.id, size=5, sha256=sha256(b"hello"))
    upload.discard()
    assert list(Path(spool.directory, ".incoming").iterdir()) == []


def test_an_upload_goes_on_where_it_was_broken_off(spool: Spool) -> None:
    id_ = new_id()
    first = begun(spool, b"hello", id_=id_)
    first.write(b"hel")
    first.keep()
    second = begun(spool, b"hello", id_=id_)
    assert second.offset == 3
    second.write(b"lo")
    item = second.finish(State.RECEIVED, 1.0)
    assert Path(spool.path(item.id)).read_bytes() == b"hello"
    assert spool.begin(client="c", id_=id_, size=5, sha256=sha256(b"hello")) == item


def test_an_upload_of_something_else_under_the_same_id_begins_anew(spool: Spool) -> None:
    id_ = new_id()
    first = begun(spool, b"hello", id_=id_)
    first.write(b"hel")
    first.keep()
    second = begun(spool, b"world", id_=id_)
    assert second.offset == 0
    second.write(b"world")
    assert second.finish(State.RECEIVED, 1.0).sha256 == sha256(b"world")


def test_what_is_not_what_was_announced_is_not_stored(spool: Spool) -> None:
    upload = begun(spool, b"hello", id_=new_id())
    upload.write(b"hullo")
    with pytest.raises(Damaged, match="5 bytes came"):
        upload.finish(State.RECEIVED, 1.0)
    assert spool.items() == []
    assert list(Path(spool.directory, ".incoming").iterdir()) == []


def test_of_two_that_store_under_one_id_the_second_gets_the_first_ones_item(spool: Spool) -> None:
    id_ = new_id()
    late = begun(spool, b"hello", id_=id_)
    late.write(b"hello")
    os.rename(os.path.join(spool.directory, ".incoming", id_), os.path.join(spool.directory, ".incoming", "away"))
    first = stored(spool, b"hello", id_=id_)
    os.rename(os.path.join(spool.directory, ".incoming", "away"), os.path.join(spool.directory, ".incoming", id_))
    assert late.finish(State.RECEIVED, 2000.0) == first
    assert spool.items() == [first]


@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO])
@pytest.mark.parametrize("call", ["write", "fsync", "rename"])
def test_f6_whatever_the_disk_refuses_nothing_is_stored_and_nothing_is_left(
    spool: Spool, monkeypatch: pytest.MonkeyPatch, call: str, error: int
) -> None:
    spool.prepare()

    def refuse(*arguments: object, **options: object) -> None:
        raise OSError(error, os.strerror(error))

    upload = begun(spool)
    with monkeypatch.context() as patch:
        patch.setattr(os, call, refuse)
        with pytest.raises(OSError, match=os.strerror(error)):
            written(upload, b"hello")
    assert spool.items() == []
    assert list(Path(spool.directory, ".incoming").iterdir()) == []
    assert stored(spool).size == 5  # and it goes on when there is room again


# --- A38: names ------------------------------------------------------------------------------------------------------

PARTS = [
    "..", "../../etc/passwd", "/etc/passwd", "a/../../b", "..%2f..%2fetc", "%2e%2e/", ".", "", "\0", "a\0b", "CON",
    "NUL.txt", "aux", "content", "item.json", ".incoming", "answer", "~", "~root", "-rf", "*", "$(id)", "`id`", "a\nb",
    "\r\n", "\x1b[2J", "\u202egnp.exe", "é", "e\u0301", "ß", "\u017f", "İ", "\u0131", "\ufeff", "a" * 255, "a" * 1024,
    "\\\\server\\share", "C:\\x", "file:///etc/passwd", "a" * 127 + "é",
]  # fmt: skip
NAMES = [f"{first}{second}" for first in PARTS for second in ("", "/x", "/../y", ".TXT", ".txt", " ", "/", "\\..\\z")]


def tree(directory: Path) -> dict[str, str]:
    """Everything below a directory, with the digests of what is in the files."""
    return {
        str(path.relative_to(directory)): sha256(path.read_bytes()) if path.is_file() else "a directory"
        for path in directory.rglob("*")
    }


def test_a38_no_name_becomes_a_path_and_each_file_is_found_by_its_id(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "fsync", lambda fd: None)  # this is about names, and there are many
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "passwd").write_text("root")
    spool = Spool(str(outside / "inside" / "spool"))
    before = tree(outside)
    assert len(NAMES) >= 300
    items = {}
    for number, name in enumerate(NAMES):
        items[stored(spool, b"%d" % number, name=name).id] = name
    assert len(items) == len(NAMES)
    after = {path: kind for path, kind in tree(outside).items() if not path.startswith("inside")}
    assert after == before
    entries = {entry for path in Path(spool.directory).rglob("*") for entry in [path.name]}
    assert entries - set(items) == {".incoming", "content", "item.json"}
    for number, (id_, name) in enumerate(items.items()):
        assert spool.get(id_).name == name
        assert Path(spool.path(id_)).read_bytes() == b"%d" % number


def test_a38_links_and_pipes_in_the_place_of_a_file_are_not_followed(spool: Spool, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("secret")
    item = stored(spool, state=State.HELD)
    content = Path(spool.path(item.id))
    content.unlink()
    content.symlink_to(secret)
    for act in (lambda: spool.preview(item.id), lambda: spool.release(item.id)):
        with pytest.raises(OSError, match="symbolic links"):
            act()
    content.unlink()
    os.mkfifo(content)
    with pytest.raises(OSError, match="not a plain file"):
        spool.preview(item.id)
    assert spool.get(item.id).state is State.HELD


@pytest.mark.parametrize("id_", ["", ".", "..", "../x", ".incoming", "abc", "A" * 16, "a" * 17, "aaaaaaaaaaaaaaa/"])
def test_a38_what_is_no_id_is_no_item(spool: Spool, id_: str) -> None:
    stored(spool)
    assert spool.find(id_) is None
    for ask in (spool.get, spool.preview, spool.release, spool.drop, spool.answer):
        with pytest.raises(Unknown):
            ask(id_)  # type: ignore[operator]


def test_an_id_is_sixteen_letters_and_back() -> None:
    assert id_of(bytes(10)) == "a" * 16
    assert octets_of(id_of(b"0123456789")) == b"0123456789"
    assert all(is_id(id_of(os.urandom(10))) for _ in range(100))


# --- deciding --------------------------------------------------------------------------------------------------------


def test_what_is_released_is_what_was_there_then_and_nothing_else(spool: Spool) -> None:
    item = stored(spool, state=State.HELD)
    Path(spool.path(item.id)).write_bytes(b"edited")
    with pytest.raises(Conflict):
        spool.release(item.id, sha256(b"hello"))
    released = spool.release(item.id, sha256(b"edited"), "alice")
    assert (released.state, released.approved_sha256) == (State.APPROVED, sha256(b"edited"))
    assert released.events[-1].why == "released by alice"
    assert released.sha256 == sha256(b"hello")  # what came stays known


def test_an_edit_needs_what_it_has_seen_and_takes_the_approval_back(spool: Spool) -> None:
    item = stored(spool, state=State.HELD)
    spool.release(item.id)
    with pytest.raises(Conflict):
        spool.edit(item.id, b"mine", sha256(b"something else"))
    assert spool.get(item.id).state is State.APPROVED
    edited = spool.edit(item.id, b"mine", sha256(b"hello"), "bob")
    assert (edited.state, edited.approved_sha256, edited.edits) == (State.HELD, "", 1)
    assert spool.preview(item.id).data == b"mine"


def test_a40_of_two_editors_that_race_none_loses_what_the_other_wrote(spool: Spool) -> None:
    """Each adds a line to what it has seen, as often as it takes. In the end all lines are there, once."""
    item = stored(spool, b"", state=State.HELD)

    def add(who: int) -> None:
        for number in range(25):
            while True:
                seen = spool.preview(item.id)
                try:
                    spool.edit(item.id, seen.data + b"%d-%d\n" % (who, number), seen.sha256)
                except (Conflict, Busy):
                    continue
                break

    editors = [threading.Thread(target=add, args=(who,)) for who in (1, 2)]
    for editor in editors:
        editor.start()
    for editor in editors:
        editor.join(30)
    lines = spool.preview(item.id).data.split()
    assert sorted(lines) == sorted(b"%d-%d" % (who, number) for who in (1, 2) for number in range(25))
    assert spool.get(item.id).edits == 50


def test_what_somebody_is_sending_cannot_be_changed_meanwhile(spool: Spool) -> None:
    item = stored(spool)
    claim = spool.claim(item.id)
    assert claim is not None
    assert spool.claim(item.id) is None
    for act in (lambda: spool.drop(item.id), lambda: spool.edit(item.id, b"", "")):
        with pytest.raises(Busy):
            act()
    claim.close()
    assert spool.drop(item.id).state is State.DROPPED
    with pytest.raises(WrongState, match="is dropped and cannot become approved"):
        spool.release(item.id)


def test_states_lead_where_the_table_says_and_nowhere_else() -> None:
    for state in State:
        for next_state in State:
            item = Item(id="a" * 16, state=state)
            if next_state in NEXT[state]:
                assert item.step(next_state, 5.0).state is next_state
                assert (item.step(next_state, 5.0).ended_at == 5.0) is (next_state in ENDED)
            else:
                with pytest.raises(WrongState):
                    item.step(next_state, 5.0)


@pytest.mark.parametrize(
    ("item", "now", "is_due"),
    [
        (Item(id="", state=State.RECEIVED, received_at=100.0), 100.0, True),
        (Item(id="", state=State.RECEIVED, received_at=100.0, due_at=130.0), 129.9, False),
        (Item(id="", state=State.RECEIVED, received_at=100.0, due_at=130.0), 130.0, True),
        (Item(id="", state=State.RECEIVED, received_at=100.0, due_at=130.0), 50.0, True),  # the clock was put back
        (Item(id="", state=State.HELD), 1e12, False),
        (Item(id="", state=State.APPROVED), 0.0, True),
        (Item(id="", state=State.SENDING, next_try_at=100.0), 99.0, False),
        (Item(id="", state=State.SENDING, next_try_at=100.0), 100.0, True),
        (Item(id="", state=State.SENDING, next_try_at=1000.0), 100.0, True),  # likewise
        (Item(id="", state=State.CONFIRMED), 1e12, False),
        (Item(id="", state=State.FAILED), 1e12, False),
        (Item(id="", state=State.DROPPED), 1e12, False),
    ],
)
def test_an_item_is_due(item: Item, now: float, is_due: bool) -> None:
    assert item.is_due(now) is is_due


def test_an_item_that_is_tried_for_ever_keeps_its_beginning_and_its_end() -> None:
    item = Item(id="a" * 16, state=State.RECEIVED)
    for number in range(1000):
        item = item.step(State.SENDING, float(number), f"try {number}")
    assert len(item.events) == MOST_EVENTS
    assert [event.why for event in item.events[:5]] == [f"try {number}" for number in range(5)]
    assert item.events[-1].why == "try 999"


# --- watching and reaping --------------------------------------------------------------------------------------------


def test_a_watch_sees_what_others_do_and_forgets_what_is_over(spool: Spool) -> None:
    spool.prepare()
    watch, later = Watch(spool), 1 << 62
    assert watch.look(later) == []
    item = stored(spool, state=State.HELD)
    assert watch.look(later) == [item]
    released = spool.release(item.id)
    assert watch.look(later) == [released]
    other = stored(spool)
    spool.drop(item.id)
    assert watch.look(later) == [other]
    claim = spool.claim(other.id)
    assert claim is not None
    with claim:
        claim.step(State.SENDING, server="s:1", by_id=True)
        claim.step(State.FAILED)
        assert [one.state for one in watch.look(later)] == [State.FAILED]
    assert spool.release(other.id).state is State.APPROVED
    assert [one.state for one in watch.look(later)] == [State.APPROVED]
    assert watch.by_id == set()  # it was only tried
    claim = spool.claim(other.id)
    assert claim is not None
    with claim:
        claim.step(State.SENDING)
        claim.step(State.CONFIRMED)
    assert watch.look(later) == []
    assert watch.by_id == {"s:1"}


def test_a_damaged_manifest_is_left_alone_and_named_once(spool: Spool, caplog: pytest.LogCaptureFixture) -> None:
    item, other = stored(spool), stored(spool)
    Path(spool.path(item.id)).with_name("item.json").write_bytes(b'{"id": "x", "st')
    watch = Watch(spool)
    with caplog.at_level("WARNING", logger="interpose"):
        assert watch.look(0) == watch.look(0) == [other]
    assert [record.getMessage().count(item.id) for record in caplog.records] == [1]
    assert spool.items() == [other]
    assert Path(spool.path(item.id)).read_bytes() == b"hello"


def test_f26_uploads_that_nobody_goes_on_with_are_removed_after_a_day(tmp_path: Path) -> None:
    clock = FakeClock()
    spool = Spool(str(tmp_path / "spool"), wall=lambda: clock.now)
    old, new, running = new_id(), new_id(), new_id()
    for id_ in (old, new):
        upload = begun(spool, id_=id_)
        upload.write(b"hel")
        upload.keep()
    upload = begun(spool, id_=running)
    upload.write(b"hel")
    for id_, age in ((old, REAP_INCOMING_S + 1), (new, REAP_INCOMING_S - 1), (running, REAP_INCOMING_S + 1)):
        os.utime(Path(spool.directory, ".incoming", id_, "content"), (clock.now - age, clock.now - age))
    assert spool.reap() == [old]
    assert {path.name for path in Path(spool.directory, ".incoming").iterdir()} == {new, running}
    upload.discard()


def test_what_was_confirmed_is_removed_when_it_is_old_and_what_failed_never(tmp_path: Path) -> None:
    clock = FakeClock()
    spool = Spool(str(tmp_path / "spool"), wall=lambda: clock.now)
    items = {state: stored(spool) for state in (State.CONFIRMED, State.FAILED, State.DROPPED, State.SENDING)}
    for state, item in items.items():
        claim = spool.claim(item.id)
        assert claim is not None
        with claim:
            if state is not State.DROPPED:
                claim.step(State.SENDING)
            if state is not State.SENDING:
                claim.step(state)
    assert spool.reap(100.0) == []
    clock.now += 101
    assert set(spool.reap(None)) == set()
    assert set(spool.reap(100.0)) == {items[State.CONFIRMED].id, items[State.DROPPED].id}
    assert {item.state for item in spool.items()} == {State.FAILED, State.SENDING}
    assert list(Path(spool.directory, ".incoming").iterdir()) == []


# --- F9: crash points ------------------------------------------------------------------------------------------------

CRASHES = """
import os, sys
from interpose.storage.spool import Spool
from interpose.storage.spool_item import State

CALLS = ("write", "fsync", "rename", "unlink", "mkdir", "rmdir", "ftruncate", "open")
scenario, root = sys.argv[1:]
ID, SHA256 = "abcdefghijklmnop", sys.stdin.read()

def store(spool, acknowledge):
    upload = spool.begin(client="c", id_=ID, name="n", size=8, sha256=SHA256)
    upload.write(b"old ")
    upload.write(b"news")
    upload.finish(State.HELD, 1.0)
    acknowledge(b"stored\\n")

def resume(spool, acknowledge):
    upload = spool.begin(client="c", id_=ID, name="n", size=8, sha256=SHA256)
    upload.write(b"old ")
    upload.keep()
    store_rest = spool.begin(client="c", id_=ID, name="n", size=8, sha256=SHA256)
    store_rest.write(b"news")
    store_rest.finish(State.HELD, 1.0)
    acknowledge(b"stored\\n")

def edit(spool, acknowledge):
    spool.edit(ID, b"new news", SHA256, "alice")
    acknowledge(b"edited\\n")
    spool.release(ID)
    acknowledge(b"released\\n")

def send(spool, acknowledge):
    spool.release(ID)
    acknowledge(b"released\\n")
    with spool.claim(ID) as claim:
        claim.step(State.SENDING, "try 1", tries=1)
        claim.keep_answer(b"thanks")
        claim.step(State.CONFIRMED)
    acknowledge(b"confirmed\\n")

def reap(spool, acknowledge):
    spool.drop(ID)
    spool._wall = lambda: 1e12
    spool.reap(1.0)
    acknowledge(b"reaped\\n")

SCENARIOS = dict(store=store, resume=resume, edit=edit, send=send, reap=reap)

def child(number, directory):
    spool = Spool(directory)
    if scenario not in ("store", "resume"):
        store(spool, lambda said: None)
    left = number
    original_write = os.write
    def counted(function):
        def call(*arguments, **options):
            nonlocal left
            left -= 1
            if left == 0:
                os._exit(9)
            return function(*arguments, **options)
        return call
    acknowledgements = os.open(directory + ".said", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for name in CALLS:
        setattr(os, name, counted(getattr(os, name)))
    SCENARIOS[scenario](spool, lambda said: original_write(acknowledgements, said))
    os._exit(0)

for number in range(1, 1000):
    directory = os.path.join(root, str(number))
    pid = os.fork()
    if pid == 0:
        try:
            child(number, directory)
        except BaseException as error:
            sys.stderr.write(f"{number}: {error!r}\\n")
            os._exit(7)
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if status == 0:
        print(number - 1)
        break
    assert status == 9, status
"""

WHOLE = {b"old news", b"new news"}


@pytest.mark.parametrize("scenario", ["store", "resume", "edit", "send", "reap"])
def test_f9_a_crash_at_any_call_leaves_old_or_new_and_loses_nothing_acknowledged(tmp_path: Path, scenario: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", CRASHES, scenario, str(tmp_path)],
        input=sha256(b"old news"), capture_output=True, text=True, timeout=50, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    points = int(done.stdout)
    assert points >= 8
    for number in range(1, points + 2):
        check_after_crash(Spool(str(tmp_path / str(number))), Path(f"{tmp_path / str(number)}.said"), scenario)


def check_after_crash(spool: Spool, said_file: Path, scenario: str) -> None:
    """What a new process finds, and that it can go on."""
    said = said_file.read_text().split() if said_file.exists() else []
    id_ = "abcdefghijklmnop"
    items = spool.items()
    assert len(items) == len(spool.ids()) <= 1, "half of an item"
    if scenario in ("store", "resume"):
        assert items or "stored" not in said, "acknowledged, and lost"
        if not items:
            again = begun(spool, b"old news", id_=id_)
            again.write(b"old news"[again.offset :])
            again.finish(State.HELD, 1.0)
        assert spool.preview(id_).data == b"old news"
        return
    if scenario == "reap":
        assert items or "reaped" in said or spool.ids() == []
        return
    [item] = items
    content = spool.preview(id_).data
    assert content in WHOLE
    assert item.sha256 == sha256(b"old news")
    if "edited" in said:
        assert content == b"new news"
    if "released" in said:
        assert item.state in (State.APPROVED, State.SENDING, State.CONFIRMED)
        assert item.approved_sha256 == sha256(content)
    if item.state is State.CONFIRMED:
        assert spool.answer(id_) == b"thanks"
    assert item.state is State.CONFIRMED or "confirmed" not in said
    claim = spool.claim(id_)
    assert claim is not None, "the dead hold no claim"
    claim.close()
    if not item.has_ended:
        spool.release(id_)
