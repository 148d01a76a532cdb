"""Programs that the benchmark starts, everything they start in turn, and their certain end."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

STOP_GRACE_S = 5.0


class MeasureError(Exception):
    """Something cannot be measured, because a program is absent or fails; the text is one sentence for the table."""


@dataclass(frozen=True, slots=True)
class Identity:
    """A process as the kernel knows it: the number alone may be given to another one later."""

    pid: int
    started: int

    def is_alive(self) -> bool:
        """Whether this very process still runs (a zombie does not)."""
        stat = _stat(self.pid)
        return stat is not None and stat.started == self.started and stat.state not in "ZX"


@dataclass(frozen=True, slots=True)
class _Stat:
    state: str
    parent: int
    started: int


class Program:
    """A started program, its output in a file, and the tree of processes below it."""

    def __init__(self, command: Sequence[str], *, directory: Path, output: Path) -> None:
        self._output = output
        with output.open("ab") as sink:
            try:
                # A session of its own, so that Ctrl-C reaches the benchmark alone, which then ends everything in order.
                self._process = subprocess.Popen(
                    command,
                    cwd=directory,
                    stdin=subprocess.DEVNULL,
                    stdout=sink,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
            except OSError as error:
                raise MeasureError(f"{command[0]} cannot be started: {error.strerror}") from error

    def pids(self) -> list[int]:
        """The program's process and all below it, those living now."""
        return [identity.pid for identity in self._tree()]

    def wait_until_accepting(self, port: int, *, deadline_s: float) -> None:
        """Return when 127.0.0.1:port accepts; `MeasureError` when the program ends first or the deadline passes."""
        deadline = time.monotonic() + deadline_s
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                raise MeasureError(f"ended with status {self._process.returncode}: {self.last_words()}")
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
                return
            time.sleep(0.02)
        raise MeasureError(f"did not accept on port {port} within {deadline_s:g} s: {self.last_words()}")

    def last_words(self) -> str:
        """The last line it printed, shortened for a table."""
        text = self._output.read_text(errors="replace").strip() if self._output.exists() else ""
        return text.splitlines()[-1][:160] if text else "no output"

    def end(self) -> None:
        """Ask the program to stop, wait a little, then kill what remains of its tree."""
        tree = self._tree()
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(STOP_GRACE_S)
        for identity in tree:
            if identity.is_alive():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(identity.pid, signal.SIGKILL)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(STOP_GRACE_S)

    def _tree(self) -> list[Identity]:
        below: dict[int, list[Identity]] = {}
        stats = {int(entry): _stat(int(entry)) for entry in os.listdir("/proc") if entry.isdigit()}
        for pid, stat in stats.items():
            if stat is not None and stat.state not in "ZX":
                below.setdefault(stat.parent, []).append(Identity(pid, stat.started))
        root = stats.get(self._process.pid)
        found = [] if root is None or root.state in "ZX" else [Identity(self._process.pid, root.started)]
        for identity in found:  # grows while it is walked: breadth first
            found.extend(below.get(identity.pid, ()))
        return found


@contextlib.contextmanager
def running(command: Sequence[str], *, directory: Path, output: Path) -> Iterator[Program]:
    """The program, started; ended with its whole tree on the way out."""
    program = Program(command, directory=directory, output=output)
    try:
        yield program
    finally:
        program.end()


def free_port() -> int:
    """A TCP port of 127.0.0.1 that nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _stat(pid: int) -> _Stat | None:
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    # The name stands in parentheses and may hold anything, spaces included: count from its end.
    after_name = text.rpartition(")")[2].split()
    return _Stat(state=after_name[0], parent=int(after_name[1]), started=int(after_name[19]))
