"""The course works as it is written: its commands are typed in order, and what it shows must come.

A block of `console` belongs to the terminal that its prompt names. Commands of `client` run to their end, and what
they print must be what the page shows; in the other terminals they run until the next one, and what the page shows must
come. A prompt without a command shows more of what the last one said. `…` stands for anything, and so do times of day
and ports that a system chose. The page's own ports are replaced by free ones.
"""

import os
import re
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.program import INTERPOSE

PAGE = Path(__file__).resolve().parents[2] / "docs" / "course.md"
PORTS = (8000, 8001, 8009, 8080, 9000, 12000)
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SAVED = re.compile(r"[Ss]ave this as `([\w.]+)`:?\n\n\Z|this as `([\w.]+)`:\n\n\Z")
PROMPT = re.compile(r"(server|between|client)\$ ?(.*)")
DEADLINE_S = 20.0


class Terminal:
    """Where one program runs until the next."""

    def __init__(self) -> None:
        self.process: subprocess.Popen[str] | None = None
        self.said: list[str] = []
        self.news = threading.Condition()

    def start(self, command: str, folder: Path, environment: dict[str, str]) -> None:
        self.stop()
        self.said = []
        self.process = subprocess.Popen(
            ["bash", "-c", f"exec {command}"], cwd=folder, env=environment, text=True, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        self.reader = threading.Thread(target=self.read, args=(self.process,), daemon=True)
        self.reader.start()

    def read(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        for line in process.stdout:
            with self.news:
                self.said.append(line.rstrip("\n"))
                self.news.notify_all()

    def shows(self, wanted: list[str], map_ports: dict[int, int]) -> None:
        """Wait until the lines have come, in this order, others between them or not."""

        def all_came() -> bool:
            said = iter(self.said)
            return all(any(matches(line, found, map_ports) for found in said) for line in wanted)

        with self.news:
            assert self.news.wait_for(all_came, DEADLINE_S), f"wanted {wanted}, came {self.said}"

    def stop(self) -> None:
        """Ctrl-C, and everything that it ran is over."""
        if self.process is None:
            return
        assert self.process.poll() is None, f"it ended by itself: {self.said}"
        self.process.send_signal(signal.SIGINT)
        try:
            self.process.wait(DEADLINE_S)
        finally:
            self.process.kill()
            self.process.wait()
            self.reader.join(DEADLINE_S)
            assert self.process.stdout is not None
            self.process.stdout.close()
            self.process = None
        assert not any("interpose" in line and "Traceback" in line for line in self.said), self.said


def matches(wanted: str, found: str, map_ports: dict[int, int]) -> bool:
    pattern = re.escape(with_ports(wanted, map_ports))
    for volatile in (r"…", r"\d\d:\d\d:\d\d", r"(?<=:)5\d{4}(?=\\ )", r"\d\\\.\d{3}(?=\\ s)"):
        pattern = re.sub(volatile, "(?:.*)", pattern)
    return re.fullmatch(pattern, found) is not None


def with_ports(text: str, map_ports: dict[int, int]) -> str:
    return re.sub(r"(?<![\d.])\d{4,5}(?!\d)", lambda found: str(map_ports.get(int(found[0]), found[0])), text)


def free_ports() -> dict[int, int]:
    sockets = [socket.socket() for _ in PORTS]
    for sock in sockets:
        sock.bind(("127.0.0.1", 0))
    chosen = dict(zip(PORTS, (sock.getsockname()[1] for sock in sockets), strict=True))
    for sock in sockets:
        sock.close()
    return chosen


def steps(text: str) -> Iterator[tuple[str, str, list[str]]]:
    """(terminal or "save", command or file, lines that are shown)"""
    for block in BLOCK.finditer(text):
        language, content = block[1], block[2]
        if language == "python":
            saved = SAVED.search(text[: block.start()])
            assert saved is not None, f"under which name is this saved? {content}"
            yield "save", saved[1] or saved[2], content.splitlines()
        elif language == "console":
            prompt, *lines = content.splitlines()
            found = PROMPT.fullmatch(prompt)
            assert found is not None, prompt
            yield found[1], found[2], lines


@pytest.mark.timeout(180)
def test_every_command_works_as_written(tmp_path: Path) -> None:
    map_ports = free_ports()
    environment = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    environment["PATH"] = f"{Path(INTERPOSE).parent}:{environment['PATH']}"
    environment |= {"INTERPOSE_STATE": str(tmp_path / "state"), "PYTHONUNBUFFERED": "1"}
    folder = tmp_path / "course"
    folder.mkdir()
    terminals = {"server": Terminal(), "between": Terminal()}
    try:
        for where, command, lines in steps(PAGE.read_text("utf-8")):
            command = with_ports(command, map_ports)
            if where == "save":
                (folder / command).write_text(with_ports("\n".join(lines), map_ports) + "\n")
            elif where == "client":
                type_in(command, lines, map_ports, folder, environment)
            else:
                if command:
                    terminals[where].start(command, folder, environment)
                terminals[where].shows(lines, map_ports)
    finally:
        for terminal in terminals.values():
            terminal.stop()


def type_in(command: str, lines: list[str], map_ports: dict[int, int], folder: Path, env: dict[str, str]) -> None:
    """Run a command until what it prints is what the page shows: a script that was saved is loaded within a second."""
    end = time.monotonic() + DEADLINE_S
    while True:
        ran = subprocess.run(
            ["bash", "-c", command], cwd=folder, env=env, text=True, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=DEADLINE_S, check=False,
        )  # fmt: skip
        printed = ran.stdout.splitlines()
        shown = lines[:-1] if lines[-1:] == ["…"] else lines
        is_whole = len(printed) == len(shown) or lines[-1:] == ["…"]
        if is_whole and all(matches(*pair, map_ports) for pair in zip(shown, printed, strict=False)):
            return
        assert time.monotonic() < end, f"{command}\nwanted {lines}\nprinted {printed}"


def test_every_experiment_is_in_the_course() -> None:
    text = PAGE.read_text("utf-8")
    pages = {path.stem for path in (PAGE.parent / "lab").glob("*.md")}
    assert pages
    assert {name for name in pages if f"lab/{name}.md" not in text and f"lab run {name}\n" not in text} == set()


def test_the_course_names_the_environment_that_script_run_makes() -> None:
    assert 'export PATH="$PWD/.venv-run/bin:$PATH"' in PAGE.read_text()
    assert "/.venv-run/bin/interpose" in (PAGE.parents[1] / "script" / "run").read_text()
