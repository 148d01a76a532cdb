"""The real program: `interpose` as a process, what it says, and that nothing is left of it."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, Any

INTERPOSE = str(Path(sys.executable).with_name("interpose"))
DEADLINE_S = 20.0
NAME = "under-test"


def interpose(*arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run a command that ends by itself, and give what it said."""
    return subprocess.run(
        [INTERPOSE, *arguments], capture_output=True, text=True, timeout=DEADLINE_S, check=False, **options
    )


def wait_until(condition: Callable[[], bool], what: str, deadline_s: float = DEADLINE_S) -> None:
    """Ask until `condition` holds; an AssertionError that says `what` did not happen when it never does."""
    end = time.monotonic() + deadline_s
    while not condition():
        assert time.monotonic() < end, f"not within {deadline_s:g} s: {what}"
        time.sleep(0.02)


class Program:
    """`with Program(directory, "proxy", ...) as program` runs an instance that is ready when entered.

    On leaving, its exchanges, connections and tunnels must be over, it must end in order when it is told to, without a
    traceback and with no process left. `directory` gets its state, log and messages. It has a console only with
    `console`, or when its arguments say so; that is one of its `listeners`.
    """

    def __init__(
        self,
        directory: Path,
        *arguments: str,
        command: Sequence[str] = (INTERPOSE,),
        listeners: int = 1,
        console: bool = False,
        **options: Any,
    ) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.state = directory / "state"
        self.log_file = directory / "access.log"
        self.lines: list[str] = []
        self.ready: list[dict[str, Any]] = []
        self.status_at_end: int | None = None
        self._has_ended = False
        self._listeners = listeners
        common = [] if console or "--console" in arguments else ["--no-console"]
        common += ["--name", NAME, "--state", str(self.state), "--log-format", "json"]
        if arguments[0] in ("proxy", "gateway"):
            common += ["--log", str(self.log_file)]
            if "--listen" not in arguments:
                common += ["--listen", "127.0.0.1:0"]
        self._command = [*command, *arguments, *common]
        self._options = options
        self._news = threading.Condition()

    def __enter__(self) -> Program:
        options = {"stdout": subprocess.DEVNULL, **self._options}
        self.process = subprocess.Popen(self._command, stderr=subprocess.PIPE, text=True, **options)
        assert self.process.stderr is not None
        self._reader = threading.Thread(target=self._read, args=(self.process.stderr,), daemon=True)
        self._reader.start()
        with self._news:
            is_ready = self._news.wait_for(lambda: len(self.ready) == self._listeners or self._has_ended, DEADLINE_S)
        if not is_ready or self._has_ended:
            self.process.kill()
            self.process.wait(DEADLINE_S)
            raise AssertionError(f"it did not start: {self.said}")
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        processes = [self.process.pid, *children_of(self.process.pid)]
        try:
            if kind is None and self.process.poll() is None:
                wait_until(self.is_idle, "exchanges, connections and tunnels end", 6)
                self.process.send_signal(signal.SIGTERM)
            else:
                self.process.terminate()
            self.status_at_end = self.process.wait(DEADLINE_S)
        finally:
            self.process.kill()
            self._reader.join(DEADLINE_S)
        if kind is None:
            wait_until(lambda: not any(map(is_alive, processes)), "its processes end", 5)
            assert "Traceback" not in self.said, self.said
            assert self.status_at_end == 0, (self.status_at_end, self.said)

    def _read(self, stderr: IO[str]) -> None:
        with stderr:
            for line in stderr:
                with self._news:
                    self.lines.append(line.rstrip("\n"))
                    if '"event": "ready"' in line:
                        self.ready.append(json.loads(line))
                    self._news.notify_all()
        with self._news:
            self._has_ended = True
            self._news.notify_all()

    @property
    def said(self) -> str:
        """Everything on standard error."""
        return "\n".join(self.lines)

    @property
    def url(self) -> str:
        """Of the first listener."""
        return str(self.ready[0]["url"])

    @property
    def urls(self) -> dict[str, str]:
        """By listener."""
        return {line["name"]: line["url"] for line in self.ready}

    @property
    def port(self) -> int:
        """Of the first listener."""
        return int(self.ready[0]["address"].rpartition(":")[2])

    def says(self, text: str) -> None:
        """Wait until it has said `text`."""
        with self._news:
            has_said = self._news.wait_for(lambda: text in self.said, DEADLINE_S)
        assert has_said, f"it did not say {text!r}: {self.said}"

    def status(self) -> dict[str, Any]:
        """What its control socket answers."""
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(DEADLINE_S)
            client.connect(str(self.state / NAME / "control.sock"))
            client.sendall(b"GET /v1/status HTTP/1.0\r\nHost: x\r\n\r\n")
            received = b""
            while data := client.recv(65536):
                received += data
        status: dict[str, Any] = json.loads(received.partition(b"\r\n\r\n")[2])
        return status

    def is_idle(self) -> bool:
        """Whether nothing of a client is left in it."""
        counters = self.status()["counters"]
        return not any(counters[name] for name in ("connections", "exchanges", "tunnels"))

    def log(self, count: int = 0) -> list[dict[str, Any]]:
        """The access log as soon as it has `count` lines. Once the program has ended, all of it."""
        wait_until(lambda: len(self._log_lines()) >= count, f"{count} lines in the access log")
        return [json.loads(line) for line in self._log_lines()]

    def _log_lines(self) -> list[str]:
        return self.log_file.read_text().splitlines() if self.log_file.exists() else []


def children_of(pid: int) -> list[int]:
    """The processes that `pid` has started."""
    try:
        tasks = os.listdir(f"/proc/{pid}/task")
        return [int(n) for t in tasks for n in Path(f"/proc/{pid}/task/{t}/children").read_text().split()]
    except FileNotFoundError:
        return []


def is_alive(pid: int) -> bool:
    """Whether the process is there and not merely unburied."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False
