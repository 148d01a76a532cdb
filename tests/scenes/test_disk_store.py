"""The disk store between processes: what one stores another serves, and whatever befalls a process or a file, nobody
gets a wrong octet."""

from __future__ import annotations

import os
import random
import resource
import shutil
import struct
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

PROGRAM = Path(__file__).parents[1] / "support" / "disk_worker.py"
MUTATIONS = 200
RESTARTS = 4


class Worker:
    """A process with a store. `say` sends a line and returns the answer."""

    def __init__(self, command: str, directory: Path | str = "", **environment: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, str(PROGRAM), command, str(directory)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, **environment},
        )

    def hear(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def say(self, line: str) -> str:
        assert self.process.stdin is not None
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        return self.hear()

    def kill(self) -> int:
        self.process.kill()
        return self.end()

    def end(self) -> int:
        self.process.communicate(timeout=20)
        return self.process.returncode


@contextmanager
def worker(command: str, directory: Path | str = "", **environment: str) -> Iterator[Worker]:
    started = Worker(command, directory, **environment)
    try:
        yield started
    finally:
        if started.process.returncode is None:
            started.kill()


def test_what_one_process_stores_another_serves_at_once(tmp_path: Path) -> None:
    with worker("serve", tmp_path) as one, worker("serve", tmp_path) as two:
        assert one.hear() == two.hear() == "ready"
        for number, size in enumerate((0, 1, 16384, 16385, 262144, 1000000)):
            assert two.say(f"get {number}") == "none"
            assert one.say(f"put {number} {size}") == "ok"
            assert two.say(f"get {number}") == f"right {size}"
        assert two.say("put 0 77") == "ok"
        assert one.say("get 0") == "right 77"
        assert one.say("remove 0") == "ok"
        assert two.say("get 0") == "none"
        assert two.say("soft") == "5"
        assert two.say("purge") == "5"
        assert [one.say(f"get {number}") for number in range(6)] == ["none"] * 6
        for each in (one, two):
            assert each.end() == 0


def test_a_process_that_comes_later_finds_what_others_left(tmp_path: Path) -> None:
    with worker("serve", tmp_path) as one:
        one.hear()
        one.say("put 1 5000")
        one.say("put 2 500000")
        with worker("serve", tmp_path) as two:
            two.hear()
            assert one.kill() == -9
            assert two.say("get 1") == "right 5000"
            assert two.say("get 2") == "right 500000"
            assert two.say("put 3 100") == "ok"
            with worker("serve", tmp_path) as three:
                three.hear()
                assert [three.say(f"get {number}") for number in (1, 2, 3)] == [
                    "right 5000",
                    "right 500000",
                    "right 100",
                ]


def test_f9_two_processes_killed_at_any_moment_leave_no_wrong_entry(tmp_path: Path) -> None:
    chances = random.Random(9)
    directory = tmp_path / "cache"
    with worker("check") as checker:
        checker.hear()
        for round_number in range(8):
            with (
                worker("churn", directory, SEED=str(round_number)) as one,
                worker("churn", directory, SEED=str(-round_number)) as two,
            ):
                one.hear()
                for _ in range(chances.randrange(5, 120)):
                    assert two.hear().startswith("done")
                assert two.kill() == -9
                for _ in range(chances.randrange(5)):
                    assert one.hear().startswith("done")
                assert one.kill() == -9
            assert checker.say(str(directory)) == "0"
    # Each process that was killed can leave what it was writing, and what it had named and not yet made known.
    assert len([path for path in (directory / "incoming").iterdir() if path.is_file()]) <= 8 * 2 * 8
    assert not [path for path in directory.iterdir() if ".corrupt-" in path.name]


Mutation = Callable[[random.Random, Path], None]


def change_octets(chances: random.Random, path: Path) -> None:
    data = bytearray(path.read_bytes())
    for _ in range(chances.choice((1, 8, 200))):
        if data:
            data[chances.randrange(len(data))] = chances.randrange(256)
    path.write_bytes(data)


def cut(chances: random.Random, path: Path) -> None:
    os.truncate(path, chances.randrange(path.stat().st_size + 1))


def cut_a_little(chances: random.Random, path: Path) -> None:
    os.truncate(path, max(0, path.stat().st_size - chances.choice((1, 4096, 40960))))


def empty(chances: random.Random, path: Path) -> None:
    os.truncate(path, 0)


def spoil_a_page(chances: random.Random, path: Path) -> None:
    data = bytearray(path.read_bytes())
    start = chances.randrange(max(1, len(data) // 4096)) * 4096
    data[start : start + 4096] = chances.choice((bytes(4096), b"\xff" * 4096, chances.randbytes(4096)))
    path.write_bytes(data)


def spoil_the_begin_of_a_page(chances: random.Random, path: Path) -> None:
    """Where LMDB has numbers that it follows."""
    data = bytearray(path.read_bytes())
    start = chances.randrange(max(1, len(data) // 4096)) * 4096
    data[start + 8 : start + 64] = chances.randbytes(56)
    path.write_bytes(data)


def swap_pages(chances: random.Random, path: Path) -> None:
    data = path.read_bytes()
    pages = [data[start : start + 4096] for start in range(0, len(data), 4096)]
    chances.shuffle(pages)
    path.write_bytes(b"".join(pages))


def claim_another_version(chances: random.Random, path: Path) -> None:
    data = bytearray(path.read_bytes())
    if len(data) >= 8192:
        for start in (0, 4096):
            struct.pack_into("=I", data, start + 20, chances.choice((0, 2, 999)))
    path.write_bytes(data)


def claim_many_pages(chances: random.Random, path: Path) -> None:
    """Root pages and last pages anywhere."""
    data = bytearray(path.read_bytes())
    if len(data) >= 8192:
        for start in (0, 4096):
            struct.pack_into("=Q", data, start + chances.choice((128, 136)), chances.randrange(1, 4000))
    path.write_bytes(data)


def remove(chances: random.Random, path: Path) -> None:
    path.unlink()


def replace_by_a_directory(chances: random.Random, path: Path) -> None:
    path.unlink()
    path.mkdir()


MUTATE: tuple[Mutation, ...] = (
    change_octets,
    cut,
    cut_a_little,
    empty,
    spoil_a_page,
    spoil_the_begin_of_a_page,
    swap_pages,
    claim_another_version,
    claim_many_pages,
    remove,
    replace_by_a_directory,
)


@pytest.mark.timeout(180)
def test_f8_after_each_of_200_mutations_it_starts_stores_and_serves_no_wrong_octet(tmp_path: Path) -> None:
    base = tmp_path / "base"
    with worker("fill", base) as filler:
        assert filler.end() == 0
    results: Counter[str] = Counter()
    with worker("check") as checker:
        checker.hear()
        assert checker.say(str(shutil.copytree(base, tmp_path / "good"))) == "0"
        for number in range(MUTATIONS):
            chances = random.Random(number)
            directory = shutil.copytree(base, tmp_path / "mutated")
            files = sorted(path for path in directory.rglob("*") if path.is_file() and path.name != "lock")
            database = [path for path in files if path.name == "data.mdb"]
            mutate = MUTATE[number % len(MUTATE)]
            target = chances.choice((*database, chances.choice(files)))
            mutate(chances, target)
            statuses = []
            while not statuses or (statuses[-1] in ("-6", "-7", "-11") and len(statuses) < RESTARTS):
                statuses.append(checker.say(str(directory)))  # a supervisor would start it again, too
            results[" ".join(statuses)] += 1
            assert statuses[-1] == "0", (number, mutate.__name__, target.name, statuses)
            shutil.rmtree(directory)
    assert results["0"] > MUTATIONS * 0.9, results


@contextmanager
def small_file_system(directory: Path) -> Iterator[bool]:
    """A file system of 3 MiB at `directory`, where this user may mount one; whether there is."""
    command = ["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(directory)]
    is_mounted = os.geteuid() == 0 and subprocess.run(command, check=False, capture_output=True).returncode == 0
    try:
        yield is_mounted
    finally:
        if is_mounted:
            subprocess.run(["umount", "-l", str(directory)], check=True)


def test_f6_a_file_system_that_is_full_breaks_nothing(tmp_path: Path) -> None:
    sizes = (1000, 15000, 200000)
    with small_file_system(tmp_path) as is_small, worker("serve", tmp_path / "cache") as one:
        one.hear()
        if not is_small:  # then no file may grow
            resource.prlimit(one.process.pid, resource.RLIMIT_FSIZE, (150000, 150000))
        for number in range(90):
            assert one.say(f"put {number} {sizes[number % 3]}") == "ok"
            assert one.say(f"get {number}") in ("none", f"right {sizes[number % 3]}")
        assert one.end() == 0
